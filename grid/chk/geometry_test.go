package chk_test

import (
	"errors"
	"math"
	"testing"

	"trunkline/grid/chk"
)

func TestGeometry(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name             string
		size             uint64
		k, n             int
		max              uint64
		segment          uint64
		segments         int
		tail, padded     uint64
		block, tailBlock uint64
	}{
		{"smallest", 56, 3, 10, 1 << 20, 57, 1, 56, 57, 19, 19},
		{"default segment", 1 << 20, 3, 10, 0, 1<<20 + 2, 1, 1 << 20, 1<<20 + 2, 349526, 349526},
		{"one segment after rounding", 131073, 3, 10, 131072, 131073, 1, 131073, 131073, 43691, 43691},
		{"tail of one byte", 131073, 2, 3, 131072, 131072, 2, 1, 2, 65536, 1},
		{"tail padded", 1048583, 5, 9, 1 << 20, 1048580, 2, 3, 5, 209716, 1},
		{"tail full", 300, 3, 10, 100, 102, 3, 96, 96, 34, 32},
		{"multiple of the segment", 4096, 2, 3, 1024, 1024, 4, 1024, 1024, 512, 512},
		{"smaller than k", 56, 101, 256, 1 << 20, 101, 1, 56, 101, 1, 1},
		{"one of one", 1000, 1, 1, 1 << 20, 1000, 1, 1000, 1000, 1000, 1000},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			g, err := chk.NewGeometry(c.size, c.k, c.n, c.max)
			if err != nil {
				t.Fatal(err)
			}
			want := chk.Geometry{
				Size: c.size, K: c.k, N: c.n, SegmentSize: c.segment, Segments: c.segments, BlockSize: c.block,
				Tail: c.tail, PaddedTail: c.padded, TailBlock: c.tailBlock,
				DataSize: (c.size + uint64(c.k) - 1) / uint64(c.k),
			}
			if g != want {
				t.Errorf("got  %+v\nwant %+v", g, want)
			}
			var sum uint64
			for seg := range g.Segments {
				if g.SegmentOffset(seg) != sum {
					t.Errorf("segment %d starts at %d, the others end at %d", seg, g.SegmentOffset(seg), sum)
				}
				sum += uint64(g.SegmentLen(seg))
				if g.PaddedLen(seg) != g.K*g.BlockLen(seg) || g.PaddedLen(seg)-g.SegmentLen(seg) >= g.K {
					t.Errorf("segment %d of %d bytes is padded to %d", seg, g.SegmentLen(seg), g.PaddedLen(seg))
				}
			}
			if sum != g.Size {
				t.Errorf("segments have %d bytes together", sum)
			}
			for _, seg := range []int{-1, g.Segments} {
				if g.SegmentLen(seg) != 0 || g.PaddedLen(seg) != 0 || g.BlockLen(seg) != 0 {
					t.Errorf("segment %d has a length", seg)
				}
			}
		})
	}
}

func TestGeometryRefused(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name    string
		size    uint64
		k, n    int
		segment uint64
	}{
		{"empty", 0, 3, 10, 3},
		{"size with the top bit", 1 << 63, 3, 10, 1 << 20},
		{"k 0", 100, 0, 10, 100},
		{"k above n", 100, 4, 3, 100},
		{"n 257", 100, 3, 257, 102},
		{"no segment size", 100, 3, 10, 0},
		{"segment size no multiple of k", 100, 3, 10, 100},
		{"segment too large", 1 << 40, 4, 10, chk.MaxSegment + 4},
		{"segment size overflows", 100, 1, 10, math.MaxUint64},
		{"too many segments", chk.MaxSegments + 1, 1, 10, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			if g, err := chk.FromSegmentSize(c.size, c.k, c.n, c.segment); !errors.Is(err, chk.ErrGeometry) {
				t.Errorf("got %+v, %v", g, err)
			}
		})
	}
	if _, err := chk.NewGeometry(1<<30, 3, 10, chk.MaxSegment+1); !errors.Is(err, chk.ErrGeometry) {
		t.Errorf("maximum segment above the bound: %v", err)
	}
	if _, err := chk.NewGeometry(1<<30, 3, 10, chk.MaxSegment); err != nil {
		t.Errorf("maximum segment at the bound, rounded up beyond it: %v", err)
	}
	if _, err := chk.FromSegmentSize(chk.MaxSegments, 1, 10, 1); err != nil {
		t.Errorf("segments at the bound: %v", err)
	}
}

func TestCover(t *testing.T) {
	t.Parallel()
	g := geometry(t, 250, 2, 3, 100) // segments of 100, 100, 50
	for _, c := range []struct {
		name           string
		offset, length uint64
		first, count   int
	}{
		{"nothing", 10, 0, 0, 0},
		{"first byte", 0, 1, 0, 1},
		{"one whole", 100, 100, 1, 1},
		{"across a boundary", 99, 2, 0, 2},
		{"all", 0, 250, 0, 3},
		{"last byte", 249, 1, 2, 1},
		{"beyond the end", 240, 1000, 2, 1},
		{"length overflows", 150, math.MaxUint64, 1, 2},
		{"at the end", 250, 1, 0, 0},
		{"after the end", math.MaxUint64, 1, 0, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			if first, count := g.Cover(c.offset, c.length); first != c.first || count != c.count {
				t.Errorf("segments %d+%d, want %d+%d", first, count, c.first, c.count)
			}
		})
	}
}
