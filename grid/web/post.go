package web

import (
	"errors"
	"net/http"
	"strings"

	"trunkline/caps"
	"trunkline/grid/tree"
)

// unlinked answers /uri itself: what is linked nowhere yet.
//
// Source: tahoe-formats 9.5.
func (h *Handler) unlinked(w *answer, r *http.Request) error {
	a, err := queryArgs(r)
	if err != nil {
		return err
	}
	q := &request{Request: r, args: a}
	h.equip(q)
	t := a.t()
	switch r.Method {
	case http.MethodGet, http.MethodHead:
		return h.redirect(w, q)
	case http.MethodPut:
		switch t {
		case "":
			f, err := a.format()
			if err != nil {
				return err
			}
			c, err := h.upload(q, func(src *upload) (caps.Cap, error) { return h.create(q, f, src) })
			if err != nil {
				return err
			}
			writeCap(w, http.StatusOK, c)
			return nil
		case "mkdir":
			return h.mkdirUnlinked(w, q)
		}
	case http.MethodPost:
		if t != "mkdir-with-children" && t != "mkdir-immutable" {
			isForm, err := q.args.addForm(r, h.spool)
			defer func() { q.args.file.Close() }()
			if err != nil {
				return err
			}
			q.form = isForm
			t = q.args.t()
		}
		switch t {
		case "mkdir":
			return h.mkdirUnlinked(w, q)
		case "mkdir-with-children", "mkdir-immutable":
			c, err := h.mkdirWith(q, t)
			if err != nil {
				return err
			}
			writeCap(w, http.StatusOK, c)
			return nil
		case "upload":
			return h.uploadUnlinked(w, q)
		}
	default:
		return methods(w, r, http.MethodGet, http.MethodHead, http.MethodPut, http.MethodPost)
	}
	return badRequest("/uri accepts only PUT, PUT?t=mkdir, POST?t=upload, and POST?t=mkdir")
}

// redirect answers GET /uri?uri=CAP.
func (h *Handler) redirect(w *answer, q *request) error {
	text := q.args.text("uri")
	if text == "" {
		return badRequest("GET /uri requires uri=")
	}
	to := joinPath("uri", text)
	delete(q.args.values, "uri")
	if rest := q.args.values.Encode(); rest != "" {
		to += "?" + rest
	}
	w.Header().Set("Location", to)
	writeText(w, http.StatusFound, "the object is at /uri/ and its cap")
	return nil
}

// mkdirUnlinked makes an empty directory.
func (h *Handler) mkdirUnlinked(w *answer, q *request) error {
	if !q.form {
		if body, err := readBounded(q.Body, maxForm); err != nil {
			return err
		} else if len(body) > 0 {
			return badRequest("t=mkdir does not accept children=, try t=mkdir-with-children instead")
		}
	}
	c, err := h.mkdirEmpty(q)
	if err != nil {
		return err
	}
	if q.args.text("when_done") != "" {
		return h.whenDone(w, q.Request, q.args, "/")
	}
	if q.form && wantsHTML(q.Request) {
		return h.savedPage(w, q, c, "")
	}
	writeCap(w, http.StatusOK, c)
	return nil
}

// mkdirEmpty makes an empty directory of the format that was asked for.
func (h *Handler) mkdirEmpty(q *request) (caps.Cap, error) {
	f, err := q.args.directoryFormat()
	if err != nil {
		return caps.Cap{}, err
	}
	key, err := q.args.privateKey()
	if err != nil {
		return caps.Cap{}, err
	}
	if key == nil {
		return q.tree.Mkdir(q.Context(), f)
	}
	if f == caps.KindUnknown {
		f = h.config.Format
	}
	file, err := q.tree.Files().CreateMutable(q.Context(), f, key, emptyContents)
	if err != nil {
		return caps.Cap{}, err
	}
	c, ok := file.Directory()
	if !ok {
		return caps.Cap{}, errors.New("a mutable file has no directory form")
	}
	return c, nil
}

// directoryFormat is the kind of file to keep a new directory in;
// caps.KindUnknown where nobody said.
func (a args) directoryFormat() (caps.Kind, error) {
	f, err := a.format()
	switch {
	case err != nil:
		return 0, err
	case !f.given:
		return caps.KindUnknown, nil
	case f.kind == caps.KindCHK:
		return 0, badRequest("a directory that can change is kept as SDMF or MDMF: format=CHK is for t=mkdir-immutable")
	}
	return f.kind, nil
}

// mkdirWith makes a directory with the children of the body.
func (h *Handler) mkdirWith(q *request, t string) (caps.Cap, error) {
	body, err := readBounded(q.Body, maxChildren)
	if err != nil {
		return caps.Cap{}, err
	}
	immutable := t == "mkdir-immutable"
	children, err := parseChildren(body, immutable)
	if err != nil {
		return caps.Cap{}, err
	}
	if immutable {
		return q.tree.MkdirImmutable(q.Context(), children)
	}
	f, err := q.args.directoryFormat()
	if err != nil {
		return caps.Cap{}, err
	}
	return q.tree.MkdirWithChildren(q.Context(), f, children)
}

// uploadUnlinked stores the file of a form.
func (h *Handler) uploadUnlinked(w *answer, q *request) error {
	if q.args.file == nil {
		return badRequest("t=upload needs a form with a file")
	}
	f, err := q.args.format()
	if err != nil {
		return err
	}
	c, err := h.storeForm(q, func(src *upload) (caps.Cap, error) { return h.create(q, f, src) })
	if err != nil {
		return err
	}
	if q.args.text("when_done") != "" {
		return h.whenDone(w, q.Request, q.args, "/")
	}
	if wantsHTML(q.Request) {
		return h.savedPage(w, q, c, q.args.fileName)
	}
	writeCap(w, http.StatusOK, c)
	return nil
}

