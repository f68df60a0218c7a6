package mutable

import (
	"context"
	"io"
	"runtime"

	"golang.org/x/sync/errgroup"

	"trunkline/grid/ssk"
	"trunkline/grid/storage"
)

// encoding makes the shares of a new version. It holds the entries of all shares if they fit the memory; of a larger file
// those of some at a time, which are encoded again for it.
type encoding struct {
	encoder *ssk.Encoder
	out     *ssk.Encoded
	src     io.ReaderAt
	memory  int64
	runs    []span           // of segments that are encoded
	held    map[int][][]byte // by share number, then run: the entries back to back
	lens    []int            // of a run's entries
	whole   bool             // every share is written from end to end
}

// encode prepares a version. changed are the segments that differ from old, with old; without it all are encoded.
//
// Errors: ssk.ErrGeometry, ssk.ErrPlaintextSize, ctx's, or what src returned.
func encode(ctx context.Context, cfg ssk.EncoderConfig, src io.ReaderAt, changed span, memory int64) (*encoding, error) {
	encoder, err := ssk.NewEncoder(cfg)
	if err != nil {
		return nil, err
	}
	e := &encoding{encoder: encoder, src: src, memory: memory, whole: cfg.Old == nil}
	h := encoder.Header()
	for seg := range h.Segments() {
		if !e.whole && !encoder.MustEncode(seg) && (seg < changed.first || seg >= changed.first+changed.count) {
			continue
		}
		if n := len(e.runs); n > 0 && e.runs[n-1].first+e.runs[n-1].count == seg {
			e.runs[n-1].count++
			e.lens[n-1] += h.EntryLen(seg)
			continue
		}
		e.runs = append(e.runs, span{seg, 1})
		e.lens = append(e.lens, h.EntryLen(seg))
	}
	var nums []int
	if e.share()*int64(h.N) <= memory {
		for num := range h.N {
			nums = append(nums, num)
		}
	}
	if err := e.pass(ctx, nums); err != nil {
		return nil, err
	}
	e.out, err = encoder.Finish()
	return e, err
}

// share is the size of the entries of one share, in bytes.
func (e *encoding) share() (n int64) {
	for _, l := range e.lens {
		n += int64(l)
	}
	return n
}

// fits is the number of shares that can be held at a time.
func (e *encoding) fits() int {
	return int(max(e.memory/max(e.share(), 1), 1))
}

// pass encodes every segment that has to be and keeps the entries of the shares nums.
func (e *encoding) pass(ctx context.Context, nums []int) error {
	h := e.encoder.Header()
	e.held = make(map[int][][]byte, len(nums))
	for _, num := range nums {
		e.held[num] = make([][]byte, len(e.runs))
		for i, n := range e.lens {
			e.held[num][i] = make([]byte, n)
		}
	}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(runtime.GOMAXPROCS(0))
	for i, run := range e.runs {
		at := 0
		for seg := run.first; seg < run.first+run.count; seg++ {
			start := at
			at += h.EntryLen(seg)
			group.Go(func() error {
				if err := ctx.Err(); err != nil {
					return err
				}
				entries, err := e.encoder.EncodeFrom(seg, e.src)
				if err != nil {
					return err
				}
				defer entries.Release()
				for _, num := range nums {
					copy(e.held[num][i][start:], entries.Data[num])
				}
				return nil
			})
		}
	}
	return group.Wait()
}

// hold sees to it that the shares nums can be written, at most fits of them.
func (e *encoding) hold(ctx context.Context, nums []int) error {
	for _, num := range nums {
		if e.held[num] == nil {
			return e.pass(ctx, nums)
		}
	}
	return nil
}

// change is what a server is to do to share num, which is held.
func (e *encoding) change(num int, tests []storage.Test) storage.ShareChange {
	head := e.out.Head()
	c := storage.ShareChange{Num: num, Tests: tests, Truncate: true, Length: head.Size()}
	c.Writes = append(c.Writes, storage.Change{Offset: 0, Data: e.out.Front(num)})
	for i, run := range e.runs {
		c.Writes = append(c.Writes, storage.Change{Offset: head.Entry(run.first).Offset, Data: e.held[num][i]})
	}
	if back := e.out.Back(num); len(back) > 0 {
		c.Writes = append(c.Writes, storage.Change{Offset: e.out.BackOffset(), Data: back})
	}
	return c
}
