package web

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
	"unicode/utf8"

	"trunkline/caps"
	"trunkline/grid/tree"
)

// previewBytes is how much of a text a page shows.
const previewBytes = 32 << 10

// readSize bounds how long a page waits for a mutable file's size.
const readSize = 10 * time.Second

// kindSentence says what a cap is for, to a person.
func kindSentence(n tree.Node) string {
	c := n.Cap()
	k := c.Kind()
	what := "file"
	if k.IsDirectory() {
		what = "directory"
	}
	switch {
	case k == caps.KindUnknown && c.IsZero():
		return "An entry that cannot be used."
	case k == caps.KindUnknown:
		return "Made by a later version: this one keeps it, and cannot open it."
	case k.IsVerify():
		return "A verify cap: it checks and repairs the " + what + ", and does not open it."
	case k == caps.KindLiteral:
		return "A file so small that its cap holds it."
	case k == caps.KindDirLiteral:
		return "A directory so small that its cap holds it. It never changes."
	case !k.IsMutable():
		return "It never changes."
	case k.CanWrite():
		return "You can change it with this cap."
	}
	return "Others may change it; this cap reads."
}

// where says where an object is.
func (h *Handler) where(home caps.AreaCode, c caps.Cap) fact {
	f := fact{Label: "Where"}
	if _, ok := c.StorageIndex(); !ok {
		f.Value = "in the cap itself"
		return f
	}
	areas := c.Areas()
	if !h.far(home, c) {
		f.Value = "your grid"
		return f
	}
	f.Value = "another grid"
	var codes []string
	for _, a := range areas {
		codes = append(codes, a.Short())
	}
	f.Note = strings.Join(codes, ", ")
	return f
}

// capRows are the caps of a node to copy.
func capRows(n tree.Node) []capRow {
	var out []capRow
	if c := n.WriteCap(); !c.IsZero() {
		out = append(out, capRow{"write", "Write cap", "reads and changes", c.Text()})
	}
	if c := n.ReadCap(); !c.IsZero() && !c.Kind().IsVerify() {
		out = append(out, capRow{"read", "Read cap", "reads", c.Text()})
	}
	if c, ok := n.VerifyCap(); ok {
		out = append(out, capRow{"verify", "Verify cap", "checks, and opens nothing", c.Text()})
	}
	return out
}

// linkFacts say when a link was made and changed.
func linkFacts(n tree.Node) []fact {
	if !n.Linked {
		return nil
	}
	var out []fact
	add := func(label string, t time.Time, ok bool) {
		if ok {
			out = append(out, fact{Label: label, Value: t.UTC().Format("2 Jan 2006 15:04") + " UTC", Time: t.UTC().Format(time.RFC3339)})
		}
	}
	modified, ok := n.Metadata.Modified()
	add("Linked", modified, ok)
	return out
}

