package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"trunkline/billing"
	"trunkline/caps"
	"trunkline/grid/longdistance"
	"trunkline/p2p"
)

// Get writes a file, or a range of it, to w: in order, and only bytes that are
// verified against the cap. Where the cap lists the home area it reads at home
// first, and goes elsewhere for what cannot be had there. The cap of a directory
// stands for the file that the directory is kept in.
//
// Errors: ErrNotFile, ErrNoArea, ErrNoGateway, ErrRange, ErrNoMutable, ErrChanged;
// transfer's and mutable's from home, longdistance's, which have a kind of p2p's,
// from elsewhere; w's. Whatever the error, the bytes written are right, and
// there are result.Bytes of them. nil means all.
func (c *Client) Get(ctx context.Context, target caps.Cap, o GetOptions, w io.Writer) (GetResult, error) {
	begin := func(size uint64) (offset, length uint64, _ io.Writer, err error) {
		offset, length, err = o.Range.of(size)
		return offset, length, w, err
	}
	return c.get(ctx, target, &o.Range, o, begin)
}

// Read opens a file and calls begin once, with its size: see tree.Files. begin is
// called as soon as the size is known, which is before anybody was asked if the
// cap tells it and the file is another grid's.
//
// Errors: as for Get; begin's.
func (c *Client) Read(ctx context.Context, target caps.Cap, begin func(size uint64) (offset, length uint64, w io.Writer, err error)) error {
	_, err := c.get(ctx, target, nil, GetOptions{MaxCredits: c.config.MaxCredits}, begin)
	return err
}

// Fetch is Read that reports as Get does. o.Range does not count.
//
// Errors: as for Get; begin's.
func (c *Client) Fetch(ctx context.Context, target caps.Cap, o GetOptions, begin func(size uint64) (offset, length uint64, w io.Writer, err error)) (GetResult, error) {
	return c.get(ctx, target, nil, o, begin)
}

// beginFunc says which range of a file is wanted, and where to.
type beginFunc func(size uint64) (offset, length uint64, w io.Writer, err error)

// get gets what begin wants. hint, unless it is nil, is the range that it will
// want.
func (c *Client) get(ctx context.Context, target caps.Cap, hint *Range, o GetOptions, begin beginFunc) (GetResult, error) {
	if o.Progress == nil {
		o.Progress = func(Event) {}
	}
	g := &get{client: c, maxCredits: o.MaxCredits, progress: o.Progress, begin: begin}
	if data, ok := target.Literal(); ok {
		return g.result, g.literal(data)
	}
	var read reading
	if fixed, ok := target.CHK(); ok {
		read = newFixed(fixed)
	} else if key, ok := target.MutableReadKey(); ok {
		verify, _ := target.MutableVerify()
		read = &changing{verify: verify, key: key, hint: hint}
	} else {
		return GetResult{}, fmt.Errorf("%s: %w", target.Kind(), ErrNotFile)
	}
	err := g.run(ctx, read, target.Areas())
	if err == nil && g.result.Bytes != g.total {
		err = ErrShort
	}
	return g.result, err
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
	client     *Client
	maxCredits billing.Credits
	progress   func(Event)

	begin  beginFunc
	begun  bool
	w      io.Writer
	offset uint64 // of the next byte to write
	end    uint64
	total  uint64
	result GetResult
}

// reading is how a kind of file is read: from the home grid's servers, and from
// payees. Each begins the get, if that was not done, and goes on at g.offset.
type reading interface {
	local(ctx context.Context, g *get) error
	away(ctx context.Context, g *get, route longdistance.Route, r longdistance.Request) error
}

// hopeless is an error that no other path can help: the reader's own, or one
// about what is asked for.
type hopeless struct{ err error }

func (e *hopeless) Error() string { return e.err.Error() }
func (e *hopeless) Unwrap() error { return e.err }

// start asks what is wanted of a file of that size, unless it was asked before.
func (g *get) start(size uint64) error {
	if g.begun {
		return nil
	}
	offset, length, w, err := g.begin(size)
	if err != nil {
		return &hopeless{err}
	}
	if offset > size || length > size-offset {
		return &hopeless{fmt.Errorf("%w: %d bytes from byte %d of %d", ErrRange, length, offset, size)}
	}
	g.begun, g.w, g.offset, g.end, g.total = true, w, offset, offset+length, length
	return nil
}