// storeForm stores the file that came with a form.
func (h *Handler) storeForm(q *request, store func(*upload) (caps.Cap, error)) (c caps.Cap, err error) {
	src := q.args.file
	rec := h.records.begin(q.args.text("progress"), "upload", caps.Cap{}, src.size)
	defer func() { rec.end(err) }()
	rec.done(src.size)
	rec.at("storing")
	if c, err = store(src); err == nil {
		rec.stored(c)
	}
	return c, err
}

// mkdirPath makes the directory that a path names, unless it is there.
func (h *Handler) mkdirPath(w *answer, q *request) error {
	f, err := q.args.directoryFormat()
	if err != nil {
		return err
	}
	if q.root.Type() != tree.TypeDirectory {
		return badRequest("POST to file: bad t=mkdir")
	}
	n, err := q.tree.MkdirAll(q.Context(), q.root.Cap(), q.path, f)
	if err != nil {
		return err
	}
	writeCap(w, http.StatusOK, n.Cap())
	return nil
}

// bodyIsChildren says for which t the body is JSON whatever the request says that
// it is: some programs call everything a form.
func bodyIsChildren(t string) bool {
	switch t {
	case "mkdir-with-children", "mkdir-immutable", "set_children", "set-children":
		return true
	}
	return false
}

// post answers POST below /uri/CAP.
func (h *Handler) post(w *answer, q *request) error {
	if !bodyIsChildren(q.args.t()) {
		isForm, err := q.args.addForm(q.Request, h.spool)
		defer func() { q.args.file.Close() }()
		if err != nil {
			return err
		}
		q.form = isForm
	}
	t := q.args.t()
	if q.bad != nil && t != "check" {
		return badRequest("the cap cannot be used: %w", q.bad)
	}
	n, err := q.node()
	if errors.Is(err, tree.ErrNotFound) && len(q.path) > 0 {
		switch t {
		case "mkdir", "mkdir-with-children", "mkdir-immutable":
			return h.mkdirAt(w, q, t)
		case "upload":
			return h.uploadAt(w, q)
		}
	}
	if err != nil {
		return err
	}
	switch {
	case t == "check":
		return h.check(w, q, n)
	case n.Type() == tree.TypeDirectory:
		return h.postDirectory(w, q, n, t)
	case n.Type() == tree.TypeFile && t == "upload":
		if len(q.path) == 0 {
			return h.uploadOver(w, q, n)
		}
		return h.uploadAt(w, q)
	case n.Type() == tree.TypeFile && strings.HasPrefix(t, "stream-"), n.Type() == tree.TypeFile && strings.HasPrefix(t, "start-"):
		return badRequest("POST to file: t=%s is for directories", printable(t))
	}
	return badRequest("POST to file: bad t=%s", printable(t))
}

// mkdirAt makes a directory at a path where nothing is.
func (h *Handler) mkdirAt(w *answer, q *request, t string) error {
	if t == "mkdir" {
		if _, named := q.args.name("name"); !named {
			if err := h.mkdirPath(w, q); err != nil {
				return err
			}
			return nil
		}
		n, err := q.tree.MkdirAll(q.Context(), q.root.Cap(), q.path, caps.KindUnknown)
		if err != nil {
			return err
		}
		return h.postDirectory(w, q, n, t)
	}
	last := len(q.path) - 1
	dir, name := q.path[:last], q.path[last]
	if given, named := q.args.name("name"); named {
		dir, name = q.path, given
	}
	c, err := h.mkdirWith(q, t)
	if err != nil {
		return err
	}
	parent, err := q.tree.MkdirAll(q.Context(), q.root.Cap(), dir, caps.KindUnknown)
	if err != nil {
		return err
	}
	if _, err := q.tree.Link(q.Context(), parent.Cap(), tree.NewChild{Name: name, Pair: pairOf(c)}, tree.ReplaceNever); err != nil {
		return err
	}
	writeCap(w, http.StatusOK, c)
	return nil
}

// uploadAt stores the file of a form under the path of the address.
func (h *Handler) uploadAt(w *answer, q *request) error {
	parent, name, existing, err := q.place()
	if err != nil {
		return err
	}
	return h.uploadInto(w, q, parent, name, existing)
}

// uploadOver replaces the contents of a mutable file by those of a form's.
func (h *Handler) uploadOver(w *answer, q *request, n tree.Node) error {
	if q.args.file == nil {
		return badRequest("t=upload needs a form with a file")
	}
	write := n.WriteCap()
	if write.IsZero() {
		return badRequest("POST to a file that cannot be changed with this cap")
	}
	c, err := h.storeForm(q, func(src *upload) (caps.Cap, error) {
		return write, q.tree.Files().Overwrite(q.Context(), write, src, src.size)
	})
	if err != nil {
		return err
	}
	return h.done(w, q, c.Text())
}

// done answers a form, or a program, that something was done.
func (h *Handler) done(w *answer, q *request, text string) error {
	if q.args.text("when_done") != "" {
		return h.whenDone(w, q.Request, q.args, "/")
	}
	if q.form && wantsHTML(q.Request) {
		w.Header().Set("Location", q.self())
		w.WriteHeader(http.StatusSeeOther)
		return nil
	}
	writeText(w, http.StatusOK, text)
	return nil
}
