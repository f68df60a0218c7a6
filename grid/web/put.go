package web

import (
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"io"
	"net/http"
	"strings"
	"time"

	"trunkline/caps"
	"trunkline/grid/tree"
)

// maxCapText is the longest cap that is taken.
const maxCapText = 64 << 10

// maxPrivateKey is the longest RSA-2048 key as PKCS#8 DER that is taken.
const maxPrivateKey = 4096

// body begins to take the body of a request as a file.
func (h *Handler) body(q *http.Request, rec *record) (*upload, error) {
	if q.ContentLength > 0 {
		rec.total(uint64(q.ContentLength))
	}
	return h.spool.begin(q.Context(), q.Body, q.ContentLength, func(n uint64) {
		rec.done(n)
		if q.ContentLength >= 0 && n >= uint64(q.ContentLength) {
			rec.at("storing")
		}
	})
}

// patient reads a body whose client may not be silent for longer than idle.
type patient struct {
	io.ReadCloser
	control *http.ResponseController
	idle    time.Duration
	now     func() time.Time
}

func (p *patient) Read(b []byte) (int, error) {
	_ = p.control.SetReadDeadline(p.now().Add(p.idle)) // not every ResponseWriter can
	return p.ReadCloser.Read(b)
}

// privateKey reads private-key=, which is nil where it is missing.
func (a args) privateKey() ([]byte, error) {
	text := a.text("private-key")
	if text == "" {
		return nil, nil
	}
	der, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(text, "="))
	if err == nil && len(der) <= maxPrivateKey {
		parsed, err := x509.ParsePKCS8PrivateKey(der)
		if key, ok := parsed.(*rsa.PrivateKey); err == nil && ok && key.N.BitLen() == 2048 {
			return der, nil
		}
	}
	return nil, badRequest("invalid private-key= argument: it must be the base64 of an RSA-2048 key, PKCS#8 DER")
}

// create stores a new file. An immutable one may still arrive.
func (h *Handler) create(q *request, f format, src *upload) (caps.Cap, error) {
	key, err := q.args.privateKey()
	if err != nil {
		return caps.Cap{}, err
	}
	files := q.tree.Files()
	if f.kind == caps.KindCHK {
		if key != nil {
			return caps.Cap{}, badRequest("private-key= is for mutable files")
		}
		return files.PutImmutable(q.Context(), src, src.size)
	}
	if err := src.whole(); err != nil {
		return caps.Cap{}, err
	}
	return files.CreateMutable(q.Context(), f.kind, key, func(caps.WriteKey) (io.ReaderAt, uint64, error) {
		return src, src.size, nil
	})
}

// upload takes a request's body and hands it to store, which says what became of
// it. store may be called while the body arrives; what is stored of one that
// breaks off is an error all the same.
func (h *Handler) upload(q *request, store func(*upload) (caps.Cap, error)) (c caps.Cap, err error) {
	rec := h.records.begin(q.args.text("progress"), "upload", caps.Cap{}, 0)
	defer func() { rec.end(err) }()
	src, err := h.body(q.Request, rec)
	if err != nil {
		return caps.Cap{}, err
	}
	defer src.Close()
	rec.total(src.size)
	if q.ContentLength < 0 {
		rec.at("storing")
	}
	c, err = store(src)
	if broke := src.whole(); broke != nil {
		err = broke
	}
	if err != nil {
		return caps.Cap{}, err
	}
	rec.stored(c)
	return c, nil
}

// put answers PUT below /uri/CAP.
//
// Source: tahoe-formats 9.5.
func (h *Handler) put(w *answer, q *request) error {
	t := q.args.t()
	if q.bad != nil {
		return badRequest("the cap cannot be used: %w", q.bad)
	}
	if t == "mkdir" {
		return h.mkdirPath(w, q)
	}
	if len(q.path) == 0 {
		return h.putCap(w, q, t)
	}
	replace, err := q.args.replace()
	if err != nil {
		return err
	}
	f, err := q.args.format()
	if err != nil {
		return err
	}
	if t != "" && t != "uri" {
		return badRequest("PUT to a file: bad t=%s", printable(t))
	}
	parent, name, existing, err := q.place()
	if err != nil {
		return err
	}
	if t == "uri" {
		return h.putLink(w, q, parent, name, replace)
	}
	if existing != nil {
		if existing.Type() == tree.TypeDirectory {
			return badRequest("PUT to a directory")
		}
		if replace == tree.ReplaceNever {
			return tree.ErrExists
		}
		_, ranged, err := q.args.offset()
		if err != nil {
			return err
		}
		mutable, _ := existing.Mutable()
		if existing.Type() == tree.TypeFile && (mutable || ranged) {
			return h.putContents(w, q, *existing)
		}
	} else if _, ranged, err := q.args.offset(); err != nil || ranged {
		return errors.Join(err, badRequest("offset= is for a mutable file that exists"))
	}
	replaced := false
	c, err := h.upload(q, func(src *upload) (caps.Cap, error) {
		c, err := h.create(q, f, src)
		if err != nil {
			return caps.Cap{}, err
		}
		replaced, err = q.tree.Link(q.Context(), parent.Cap(), tree.NewChild{Name: name, Pair: pairOf(c)}, replace)
		return c, err
	})
	if err != nil {
		return err
	}
	status := http.StatusCreated
	if replaced {
		status = http.StatusOK
	}
	writeCap(w, status, c)
	return nil
}

