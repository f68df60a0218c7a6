package storage

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// berth is the place of one lane.
type berth struct {
	dial    chan struct{} // holds a token while somebody connects
	timeout time.Duration // of the lane

	mu   sync.Mutex
	lane *lane // nil, or perhaps dead
}

// lane returns a live lane out of berths, an unused one if there is one, else the least used.
func (r *Remote) lane(ctx context.Context, berths []berth) (*lane, error) {
	best, least := &berths[0], -1
	for i := range berths {
		load := berths[i].load()
		if least < 0 || load < least {
			best, least = &berths[i], load
		}
		if load == 0 {
			break
		}
	}
	return r.connect(ctx, best)
}

// load is how much is in flight on the berth's lane.
func (s *berth) load() int {
	if l := s.live(); l != nil {
		return l.load()
	}
	return 0
}

func (s *berth) live() *lane {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.lane == nil || s.lane.dead() != nil {
		return nil
	}
	return s.lane
}

// connect returns the berth's lane, opening its stream if need be. Of several callers one opens it; if
// that one gives up, the next does.
func (r *Remote) connect(ctx context.Context, s *berth) (*lane, error) {
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
