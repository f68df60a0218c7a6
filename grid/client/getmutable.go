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
)

// changing reads a mutable file.
type changing struct {
	verify caps.MutableVerify
	key    caps.MutableReadKey
	hint   *Range     // what will be wanted; nil: not known
	header ssk.Header // of the version that was begun with
}

// take says that a version was found, and begins the get with it unless another
// was begun with: then the error matches ErrChanged.
func (f *changing) take(g *get, h ssk.Header) error {
	if g.begun && h != f.header {
		return ErrChanged
	}
	if err := g.start(h.Length); err != nil {
		return err
	}
	f.header, g.result.Version = h, h
	return nil
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
	if err := f.take(g, v.Header()); err != nil {
		return err
	}
	return v.Read(ctx, f.key, g.offset, g.end-g.offset, g)
}

// away implements reading.
func (f *changing) away(ctx context.Context, g *get, route longdistance.Route, r longdistance.Request) error {
	c := g.client.config
	wish := &longdistance.Wish{Cap: f.verify, Version: f.header}
	if seq, _, ok := c.Seen.Newest(f.verify.StorageIndex); ok {
		wish.LeastSeq = seq
	}
	r.Mutable = wish
	switch {
	case g.begun:
		r.Offset, r.Length = g.offset, g.end-g.offset
	case f.hint != nil && f.hint.Length > 0:
		r.Offset, r.Length = f.hint.Offset, f.hint.Length
	case f.hint != nil:
		r.Offset, r.Length = f.hint.Offset, math.MaxUint64
	default:
		// The first segment is all there is of most directories. What comes
		// after it is asked for when it is known to be wanted.
		r.Length = 1
	}
	remote, err := c.Payer.OpenMutable(ctx, route, r)
	if err != nil {
		return f.changed(g, g.failed(err))
	}
	c.Seen.Note(f.verify.StorageIndex, remote.Header().Seq, remote.Header().Root)
	g.result.Payee = remote.Payee()
	if err = f.take(g, remote.Header()); err == nil {
		err = f.changed(g, f.read(ctx, g, remote))
	}
	g.result.Failed, g.result.Payee = remote.Attempts(), remote.Payee()
	return errors.Join(err, remote.Close())
}

// changed says so if nobody has the version any more that was begun with.
func (f *changing) changed(g *get, err error) error {
	if g.begun && errors.Is(err, longdistance.ErrChanged) {
		return fmt.Errorf("%w: %w", ErrChanged, err)
	}
	return err
}

// read writes what is left of the range out of a version that payees serve.
func (f *changing) read(ctx context.Context, g *get, remote *longdistance.RemoteVersion) error {
	opener, err := mutable.NewOpener(f.header, f.key, g.offset, g.end-g.offset, g)
	if err != nil {
		return err
	}
	seen := len(remote.Attempts())
	var blocks []ssk.Block
	take := func(b longdistance.Blocks) error {
		seen = g.served(remote, seen)
		blocks = blocks[:0]
		for i, s := range b.Shares {
			blocks = append(blocks, ssk.Block{Num: s.Num(), Entry: b.Entries[i]})
		}
		err := opener.Write(b.Index, blocks)
		if errors.Is(err, ssk.ErrInconsistent) {
			return &hopeless{err} // whoever has the version has it so
		}
		return err
	}
	first, count := opener.Segments()
	if f.hint == nil && first == 0 && count > 1 {
		// It is under way already: see away.
		if err := remote.ReadBlocks(ctx, 0, 1, take); err != nil {
			return err
		}
		first, count = 1, count-1
	}
	return remote.ReadBlocks(ctx, first, count, take)
}
