package web

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"trunkline/grid/transfer"
	"trunkline/grid/tree"
)

// Bounds of the slow operations.
const (
	maxOperations = 64      // kept at once
	maxManifest   = 1 << 20 // objects of one
	maxHandle     = 256     // bytes of a name
	keepUnread    = 24 * time.Hour
	keepRead      = time.Hour
)

// operations are the walks that go on without a request, by the handle that the
// client chose.
type operations struct {
	h *Handler

	mu  sync.Mutex
	all map[string]*operation
}

func newOperations(h *Handler) *operations { return &operations{h: h, all: map[string]*operation{}} }

// operation is one of them.
type operation struct {
	kind   string // manifest, deep-size, deep-stats or deep-check
	origin string // the root's storage index
	cancel context.CancelFunc
	until  time.Time // when it is forgotten; operations are locked

	mu        sync.Mutex
	finished  bool
	err       error
	stats     *tree.Stats
	manifest  []tree.Visit
	checked   int
	healthy   int
	corrupt   []transfer.Located
	corruptAt []string // the storage indexes of corrupt
	unhealthy [][]any
}

// start begins an operation and returns its handle's address.
func (h *Handler) startOperation(w *answer, q *request, dir tree.Node, kind string) error {
	handle := q.args.text("ophandle")
	if handle == "" {
		return badRequest("slow operation requires ophandle=")
	}
	if len(handle) > maxHandle {
		return badRequest("ophandle= is too long")
	}
	o, err := q.args.checkOptions()
	if err != nil {
		return err
	}
	keep, err := q.args.retain(keepUnread)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(h.ctx)
	op := &operation{kind: kind, cancel: cancel, stats: new(tree.Stats)}
	if si, ok := dir.Cap().StorageIndex(); ok {
		op.origin = si.String()
	}
	if err := h.ops.add(handle, op, h.config.Now().Add(keep)); err != nil {
		cancel()
		return err
	}
	// The purse of this request pays: the person who started it agreed.
	t := q.tree
	h.wg.Go(func() {
		defer cancel()
		op.run(ctx, t, dir, o)
	})
	to := joinPath("operations", handle)
	if output := q.args.text("output"); output != "" {
		to += "?output=" + url.QueryEscape(output)
	}
	w.Header().Set("Location", to)
	writeText(w, http.StatusFound, "the operation is at /operations/")
	return nil
}

// retain reads retain-for=.
func (a args) retain(otherwise time.Duration) (time.Duration, error) {
	text := a.text("retain-for")
	if text == "" {
		return otherwise, nil
	}
	n, err := strconv.ParseUint(text, 10, 31)
	if err != nil {
		return 0, badRequest("invalid retain-for= argument: %s", quoted(text))
	}
	return time.Duration(n) * time.Second, nil
}

// add keeps an operation, forgetting those whose time is over.
func (o *operations) add(handle string, op *operation, until time.Time) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	now := o.h.config.Now()
	for name, old := range o.all {
		if now.After(old.until) {
			old.cancel()
			delete(o.all, name)
		}
	}
	if old := o.all[handle]; old != nil {
		old.cancel()
	} else if len(o.all) >= maxOperations {
		return problemf(http.StatusServiceUnavailable, "%d slow operations are kept already: release some, or wait", maxOperations)
	}
	op.until = until
	o.all[handle] = op
	return nil
}

// run walks.
func (op *operation) run(ctx context.Context, t *tree.Tree, dir tree.Node, o tree.CheckOptions) {
	count := op.stats.Walker()
	locked := tree.Walker{
		Node: func(v tree.Visit) error {
			op.mu.Lock()
			defer op.mu.Unlock()
			if op.kind == "manifest" {
				if len(op.manifest) >= maxManifest {
					return fmt.Errorf("there are more than %d objects: use t=stream-manifest", maxManifest)
				}
				op.manifest = append(op.manifest, v)
			}
			if count.Node != nil {
				return count.Node(v)
			}
			return nil
		},
		Directory: func(v tree.Visit, l tree.Listing) error {
			op.mu.Lock()
			defer op.mu.Unlock()
			if count.Directory != nil {
				return count.Directory(v, l)
			}
			return nil
		},
	}
	var err error
	if op.kind == "deep-check" {
		err = t.DeepCheck(ctx, dir.Cap(), o, op.note, locked)
	} else {
		err = t.Walk(ctx, dir.Cap(), locked)
	}
	op.mu.Lock()
	defer op.mu.Unlock()
	op.finished, op.err = true, err
}

// note counts a checked object.
func (op *operation) note(v tree.Visit, c tree.Checked, err error) error {
	if err != nil {
		return err
	}
	op.mu.Lock()
	defer op.mu.Unlock()
	if c.Literal {
		return nil // Tahoe does not count them
	}
	op.checked++
	if c.After.Healthy() {
		op.healthy++
	} else {
		op.unhealthy = append(op.unhealthy, []any{append([]string{}, v.Path...), healthJSON(c.After)})
	}
	for _, l := range c.After.Corrupt {
		op.corrupt, op.corruptAt = append(op.corrupt, l), append(op.corruptAt, indexOf(c.After))
	}
	return nil
}

