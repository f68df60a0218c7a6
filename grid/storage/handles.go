package storage

import (
	"container/list"
	"sync"
)

// maxIdleHandles is how many share files stay open while nobody reads them: opening one costs as much as
// sending 100 KiB, and a download comes back to the same share for every segment.
const maxIdleHandles = 128

// handles keeps share files open between reads. A share's bytes never change, so an open file stays good
// whatever happens to its leases.
type handles struct {
	mu     sync.Mutex
	open   map[shareID]*handle
	idle   *list.List // of *handle, the longest unused first
	closed bool
}

type handle struct {
	id   shareID
	file file
	c    container
	refs int
	elem *list.Element // in idle while refs is 0

	forgotten bool // the share is gone: not for new readers
}

func newHandles() *handles {
	return &handles{open: make(map[shareID]*handle), idle: list.New()}
}

// get returns the open handle of a share, or nil.
func (h *handles) get(id shareID) *handle {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.acquire(h.open[id])
}

func (h *handles) acquire(hd *handle) *handle {
	if hd == nil {
		return nil
	}
	if hd.refs++; hd.elem != nil {
		h.idle.Remove(hd.elem)
		hd.elem = nil
	}
	return hd
}

// put adds a freshly opened handle, or takes the one that another caller opened meanwhile.
func (h *handles) put(hd *handle) (*handle, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		_ = hd.file.Close()
		return nil, ErrClosed
	}
	if other := h.open[hd.id]; other != nil {
		_ = hd.file.Close()
		return h.acquire(other), nil
	}
	h.open[hd.id] = hd
	return h.acquire(hd), nil
}

func (h *handles) release(hd *handle) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if hd.refs--; hd.refs > 0 {
		return
	}
	if h.closed || hd.forgotten {
		_ = hd.file.Close()
		return
	}
	hd.elem = h.idle.PushBack(hd)
	for h.idle.Len() > maxIdleHandles {
		h.drop(h.idle.Front().Value.(*handle))
	}
}

func (h *handles) drop(hd *handle) {
	h.idle.Remove(hd.elem)
	delete(h.open, hd.id)
	_ = hd.file.Close()
}

// forget lets go of a share that was removed; who is reading it reads on.
func (h *handles) forget(id shareID) {
	h.mu.Lock()
	defer h.mu.Unlock()
	hd := h.open[id]
	switch {
	case hd == nil:
	case hd.elem != nil:
		h.drop(hd)
	default:
		delete(h.open, id)
		hd.forgotten = true
	}
}

// close closes what is idle now and the rest when it is released.
func (h *handles) close() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.closed = true
	for h.idle.Len() > 0 {
		h.drop(h.idle.Front().Value.(*handle))
	}
}
