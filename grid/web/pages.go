package web

import (
	"bytes"
	"context"
	"embed"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/fnv"
	"html/template"
	"io/fs"
	"net/http"
	"path"
	"strings"
	"time"

	"trunkline/caps"
	"trunkline/grid/tree"
)

//go:embed page
var pageFiles embed.FS

// staticPath is where what belongs to the pages themselves is.
const staticPath = "/static/"

// templates are the pages. They do not change.
var templates = template.Must(template.ParseFS(pageFiles, "page/*.html"))

// statics are what pages load, with its type.
var statics = map[string]string{"page.css": "text/css; charset=utf-8", "page.js": "text/javascript; charset=utf-8", "icon.svg": "image/svg+xml"}

// staticVersion changes with what pages load, so that browsers keep it as long as
// it is the same.
var staticVersion = func() string {
	sum := fnv.New64a()
	for _, name := range []string{"page.css", "page.js", "icon.svg"} {
		b, _ := fs.ReadFile(pageFiles, "page/"+name) // embedded
		_, _ = sum.Write(b)
	}
	return hex.EncodeToString(sum.Sum(nil))
}()

// pagePolicy is the content security policy of our own pages: nothing from
// anywhere else, and no script or style but those under staticPath.
const pagePolicy = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; media-src 'self'; connect-src 'self'; " +
	"form-action 'self'; base-uri 'none'; frame-ancestors 'none'"

// static answers what pages load.
func (h *Handler) static(w *answer, r *http.Request, rest []string) error {
	if err := methods(w, r, http.MethodGet, http.MethodHead); err != nil {
		return err
	}
	if len(rest) != 2 || statics[rest[1]] == "" {
		return problemf(http.StatusNotFound, "there is nothing at this address")
	}
	b, err := fs.ReadFile(pageFiles, "page/"+rest[1])
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", statics[rest[1]])
	if rest[0] == staticVersion {
		w.Header().Set("Cache-Control", "private, max-age=31536000, immutable")
	}
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(b))
	return nil
}

// base is what every page has.
type base struct {
	Title     string
	Version   string
	Node      Node
	Servers   bool // whether any are known
	Connected int
}

func (h *Handler) newBase(title string) base {
	b := base{Title: title, Version: staticVersion, Node: h.config.Node()}
	b.Servers = len(b.Node.Servers) > 0
	for _, s := range b.Node.Servers {
		if s.Connected {
			b.Connected++
		}
	}
	return b
}

// crumb is one step of the way to what is shown; Href is "" for that itself.
type crumb struct{ Label, Href string }

// fact is one thing to know.
type fact struct{ Label, Value, Note, Class, Time string }

// capRow is a cap to copy.
type capRow struct{ ID, Label, Note, Text string }