// place is where something is to be put: its directory, which is made if it is
// missing, its name there, and what stands under that name, nil for nothing.
func (q *request) place() (parent tree.Node, name string, existing *tree.Node, err error) {
	last := len(q.path) - 1
	name = q.path[last]
	if q.root.Type() != tree.TypeDirectory {
		return tree.Node{}, "", nil, tree.ErrInTheWay
	}
	n, err := q.tree.Resolve(q.Context(), q.root.Cap(), q.path)
	switch {
	case err == nil:
		existing = &n
	case errors.Is(err, tree.ErrNotDirectory):
		return tree.Node{}, "", nil, tree.ErrInTheWay
	case !errors.Is(err, tree.ErrNotFound):
		return tree.Node{}, "", nil, err
	}
	if existing != nil {
		parent, err = q.resolve(q.path[:last])
	} else {
		parent, err = q.tree.MkdirAll(q.Context(), q.root.Cap(), q.path[:last], caps.KindUnknown)
	}
	return parent, name, existing, err
}

// pairOf is a cap as a child to link.
func pairOf(c caps.Cap) caps.Pair {
	if c.Kind().CanWrite() {
		return caps.Pair{Write: c}
	}
	return caps.Pair{Read: c}
}

// putCap answers PUT to what the cap itself names.
func (h *Handler) putCap(w *answer, q *request, t string) error {
	switch {
	case q.root.Type() == tree.TypeDirectory:
		return badRequest("PUT to a directory")
	case t == "uri":
		return badRequest("PUT t=uri needs a directory and a name in it")
	case t != "":
		return badRequest("PUT to a file: bad t=%s", printable(t))
	case q.root.Type() != tree.TypeFile:
		return badRequest("PUT to an unknown object")
	}
	replace, err := q.args.replace()
	if err != nil {
		return err
	}
	if replace == tree.ReplaceNever {
		return tree.ErrExists
	}
	return h.putContents(w, q, q.root)
}

// putContents overwrites a mutable file, or a part of it.
func (h *Handler) putContents(w *answer, q *request, n tree.Node) error {
	offset, ranged, err := q.args.offset()
	if err != nil {
		return err
	}
	if mutable, _ := n.Mutable(); !mutable {
		if ranged {
			return badRequest("PUT to a file: append operation invoked on an immutable cap")
		}
		return badRequest("PUT to an immutable file: it cannot be changed")
	}
	write := n.WriteCap()
	if write.IsZero() {
		return badRequest("PUT to a mutable file: replace or update requested with read-only cap")
	}
	c, err := h.upload(q, func(src *upload) (caps.Cap, error) {
		// All of it first: others who write wait for who writes.
		if err := src.whole(); err != nil {
			return caps.Cap{}, err
		}
		if ranged {
			return write, q.tree.Files().WriteAt(q.Context(), write, src, offset, src.size)
		}
		return write, q.tree.Files().Overwrite(q.Context(), write, src, src.size)
	})
	if err != nil {
		return err
	}
	writeCap(w, http.StatusOK, c)
	return nil
}

// putLink links an object that exists.
func (h *Handler) putLink(w *answer, q *request, parent tree.Node, name string, replace tree.Replace) error {
	body, err := readBounded(q.Body, maxCapText)
	if err != nil {
		return err
	}
	text := strings.TrimSpace(string(body))
	pair, err := parsePair(name, text, "", false)
	if err != nil {
		return err
	}
	if _, err := q.tree.Link(q.Context(), parent.Cap(), tree.NewChild{Name: name, Pair: pair}, replace); err != nil {
		return err
	}
	writeText(w, http.StatusOK, text)
	return nil
}

// delete answers DELETE below /uri/CAP.
func (h *Handler) delete(w *answer, q *request) error {
	if q.bad != nil {
		return badRequest("the cap cannot be used: %w", q.bad)
	}
	last := len(q.path) - 1
	if last < 0 {
		return badRequest("DELETE needs a directory and a name in it: what a cap itself names cannot be deleted")
	}
	parent, err := q.resolve(q.path[:last])
	if err != nil {
		return err
	}
	n, err := q.tree.Unlink(q.Context(), parent.Cap(), q.path[last], "")
	if err != nil {
		return err
	}
	writeText(w, http.StatusOK, n.Cap().Text())
	return nil
}
