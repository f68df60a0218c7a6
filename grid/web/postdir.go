package web

import (
	"bytes"
	"errors"
	"io"
	"strings"

	"trunkline/caps"
	"trunkline/grid/tree"
)

// emptyContents are those of a directory without children.
func emptyContents(caps.WriteKey) (io.ReaderAt, uint64, error) { return bytes.NewReader(nil), 0, nil }

// postDirectory answers POST to a directory.
//
// Source: tahoe-formats 9.5, 9.6.
func (h *Handler) postDirectory(w *answer, q *request, dir tree.Node, t string) error {
	switch t {
	case "mkdir", "mkdir-with-children", "mkdir-immutable":
		return h.mkdirIn(w, q, dir, t)
	case "upload":
		if q.args.file == nil {
			return badRequest("t=upload needs a form with a file")
		}
		name, given := q.args.name("name")
		if !given || name == "" {
			name = baseName(q.args.fileName)
		}
		if name == "" {
			return badRequest("upload requires a name")
		}
		var existing *tree.Node
		n, err := q.tree.Resolve(q.Context(), dir.Cap(), []string{name})
		if err == nil {
			existing = &n
		} else if !errors.Is(err, tree.ErrNotFound) {
			return err
		}
		return h.uploadInto(w, q, dir, name, existing)
	case "uri":
		return h.linkIn(w, q, dir)
	case "delete", "unlink":
		name, given := q.args.name("name")
		if !given {
			return badRequest("t=%s requires name=", t)
		}
		if _, err := q.tree.Unlink(q.Context(), dir.Cap(), name, ""); err != nil {
			return err
		}
		return h.done(w, q, "thing unlinked")
	case "rename", "relink":
		return h.move(w, q, dir, t)
	case "rename-form":
		return h.renamePage(w, q, dir)
	case "set_children", "set-children":
		return h.setChildren(w, q, dir)
	case "stream-manifest", "stream-deep-check":
		return h.stream(w, q, dir, t)
	case "start-manifest", "start-deep-size", "start-deep-stats", "start-deep-check":
		return h.startOperation(w, q, dir, strings.TrimPrefix(t, "start-"))
	}
	return badRequest("POST to a directory with bad t=%s", printable(t))
}

// baseName is the file's name in what a browser says, which may be a path of any
// system.
func baseName(s string) string {
	if i := strings.LastIndexAny(s, `/\`); i >= 0 {
		s = s[i+1:]
	}
	return s
}

// mkdirIn makes a directory in another, under name=. Without a name the directory
// was meant itself, which is there.
func (h *Handler) mkdirIn(w *answer, q *request, dir tree.Node, t string) error {
	name, given := q.args.name("name")
	if !given || name == "" {
		return h.done(w, q, dir.Cap().Text())
	}
	replace, err := q.args.boolean("replace", true)
	if err != nil {
		return err
	}
	var c caps.Cap
	if t == "mkdir" {
		c, err = h.mkdirEmpty(q)
	} else {
		c, err = h.mkdirWith(q, t)
	}
	if err != nil {
		return err
	}
	mode := tree.ReplaceNever
	if replace {
		mode = tree.ReplaceAlways
	}
	if _, err := q.tree.Link(q.Context(), dir.Cap(), tree.NewChild{Name: name, Pair: pairOf(c)}, mode); err != nil {
		return err
	}
	return h.done(w, q, c.Text())
}

// uploadInto stores the file of a form in a directory. A mutable file that is
// there is overwritten.
func (h *Handler) uploadInto(w *answer, q *request, dir tree.Node, name string, existing *tree.Node) error {
	if q.args.file == nil {
		return badRequest("t=upload needs a form with a file")
	}
	replace, err := q.args.replace()
	if err != nil {
		return err
	}
	f, err := q.args.format()
	if err != nil {
		return err
	}
	if existing != nil {
		if replace == tree.ReplaceNever || (replace == tree.ReplaceOnlyFiles && existing.Type() == tree.TypeDirectory) {
			return tree.ErrExists
		}
		if mutable, _ := existing.Mutable(); mutable && existing.Type() == tree.TypeFile {
			return h.uploadOver(w, q, *existing)
		}
	}
	c, err := h.storeForm(q, func(src *upload) (caps.Cap, error) {
		c, err := h.create(q, f, src)
		if err != nil {
			return caps.Cap{}, err
		}
		_, err = q.tree.Link(q.Context(), dir.Cap(), tree.NewChild{Name: name, Pair: pairOf(c)}, replace)
		return c, err
	})
	if err != nil {
		return err
	}
	return h.done(w, q, c.Text())
}

// linkIn links what uri= names under name=.
func (h *Handler) linkIn(w *answer, q *request, dir tree.Node) error {
	name, given := q.args.name("name")
	if !given {
		return badRequest("set-uri requires a name")
	}
	replace, err := q.args.replace()
	if err != nil {
		return err
	}
	text := q.args.text("uri")
	pair, err := parsePair(name, text, "", false)
	if err != nil {
		return err
	}
	if _, err := q.tree.Link(q.Context(), dir.Cap(), tree.NewChild{Name: name, Pair: pair}, replace); err != nil {
		return err
	}
	return h.done(w, q, text)
}

// move renames a child, or moves it into the directory of to_dir=.
func (h *Handler) move(w *answer, q *request, dir tree.Node, t string) error {
	from, given := q.args.name("from_name")
	if !given {
		return badRequest("%s requires from_name=", t)
	}
	to, given := q.args.name("to_name")
	if !given || to == "" {
		to = from
	}
	if strings.Contains(from, "/") || strings.Contains(to, "/") {
		return badRequest("from_name= and to_name= may not contain a slash")
	}
	replace, err := q.args.replace()
	if err != nil {
		return err
	}
	target := dir.Cap()
	if text := q.args.text("to_dir"); text != "" && t == "relink" {
		if target, err = h.targetDirectory(q, text); err != nil {
			return err
		}
	}
	if _, err := q.tree.Move(q.Context(), dir.Cap(), from, target, to, replace); err != nil {
		return err
	}
	return h.done(w, q, "thing moved")
}

// targetDirectory is the directory that to_dir= names: a cap, perhaps with names
// behind it.
func (h *Handler) targetDirectory(q *request, text string) (caps.Cap, error) {
	segments, _, err := splitPath("/" + strings.TrimPrefix(text, "/uri/"))
	if err != nil || len(segments) == 0 {
		return caps.Cap{}, badRequest("to_dir= must be a directory's cap")
	}
	link := segments[0]
	if opened, ok := h.opened.get(link); ok {
		link = opened
	}
	root, bad := nodeOf(link)
	if bad != nil {
		return caps.Cap{}, badRequest("to_dir= must be a directory's cap: %w", bad)
	}
	n := root
	if len(segments) > 1 {
		if n, err = q.tree.Resolve(q.Context(), root.Cap(), segments[1:]); err != nil {
			return caps.Cap{}, err
		}
	}
	if n.Type() != tree.TypeDirectory {
		return caps.Cap{}, badRequest("to_dir= is not a directory")
	}
	return n.Cap(), nil
}

// setChildren links many children at once.
func (h *Handler) setChildren(w *answer, q *request, dir tree.Node) error {
	replace, err := q.args.replace()
	if err != nil {
		return err
	}
	body, err := readBounded(q.Body, maxChildren)
	if err != nil {
		return err
	}
	children, err := parseChildren(body, false)
	if err != nil {
		return err
	}
	if err := q.tree.LinkMany(q.Context(), dir.Cap(), children, replace); err != nil {
		return err
	}
	return h.done(w, q, "Okay so I did it.")
}
