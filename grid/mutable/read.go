package mutable

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"trunkline/caps"
	"trunkline/grid/ssk"
	"trunkline/grid/storage"
	"trunkline/grid/transfer"
)

const (
	// groupBytes is about how much of the contents is fetched by one request to each of k servers.
	groupBytes = 1 << 20
	// groupsAhead bounds the groups in flight.
	groupsAhead = 8
	// hedgeLeast and hedgeMost bound how long a server may be silent over a group before another share is asked for as well.
	hedgeLeast = 100 * time.Millisecond
	hedgeMost  = 5 * time.Second
	// expectedRate is that of a server nothing is known of, in bytes per second.
	expectedRate = 20e6
	// restTime is how long a server that failed or stalled is chosen only if no other is left.
	restTime = 10 * time.Second
)

// Entry is one share's entry of a segment: the block, with MDMF the salt and the block. It was checked.
type Entry struct {
	Share *ssk.Share
	Data  []byte
}

// Blocks is what decodes to one segment: entries of K different shares. The Data is valid until fn returns.
type Blocks struct {
	Segment int
	Entries []Entry
}

// ReadBlocks calls fn with the segments first to first+count-1, in order, in the caller's goroutine; meanwhile later ones are
// fetched, within [Config.Memory]. An ssk.Prover that is given the entries in this order makes the proofs to pass them on. If fn
// returns an error the read ends with that error as it is.
//
// Errors: transfer.NotEnoughSharesError, ErrRange, ErrClosed, or ctx's error. Segments delivered before an error are good.
func (v *Version) ReadBlocks(ctx context.Context, first, count int, fn func(Blocks) error) error {
	h := v.proof.header
	if first < 0 || count < 0 || first > h.Segments() || count > h.Segments()-first {
		return fmt.Errorf("%w: segments %d to %d of %d", ErrRange, first, first+count, h.Segments())
	}
	v.s.mu.Lock()
	if v.s.closed {
		v.s.mu.Unlock()
		return ErrClosed
	}
	v.s.wg.Add(1)
	v.s.mu.Unlock()
	defer v.s.wg.Done()
	if count == 0 {
		return ctx.Err()
	}

	ctx, cancel := context.WithCancel(ctx)
	stop := context.AfterFunc(v.s.ctx, cancel)
	var wg sync.WaitGroup
	defer func() {
		stop()
		cancel()
		wg.Wait()
	}()
	per := max(1, groupBytes/max(h.PaddedLen(0), 1))
	size := int64(per) * int64(h.K) * int64(max(v.blockAt, 1))
	most := int(min(max(v.s.f.cfg.Memory/size, 1), groupsAhead))
	var queue []*group
	for next, end, limit := first, first+count, 2; len(queue) > 0 || next < end; {
		for next < end && len(queue) < min(limit, most) {
			g := &group{v: v, first: next, count: min(per, end-next), done: make(chan struct{})}
			queue = append(queue, g)
			next += g.count
			wg.Go(func() { g.run(ctx) })
		}
		g := queue[0]
		queue = queue[1:]
		limit += 2
		select {
		case <-g.done:
		case <-ctx.Done():
			return v.ended(ctx)
		}
		if g.err != nil {
			if ctx.Err() != nil {
				return v.ended(ctx)
			}
			return g.err
		}
		for i := range g.count {
			b := Blocks{Segment: g.first + i, Entries: make([]Entry, len(g.good))}
			for j, got := range g.good {
				b.Entries[j] = Entry{got.share, got.entries[i]}
			}
			if err := fn(b); err != nil {
				return err
			}
		}
	}
	return nil
}

// ended is why a read's context is over.
func (v *Version) ended(ctx context.Context) error {
	if v.s.ctx.Err() != nil {
		return ErrClosed
	}
	return ctx.Err()
}

// group is a run of segments that are fetched together.
type group struct {
	v            *Version
	first, count int

	// Set before done is closed.
	done chan struct{}
	good []*fetched // K of them
	err  error
}

