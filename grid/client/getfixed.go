package client

import (
	"context"
	"errors"

	"trunkline/caps"
	"trunkline/grid/chk"
	"trunkline/grid/longdistance"
	"trunkline/grid/transfer"
)

// fixed reads an immutable file.
type fixed struct {
	verify caps.CHKVerify
	stream chk.Stream
	plain  []byte // of one segment
}

func newFixed(read caps.CHKRead) *fixed {
	return &fixed{verify: read.Verify(), stream: chk.NewStream(read.Key())}
}

// localFile is an immutable file of the home grid: *transfer.File or
// *transfer.Reader.
type localFile interface {
	longdistance.File
	Blamed() []transfer.Blame
}

// openLocal opens a file for the shelf.
func (c *Client) openLocal(ctx context.Context, v caps.CHKVerify) (*transfer.File, error) {
	return transfer.Open(ctx, c.reading(), v)
}

// local implements reading.
func (f *fixed) local(ctx context.Context, g *get) (err error) {
	c := g.client
	if c.config.Servers == nil {
		return ErrNoHome
	}
	var file localFile
	if c.shelf != nil {
		r, openErr := c.shelf.Open(ctx, f.verify)
		file, err = r, openErr
	} else {
		r, openErr := c.openLocal(ctx, f.verify)
		file, err = r, openErr
	}
	if err != nil {
		return err
	}
	defer func() {
		g.result.Blamed = file.Blamed()
		err = errors.Join(err, file.Close())
	}()
	if err := g.start(f.verify.Size); err != nil {
		return err
	}
	return f.read(ctx, g, file)
}

// away implements reading.
func (f *fixed) away(ctx context.Context, g *get, route longdistance.Route, r longdistance.Request) error {
	if err := g.start(f.verify.Size); err != nil {
		return err
	}
	r.Cap, r.Offset, r.Length = f.verify, g.offset, g.end-g.offset
	remote, err := g.client.config.Payer.Open(ctx, route, r)
	if err != nil {
		return g.failed(err)
	}
	g.result.Payee = remote.Payee()
	err = f.read(ctx, g, &watched{remote, g})
	g.result.Failed, g.result.Payee = remote.Attempts(), remote.Payee()
	return errors.Join(err, remote.Close())
}

// watched keeps track of who serves.
type watched struct {
	*longdistance.Remote
	get *get
}

// Read implements longdistance.File.
func (w *watched) Read(ctx context.Context, first, count int, fn func(transfer.Segment) error) error {
	seen := len(w.Attempts())
	return w.Remote.Read(ctx, first, count, func(s transfer.Segment) error {
		seen = w.get.served(w.Remote, seen)
		return fn(s)
	})
}

// read writes what is left of the range out of a file.
func (f *fixed) read(ctx context.Context, g *get, file longdistance.File) error {
	geometry := file.Geometry()
	first, count := geometry.Cover(g.offset, g.end-g.offset)
	return file.Read(ctx, first, count, func(s transfer.Segment) error {
		at := geometry.SegmentOffset(s.Index)
		from, to := g.offset-at, min(uint64(len(s.Data)), g.end-at)
		if cap(f.plain) < len(s.Data) {
			f.plain = make([]byte, len(s.Data))
		}
		plain := f.plain[:to-from]
		f.stream.XOR(plain, s.Data[from:to], at+from)
		_, err := g.Write(plain)
		return err
	})
}
