package web

import (
	"crypto/rand"
	"net/http"
	"strings"
	"sync"

	"trunkline/caps"
	"trunkline/grid/tree"
)

// request is one that names a cap, and perhaps a path below it.
type request struct {
	*http.Request
	args args
	// link is the cap as the address has it: the text of a cap, or the
	// handle of one. path are the names below it.
	link  string
	path  []string
	slash bool // the address ends in one
	root  tree.Node
	// bad is why the cap cannot be used; nil if it can.
	bad error
	// form says that the body was a form, which a browser sent.
	form bool

	tree  *tree.Tree
	purse *purse
}

// newRequest reads what segments name.
func (h *Handler) newRequest(r *http.Request, segments []string) (*request, error) {
	a, err := queryArgs(r)
	if err != nil {
		return nil, err
	}
	q := &request{Request: r, args: a, link: segments[0], path: segments[1:]}
	h.equip(q)
	text := q.link
	if strings.HasPrefix(text, handleLead) {
		c, ok := h.opened.get(text)
		if !ok {
			return nil, problemf(http.StatusNotFound, "this page was opened too long ago, or before this node was started anew: paste the cap again")
		}
		text = c
	}
	q.root, q.bad = nodeOf(text)
	return q, nil
}

// equip gives a request a tree whose reads are paid from one purse.
func (h *Handler) equip(q *request) {
	q.purse = h.newPurse()
	q.tree = h.newTree(q.purse)
}

func (h *Handler) newTree(files tree.Files) *tree.Tree {
	return tree.New(tree.Config{Files: files, Format: h.config.Format, Logger: h.config.Logger, Now: h.config.Now})
}

// nodeOf is the node of a cap's text. One that is malformed, or that contradicts
// its own prefix, is an unknown node without caps, as in Tahoe; why says so.
func nodeOf(text string) (n tree.Node, why error) {
	c, err := caps.ParseIn(text, caps.Context{})
	if err != nil {
		return tree.Node{}, err
	}
	if c.Kind() != caps.KindUnknown {
		return tree.NodeOf(c), c.Validate()
	}
	p, err := caps.ParsePair(text, "", caps.Context{})
	if err != nil {
		return tree.Node{}, err
	}
	return tree.Node{Pair: p}, caps.ErrUnknownKind
}

// node resolves the whole path.
func (q *request) node() (tree.Node, error) { return q.resolve(q.path) }

func (q *request) resolve(path []string) (tree.Node, error) {
	if len(path) == 0 {
		return q.root, nil
	}
	if q.bad != nil {
		return tree.Node{}, badRequest("the cap cannot be used: %w", q.bad)
	}
	return q.tree.Resolve(q.Context(), q.root.Cap(), path)
}

// self is the address of the request without its arguments.
func (q *request) self() string { return joinPath(append([]string{"uri", q.link}, q.path...)...) }

// handleLead begins the handles of pasted caps. No cap begins like that.
const handleLead = "o."

// maxOpened is how many pasted caps are remembered.
const maxOpened = 4096

// opened keeps the caps that people pasted into the page under made-up handles, so
// that no address in a browser's history holds a cap.
type opened struct {
	mu      sync.Mutex
	caps    map[string]string
	handles map[string]string
	order   []string // of the handles, oldest first
}

func newOpened() *opened { return &opened{caps: map[string]string{}, handles: map[string]string{}} }

// put remembers a cap and returns its handle.
func (o *opened) put(c caps.Cap) string {
	text := c.Text()
	o.mu.Lock()
	defer o.mu.Unlock()
	if handle, ok := o.handles[text]; ok {
		return handle
	}
	if len(o.order) >= maxOpened {
		oldest := o.order[0]
		o.order = o.order[1:]
		delete(o.handles, o.caps[oldest])
		delete(o.caps, oldest)
	}
	handle := handleLead + rand.Text()
	o.caps[handle], o.handles[text] = text, handle
	o.order = append(o.order, handle)
	return handle
}

func (o *opened) get(handle string) (string, bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	text, ok := o.caps[handle]
	return text, ok
}
