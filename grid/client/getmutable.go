package client

import (
	"context"
	"errors"
	"fmt"
	"math"

	"trunkline/caps"
	"trunkline/grid/longdistance"
	"trunkline/grid/mutable"
	"trunkline/grid/ssk"
	"trunkline/p2p"
)

// changing reads a mutable file.
type changing struct {
	verify caps.MutableVerify
	key    caps.MutableReadKey
	hint   *Range     // what will be wanted; nil: not known
	header ssk.Header // of the version that was begun with
	opener *mutable.Opener
	blocks []ssk.Block // scratch
}

// movedError says that a version was overwritten under who read it.
type movedError struct{ err error }

func (e *movedError) Error() string { return e.err.Error() }
func (e *movedError) Unwrap() error { return e.err }

// lost gives up a version that was overwritten. Until the get has begun the next
// one will do.
func (f *changing) lost(g *get, err error) error {
	if !g.begun {
		return &movedError{err}
	}
	return fmt.Errorf("%w: %w", ErrChanged, err)
}

// local implements reading.
func (f *changing) local(ctx context.Context, g *get) (err error) {
	c := g.client.config
	if c.Mutable == nil {
		return ErrNoMutable
	}
	v, err := c.Mutable.Open(ctx, f.verify)
	if err != nil {
		return err
	}
	defer func() {
		g.result.Blamed = v.Blamed()
		err = errors.Join(err, v.Close())
	}()
	entries := func(ctx context.Context, first, count int, fn func(seg int, blocks []ssk.Block) error) error {
		return v.ReadBlocks(ctx, first, count, func(b mutable.Blocks) error {
			f.blocks = f.blocks[:0]
			for _, e := range b.Entries {
				f.blocks = append(f.blocks, ssk.Block{Num: e.Share.Num(), Entry: e.Data})
			}
			return fn(b.Segment, f.blocks)
		})
	}
	err = f.read(ctx, g, v.Header(), entries)
	if err != nil && v.Moved() && !errors.As(err, new(*hopeless)) {
		return f.lost(g, err)
	}
	return err
}

// away implements reading.
func (f *changing) away(ctx context.Context, g *get, route longdistance.Route, r longdistance.Request) error {
	c := g.client.config
	r.Mutable = &longdistance.Wish{Cap: f.verify, Version: f.header}
	if seq, _, ok := c.Seen.Newest(f.verify.StorageIndex); ok {
		r.Mutable.LeastSeq = seq
	}
	if g.begun {
		r.Offset, r.Length = g.offset, g.end-g.offset
	} else {
		r.Offset, r.Length = f.ahead()
	}
	remote, err := c.Payer.OpenMutable(ctx, route, r)
	if err != nil {
		if g.begun && errors.Is(err, p2p.ErrConflict) {
			err = f.lost(g, err)
		}
		return g.failed(err)
	}
	h := remote.Header()
	c.Seen.Note(f.verify.StorageIndex, h.Seq, h.Root)
	g.result.Payee = remote.Payee()
	seen := len(remote.Attempts())
	entries := func(ctx context.Context, first, count int, fn func(seg int, blocks []ssk.Block) error) error {
		return remote.ReadBlocks(ctx, first, count, func(b longdistance.Blocks) error {
			seen = g.served(remote, seen)
			f.blocks = f.blocks[:0]
			for i, s := range b.Shares {
				f.blocks = append(f.blocks, ssk.Block{Num: s.Num(), Entry: b.Entries[i]})
			}
			return fn(b.Index, f.blocks)
		})
	}
	err = f.read(ctx, g, h, entries)
	g.result.Failed, g.result.Payee = remote.Attempts(), remote.Payee()
	if err != nil && errors.Is(err, p2p.ErrConflict) && !errors.As(err, new(*hopeless)) {
		err = f.lost(g, err)
	}
	return errors.Join(err, remote.Close())
}

// ahead is what is asked for before the size is known. Of most directories the
// first segment is all there is; what comes after it is asked for when it is
// known to be wanted.
func (f *changing) ahead() (offset, length uint64) {
	switch {
	case f.hint == nil:
		return 0, 1
	case f.hint.Length == 0:
		return f.hint.Offset, math.MaxUint64
	}
	return f.hint.Offset, f.hint.Length
}

// take begins the get with a version, or goes on with it.
func (f *changing) take(g *get, h ssk.Header) (err error) {
	if g.begun && h != f.header {
		return f.lost(g, fmt.Errorf("version %d is there, version %d was begun with", h.Seq, f.header.Seq))
	}
	if err := g.start(h.Length); err != nil {
		return err
	}
	f.header, g.result.Version = h, h
	f.opener, err = mutable.NewOpener(h, f.key, g.offset, g.end-g.offset, g)
	return err
}

// entriesFunc reads verified entries of count segments from first on.
type entriesFunc func(ctx context.Context, first, count int, fn func(seg int, blocks []ssk.Block) error) error

// read writes what is left of the range out of a version. The get begins when the
// first segment is there: before that the version may be overwritten without
// anybody noticing.
func (f *changing) read(ctx context.Context, g *get, h ssk.Header, entries entriesFunc) error {
	f.opener = nil
	write := func(seg int, blocks []ssk.Block) error {
		if f.opener == nil {
			if err := f.take(g, h); err != nil {
				return err
			}
		}
		if next, count := f.opener.Segments(); count == 0 || seg != next {
			return nil // that was only to see whether it can be read
		}
		err := f.opener.Write(seg, blocks)
		if errors.Is(err, ssk.ErrInconsistent) {
			return &hopeless{err} // whoever has the version has it so
		}
		return err
	}
	if first, count := h.Cover(f.ahead()); !g.begun && count > 0 {
		if err := entries(ctx, first, count, write); err != nil {
			return err
		}
	} else if err := f.take(g, h); err != nil {
		return err
	}
	first, count := f.opener.Segments()
	if count == 0 {
		return nil
	}
	return entries(ctx, first, count, write)
}
