package storage

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// slot is the place of one lane.
type slot struct {
	dial    chan struct{} // holds a token while somebody connects
	timeout time.Duration // of the lane

	mu   sync.Mutex
	lane *lane // nil, or perhaps dead
}

// lane returns a live lane out of slots, an unused one if there is one, else the least used.
func (r *Remote) lane(ctx context.Context, slots []slot) (*lane, error) {
	best, least := &slots[0], -1
	for i := range slots {
		load := slots[i].load()
		if least < 0 || load < least {
			best, least = &slots[i], load
		}
		if load == 0 {
			break
		}
	}
	return r.connect(ctx, best)
}

// load is how much is in flight on the slot's lane.
func (s *slot) load() int {
	if l := s.live(); l != nil {
		return l.load()
	}
	return 0
}

func (s *slot) live() *lane {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.lane == nil || s.lane.dead() != nil {
		return nil
	}
	return s.lane
}

// connect returns the slot's lane, opening its stream if need be. Of several callers one opens it; if
// that one gives up, the next does.
func (r *Remote) connect(ctx context.Context, s *slot) (*lane, error) {
	if l := s.live(); l != nil {
		return l, nil
	}
	select {
	case s.dial <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	defer func() { <-s.dial }()
	if l := s.live(); l != nil {
		return l, nil
	}
	if r.ctx.Err() != nil {
		return nil, ErrClosed
	}
	dialCtx, done := context.WithCancel(ctx)
	defer done()
	defer context.AfterFunc(r.ctx, done)()
	stream, err := r.host.Open(dialCtx, r.peer, Protocol)
	if err != nil {
		switch {
		case r.ctx.Err() != nil:
			return nil, ErrClosed
		case ctx.Err() != nil:
			return nil, ctx.Err()
		}
		return nil, fmt.Errorf("connecting to the storage server: %w", err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		stream.Reset()
		return nil, ErrClosed
	}
	l := newLane(stream, s.timeout, &r.wg)
	s.mu.Lock()
	s.lane = l
	s.mu.Unlock()
	return l, nil
}
