package contact

import (
	"context"
	"fmt"

	"trunkline/grid/longdistance"
	"trunkline/grid/mutable"
	"trunkline/p2p"
)

// OpenMutable looks for the newest version of a mutable file. Nothing is kept for
// the next one who asks: by then it may be another version.
//
// Errors: as for Open; p2p.ErrUnsupported if mutable files are not served.
func (s *Source) OpenMutable(ctx context.Context, r longdistance.Request) (longdistance.Version, error) {
	if s.config.Mutable == nil {
		return nil, fmt.Errorf("this contact point serves no mutable files: %w", p2p.ErrUnsupported)
	}
	if err := s.denied(r.Mutable.Cap.Cap()); err != nil {
		return nil, err
	}
	// Whether it is too old is for the asker to say, who knows what it has seen.
	v, err := s.config.Mutable.OpenAny(ctx, r.Mutable.Cap)
	if err != nil && ctx.Err() == nil && s.config.Look != nil && s.config.Look(ctx) {
		v, err = s.config.Mutable.OpenAny(ctx, r.Mutable.Cap)
	}
	if err != nil {
		return nil, kinded(err)
	}
	return &version{Version: v}, nil
}

// version is a version of a mutable file, open for one reader.
type version struct {
	*mutable.Version
	out longdistance.Blocks
}

// ReadBlocks implements longdistance.Version.
func (v *version) ReadBlocks(ctx context.Context, first, count int, fn func(longdistance.Blocks) error) error {
	var refused error
	err := v.Version.ReadBlocks(ctx, first, count, func(b mutable.Blocks) error {
		v.out.Index = b.Segment
		v.out.Shares, v.out.Entries = v.out.Shares[:0], v.out.Entries[:0]
		for _, e := range b.Entries {
			v.out.Shares, v.out.Entries = append(v.out.Shares, e.Share), append(v.out.Entries, e.Data)
		}
		refused = fn(v.out)
		return refused
	})
	if err == nil || refused != nil || ctx.Err() != nil {
		return err
	}
	if v.Moved() {
		return fmt.Errorf("%w: %w", longdistance.ErrChanged, err)
	}
	return kinded(err)
}

var _ longdistance.Version = (*version)(nil)
