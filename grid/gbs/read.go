package gbs

import (
	"context"
	"fmt"
	"io"
	"slices"

	"golang.org/x/sync/errgroup"

	"trunkline/caps"
	"trunkline/grid/storage"
)

const (
	// nearby is the gap between two ranges, in bytes, below which it is cheaper to read it than to ask twice.
	nearby = 64 << 10
	// maxFetch bounds what one request asks for if it was put together of several ranges.
	maxFetch = 8 << 20
)

// group is some ranges of a share that are read in one request: ascending, without overlap.
type group struct {
	offset, end uint64
	members     []int // indexes of ranges
}

// groups puts near ranges together. Empty ones are left out.
func groups(ranges []storage.Range) []group {
	order := make([]int, 0, len(ranges))
	for i, r := range ranges {
		if r.Length > 0 {
			order = append(order, i)
		}
	}
	slices.SortStableFunc(order, func(a, b int) int {
		switch {
		case ranges[a].Offset < ranges[b].Offset:
			return -1
		case ranges[a].Offset > ranges[b].Offset:
			return 1
		}
		return 0
	})
	var all []group
	for _, i := range order {
		r := ranges[i]
		if n := len(all) - 1; n >= 0 {
			last := &all[n]
			if r.Offset >= last.end && r.Offset-last.end <= nearby && r.Offset+r.Length-last.offset <= maxFetch {
				last.end, last.members = r.Offset+r.Length, append(last.members, i)
				continue
			}
		}
		all = append(all, group{r.Offset, r.Offset + r.Length, []int{i}})
	}
	return all
}

// Read fills dst[i], whose length must be ranges[i].Length, for each range of an immutable share: near ranges in one
// request, the others side by side. After an error the contents of dst are undefined.
//
// Errors: storage.ErrNotFound, ErrRange (the share is shorter), ErrMutable, ErrInvalid; transport.
func (s *Server) Read(ctx context.Context, si caps.StorageIndex, num int, ranges []storage.Range, dst [][]byte) error {
	if err := validRead(num, ranges, dst); err != nil {
		return err
	}
	if s.ahead.get(shareID{si, num}, ranges, dst, s.cfg.Now()) {
		return nil
	}
	all, each := errgroup.WithContext(ctx)
	all.SetLimit(together)
	for _, g := range groups(ranges) {
		all.Go(func() error {
			return s.fetch(each, immutable, si, num, g.offset, g.end-g.offset, func(r io.Reader, n uint64) error {
				if n < g.end-g.offset {
					return storage.ErrRange
				}
				at := g.offset
				for _, i := range g.members {
					if _, err := io.CopyN(io.Discard, r, int64(ranges[i].Offset-at)); err != nil { //nolint:gosec // not far
						return err
					}
					if _, err := io.ReadFull(r, dst[i]); err != nil {
						return err
					}
					at = ranges[i].Offset + ranges[i].Length
				}
				return nil
			})
		})
	}
	if err := all.Wait(); err != nil {
		return fmt.Errorf("share %d: %w", num, err)
	}
	return nil
}

func validRead(num int, ranges []storage.Range, dst [][]byte) error {
	if num < 0 || num >= storage.MaxShares {
		return fmt.Errorf("%w: share number %d", storage.ErrInvalid, num)
	}
	if len(ranges) != len(dst) {
		return fmt.Errorf("%w: %d ranges for %d buffers", storage.ErrInvalid, len(ranges), len(dst))
	}
	for i, r := range ranges {
		if r.Length != uint64(len(dst[i])) || r.Offset+r.Length < r.Offset {
			return fmt.Errorf("%w: a range of %d bytes at %d for a buffer of %d", storage.ErrInvalid, r.Length, r.Offset, len(dst[i]))
		}
	}
	return nil
}
