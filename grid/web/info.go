package web

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"strconv"

	"trunkline/caps"
	"trunkline/grid/tree"
)

// object is a JSON object with its keys in order.
type object []member

type member struct {
	key   string
	value any
}

// MarshalJSON keeps the order.
func (o object) MarshalJSON() ([]byte, error) {
	var b bytes.Buffer
	b.WriteByte('{')
	for i, m := range o {
		if i > 0 {
			b.WriteByte(',')
		}
		for j, v := range []any{m.key, m.value} {
			if j > 0 {
				b.WriteByte(':')
			}
			e := json.NewEncoder(&b)
			e.SetEscapeHTML(false)
			if err := e.Encode(v); err != nil {
				return nil, err
			}
			b.Truncate(b.Len() - 1) // Encode ends with a newline
		}
	}
	b.WriteByte('}')
	return b.Bytes(), nil
}

func (o *object) add(key string, value any) { *o = append(*o, member{key, value}) }

// addCaps adds the caps that there are.
func (o *object) addCaps(n tree.Node) {
	if c := n.ReadCap(); !c.IsZero() {
		o.add("ro_uri", c.Text())
	}
	if c := n.WriteCap(); !c.IsZero() {
		o.add("rw_uri", c.Text())
	}
}

func (o *object) addVerify(n tree.Node) {
	if c, ok := n.VerifyCap(); ok {
		o.add("verify_uri", c.Text())
	}
}

// addMetadata adds what the parent directory says about the link.
func (o *object) addMetadata(n tree.Node) {
	if n.Linked {
		o.add("metadata", n.Metadata)
	}
}

// formatOf is how a node is kept, in Tahoe's words.
func formatOf(c caps.Cap) string {
	v, mutable := c.MutableVerify()
	switch {
	case !mutable:
		return "CHK"
	case v.MDMF:
		return "MDMF"
	}
	return "SDMF"
}

// typeName is what Tahoe's JSON calls a node.
func typeName(n tree.Node) string {
	switch n.Type() {
	case tree.TypeDirectory:
		return "dirnode"
	case tree.TypeFile:
		return "filenode"
	case tree.TypeUnknown:
	}
	return "unknown"
}

// describe is a node as it stands in a listing, or alone where children is nil
// and it is no directory. size is given where it is known beyond the cap.
func describe(n tree.Node, size *uint64) []any {
	var o object
	switch n.Type() {
	case tree.TypeDirectory:
		mutable, _ := n.Mutable()
		o.add("mutable", mutable)
		o.addCaps(n)
		o.addVerify(n)
	case tree.TypeFile:
		mutable, _ := n.Mutable()
		o.add("mutable", mutable)
		o.add("format", formatOf(n.Cap()))
		if s, ok := n.Size(); ok {
			o.add("size", s)
		} else if size != nil {
			o.add("size", *size)
		}
		o.addCaps(n)
		o.addVerify(n)
	case tree.TypeUnknown:
		if mutable, known := n.Mutable(); known {
			o.add("mutable", mutable)
		}
		o.addCaps(n)
	}
	o.addMetadata(n)
	return []any{typeName(n), o}
}

// getJSON answers t=json.
//
// Source: tahoe-formats 9.4.
func (h *Handler) getJSON(w *answer, q *request, n tree.Node) error {
	var v []any
	switch {
	case n.Type() == tree.TypeDirectory && n.Cap().Kind().CanRead():
		if tagged(w, q.Request, n.Cap(), "json") {
			return nil
		}
		listing, err := q.tree.List(q.Context(), n.Cap())
		if err != nil {
			return h.jsonError(w, err)
		}
		children := make(object, 0, len(listing.Children))
		for _, c := range listing.Children {
			children.add(c.Name, describe(c.Node, nil))
		}
		var o object
		o.add("children", children)
		o.addCaps(n)
		o.addVerify(n)
		mutable, _ := n.Mutable()
		o.add("mutable", mutable)
		v = []any{"dirnode", o}
	case n.Type() == tree.TypeFile && n.Cap().Kind().CanRead():
		if tagged(w, q.Request, n.Cap(), "json") {
			return nil
		}
		var size *uint64
		if _, known := n.Size(); !known {
			// The newest version tells; one that cannot be had tells none.
			_ = q.tree.Files().Read(q.Context(), n.Cap(), func(s uint64) (uint64, uint64, io.Writer, error) {
				size = &s
				return 0, 0, nil, nil
			})
		}
		v = describe(n, size)
	case n.Cap().Kind().IsVerify():
		// Tahoe breaks here. What is known is shown.
		var o object
		o.addVerify(n)
		o.addMetadata(n)
		v = []any{typeName(n), o}
	default:
		v = describe(n, nil)
	}
	b, err := jsonText(v)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "text/plain")
	w.Header().Set("Content-Length", strconv.Itoa(len(b)))
	w.WriteHeader(http.StatusOK)
	if q.Method != http.MethodHead {
		_, _ = w.Write(b) // to a client that may be gone
	}
	return nil
}

// jsonError answers that a directory could not be read, as JSON.
func (h *Handler) jsonError(w *answer, err error) error {
	status, text := statusOf(err)
	if status == http.StatusGone {
		text = "UnrecoverableFileError: " + text
	}
	b, err := jsonLine(map[string]string{"error": text})
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "text/plain;charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write(bytes.TrimSuffix(b, []byte("\n"))) // to a client that may be gone
	return nil
}

// isDirectoryTrouble says whether err is about a directory that cannot be had,
// rather than about what was asked of it.
func isDirectoryTrouble(err error) bool {
	status, _ := statusOf(err)
	return status == http.StatusGone || status == http.StatusPaymentRequired || status >= http.StatusInternalServerError
}
