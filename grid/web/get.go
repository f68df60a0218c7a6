package web

import (
	"errors"
	"io"
	"mime"
	"net/http"
	"path"
	"strconv"
	"strings"
	"time"

	"trunkline/caps"
	"trunkline/grid/tree"
)

// linked answers what concerns /uri/CAP and what is below it.
func (h *Handler) linked(w *answer, q *request) error {
	switch q.Method {
	case http.MethodPut:
		return h.put(w, q)
	case http.MethodPost:
		return h.post(w, q)
	case http.MethodDelete:
		return h.delete(w, q)
	}
	return h.get(w, q)
}

// errUnservable says that a cap gives no contents: in Tahoe's words if its kind is
// not known, but not if it is a known one, mistyped.
func errUnservable(t string, why error) error {
	if errors.Is(why, caps.ErrMalformed) || errors.Is(why, caps.ErrMustBeReadOnly) || errors.Is(why, caps.ErrMustBeDeepImmutable) {
		return badRequest("The cap cannot be used: %v; check that the whole of it was copied.", why)
	}
	return badRequest("GET unknown URI type: can only do t=info and t=json, not t=%s.\nUsing a webapi server that supports a later version of Tahoe may help.", printable(t))
}

// get answers GET and HEAD.
func (h *Handler) get(w *answer, q *request) error {
	t := q.args.t()
	n, err := q.node()
	if err != nil {
		if t == "json" && isDirectoryTrouble(err) {
			return h.jsonError(w, err)
		}
		return err
	}
	switch t {
	case "json":
		return h.getJSON(w, q, n)
	case "info":
		return h.infoPage(w, q, n)
	}
	c := n.Cap()
	if !c.Kind().CanRead() {
		var why error
		if len(q.path) == 0 {
			why = q.bad
		}
		return errUnservable(t, why)
	}
	if err := c.Validate(); err != nil {
		return badRequest("the cap cannot be used: %w", err)
	}
	switch t {
	case "uri":
		return h.getText(w, q, c, c, t)
	case "readonly-uri":
		return h.getText(w, q, c, n.ReadCap(), t)
	}
	if n.Type() == tree.TypeDirectory {
		switch t {
		case "":
			return h.directoryPage(w, q, n)
		case "rename-form":
			return h.renamePage(w, q, n)
		}
		return badRequest("GET directory: bad t=%s", printable(t))
	}
	if t != "" {
		return badRequest("GET file: bad t=%s", printable(t))
	}
	name := q.args.text("filename")
	if name == "" && len(q.path) > 0 {
		name = q.path[len(q.path)-1]
	}
	return h.contents(w, q, c, name)
}

// named answers /named/CAP/NAME: a file with a name to guess its type from.
func (h *Handler) named(w *answer, r *http.Request, rest []string) error {
	if err := methods(w, r, http.MethodGet, http.MethodHead); err != nil {
		return err
	}
	if len(rest) == 0 {
		return badRequest("/named/ and /file/ need a cap")
	}
	q, err := h.newRequest(r, rest[:1])
	if err != nil {
		return err
	}
	n := q.root
	if n.Type() != tree.TypeFile || !n.Cap().Kind().CanRead() {
		return badRequest("/named/ and /file/ serve files alone")
	}
	if err := n.Cap().Validate(); err != nil {
		return badRequest("the cap cannot be used: %w", err)
	}
	name := q.args.text("filename")
	if name == "" && len(rest) > 1 {
		name = rest[len(rest)-1]
	}
	if t := q.args.t(); t != "" {
		return badRequest("GET file: bad t=%s", printable(t))
	}
	return h.contents(w, q, n.Cap(), name)
}

// etag names a version of an immutable object in one of its representations; ok
// is false for what can change and for literals.
func etag(c caps.Cap, t string) (string, bool) {
	si, ok := c.StorageIndex()
	if !ok || c.Kind().IsMutable() {
		return "", false
	}
	tag := si.String() + "-" + t
	if c.IsDirectory() {
		tag = "DIR:" + tag
	}
	return tag, true
}

// tagged sets the ETag and answers 304 if the client has that already.
func tagged(w *answer, r *http.Request, c caps.Cap, t string) (done bool) {
	tag, ok := etag(c, t)
	if !ok {
		return false
	}
	w.Header().Set("ETag", tag)
	for _, line := range r.Header.Values("If-None-Match") {
		for one := range strings.SplitSeq(line, ",") {
			if one = strings.TrimSpace(one); one == tag || one == "*" || strings.Trim(strings.TrimPrefix(one, "W/"), `"`) == tag {
				w.WriteHeader(http.StatusNotModified)
				return true
			}
		}
	}
	return false
}

// getText answers with one of the caps of a node.
func (h *Handler) getText(w *answer, q *request, of, c caps.Cap, t string) error {
	if tagged(w, q.Request, of, t) {
		return nil
	}
	w.Header().Set("Content-Type", "text/plain")
	w.Header().Set("Content-Length", strconv.Itoa(len(c.Text())))
	w.WriteHeader(http.StatusOK)
	if q.Method != http.MethodHead {
		_, _ = io.WriteString(w, c.Text()) // to a client that may be gone
	}
	return nil
}

