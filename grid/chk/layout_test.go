package chk_test

import (
	"encoding/binary"
	"errors"
	"testing"

	"trunkline/grid/chk"
)

// TestLayoutVersion: version 2 is chosen exactly when a field of version 1 would not fit.
func TestLayoutVersion(t *testing.T) {
	t.Parallel()
	const max = 16 << 20
	// Everything before the UEB's length besides the blocks, for one segment in 256: 36 + 3 trees + a chain.
	for _, c := range []struct {
		name string
		g    chk.Geometry
		want int
	}{
		{"small", geometry(t, 1000, 3, 10, 0), 1},
		{"blocks of 4 GiB less what else is needed", geometry(t, 1<<32-1-36-3*32*511-34, 1, 1, max), 1},
		{"a byte more", geometry(t, 1<<32-36-3*32*511-34, 1, 1, max), 2},
		{"blocks of 4 GiB", geometry(t, 1<<32, 1, 1, max), 2},
		{"blocks of a third of that", geometry(t, 1<<32, 3, 10, max), 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			// The bound as the format has it: the offset of the UEB's length.
			l, err := chk.NewLayout(c.g, 0)
			if err != nil {
				t.Fatal(err)
			}
			if l.Version != c.want {
				t.Errorf("version %d with the UEB at %d", l.Version, l.UEBLength)
			}
			if _, err := chk.NewLayout(c.g, 1); (err == nil) != (c.want == 1) {
				t.Errorf("asked for version 1: %v", err)
			}
			if v2, err := chk.NewLayout(c.g, 2); err != nil || v2.Version != 2 {
				t.Errorf("asked for version 2: %v", err)
			}
		})
	}
}

// TestLayoutHeader: a header reads as the layout that wrote it, and covers a share without gaps.
func TestLayoutHeader(t *testing.T) {
	t.Parallel()
	for _, version := range []int{1, 2} {
		g := geometry(t, 100000, 3, 10, 1000)
		l, err := chk.NewLayout(g, version)
		if err != nil {
			t.Fatal(err)
		}
		h := l.Header()
		if uint64(len(h)) != l.Data {
			t.Errorf("version %d: header of %d bytes, data at %d", version, len(h), l.Data)
		}
		size := l.ShareLen(chk.UEBLen(g))
		got, err := chk.ParseLayout(append(h, make([]byte, 100)...), size)
		if err != nil {
			t.Fatal(err)
		}
		if got != l {
			t.Errorf("got  %+v\nwant %+v", got, l)
		}
		if err := got.Fit(g); err != nil {
			t.Error(err)
		}
		if err := got.Fit(geometry(t, 100000, 3, 10, 2000)); !errors.Is(err, chk.ErrLayout) {
			t.Errorf("fits another geometry: %v", err)
		}
		at, n := l.BlockRange(g, 0, g.Segments)
		if at != l.Data || at+n != l.PlaintextTree {
			t.Errorf("blocks at %d+%d", at, n)
		}
		if at, n := l.BlockRange(g, g.Segments-1, 1); at+n != l.PlaintextTree || n != g.TailBlock {
			t.Errorf("last block at %d+%d", at, n)
		}
		if _, n := l.BlockRange(g, 1, 0); n != 0 {
			t.Errorf("no blocks have %d bytes", n)
		}
	}
}

// TestLayoutRefused sets each field of a good header to each of the values where something could go wrong.
func TestLayoutRefused(t *testing.T) {
	t.Parallel()
	g := geometry(t, 1000, 3, 10, 100)
	f := convergent(t, nil, g, 2, plaintextOf("layout", 1000))
	share := f.shares[0]
	size := uint64(len(share))
	fields := []struct {
		name    string
		at      int
		ignored bool
	}{
		{"block size", 4, true},
		{"data size", 12, true},
		{"data", 20, false},
		{"plaintext tree", 28, true},
		{"crypttext tree", 36, false},
		{"block tree", 44, false},
		{"share chain", 52, false},
		{"UEB length", 60, false},
	}
	for _, field := range fields {
		t.Run(field.name, func(t *testing.T) {
			t.Parallel()
			good := binary.BigEndian.Uint64(share[field.at:])
			for _, value := range []uint64{
				0, 1, good - 1, good + 1, good - 32, good + 32, good - 34, good + 34, size - 1, size, size + 1,
				1<<32 - 1, 1 << 32, 1<<63 - 1, 1 << 63, 1<<64 - 1, -good, 1<<64 - 34,
			} {
				bad := append([]byte(nil), share...)
				binary.BigEndian.PutUint64(bad[field.at:], value)
				switch err := verify(f, 0, bad); {
				case field.ignored && err != nil:
					t.Errorf("%#x: %v, but nobody uses it", value, err)
				case !field.ignored && !errors.Is(err, chk.ErrCorrupt):
					t.Errorf("%#x: %v", value, err)
				}
			}
		})
	}
	for cut := range 69 {
		if _, err := chk.ParseLayout(share[:cut], uint64(cut)); !errors.Is(err, chk.ErrLayout) {
			t.Errorf("a share of %d bytes: %v", cut, err)
		}
		if _, err := chk.ParseLayout(share[:cut], size); cut < 68 != errors.Is(err, chk.ErrLayout) {
			t.Errorf("a header of %d bytes: %v", cut, err)
		}
	}
	for _, version := range []uint32{0, 3, 1 << 31, 1<<32 - 1} {
		head := append([]byte(nil), share[:68]...)
		binary.BigEndian.PutUint32(head, version)
		if _, err := chk.ParseLayout(head, size); !errors.Is(err, chk.ErrLayout) {
			t.Errorf("version %d: %v", version, err)
		}
	}
}

