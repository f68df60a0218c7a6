package transfer

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"trunkline/caps"
	"trunkline/grid/chk"
	"trunkline/grid/storage"
)

// group is a run of consecutive segments that are fetched together: one
// request to each of k servers brings the blocks of all of them.
//
// Blocks of primary shares are received where they belong in the segment, so
// with k of them there is nothing to copy and nothing to decode.
type group struct {
	r            *reader
	f            *File
	first, count int

	// Set by run before done is closed.
	done   chan struct{}
	err    error
	data   [][]byte      // by segment
	chains [][]caps.Node // by segment

	mu       sync.Mutex
	segments [][]byte // padded, by segment
	over     bool     // no more results are wanted
	orphans  [][]byte // segments that late fetches may still write into
	writing  int      // such fetches
}

// fetch is one request: the blocks of a group's segments from one share.
type fetch struct {
	s       *source
	start   time.Time
	bytes   int64
	blocks  [][]byte // by segment
	inPlace bool     // blocks lie in the group's segments
	late    bool     // no longer waited for
	err     error
}

// run fetches, verifies and decodes the group.
func (gr *group) run(ctx context.Context) error {
	g := gr.f.ueb.Geometry
	gr.segments = make([][]byte, gr.count)
	for i := range gr.segments {
		gr.segments[i] = gr.f.segments.get(g.PaddedLen(gr.first + i))
	}
	gathering, cancel := context.WithCancel(ctx)
	got, err := gr.gather(gathering)
	cancel() // what is late by now is not wanted any more
	if err != nil {
		gr.finish(got, nil)
		gr.release()
		return err
	}
	gr.finish(got, got)
	err = gr.decode(ctx, got)
	for _, ft := range got {
		gr.free(ft)
	}
	if err != nil {
		gr.release()
	}
	return err
}

// gather collects the group's blocks of k distinct shares, verified. It
// returns what it has in any case.
func (gr *group) gather(ctx context.Context) ([]*fetch, error) {
	f := gr.f
	k := f.v.K
	size := int64(0)
	for i := range gr.count {
		size += int64(f.ueb.Geometry.BlockLen(gr.first + i))
	}
	var (
		got     []*fetch
		running []*fetch
		results = make(chan *fetch)
		tried   = make(map[*source]bool)
		failed  []*source // without having lied
		second  bool      // round in which they get another chance
		timer   = time.NewTimer(time.Hour)
	)
	defer timer.Stop()
	// taken holds the shares that are there or awaited.
	taken := func() map[int]bool {
		nums := make(map[int]bool, k)
		for _, ft := range got {
			nums[ft.s.num] = true
		}
		for _, ft := range running {
			if !ft.late {
				nums[ft.s.num] = true
			}
		}
		return nums
	}
	for {
		f.mu.Lock()
		changed := f.changed
		f.mu.Unlock()
		short := false
		for nums := taken(); len(nums) < k; {
			s := f.choose(tried, nums, size)
			if s == nil {
				short = true
				break
			}
			tried[s] = true
			nums[s.num] = true
			running = append(running, gr.fetch(ctx, s, size, results, running))
		}
		if short && !f.need() && len(running) == 0 {
			// Nobody else is left: those that failed get one more chance.
			if len(failed) == 0 || second {
				return got, f.tooFew(len(got))
			}
			for _, s := range failed {
				delete(tried, s)
			}
			second = true
			continue
		}
		if !short {
			changed = nil
		}
		timer.Reset(gr.nextDeadline(running))
		select {
		case <-ctx.Done():
			return got, ctx.Err()
		case <-changed:
		case <-timer.C:
			gr.hedge(running)
		case ft := <-results:
			running = without(running, ft)
			if ft.err == nil {
				if !has(got, ft.s.num) {
					got = append(got, ft)
				} else {
					gr.free(ft)
				}
			} else {
				gr.free(ft)
				if ctx.Err() != nil {
					return got, ctx.Err()
				}
				f.blame(ft.s, ft.err)
				if !isLie(ft.err) && !errors.Is(ft.err, errSilent) {
					failed = append(failed, ft.s)
				}
			}
			if len(got) == k {
				return got, nil
			}
		}
	}
}

// fetch starts a request for the group's blocks of share s.
func (gr *group) fetch(ctx context.Context, s *source, size int64, results chan<- *fetch, running []*fetch) *fetch {
	f, g := gr.f, gr.f.ueb.Geometry
	ft := &fetch{s: s, start: f.cfg.Now(), bytes: size, inPlace: s.num < g.K}
	for _, other := range running {
		if other.s.num == s.num {
			ft.inPlace = false // a late one may still write there
		}
	}
	ft.blocks = make([][]byte, gr.count)
	for i := range ft.blocks {
		if ft.inPlace {
			ft.blocks[i] = g.Piece(gr.segments[i], gr.first+i, s.num)
		} else {
			ft.blocks[i] = f.blocks.get(g.BlockLen(gr.first + i))
		}
	}
	if ft.inPlace {
		gr.mu.Lock()
		gr.writing++
		gr.mu.Unlock()
	}
	gr.r.wg.Add(1)
	go func() {
		defer gr.r.wg.Done()
		ft.err = gr.receive(ctx, ft)
		gr.mu.Lock()
		if ft.inPlace {
			gr.writing--
		}
		over := gr.over
		if over && gr.writing == 0 && gr.orphans != nil {
			for _, buf := range gr.orphans {
				f.segments.put(buf)
			}
			gr.orphans = nil
		}
		gr.mu.Unlock()
		if over {
			gr.free(ft)
			return
		}
		select {
		case results <- ft:
		case <-ctx.Done():
			gr.free(ft)
		}
	}()
	return ft
}