// contentType guesses from a name what a file holds.
func contentType(name string) string {
	ext := strings.ToLower(path.Ext(name))
	if ext == ".bin" {
		return "application/octet-stream"
	}
	if t, ok := typesByExtension[ext]; ok {
		return t
	}
	t, _, err := mime.ParseMediaType(mime.TypeByExtension(ext))
	if err != nil {
		return "text/plain"
	}
	return t
}

// typesByExtension are those that must not depend on what a machine's own table says.
var typesByExtension = map[string]string{
	".avif": "image/avif", ".css": "text/css", ".csv": "text/csv", ".flac": "audio/flac", ".gif": "image/gif", ".gz": "application/gzip",
	".html": "text/html", ".htm": "text/html", ".jpeg": "image/jpeg", ".jpg": "image/jpeg", ".js": "text/javascript", ".json": "application/json",
	".m4a": "audio/mp4", ".md": "text/markdown", ".mkv": "video/x-matroska", ".mp3": "audio/mpeg", ".mp4": "video/mp4", ".ogg": "audio/ogg",
	".opus": "audio/ogg", ".pdf": "application/pdf", ".png": "image/png", ".svg": "image/svg+xml", ".tar": "application/x-tar", ".txt": "text/plain",
	".wav": "audio/wav", ".webm": "video/webm", ".webp": "image/webp", ".xml": "text/xml", ".zip": "application/zip",
}

// contents sends a file, or the range of it that was asked for.
func (h *Handler) contents(w *answer, q *request, c caps.Cap, name string) error {
	save, err := q.args.boolean("save", false)
	if err != nil {
		return err
	}
	if tagged(w, q.Request, c, "") {
		return nil
	}
	header := w.Header()
	kind := contentType(name)
	if wantsHTML(q.Request) && strings.HasPrefix(kind, "text/") {
		kind += "; charset=utf-8" // a browser would take it for something older
	}
	header.Set("Content-Type", kind)
	header.Set("Accept-Ranges", "bytes")
	if save && name != "" {
		header.Set("Content-Disposition", disposition(name))
	} else if save {
		header.Set("Content-Disposition", "attachment")
	}
	d := &download{w: w, q: q, tag: header.Get("ETag"), idle: h.config.Idle, now: h.config.Now, control: http.NewResponseController(w)}
	if size, known := tree.NodeOf(c).Size(); known && q.Method == http.MethodHead {
		_, _, _, err := d.begin(size)
		return err
	}
	d.record = h.records.begin(q.args.text("progress"), "download", c, 0)
	err = q.tree.Files().Read(q.Context(), c, d.begin)
	if err == nil && q.Method != http.MethodHead && d.sent != d.length {
		err = io.ErrShortWrite
	}
	d.record.end(err)
	return err
}

// disposition has browsers save a file under a name.
func disposition(name string) string {
	plain := true
	for _, r := range name {
		if r < ' ' || r > '~' || r == '"' || r == '\\' || r == '%' {
			plain = false
		}
	}
	if plain {
		return `attachment; filename="` + name + `"`
	}
	if v := mime.FormatMediaType("attachment", map[string]string{"filename": name}); v != "" {
		return v
	}
	return "attachment"
}

// download is one answer with contents.
type download struct {
	w       *answer
	q       *request
	tag     string
	idle    time.Duration
	now     func() time.Time
	control *http.ResponseController
	record  *record
	length  uint64
	sent    uint64
}

// begin learns the size, settles the range and sends the header.
func (d *download) begin(size uint64) (offset, length uint64, w io.Writer, err error) {
	header := d.w.Header()
	part, ranged := span{0, size}, false
	if text := d.q.Header.Get("Range"); text != "" && d.unchanged() {
		var s span
		if s, ranged, err = parseRange(text, size); err != nil {
			header.Set("Content-Range", "bytes */"+strconv.FormatUint(size, 10))
			writeText(d.w, http.StatusRequestedRangeNotSatisfiable, err.Error())
			return 0, 0, nil, nil
		}
		if ranged {
			part = s
		}
	}
	status := http.StatusOK
	if ranged {
		status = http.StatusPartialContent
		header.Set("Content-Range", "bytes "+strconv.FormatUint(part.offset, 10)+"-"+strconv.FormatUint(part.offset+part.length-1, 10)+"/"+strconv.FormatUint(size, 10))
	}
	header.Set("Content-Length", strconv.FormatUint(part.length, 10))
	if d.q.Method == http.MethodHead || part.length == 0 {
		d.w.WriteHeader(status)
		return 0, 0, nil, nil
	}
	d.length = part.length
	d.record.total(part.length)
	return part.offset, part.length, &downloadWriter{d, status}, nil
}

// unchanged says whether the file is the one of which the client has a part.
func (d *download) unchanged() bool {
	held := d.q.Header.Get("If-Range")
	return held == "" || (d.tag != "" && strings.Trim(held, `"`) == d.tag)
}

// downloadWriter sends the header with the first bytes, so that an error before
// them has a status of its own.
type downloadWriter struct {
	*download
	status int
}

func (d *downloadWriter) Write(p []byte) (int, error) {
	if d.w.status == 0 {
		d.w.WriteHeader(d.status)
	}
	_ = d.control.SetWriteDeadline(d.now().Add(d.idle)) // not every ResponseWriter can
	n, err := d.w.Write(p)
	d.sent += uint64(n) //nolint:gosec // never negative
	d.record.done(d.sent)
	return n, err
}