// fetched is what one share has of a group.
type fetched struct {
	src     *source
	share   *ssk.Share
	entries [][]byte // by segment of the group
	bytes   int64
	late    bool
	err     error
}

func (g *group) run(ctx context.Context) {
	defer close(g.done)
	g.good, g.err = g.gather(ctx)
}

// gather fetches the group from K shares, from others where those fail, lie or are slow.
func (g *group) gather(ctx context.Context) ([]*fetched, error) {
	s, h := g.v.s, g.v.proof.header
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	defer func() {
		cancel()
		wg.Wait()
	}()
	var good []*fetched
	tried, have := make(map[*source]bool), make(map[int]bool)
	results := make(chan *fetched)
	running := make(map[*fetched]time.Time) // when each becomes late
	awaited := func() (n int) {
		for r := range running {
			if !r.late {
				n++
			}
		}
		return n
	}
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for len(good) < h.K {
		s.mu.Lock()
		for len(good)+awaited() < h.K {
			src := g.choose(tried, have, running)
			if src == nil {
				break
			}
			tried[src] = true
			r := &fetched{src: src, bytes: g.bytes()}
			running[r] = s.f.cfg.Now().Add(src.peer.expect(r.bytes))
			src.peer.inFlight += r.bytes
			wg.Go(func() {
				g.fetch(ctx, r)
				select {
				case results <- r:
				case <-ctx.Done():
				}
			})
		}
		changed := s.changed
		pending := false
		for _, p := range s.peers {
			pending = pending || p.standing == asking || p.standing == late
		}
		s.mu.Unlock()
		if len(running) == 0 && !pending {
			return nil, s.tooFew(len(good), h.K)
		}
		wait := time.Hour
		for r, when := range running {
			if !r.late {
				wait = min(wait, when.Sub(s.f.cfg.Now()))
			}
		}
		timer.Reset(max(wait, 0))
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-changed:
		case <-timer.C:
			now := s.f.cfg.Now()
			s.mu.Lock()
			for r, when := range running {
				if !r.late && !now.Before(when) {
					r.late = true
					r.src.peer.rest = now.Add(restTime)
				}
			}
			s.mu.Unlock()
		case r := <-results:
			delete(running, r)
			switch {
			case r.err != nil:
				s.reject(r.src, r.err)
			case !have[r.src.num] && len(good) < h.K:
				have[r.src.num] = true
				good = append(good, r)
			}
		}
	}
	return good, nil
}

// choose picks the share that should be here first, of those that are neither tried nor had nor awaited. It needs the lock.
func (g *group) choose(tried map[*source]bool, have map[int]bool, running map[*fetched]time.Time) *source {
	s, h := g.v.s, g.v.proof.header
	now := s.f.cfg.Now()
	var best *source
	var bestTime time.Duration
	bestRests := false
	for _, p := range s.peers {
		for _, src := range p.sources {
			if src.bad != nil || src.failed || tried[src] || have[src.num] || src.head.Header != h {
				continue
			}
			taken := false
			for r := range running {
				taken = taken || !r.late && r.src.num == src.num
			}
			if taken {
				continue
			}
			rests := now.Before(p.rest)
			expected := p.trip + p.perBytes(p.inFlight+g.bytes())
			if src.num >= h.K {
				expected += expected / 4 // it must be decoded
			}
			if best == nil || rests == bestRests && expected < bestTime || !rests && bestRests {
				best, bestTime, bestRests = src, expected, rests
			}
		}
	}
	return best
}

// perBytes is the time n bytes should take, as far as known.
func (p *peer) perBytes(n int64) time.Duration {
	rate := p.perByte
	if rate == 0 {
		rate = 1 / expectedRate
	}
	return time.Duration(float64(n) * rate * float64(time.Second))
}

