package gbs

import (
	"container/list"
	"sync"
	"time"

	"trunkline/grid/storage"
)

const (
	// aheadHead is what is read of a share's beginning when its length is learned, in bytes. Small shares fit whole.
	aheadHead = 16 << 10
	// aheadMost bounds the bytes that are kept of one server.
	aheadMost = 2 << 20
	// aheadFresh is for how long they are kept: who asks for a list of shares reads them next.
	aheadFresh = 5 * time.Second
)

// ahead keeps the beginnings and ends of shares, which came while their lengths were learned, for who reads them next.
// A newer list replaces what an older one brought. Safe for concurrent use.
type ahead struct {
	mu    sync.Mutex
	bytes int
	order list.List // of *piece, oldest first
}

// piece is a part of one share.
type piece struct {
	id     shareID
	at     uint64
	data   []byte
	loaded time.Time
}

// put keeps the pieces of a share and forgets what was kept of it before.
func (a *ahead) put(id shareID, pieces []*piece) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.drop(func(p *piece) bool { return p.id == id })
	for _, p := range pieces {
		a.order.PushBack(p)
		a.bytes += len(p.data)
	}
	for a.bytes > aheadMost {
		a.remove(a.order.Front())
	}
}

// forget drops what is kept of a share.
func (a *ahead) forget(id shareID) { a.put(id, nil) }

// get fills the destinations and says so, if all of the ranges are kept.
func (a *ahead) get(id shareID, ranges []storage.Range, dst [][]byte, now time.Time) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.drop(func(p *piece) bool { return now.Sub(p.loaded) > aheadFresh })
	var pieces []*piece
	for e := a.order.Front(); e != nil; e = e.Next() {
		if p := e.Value.(*piece); p.id == id { //nolint:errcheck // nothing else is put in
			pieces = append(pieces, p)
		}
	}
	for _, r := range ranges {
		if holding(pieces, r) == nil {
			return false
		}
	}
	for i, r := range ranges {
		p := holding(pieces, r)
		copy(dst[i], p.data[r.Offset-p.at:])
	}
	return true
}

func holding(pieces []*piece, r storage.Range) *piece {
	for _, p := range pieces {
		if end := p.at + uint64(len(p.data)); r.Offset >= p.at && r.Offset <= end && r.Length <= end-r.Offset {
			return p
		}
	}
	return nil
}

// drop needs the lock.
func (a *ahead) drop(which func(*piece) bool) {
	for e := a.order.Front(); e != nil; {
		next := e.Next()
		if which(e.Value.(*piece)) { //nolint:errcheck // nothing else is put in
			a.remove(e)
		}
		e = next
	}
}

func (a *ahead) remove(e *list.Element) {
	a.bytes -= len(e.Value.(*piece).data) //nolint:errcheck // nothing else is put in
	a.order.Remove(e)
}