// receive reads the blocks and checks each against the share's tree.
func (gr *group) receive(ctx context.Context, ft *fetch) error {
	f, g, s := gr.f, gr.f.ueb.Geometry, ft.s
	ranges := make([]storage.Range, gr.count)
	for i := range ranges {
		ranges[i].Offset, ranges[i].Length = s.layout.BlockRange(g, gr.first+i, 1)
	}
	// The trees' leaves come first, if they are not there already, so that a
	// liar among several in a window is found out by its own blocks.
	for i := range ranges {
		if _, err := f.blockLeaves(ctx, s, gr.first+i); err != nil {
			return err
		}
	}
	if err := f.read(ctx, s, ranges, ft.blocks); err != nil {
		return err
	}
	for i, block := range ft.blocks {
		seg := gr.first + i
		win, err := f.blockLeaves(ctx, s, seg)
		if err != nil {
			return err
		}
		if caps.BlockHash(block) != win.leaves[seg-win.first] {
			return fmt.Errorf("%w: block of segment %d", ErrCorrupt, seg)
		}
	}
	return nil
}

// nextDeadline is how long the first of the fetches still has.
func (gr *group) nextDeadline(running []*fetch) time.Duration {
	f := gr.f
	f.mu.Lock()
	defer f.mu.Unlock()
	least := time.Hour
	now := f.cfg.Now()
	for _, ft := range running {
		if !ft.late {
			least = min(least, ft.deadline().Sub(now))
		}
	}
	return max(least, 0)
}

// deadline is when the fetch is late. It moves with every answer of the
// server, so waiting in its queue is not held against it. The File's lock is
// needed.
func (ft *fetch) deadline() time.Time {
	from := ft.start
	if ft.s.peer.lastDone.After(from) {
		from = ft.s.peer.lastDone
	}
	return from.Add(ft.s.peer.patience(ft.bytes))
}

// hedge marks the fetches that are late, so that others are started, and
// rests their servers.
func (gr *group) hedge(running []*fetch) {
	f := gr.f
	f.mu.Lock()
	defer f.mu.Unlock()
	now := f.cfg.Now()
	for _, ft := range running {
		if !ft.late && !ft.deadline().After(now) {
			ft.late = true
			ft.s.peer.tired(now)
		}
	}
	f.advance()
}

// finish ends the gathering. used are the fetches that decode will need. If a
// late fetch may still write into the segments, these are left to it and what
// is used of them moves to new ones.
func (gr *group) finish(got, used []*fetch) {
	gr.mu.Lock()
	defer gr.mu.Unlock()
	gr.over = true
	if used == nil {
		for _, ft := range got {
			gr.free(ft)
		}
	}
	if gr.writing == 0 {
		return
	}
	gr.orphans = gr.segments
	gr.segments = nil
	if used == nil {
		return
	}
	g := gr.f.ueb.Geometry
	gr.segments = make([][]byte, gr.count)
	for i := range gr.segments {
		gr.segments[i] = gr.f.segments.get(g.PaddedLen(gr.first + i))
	}
	for _, ft := range used {
		if !ft.inPlace {
			continue
		}
		for i := range ft.blocks {
			piece := g.Piece(gr.segments[i], gr.first+i, ft.s.num)
			copy(piece, ft.blocks[i])
			ft.blocks[i] = piece
		}
	}
}

// decode makes segments of the blocks and checks them against the ciphertext
// tree.
func (gr *group) decode(ctx context.Context, got []*fetch) error {
	f := gr.f
	gr.data = make([][]byte, gr.count)
	gr.chains = make([][]caps.Node, gr.count)
	blocks := make([]chk.Block, len(got))
	for i := range gr.count {
		seg := gr.first + i
		for j, ft := range got {
			blocks[j] = chk.Block{Num: ft.s.num, Data: ft.blocks[i]}
		}
		data, err := f.decoder.Decode(seg, gr.segments[i], blocks)
		if err != nil {
			return fmt.Errorf("segment %d: %w", seg, err)
		}
		win, err := f.crypttextLeaves(ctx, seg)
		if err != nil {
			return fmt.Errorf("ciphertext tree for segment %d: %w", seg, err)
		}
		if caps.CrypttextSegmentHash(data) != win.leaves[seg-win.first] {
			return fmt.Errorf("%w: segment %d", ErrInconsistent, seg)
		}
		gr.data[i] = data
		gr.chains[i] = win.chain(f.crypttext, seg)
	}
	return nil
}

// free gives back the memory of a fetch that has ended.
func (gr *group) free(ft *fetch) {
	if ft.inPlace {
		return
	}
	for _, b := range ft.blocks {
		gr.f.blocks.put(b)
	}
	ft.blocks = nil
}

// release gives back the group's segments.
func (gr *group) release() {
	for _, buf := range gr.segments {
		gr.f.segments.put(buf)
	}
	gr.segments = nil
}

func without(list []*fetch, ft *fetch) []*fetch {
	for i := range list {
		if list[i] == ft {
			return append(list[:i], list[i+1:]...)
		}
	}
	return list
}

func has(list []*fetch, num int) bool {
	for _, ft := range list {
		if ft.s.num == num {
			return true
		}
	}
	return false
}
