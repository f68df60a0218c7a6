package longdistance

import (
	"context"

	"trunkline/caps"
	"trunkline/grid/chk"
	"trunkline/grid/transfer"
)

// Remote is an immutable file that a payee serves. It is a [File]: one goroutine
// at a time reads and closes it. When a payee fails in the middle, the next one
// of the route goes on.
type Remote struct{ *call }

var _ File = (*Remote)(nil)

// Open asks the payees of the route, in turn, for a range of an immutable file.
// It returns when one has shown the file's UEB, which is verified; that payee
// then begins to send what r asks for, and Read takes it.
//
// Errors: *[FailedError] with what each payee said; of ctx.
func (p *Payer) Open(ctx context.Context, route Route, r Request) (*Remote, error) {
	c, err := p.call(ctx, route, r)
	if err != nil {
		return nil, err
	}
	return &Remote{c}, nil
}

// call opens what r asks for.
func (p *Payer) call(ctx context.Context, route Route, r Request) (*call, error) {
	r.Payer = caps.PublicKey{}
	if err := r.Validate(); err != nil {
		return nil, err
	}
	c := &call{payer: p, route: route, req: r}
	if err := c.connect(ctx, r); err != nil {
		return nil, err
	}
	return c, nil
}

// UEB returns the block that describes the file.
func (f *Remote) UEB() []byte { return f.fixed().ueb.Raw }

// Geometry says how the file is cut.
func (f *Remote) Geometry() chk.Geometry { return f.fixed().Geometry }

func (f *Remote) fixed() fixed { return f.about.(fixed) }

// Read calls fn with count segments from first on. It goes on at other payees
// when one fails; what is verified is signed for as it comes.
//
// Errors: fn's as it is; *[FailedError] when no payee is left; of ctx.
func (f *Remote) Read(ctx context.Context, first, count int, fn func(transfer.Segment) error) error {
	return f.read(ctx, first, count, func(p piece) error { return fn(p.segment) })
}