// TestLayoutBounds checks each bound by itself, where a share as a whole would fail for other reasons too.
func TestLayoutBounds(t *testing.T) {
	t.Parallel()
	g := geometry(t, 1000, 3, 10, 100)
	good, err := chk.NewLayout(g, 2)
	if err != nil {
		t.Fatal(err)
	}
	size := good.ShareLen(chk.UEBLen(g))
	for _, c := range []struct {
		name   string
		change func(*chk.Layout)
		want   error
	}{
		{"unchanged", func(*chk.Layout) {}, nil},
		{"data after the end", func(l *chk.Layout) { l.Data = size + 1 }, chk.ErrLayout},
		{"UEB length at the end", func(l *chk.Layout) { l.UEBLength = size; l.ShareChain = size - 170 }, chk.ErrLayout},
		{"UEB length just before the end", func(l *chk.Layout) { l.UEBLength = size - 8; l.ShareChain = size - 8 - 170 }, nil},
		{"no chain", func(l *chk.Layout) { l.ShareChain = l.UEBLength }, chk.ErrLayout},
		{"chain of a tenth entry", func(l *chk.Layout) { l.ShareChain = l.UEBLength - chk.MaxChain - 34 }, chk.ErrLayout},
		{"chain of nine entries", func(l *chk.Layout) { l.ShareChain = l.UEBLength - chk.MaxChain; l.BlockTree = l.CrypttextTree }, nil},
		{"chain of a fraction", func(l *chk.Layout) { l.ShareChain++ }, chk.ErrLayout},
		{"block tree before crypttext tree", func(l *chk.Layout) { l.BlockTree = l.CrypttextTree - 1 }, chk.ErrLayout},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			l := good
			c.change(&l)
			if _, err := chk.ParseLayout(l.Header(), size); !errors.Is(err, c.want) {
				t.Errorf("%v, want %v", err, c.want)
			}
		})
	}
	for _, c := range []struct {
		name   string
		change func(*chk.Layout)
		want   error
	}{
		{"fit/unchanged", func(*chk.Layout) {}, nil},
		{"fit/a gap before the trees", func(l *chk.Layout) { l.CrypttextTree += 7; l.BlockTree += 7; l.ShareChain += 7 }, nil},
		{"fit/blocks reach into the trees", func(l *chk.Layout) { l.Data = l.CrypttextTree - g.DataSize + 1 }, chk.ErrLayout},
		{"fit/data after the trees", func(l *chk.Layout) { l.Data = l.CrypttextTree + 1 }, chk.ErrLayout},
		{"fit/short crypttext tree", func(l *chk.Layout) { l.CrypttextTree += 32 }, chk.ErrLayout},
		{"fit/long block tree", func(l *chk.Layout) { l.ShareChain += 32 }, chk.ErrLayout},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			l := good
			c.change(&l)
			if err := l.Fit(g); !errors.Is(err, c.want) {
				t.Errorf("%v, want %v", err, c.want)
			}
		})
	}
}

func TestSplitTail(t *testing.T) {
	t.Parallel()
	for _, version := range []int{1, 2} {
		g := geometry(t, 1000, 3, 10, 100)
		f := convergent(t, nil, g, version, plaintextOf("tail", 1000))
		share, l := f.shares[3], f.layout
		field := int(l.ShareLen(0) - l.UEBLength)
		tail := append(append([]byte(nil), share[l.ShareChain:]...), make([]byte, 3000)...)
		chain, ueb, err := l.SplitTail(tail)
		if err != nil || len(chain) != 5*34 || len(ueb) != chk.UEBLen(g) {
			t.Errorf("version %d: chain of %d, UEB of %d bytes, %v", version, len(chain), len(ueb), err)
		}
		for _, cut := range []int{0, 5*34 - 1, 5 * 34, 5*34 + field - 1, 5*34 + field, 5*34 + field + chk.UEBLen(g) - 1} {
			if _, _, err := l.SplitTail(tail[:cut]); !errors.Is(err, chk.ErrLayout) {
				t.Errorf("version %d: %d bytes of tail: %v", version, cut, err)
			}
		}
		for length, want := range map[uint32]error{chk.MaxUEB: nil, chk.MaxUEB + 1: chk.ErrLayout, 1<<32 - 1: chk.ErrLayout} {
			binary.BigEndian.PutUint32(tail[5*34+field-4:], length)
			if _, _, err := l.SplitTail(tail); !errors.Is(err, want) {
				t.Errorf("version %d: UEB of %d bytes: %v", version, length, err)
			}
		}
	}
}