// expect is how long the peer may be silent over n bytes.
func (p *peer) expect(n int64) time.Duration {
	return min(max(4*(p.trip+p.perBytes(p.inFlight+n)), hedgeLeast), hedgeMost)
}

// bytes is what a share has of the group.
func (g *group) bytes() int64 {
	h := g.v.proof.header
	return int64(g.count) * int64(h.EntryLen(g.first))
}

// fetch reads and checks one share's part.
func (g *group) fetch(ctx context.Context, r *fetched) {
	s := g.v.s
	start := s.f.cfg.Now()
	r.err = g.read(ctx, r)
	took := s.f.cfg.Now().Sub(start)
	s.mu.Lock()
	defer s.mu.Unlock()
	p := r.src.peer
	p.inFlight -= r.bytes
	if r.err != nil {
		return
	}
	p.rest = time.Time{}
	if r.bytes > surveyBytes {
		per := max(took-p.trip, time.Microsecond).Seconds() / float64(r.bytes)
		if p.perByte == 0 {
			p.perByte = per
		}
		p.perByte += 0.3 * (per - p.perByte)
	}
}

func (g *group) read(ctx context.Context, r *fetched) error {
	s, src, h := g.v.s, r.src, g.v.proof.header
	first, last := src.head.Entry(g.first), src.head.Entry(g.first+g.count-1)
	sections := []ssk.Section{{Offset: first.Offset, Length: last.Offset + last.Length - first.Offset}}
	s.mu.Lock()
	r.share = src.share
	s.mu.Unlock()
	unproven := r.share == nil
	if unproven {
		sections = append(sections, src.head.ShareChain(), src.head.BlockTreeNode(0))
	}
	spans := s.spans(src, g.first, g.count)
	for _, span := range spans {
		one := src.head.BlockTreeNode(span.first)
		sections = append(sections, ssk.Section{Offset: one.Offset, Length: one.Length * uint64(span.count)})
	}
	parts, err := s.fetch(ctx, src, sections...)
	if err != nil {
		return err
	}
	data, parts := parts[0], parts[1:]
	if unproven {
		if err := s.adopt(src, parts[0], parts[1]); err != nil {
			return err
		}
		parts = parts[2:]
		s.mu.Lock()
		r.share = src.share
		s.mu.Unlock()
	}
	var nodes []caps.Node
	for i, span := range spans {
		nodes = append(nodes, ssk.Nodes(span.first, parts[i])...)
	}
	if len(nodes) > 0 {
		if err := r.share.Learn(nodes); err != nil {
			return err
		}
	}
	r.entries = make([][]byte, g.count)
	for i := range r.entries {
		n := h.EntryLen(g.first + i)
		r.entries[i], data = data[:n:n], data[n:]
		if err := r.share.Check(g.first+i, r.entries[i], nil); err != nil {
			return err
		}
	}
	return nil
}

// span is a run of nodes of a hash tree.
type span struct{ first, count int }

// spans is what to read of a share's block hash tree to check the segments: level by level their nodes with siblings, up to the
// root's children. It is empty if the share has shown them already.
func (s *survey) spans(src *source, first, count int) []span {
	s.mu.Lock()
	share := src.share
	s.mu.Unlock()
	known := share != nil
	for i := 0; known && i < count; i++ {
		known = len(share.Missing(first+i)) == 0
	}
	if known {
		return nil
	}
	var spans []span
	width := caps.TreeWidth(src.head.Segments())
	for lo, hi := width-1+first, width-1+first+count-1; lo > 0; lo, hi = (lo-1)/2, (hi-1)/2 {
		lo, hi = lo-(lo+1)%2, hi+hi%2
		spans = append(spans, span{lo, hi - lo + 1})
	}
	return spans
}

// isLie tells a wrong answer from none.
func isLie(err error) bool {
	return errors.Is(err, ssk.ErrCorrupt) || errors.Is(err, transfer.ErrCorrupt) || errors.Is(err, storage.ErrRange)
}
