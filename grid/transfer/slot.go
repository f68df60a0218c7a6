package transfer

import (
	"context"
	"sync"
	"time"

	"trunkline/grid/chk"
)

// How long the slower half of the servers may take for a segment after the
// faster half is through: this, or so many times what the faster half took. A
// server that is merely slow keeps its share; one that hangs holds everybody
// up only so long.
const (
	stallLeast  = 10 * time.Second
	stallFactor = 10
)

// slot is a segment on its way from the encoder to all writers.
type slot struct {
	u      *upload
	seg    int
	ready  chan struct{} // closed when blocks is set
	blocks *chk.Blocks   // nil if the upload failed

	mu      sync.Mutex
	refs    int       // the encoder and the writers that are not done with it
	since   time.Time // of the first write
	writing map[*shareWriter]context.CancelFunc
	timer   *time.Timer
}

func newSlot(u *upload, seg int) *slot {
	return &slot{
		u: u, seg: seg, ready: make(chan struct{}),
		refs:    1 + len(u.writers),
		writing: make(map[*shareWriter]context.CancelFunc, len(u.writers)),
	}
}

// begin is called by a writer that starts to write its block. The context
// ends if it stalls.
func (s *slot) begin(ctx context.Context, w *shareWriter) context.Context {
	ctx, cancel := context.WithCancel(ctx)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.since.IsZero() {
		s.since = s.u.cfg.Now()
	}
	s.writing[w] = cancel
	return ctx
}

// end follows begin.
func (s *slot) end(w *shareWriter) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.writing[w]()
	delete(s.writing, w)
}

// release is called by the encoder and by each writer when it is done with
// the slot.
func (s *slot) release() {
	s.mu.Lock()
	s.refs--
	left := s.refs
	switch {
	case left == 0 && s.timer != nil:
		s.timer.Stop()
	case left > 0 && s.timer == nil && left <= len(s.u.writers)/2 && !s.since.IsZero():
		s.timer = time.AfterFunc(max(stallLeast, stallFactor*s.u.cfg.Now().Sub(s.since)), s.stalled)
	}
	s.mu.Unlock()
	if left > 0 {
		return
	}
	if s.blocks != nil {
		s.blocks.Release()
		s.u.sentSegment(s.seg)
	}
	<-s.u.window
}

// stalled ends the writes that are still under way.
func (s *slot) stalled() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, cancel := range s.writing {
		cancel()
	}
}