// operation answers /operations/HANDLE.
func (h *Handler) operation(w *answer, r *http.Request, rest []string) error {
	if err := methods(w, r, http.MethodGet, http.MethodHead, http.MethodPost); err != nil {
		return err
	}
	if len(rest) != 1 {
		return problemf(http.StatusNotFound, "name an operation")
	}
	a, err := queryArgs(r)
	if err != nil {
		return err
	}
	if r.Method == http.MethodPost {
		defer func() { a.file.Close() }()
		if _, err := a.addForm(r, h.spool); err != nil {
			return err
		}
	}
	release, err := a.boolean("release-after-complete", false)
	if err != nil {
		return err
	}
	keep, err := a.retain(keepRead)
	if err != nil {
		return err
	}
	t := a.t()
	switch {
	case t != "" && t != "status" && t != "cancel":
		return badRequest("bad t=%s", printable(t))
	case t == "cancel" && r.Method != http.MethodPost:
		return badRequest("t=cancel must be a POST")
	}
	h.ops.mu.Lock()
	op := h.ops.all[rest[0]]
	if op != nil && h.config.Now().After(op.until) {
		op.cancel()
		delete(h.ops.all, rest[0])
		op = nil
	}
	h.ops.mu.Unlock()
	if op == nil {
		return problemf(http.StatusNotFound, "unknown/expired handle %s", quoted(rest[0]))
	}
	if t == "cancel" {
		op.cancel()
	}
	op.mu.Lock()
	finished, failed := op.finished, op.err
	view := op.view()
	text := ""
	if a.text("output") == "text" {
		text = op.manifestText()
	}
	op.mu.Unlock()
	h.ops.mu.Lock()
	switch {
	case finished && release && h.ops.all[rest[0]] == op:
		delete(h.ops.all, rest[0])
	case finished && (a.text("retain-for") != "" || h.config.Now().Add(keep).Before(op.until)):
		op.until = h.config.Now().Add(keep)
	}
	h.ops.mu.Unlock()
	if failed != nil && !errors.Is(failed, context.Canceled) {
		return failed
	}
	if text != "" {
		writeText(w, http.StatusOK, text)
		return nil
	}
	return writeJSON(w, view)
}

// view is the operation as Tahoe tells it; it is locked.
func (op *operation) view() any {
	switch op.kind {
	case "manifest":
		return op.manifestView()
	case "deep-check":
		corrupt := make([][]any, 0, len(op.corrupt))
		for i, l := range op.corrupt {
			corrupt = append(corrupt, []any{l.Server.String(), op.corruptAt[i], l.Num})
		}
		return object{
			{"finished", op.finished},
			{"root-storage-index", op.origin},
			{"count-objects-checked", op.checked},
			{"count-objects-healthy", op.healthy},
			{"count-objects-unhealthy", len(op.unhealthy)},
			{"count-corrupt-shares", len(op.corrupt)},
			{"list-corrupt-shares", corrupt},
			{"list-unhealthy-files", append([][]any{}, op.unhealthy...)},
			{"stats", op.snapshot()},
		}
	case "deep-size":
		return op.sizeView()
	}
	return op.statsView()
}

// snapshot is the statistics as they are now.
func (op *operation) snapshot() json.RawMessage {
	b, err := op.stats.MarshalJSON()
	if err != nil {
		return json.RawMessage("null")
	}
	return b
}

// statsView has the statistics on the top level.
func (op *operation) statsView() any {
	b := op.snapshot()
	var o object
	d := json.NewDecoder(bytes.NewReader(b))
	_, _ = d.Token() // the brace; a snapshot is JSON of our own
	for d.More() {
		key, err := d.Token()
		if err != nil {
			break
		}
		var v json.RawMessage
		if err := d.Decode(&v); err != nil {
			break
		}
		o.add(key.(string), v)
	}
	o.add("finished", op.finished)
	return o
}

// sizeView is the number of bytes in all files and directories.
func (op *operation) sizeView() any {
	var s struct {
		Immutable uint64 `json:"size-immutable-files"`
		Mutable   uint64 `json:"size-mutable-files"`
		Dirs      uint64 `json:"size-directories"`
	}
	_ = json.Unmarshal(op.snapshot(), &s) // JSON of our own
	return object{{"size", s.Immutable + s.Mutable + s.Dirs}, {"finished", op.finished}}
}

func (op *operation) manifestView() object {
	manifest := make([][]any, 0, len(op.manifest))
	verify, index := []string{}, []string{}
	for _, v := range op.manifest {
		manifest = append(manifest, []any{append([]string{}, v.Path...), v.Node.Cap().Text()})
		if c, ok := v.Node.VerifyCap(); ok {
			verify = append(verify, c.Text())
			if si, ok := c.StorageIndex(); ok {
				index = append(index, si.String())
			}
		}
	}
	slices.Sort(verify)
	slices.Sort(index)
	return object{
		{"stats", op.snapshot()},
		{"finished", op.finished},
		{"origin", op.origin},
		{"manifest", manifest},
		{"verifycaps", slices.Compact(verify)},
		{"storage-index", slices.Compact(index)},
	}
}

// manifestText is a manifest for people: path and cap on a line.
func (op *operation) manifestText() string {
	var b strings.Builder
	if op.finished {
		b.WriteString("finished: yes\n")
	} else {
		b.WriteString("finished: no\n")
	}
	for _, v := range op.manifest {
		for i, name := range v.Path {
			if i > 0 {
				b.WriteByte('/')
			}
			b.WriteString(oneLine(name))
		}
		b.WriteByte(' ')
		b.WriteString(v.Node.Cap().Text())
		b.WriteByte('\n')
	}
	return b.String()
}
