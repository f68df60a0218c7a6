package transfer

import (
	"context"
	"fmt"
	"sync"

	"trunkline/caps"
)

const (
	// groupBytes is about how much ciphertext is fetched by one request to
	// each of k servers: enough that small segments do not cost a round trip
	// each.
	groupBytes = 1 << 20
	// groupMost bounds the segments of a group, so that the groups in flight
	// never need more than two windows of a hash tree.
	groupMost = 64
	// groupsAhead bounds the groups in flight: more do not help, even over a
	// long fat pipe.
	groupsAhead = 16
	// groupsAtFirst is how many are begun at once; each one delivered allows
	// two more.
	groupsAtFirst = 2
)

// Segment is one verified segment of ciphertext.
type Segment struct {
	// Index is the segment's number in the file.
	Index int
	// Data is its ciphertext without padding, valid until fn returns.
	Data []byte
	// Chain proves it: the siblings from its leaf of the ciphertext tree up
	// to the root in the UEB. It stays valid.
	Chain []caps.Node
}

// Read calls fn with the segments first to first+count-1, in order, each
// verified against the cap. fn runs in the caller's goroutine; meanwhile later
// segments are fetched, within [Config.Memory]. If fn returns an error the read
// ends with that error as it is.
//
// Errors: [NotEnoughSharesError] when fewer than k good shares are left (later
// segments may work again), [ErrInconsistent] if the uploader made the file
// wrong, [ErrRange], [ErrClosed], or ctx's error. Segments delivered before an
// error are good. Nothing it started runs on after it returned.
func (f *File) Read(ctx context.Context, first, count int, fn func(Segment) error) error {
	g := f.ueb.Geometry
	if first < 0 || count < 0 || first > g.Segments || count > g.Segments-first {
		return fmt.Errorf("%w: %d from %d on of a file that has %d", ErrRange, count, first, g.Segments)
	}
	if !f.enter() {
		return ErrClosed
	}
	defer f.wg.Done()
	f.revive()

	ctx, cancel := context.WithCancel(ctx)
	stop := context.AfterFunc(f.ctx, cancel)
	r := reader{f: f, per: f.groupSegments()}
	var queue []*group
	defer func() {
		stop()
		cancel()
		r.wg.Wait()
		for _, gr := range queue {
			gr.release()
		}
	}()

	next, end, limit := first, first+count, groupsAtFirst
	most := f.groupsInFlight(r.per)
	for delivered := first; delivered < end; {
		for next < end && len(queue) < min(limit, most) {
			gr := r.start(ctx, next, min(r.per, end-next))
			queue = append(queue, gr)
			next += gr.count
		}
		head := queue[0]
		select {
		case <-head.done:
		case <-ctx.Done():
			return f.ended(ctx)
		}
		if head.err != nil {
			if ctx.Err() != nil {
				return f.ended(ctx)
			}
			return head.err
		}
		for i, data := range head.data {
			if err := fn(Segment{Index: head.first + i, Data: data, Chain: head.chains[i]}); err != nil {
				return err
			}
		}
		head.release()
		queue = queue[1:]
		delivered += head.count
		limit += 2
	}
	return nil
}

// ended is why a read's context is over.
func (f *File) ended(ctx context.Context) error {
	if f.ctx.Err() != nil {
		return ErrClosed
	}
	return ctx.Err()
}

// groupSegments is the number of segments fetched together.
func (f *File) groupSegments() int {
	return min(max(groupBytes/f.segments.size, 1), groupMost)
}

// groupsInFlight is how many groups fit the memory. Each may hold its segments
// thrice: as segments, as parity blocks, and as segments that a server which
// was given up may still be writing into.
func (f *File) groupsInFlight(per int) int {
	return int(min(max(f.cfg.Memory/int64(3*per*f.segments.size), 1), groupsAhead))
}

// reader is one call of Read.
type reader struct {
	f   *File
	per int
	wg  sync.WaitGroup // groups and fetches
}

// start begins to fetch a group.
func (r *reader) start(ctx context.Context, first, count int) *group {
	gr := &group{r: r, f: r.f, first: first, count: count, done: make(chan struct{})}
	r.wg.Add(1)
	go func() {
		defer r.wg.Done()
		defer close(gr.done)
		gr.err = gr.run(ctx)
	}()
	return gr
}
