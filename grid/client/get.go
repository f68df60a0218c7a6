package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"trunkline/caps"
	"trunkline/grid/chk"
	"trunkline/grid/longdistance"
	"trunkline/grid/transfer"
	"trunkline/p2p"
)

// Get writes a file, or a range of it, to w: in order, and only bytes that are
// verified against the cap. Where the cap lists the home area it reads at home
// first, and goes elsewhere for what cannot be had there.
//
// Errors: ErrNotFile, ErrNoArea, ErrNoGateway, ErrRange; transfer's from home,
// longdistance's, which have a kind of p2p's, from elsewhere; w's. Whatever the error, the bytes
// written are right, and there are result.Bytes of them. nil means all.
func (c *Client) Get(ctx context.Context, target caps.Cap, o GetOptions, w io.Writer) (GetResult, error) {
	if o.Progress == nil {
		o.Progress = func(Event) {}
	}
	if data, ok := target.Literal(); ok {
		return getLiteral(data, o, w)
	}
	read, ok := target.CHK()
	if !ok {
		return GetResult{}, fmt.Errorf("%s: %w", target.Kind(), ErrNotFile)
	}
	g, err := newGet(c, read, o, w)
	if err != nil {
		return GetResult{}, err
	}
	err = g.run(ctx, target.Areas())
	if err == nil && g.result.Bytes != g.total {
		err = ErrShort
	}
	return g.result, err
}

// getLiteral writes what the cap itself holds.
func getLiteral(data []byte, o GetOptions, w io.Writer) (GetResult, error) {
	offset, length, err := o.Range.of(uint64(len(data)))
	if err != nil {
		return GetResult{}, err
	}
	n, err := w.Write(data[offset : offset+length])
	result := GetResult{Bytes: uint64(n), Hop: HopLiteral} //nolint:gosec // never negative
	if err != nil {
		return result, fmt.Errorf("writing: %w", err)
	}
	o.Progress(Event{Verified: result.Bytes, Total: length, Hop: HopLiteral})
	return result, nil
}

// of is the range within a file of that size.
func (r Range) of(size uint64) (offset, length uint64, err error) {
	if r.Offset > size {
		return 0, 0, fmt.Errorf("%w: from byte %d of %d", ErrRange, r.Offset, size)
	}
	length = size - r.Offset
	if r.Length > 0 {
		length = min(length, r.Length)
	}
	return r.Offset, length, nil
}

// get is one Get under way.
type get struct {
	client  *Client
	options GetOptions
	w       io.Writer
	verify  caps.CHKVerify
	stream  chk.Stream
	plain   []byte // of one segment

	offset uint64 // of the next byte to write
	end    uint64
	total  uint64
	result GetResult
}

// writeError is an error of the writer's: no other path can help.
type writeError struct{ err error }

func (e *writeError) Error() string { return "writing: " + e.err.Error() }
func (e *writeError) Unwrap() error { return e.err }

func newGet(c *Client, read caps.CHKRead, o GetOptions, w io.Writer) (*get, error) {
	v := read.Verify()
	offset, length, err := o.Range.of(v.Size)
	if err != nil {
		return nil, err
	}
	return &get{
		client: c, options: o, w: w, verify: v, stream: chk.NewStream(read.Key()),
		offset: offset, end: offset + length, total: length,
	}, nil
}

// run tries the paths that the areas allow, each from where the one before broke
// off.
func (g *get) run(ctx context.Context, areas []caps.AreaCode) error {
	home := g.client.config.Home
	far := slices.DeleteFunc(slices.Clone(areas), func(a caps.AreaCode) bool { return a == home })
	if len(areas) == 0 && home.IsZero() {
		return ErrNoArea
	}
	if len(areas) == len(far) && len(areas) > 0 {
		return g.away(ctx, far)
	}
	err := g.local(ctx)
	if err == nil || len(far) == 0 || errors.As(err, new(*writeError)) || ctx.Err() != nil {
		return err
	}
	g.options.Progress(Event{Verified: g.result.Bytes, Total: g.total, Hop: g.result.Hop, Failed: err})
	if awayErr := g.away(ctx, far); awayErr != nil {
		return errors.Join(awayErr, fmt.Errorf("at home: %w", err))
	}
	return nil
}