// Write passes plaintext on to the reader. It is what a reading writes to.
func (g *get) Write(plain []byte) (int, error) {
	if len(plain) == 0 {
		return 0, nil
	}
	n, err := g.w.Write(plain)
	g.offset += uint64(n)       //nolint:gosec // never negative
	g.result.Bytes += uint64(n) //nolint:gosec // never negative
	if err == nil && n < len(plain) {
		err = io.ErrShortWrite
	}
	if err != nil {
		return n, &hopeless{fmt.Errorf("writing: %w", err)}
	}
	g.tell(nil)
	return n, nil
}

// tell reports how far it is.
func (g *get) tell(failed error) {
	g.progress(Event{Verified: g.result.Bytes, Total: g.total, Hop: g.result.Hop, Peer: g.result.Payee, Failed: failed})
}

// literal writes what the cap itself holds.
func (g *get) literal(data []byte) error {
	g.result.Hop = HopLiteral
	if err := g.start(uint64(len(data))); err != nil {
		return err
	}
	_, err := g.Write(data[g.offset:g.end])
	return err
}

// run tries the paths that the areas allow, each from where the one before broke
// off.
func (g *get) run(ctx context.Context, read reading, areas []caps.AreaCode) error {
	home := g.client.config.Home
	far := slices.DeleteFunc(slices.Clone(areas), func(a caps.AreaCode) bool { return a == home })
	if len(areas) == 0 && home.IsZero() && g.client.config.Servers == nil {
		return ErrNoArea
	}
	if len(areas) == len(far) && len(areas) > 0 {
		return g.away(ctx, read, far)
	}
	g.result.Hop = HopLocal
	err := again(func() error { return read.local(ctx, g) })
	if err == nil || len(far) == 0 || errors.As(err, new(*hopeless)) || ctx.Err() != nil {
		return err
	}
	g.tell(err)
	if awayErr := g.away(ctx, read, far); awayErr != nil {
		return errors.Join(awayErr, fmt.Errorf("at home: %w", err))
	}
	return nil
}

// away reads through a gateway, or, without a home, from a contact point.
func (g *get) away(ctx context.Context, read reading, areas []caps.AreaCode) error {
	c := g.client.config
	g.result.Hop = HopGateway
	if c.Home.IsZero() {
		g.result.Hop = HopContact
	}
	return again(func() error {
		route, err := g.client.route(areas)
		if err != nil {
			return err
		}
		return read.away(ctx, g, route, longdistance.Request{Areas: areas, MaxCredits: g.maxCredits, Patience: c.Patience})
	})
}

// maxMoves is how many versions may be overwritten before one of them could be
// read.
const maxMoves = 10

// again does it until a file stands still for long enough.
func again(do func() error) error {
	for moves := 1; ; moves++ {
		err := do()
		if !errors.As(err, new(*movedError)) || moves == maxMoves {
			return err
		}
	}
}

// route names who may have files of these areas.
func (c *Client) route(areas []caps.AreaCode) (longdistance.Route, error) {
	if c.config.Payer == nil {
		return nil, fmt.Errorf("long-distance calls are not set up here: %w", p2p.ErrUnsupported)
	}
	if c.config.Home.IsZero() {
		if c.config.Resolver == nil {
			return nil, fmt.Errorf("no way to look areas up: %w", ErrNoHome)
		}
		return &longdistance.AreaRoute{
			Resolver: c.config.Resolver, Policy: longdistance.AreaPolicy{TollFreeOnly: true}, Areas: areas, Now: c.config.Now,
		}, nil
	}
	var offers []longdistance.Offer
	if c.config.Gateways != nil {
		offers = c.config.Gateways()
	}
	if len(offers) == 0 {
		return nil, ErrNoGateway
	}
	return longdistance.NewRoute(offers...), nil
}

// called is a file that payees serve: longdistance.Remote and RemoteVersion.
type called interface {
	Payee() caps.PublicKey
	Attempts() []longdistance.Attempt
}

// served notes who serves, and tells of those who failed since seen of them were
// known. It returns how many are known now.
func (g *get) served(f called, seen int) int {
	g.result.Payee = f.Payee()
	failed := f.Attempts()
	g.result.Failed = failed
	if len(failed) > seen {
		g.tell(failed[len(failed)-1].Err)
	}
	return len(failed)
}

// failed notes who was asked in vain.
func (g *get) failed(err error) error {
	var failed *longdistance.FailedError
	if errors.As(err, &failed) {
		g.result.Failed = failed.Attempts
	}
	return err
}