// render sends a page.
func (h *Handler) render(w *answer, r *http.Request, status int, name string, data any) error {
	var b bytes.Buffer
	if err := templates.ExecuteTemplate(&b, name, data); err != nil {
		return fmt.Errorf("making a page: %w", err)
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Content-Security-Policy", pagePolicy)
	// Pages hold caps, and prices and agreements change.
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	if r.Method != http.MethodHead {
		_, _ = b.WriteTo(w) // to a client that may be gone
	}
	return nil
}

// crumbs are the way from the cap to the end of a path.
func (q *request) crumbs(root string) []crumb {
	out := []crumb{{Label: root, Href: joinPath("uri", q.link)}}
	for i, name := range q.path {
		out = append(out, crumb{Label: shownName(name), Href: joinPath(append([]string{"uri", q.link}, q.path[:i+1]...)...)})
	}
	out[len(out)-1].Href = ""
	return out
}

// rootLabel is what a page calls the cap that its address begins with.
func (q *request) rootLabel() string {
	switch q.root.Type() {
	case tree.TypeDirectory:
		return "Directory"
	case tree.TypeFile:
		return "File"
	case tree.TypeUnknown:
	}
	return "Unknown"
}

// heading is what a page calls what it shows.
func (q *request) heading(otherwise string) string {
	if len(q.path) == 0 {
		return otherwise
	}
	return shownName(q.path[len(q.path)-1])
}

// front answers the first page, and what is asked about the node itself.
func (h *Handler) front(w *answer, r *http.Request) error {
	if err := methods(w, r, http.MethodGet, http.MethodHead, http.MethodPost); err != nil {
		return err
	}
	a, err := queryArgs(r)
	if err != nil {
		return err
	}
	switch t := a.t(); {
	case t == "json":
		return h.nodeJSON(w)
	case t != "":
		return badRequest("bad t=%s", printable(t))
	case r.Method == http.MethodPost:
		return h.open(w, r, a)
	}
	return h.frontPage(w, r, http.StatusOK, "")
}

// open takes a pasted cap and sends the browser on to its page, under a handle:
// no address in the browser's history holds the cap.
func (h *Handler) open(w *answer, r *http.Request, a args) error {
	defer func() { a.file.Close() }()
	if _, err := a.addForm(r, h.spool); err != nil {
		return err
	}
	text := strings.Join(strings.Fields(a.text("uri")), "") // mail programs wrap lines
	c, err := caps.Parse(text)
	if err != nil {
		return h.frontPage(w, r, http.StatusBadRequest, whyNotCap(err))
	}
	to := joinPath("uri", h.opened.put(c))
	if !c.IsDirectory() || !c.Kind().CanRead() {
		to += "?t=info"
	}
	w.Header().Set("Location", to)
	w.WriteHeader(http.StatusSeeOther)
	return nil
}

// whyNotCap says to a person what is wrong with a text.
func whyNotCap(err error) string {
	switch {
	case errors.Is(err, caps.ErrNoCap):
		return "Paste a cap: a text that begins URI:"
	case errors.Is(err, caps.ErrUnknownKind):
		return "This is no cap that this version knows. Caps begin with URI: and the kind, such as URI:CHK: or URI:DIR2:"
	}
	return "This cannot be right (" + strings.TrimPrefix(err.Error(), caps.ErrMalformed.Error()+": ") + "). Check that the whole cap was copied."
}

func (h *Handler) frontPage(w *answer, r *http.Request, status int, problem string) error {
	n := h.config.Node()
	b := h.newBase("Files")
	var facts []fact
	if len(n.Servers) > 0 {
		facts = append(facts, fact{Label: "Your grid", Value: fmt.Sprintf("%d of %d servers answer", b.Connected, len(n.Servers))})
	}
	if !n.Area.IsZero() {
		facts = append(facts, fact{Label: "Its area", Value: n.Area.Short(), Class: "mono"})
	}
	if h.config.Ceiling > 0 {
		facts = append(facts, fact{Label: "Calls to other grids", Value: "up to " + h.config.Ceiling.String() + " a request", Note: "asked first"})
	} else {
		facts = append(facts, fact{Label: "Calls to other grids", Value: "only where they cost nothing", Note: h.config.CeilingHint})
	}
	facts = append(facts, fact{Label: "For programs", Value: "tahoe -u http://" + r.Host, Class: "mono"})
	return h.render(w, r, status, "front.html", struct {
		base
		Problem string
		Facts   []fact
	}{b, problem, facts})
}

// savedPage shows the cap of something new.
func (h *Handler) savedPage(w *answer, q *request, c caps.Cap, name string) error {
	heading, sentence := "Stored", "It is encrypted, and spread over your grid."
	if c.IsDirectory() {
		heading, sentence = "A new directory", "This is its write cap: whoever has it can change what is in it. Its page shows the read cap to give away."
	} else if name != "" {
		heading = "Stored: " + shownName(baseName(name))
	}
	self := joinPath("uri", h.opened.put(c))
	if !c.IsDirectory() {
		self += "?t=info"
		if name != "" {
			self += "&filename=" + template.URLQueryEscaper(baseName(name))
		}
	}
	return h.render(w, q.Request, http.StatusOK, "saved.html", struct {
		base
		Heading, Sentence, Text, Self string
	}{h.newBase(heading), heading, sentence, c.Text(), self})
}

// errorPage shows an error to a person, and where it was about money, the price
// and the question. It reports whether it could.
func (h *Handler) errorPage(w *answer, r *http.Request, status int, text string, err error) bool {
	heading := map[int]string{
		http.StatusNotFound: "Not there", http.StatusGone: "It cannot be had", http.StatusForbidden: "Refused", http.StatusPaymentRequired: "This call costs money",
		http.StatusServiceUnavailable: "Not now", http.StatusConflict: "Something is in the way", http.StatusBadRequest: "That does not work",
	}[status]
	if heading == "" {
		heading = http.StatusText(status)
	}
	p := struct {
		base
		Heading, Sentence, Hint string
		Money                   *money
	}{base: h.newBase(heading), Heading: heading, Sentence: sentence(text)}
	var m *moneyError
	if errors.As(err, &m) {
		back := r.URL.EscapedPath()
		if r.URL.RawQuery != "" {
			back += "?" + r.URL.RawQuery
		}
		if r.Method != http.MethodGet {
			back = r.URL.EscapedPath()
		}
		// Without the request's own time: it may have been used up.
		p.Money = h.askMoney(r.Context(), h.config.Files(Free).Home(), m.cap, 0, back)
		p.Sentence = "What it leads to is in another grid."
	}
	switch status {
	case http.StatusGone:
		p.Hint = "Servers may be away; it may come back when they are. \"Check its health\" on its page asks all of them."
	case http.StatusServiceUnavailable:
		p.Hint = "Try again in a moment."
	}
	return h.render(w, r, status, "error.html", p) == nil
}

// sentence makes an error's text one that stands alone.
func sentence(text string) string {
	if text == "" {
		return ""
	}
	text = strings.ToUpper(text[:1]) + text[1:]
	if !strings.ContainsAny(text[len(text)-1:], ".!?") {
		text += "."
	}
	return text
}

// money is what a person is told and asked before a call that costs.
type money struct {
	Heading, Sentence, Button, Back, Fine string
	Areas                                 []string // to agree to; none: there is nothing to ask
}

// askPrice bounds how long a page waits for a price.
const askPrice = 5 * time.Second

// askMoney says what reading so many bytes of c costs, and asks where nobody
// agreed yet. nil: it costs nothing, or is agreed. bytes 0: nobody knows how many.
func (h *Handler) askMoney(ctx context.Context, home caps.AreaCode, c caps.Cap, bytes uint64, back string) *money {
	if !h.far(home, c) {
		return nil
	}
	var price Price
	err := errors.New("unknown")
	if h.config.Price != nil {
		ctx, cancel := context.WithTimeout(ctx, askPrice)
		defer cancel()
		price, err = h.config.Price(ctx, c, max(bytes, 1))
	}
	if err == nil && price.TollFree {
		return nil
	}
	m := &money{Heading: "What it costs", Back: back}
	switch {
	case err != nil:
		m.Sentence = "It is in another grid. What the call costs could not be found out."
	case bytes > 0:
		m.Sentence = fmt.Sprintf("It is in another grid: fetching %s costs at most %s %s (%s a GiB).", sizeText(bytes), price.Cost, price.Currency, price.PerGiB)
	default:
		m.Sentence = fmt.Sprintf("It is in another grid, and calls there cost %s %s a GiB.", price.PerGiB, price.Currency)
	}
	areas := h.unagreed(home, c)
	switch {
	case h.config.Ceiling == 0:
		m.Heading = "Calls that cost money are off here"
		m.Sentence += " " + sentence(h.config.CeilingHint)
	case err == nil && bytes > 0 && price.Cost > h.config.Ceiling:
		m.Sentence += fmt.Sprintf(" That is over the ceiling of %s for one request. %s", h.config.Ceiling, sentence(h.config.CeilingHint))
	case len(areas) > 0:
		for _, a := range areas {
			m.Areas = append(m.Areas, a.String())
		}
		m.Heading = "This call costs money"
		m.Button = "Yes, calls there may cost money"
		m.Fine = fmt.Sprintf("No request spends more than %s.", h.config.Ceiling)
	}
	return m
}

// shownName is a name as it is shown: what hides, turns or breaks text is written
// as what it is, and a long one is cut.
func shownName(name string) string {
	const most = 200
	if name == "" {
		return "(empty name)"
	}
	var b strings.Builder
	n := 0
	for _, r := range name {
		if n++; n > most {
			b.WriteString("…")
			break
		}
		if hides(r) {
			fmt.Fprintf(&b, `\u{%x}`, r)
			continue
		}
		b.WriteRune(r)
	}
	return b.String()
}

// previewOf says how a page can show a file of that name: "image", "audio",
// "video", "text" or not at all.
func previewOf(name string) string {
	t := contentType(name)
	kind, _, _ := strings.Cut(t, "/")
	switch {
	case t == "image/svg+xml":
		return "image" // as an image it runs nothing
	case kind == "image", kind == "audio", kind == "video", kind == "text":
		return kind
	case t == "application/json":
		return "text"
	}
	return ""
}

// hasExtension says whether there is anything to guess a type from.
func hasExtension(name string) bool { return path.Ext(name) != "" }