// local reads from the home grid's servers, and nobody else.
func (g *get) local(ctx context.Context) (err error) {
	g.result.Hop = HopLocal
	if g.client.config.Servers == nil {
		return ErrNoHome
	}
	f, err := transfer.Open(ctx, transfer.Config{Servers: g.client.config.Servers(), Logger: g.client.config.Logger, Now: g.client.config.Now}, g.verify)
	if err != nil {
		return err
	}
	defer func() {
		g.result.Blamed = f.Blamed()
		err = errors.Join(err, f.Close())
	}()
	return g.read(ctx, f)
}

// away reads through a gateway, or, without a home, from a contact point.
func (g *get) away(ctx context.Context, areas []caps.AreaCode) error {
	c := g.client.config
	g.result.Hop = HopGateway
	if c.Home.IsZero() {
		g.result.Hop = HopContact
	}
	if c.Payer == nil {
		return fmt.Errorf("long-distance calls are not set up here: %w", p2p.ErrUnsupported)
	}
	var route longdistance.Route
	if !c.Home.IsZero() {
		var offers []longdistance.Offer
		if c.Gateways != nil {
			offers = c.Gateways()
		}
		if len(offers) == 0 {
			return ErrNoGateway
		}
		route = longdistance.NewRoute(offers...)
	} else {
		if c.Resolver == nil {
			return fmt.Errorf("no way to look areas up: %w", ErrNoHome)
		}
		route = &longdistance.AreaRoute{
			Resolver: c.Resolver, Policy: longdistance.AreaPolicy{TollFreeOnly: true}, Areas: areas, Now: c.Now,
		}
	}
	f, err := c.Payer.Open(ctx, route, longdistance.Request{
		Areas: areas, Cap: g.verify, Offset: g.offset, Length: g.end - g.offset,
		MaxCredits: g.options.MaxCredits, Patience: c.Patience,
	})
	if err != nil {
		var failed *longdistance.FailedError
		if errors.As(err, &failed) {
			g.result.Failed = failed.Attempts
		}
		return err
	}
	g.result.Payee = f.Payee()
	err = g.read(ctx, &remoteFile{f, g})
	g.result.Failed, g.result.Payee = f.Attempts(), f.Payee()
	return errors.Join(err, f.Close())
}

// remoteFile keeps track of who serves.
type remoteFile struct {
	*longdistance.Remote
	get *get
}

// Read implements longdistance.File.
func (f *remoteFile) Read(ctx context.Context, first, count int, fn func(transfer.Segment) error) error {
	seen := len(f.Attempts())
	return f.Remote.Read(ctx, first, count, func(s transfer.Segment) error {
		f.get.result.Payee = f.Payee()
		if failed := f.Attempts(); len(failed) > seen {
			seen = len(failed)
			f.get.options.Progress(Event{Verified: f.get.result.Bytes, Total: f.get.total, Hop: f.get.result.Hop, Peer: f.Payee(), Failed: failed[seen-1].Err})
		}
		return fn(s)
	})
}

// read writes what is left of the range out of a file.
func (g *get) read(ctx context.Context, f longdistance.File) error {
	geometry := f.Geometry()
	first, count := geometry.Cover(g.offset, g.end-g.offset)
	return f.Read(ctx, first, count, func(s transfer.Segment) error {
		at := geometry.SegmentOffset(s.Index)
		from, to := g.offset-at, min(uint64(len(s.Data)), g.end-at)
		if cap(g.plain) < len(s.Data) {
			g.plain = make([]byte, len(s.Data))
		}
		plain := g.plain[:to-from]
		g.stream.XOR(plain, s.Data[from:to], at+from)
		n, err := g.w.Write(plain)
		g.offset += uint64(n)       //nolint:gosec // never negative
		g.result.Bytes += uint64(n) //nolint:gosec // never negative
		if err == nil && n < len(plain) {
			err = io.ErrShortWrite
		}
		if err != nil {
			return &writeError{err}
		}
		g.options.Progress(Event{Verified: g.result.Bytes, Total: g.total, Hop: g.result.Hop, Peer: g.result.Payee})
		return nil
	})
}