// infoPage shows what a node is.
func (h *Handler) infoPage(w *answer, q *request, n tree.Node) error {
	if !wantsHTML(q.Request) && q.bad != nil && !errors.Is(q.bad, caps.ErrUnknownKind) && len(q.path) == 0 {
		return badRequest("the cap cannot be used: %w", q.bad)
	}
	name := q.args.text("filename")
	if len(q.path) > 0 {
		name = q.path[len(q.path)-1]
	}
	c := n.Cap()
	home := q.tree.Files().Home()
	p := struct {
		base
		Crumbs                                      []crumb
		Heading, Sentence, Problem, Type, Self      string
		Facts                                       []fact
		Download, Contents, SizeText, Preview, Edit string
		PreviewText, PreviewCut                     string
		Checkable, Replace                          bool
		Money                                       *money
		Caps                                        []capRow
	}{
		Sentence: kindSentence(n), Type: string(n.Type()), Self: q.self(), Caps: capRows(n), Crumbs: q.crumbs(q.rootLabel()),
	}
	switch {
	case len(q.path) > 0:
		p.Heading = shownName(name)
	case name != "":
		p.Heading = shownName(name)
		p.Crumbs[0].Label = p.Heading
	case n.Type() == tree.TypeDirectory:
		p.Heading = "A directory"
	case n.Type() == tree.TypeFile:
		p.Heading = "A file"
	default:
		p.Heading = "Unknown"
	}
	p.base = h.newBase(p.Heading)
	if !h.far(home, c) {
		_, p.Checkable = n.VerifyCap()
	}
	readable := c.Kind().CanRead() && c.Validate() == nil
	if len(q.path) == 0 && q.bad != nil && !errors.Is(q.bad, caps.ErrUnknownKind) {
		p.Problem = sentence(q.bad.Error())
		p.Sentence = "This is not a cap that works."
	}
	if readable && n.Type() == tree.TypeFile {
		h.showFile(q, n, name, &p.Facts, &p.Problem, func(size *uint64) {
			p.Download = q.self() + "?save=true"
			if len(q.path) == 0 && name != "" {
				p.Download += "&filename=" + url.QueryEscape(name)
			}
			if size != nil {
				p.SizeText = sizeText(*size)
			}
			p.Preview = previewOf(name)
			if p.Preview != "" && hasExtension(name) {
				p.Contents = q.self()
				if len(q.path) == 0 {
					p.Contents += "?filename=" + url.QueryEscape(name)
				}
			}
			// What costs is fetched only when somebody asks for it.
			if p.Preview == "text" && !h.far(home, c) && size != nil && *size > 0 {
				p.PreviewText, p.PreviewCut = h.previewText(q, c)
			}
			if h.far(home, c) {
				p.Preview = ""
			}
		})
		size, _ := n.Size()
		if p.Money = h.askMoney(q.Context(), home, c, size, q.URL.RequestURI()); p.Money != nil && (len(p.Money.Areas) > 0 || h.config.Ceiling == 0) {
			p.Download, p.Contents, p.Preview, p.PreviewText = "", "", "", ""
		}
		p.Replace = !n.WriteCap().IsZero()
	}
	if n.Type() == tree.TypeDirectory && readable {
		p.Contents = ""
		p.Crumbs[len(p.Crumbs)-1].Href = q.self()
	}
	if !c.IsZero() && c.Kind() != caps.KindUnknown {
		p.Facts = append(p.Facts, fact{Label: "Kept as", Value: keptAs(c)}, h.where(home, c))
	}
	p.Facts = append(p.Facts, linkFacts(n)...)
	if len(q.path) > 0 {
		if parent, err := q.resolve(q.path[:len(q.path)-1]); err == nil && !parent.WriteCap().IsZero() && !h.far(home, parent.Cap()) {
			p.Edit = joinPath(append([]string{"uri", q.link}, q.path[:len(q.path)-1]...)...) + "?t=rename-form&name=" + url.QueryEscape(name)
		}
	}
	return h.render(w, q.Request, http.StatusOK, "file.html", p)
}

// keptAs says how an object is encoded.
func keptAs(c caps.Cap) string {
	if v, ok := c.CHKVerify(); ok {
		return fmt.Sprintf("any %d of %d shares", v.K, v.N)
	}
	if v, ok := c.MutableVerify(); ok {
		if v.MDMF {
			return "mutable, MDMF"
		}
		return "mutable, SDMF"
	}
	return "literal"
}

// showFile finds out a file's size, and hands it to found; nil if nobody can tell
// without paying.
func (h *Handler) showFile(q *request, n tree.Node, name string, facts *[]fact, problem *string, found func(*uint64)) {
	size, known := n.Size()
	if !known {
		ctx, cancel := context.WithTimeout(q.Context(), readSize)
		defer cancel()
		err := q.tree.Files().Read(ctx, n.Cap(), func(s uint64) (uint64, uint64, io.Writer, error) {
			size, known = s, true
			return 0, 0, nil, nil
		})
		var m *moneyError
		if err != nil && !errors.As(err, &m) {
			_, text := statusOf(err)
			*problem = sentence(text)
		}
	}
	if known {
		f := fact{Label: "Size", Value: sizeText(size)}
		if size >= 1000 {
			f.Note = grouped(size) + " bytes"
		}
		*facts = append(*facts, f)
	}
	if hasExtension(name) {
		*facts = append(*facts, fact{Label: "Type", Value: contentType(name)})
	}
	if known {
		found(&size)
	} else {
		found(nil)
	}
}

// previewText is the beginning of a file, if it is text, and what was left out.
func (h *Handler) previewText(q *request, c caps.Cap) (text, cut string) {
	ctx, cancel := context.WithTimeout(q.Context(), readSize)
	defer cancel()
	var b bytes.Buffer
	whole := true
	err := q.tree.Files().Read(ctx, c, func(size uint64) (uint64, uint64, io.Writer, error) {
		whole = size <= previewBytes
		return 0, min(size, previewBytes), &b, nil
	})
	if err != nil {
		return "", ""
	}
	raw := b.Bytes()
	if !whole {
		cut = sizeText(previewBytes)
		for i := 0; i < utf8.UTFMax && len(raw) > 0 && !utf8.Valid(raw); i++ {
			raw = raw[:len(raw)-1]
		}
	}
	if !utf8.Valid(raw) || bytes.IndexByte(raw, 0) >= 0 {
		return "", ""
	}
	return strings.Map(func(r rune) rune {
		if r != '\n' && r != '\t' && r != '\r' && hides(r) {
			return '\ufffd'
		}
		return r
	}, string(raw)), cut
}
