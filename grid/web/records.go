package web

import (
	"crypto/rand"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"trunkline/caps"
)

// maxRecent is how many ended transfers are remembered.
const maxRecent = 64

// records tell what is under way and what was lately.
type records struct {
	now func() time.Time

	mu     sync.Mutex
	active map[string]*record
	recent []*record // newest last

	files, bytes map[string]*atomic.Uint64 // by kind, since the start; the maps do not change
}

// record is one transfer. A nil one records nothing.
type record struct {
	of      *records
	id      string
	kind    string // upload or download
	index   string // the storage index, "" where there is none
	started time.Time

	moved, size atomic.Uint64
	stage       atomic.Value // string
	failed      atomic.Pointer[string]
}

func newRecords(now func() time.Time) *records {
	r := &records{now: now, active: map[string]*record{}, files: map[string]*atomic.Uint64{}, bytes: map[string]*atomic.Uint64{}}
	for _, kind := range []string{"upload", "download"} {
		r.files[kind], r.bytes[kind] = new(atomic.Uint64), new(atomic.Uint64)
	}
	return r
}

// begin records a transfer. id is the one that a page follows it by; "" or one
// that is taken is replaced.
func (r *records) begin(id, kind string, c caps.Cap, total uint64) *record {
	rec := &record{of: r, id: id, kind: kind, started: r.now()}
	if si, ok := c.StorageIndex(); ok {
		rec.index = si.String()
	}
	rec.size.Store(total)
	rec.stage.Store("starting")
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, taken := r.active[rec.id]; taken || rec.id == "" || len(rec.id) > 64 {
		rec.id = rand.Text()
	}
	r.active[rec.id] = rec
	return rec
}

func (r *record) total(n uint64) {
	if r != nil {
		r.size.Store(n)
	}
}

func (r *record) done(n uint64) {
	if r != nil {
		r.moved.Store(n)
		r.stage.Store("moving")
	}
}

// at names the stage that the transfer is in.
func (r *record) at(stage string) {
	if r != nil {
		r.stage.Store(stage)
	}
}

// stored says under which cap an upload went.
func (r *record) stored(c caps.Cap) {
	if r == nil {
		return
	}
	if si, ok := c.StorageIndex(); ok {
		r.of.mu.Lock()
		r.index = si.String()
		r.of.mu.Unlock()
	}
}

// end puts the transfer among those that were.
func (r *record) end(err error) {
	if r == nil {
		return
	}
	if err != nil {
		_, text := statusOf(err)
		r.failed.Store(&text)
		r.stage.Store("failed")
	} else {
		r.stage.Store("finished")
		r.of.files[r.kind].Add(1)
		r.of.bytes[r.kind].Add(r.moved.Load())
	}
	r.of.mu.Lock()
	defer r.of.mu.Unlock()
	delete(r.of.active, r.id)
	r.of.recent = append(r.of.recent, r)
	if len(r.of.recent) > maxRecent {
		r.of.recent = slices.Delete(r.of.recent, 0, 1)
	}
}

// find is the transfer that a page follows.
func (r *records) find(id string) *record {
	r.mu.Lock()
	defer r.mu.Unlock()
	if rec, ok := r.active[id]; ok {
		return rec
	}
	for _, rec := range slices.Backward(r.recent) {
		if rec.id == id {
			return rec
		}
	}
	return nil
}

// statusEntry is a transfer as Tahoe's status tells it.
type statusEntry struct {
	Type   string   `json:"type"`
	Index  string   `json:"storage-index-string"`
	Size   uint64   `json:"total-size"`
	Status string   `json:"status"`
	Done   *float64 `json:"progress,omitempty"` // of a download
	Hash   *float64 `json:"progress-hash,omitempty"`
	Cipher *float64 `json:"progress-ciphertext,omitempty"`
	Push   *float64 `json:"progress-encode-push,omitempty"`
}

// entry is the record as Tahoe tells it; records are locked.
func (r *record) entry() statusEntry {
	e := statusEntry{Type: r.kind, Index: r.index, Size: r.size.Load(), Status: r.stage.Load().(string)}
	part := 1.0
	if e.Size > 0 {
		part = min(1, float64(r.moved.Load())/float64(e.Size))
	}
	if r.kind == "download" {
		e.Done = &part
		return e
	}
	zero := 0.0
	if e.Status == "finished" {
		zero = 1
	}
	e.Hash, e.Cipher, e.Push = &part, &zero, &zero
	return e
}

// list is what is under way and what was, newest first.
func (r *records) list() (active, recent []statusEntry) {
	active, recent = []statusEntry{}, []statusEntry{}
	r.mu.Lock()
	defer r.mu.Unlock()
	running := make([]*record, 0, len(r.active))
	for _, rec := range r.active {
		running = append(running, rec)
	}
	slices.SortFunc(running, func(a, b *record) int { return b.started.Compare(a.started) })
	for _, rec := range running {
		active = append(active, rec.entry())
	}
	for _, rec := range slices.Backward(r.recent) {
		recent = append(recent, rec.entry())
	}
	return active, recent
}

// progress answers how far the transfer is that a page follows.
func (h *Handler) progress(w *answer, r *http.Request, rest []string) error {
	if err := methods(w, r, http.MethodGet, http.MethodHead); err != nil {
		return err
	}
	if len(rest) != 1 {
		return problemf(http.StatusNotFound, "name a transfer")
	}
	rec := h.records.find(rest[0])
	if rec == nil {
		return problemf(http.StatusNotFound, "no transfer of that name is known")
	}
	out := struct {
		Stage string `json:"stage"`
		Done  uint64 `json:"done"`
		Total uint64 `json:"total"`
		Error string `json:"error,omitempty"`
	}{Stage: rec.stage.Load().(string), Done: rec.moved.Load(), Total: rec.size.Load()}
	if text := rec.failed.Load(); text != nil {
		out.Error = *text
	}
	w.Header().Set("Cache-Control", "no-store")
	return writeJSON(w, out)
}
