package chk_test

import (
	"bytes"
	"encoding/hex"
	"errors"
	"io"
	"math"
	"math/rand/v2"
	"sync"
	"testing"

	"trunkline/caps"
	"trunkline/grid/chk"
	"trunkline/grid/fec"
)

// TestRoundTrip encodes and reads files over the parameters where something special happens, in both layouts.
func TestRoundTrip(t *testing.T) {
	t.Parallel()
	for _, p := range []struct {
		k, n, size int
		max        uint64
	}{
		{1, 1, 56, 0},
		{1, 3, 1000, 100},
		{2, 2, 1000, 100},
		{3, 3, 999, 100},
		{3, 10, 1000, 100},
		{3, 10, 1024, 64},
		{5, 9, 10000, 1000},
		{16, 32, 5000, 1000},
		{101, 255, 56, 0},
		{255, 256, 1000, 300},
		{3, 128, 100, 50},
		{3, 129, 100, 50},
	} {
		for _, version := range []int{1, 2} {
			t.Run(name(p.k, p.n, p.size), func(t *testing.T) {
				t.Parallel()
				plain := plaintextOf("round trip", p.size)
				f := convergent(t, []byte("secret"), geometry(t, p.size, p.k, p.n, p.max), version, plain)
				shares := map[int][]byte{}
				for i, s := range f.shares {
					shares[i] = s
					if err := verify(f, i, s); err != nil {
						t.Errorf("share %d: %v", i, err)
					}
				}
				for _, nums := range subsets(shares, p.k) {
					if got := plaintext(t, f.cap, f.subset(nums...)); !bytes.Equal(got, plain) {
						t.Errorf("shares %v give another plaintext", nums)
					}
				}
			})
		}
	}
}

// TestEncoderOrder: segments in any order, from any number of goroutines, by either call, give the same shares.
func TestEncoderOrder(t *testing.T) {
	t.Parallel()
	plain := plaintextOf("order", 5003)
	g := geometry(t, len(plain), 3, 10, 100)
	cfg := chk.EncoderConfig{Key: caps.NewReadKey([16]byte{1}), Geometry: g}
	want := encode(t, cfg, plain)
	for seed := range uint64(20) {
		e, err := chk.NewEncoder(cfg)
		if err != nil {
			t.Fatal(err)
		}
		rng := rand.New(rand.NewPCG(seed, 0))
		data := make([][]byte, g.N)
		for i := range data {
			data[i] = make([]byte, g.DataSize)
		}
		var wg sync.WaitGroup
		work := make(chan int, g.Segments)
		for _, seg := range rng.Perm(g.Segments) {
			work <- seg
		}
		close(work)
		for range 1 + seed%5 {
			wg.Go(func() {
				for seg := range work {
					b, err := e.EncodeFrom(seg, bytes.NewReader(plain))
					if err != nil {
						t.Error(err)
						return
					}
					for i, block := range b.Data {
						copy(data[i][uint64(seg)*g.BlockSize:], block)
					}
					b.Release()
				}
			})
		}
		wg.Wait()
		x, err := e.Finish()
		if err != nil {
			t.Fatal(err)
		}
		for i, d := range data {
			if got := bytes.Join([][]byte{e.Header(), d, x.Trailer(i)}, nil); !bytes.Equal(got, want.shares[i]) {
				t.Fatalf("order %d: share %d differs", seed, i)
			}
		}
	}
}

// TestBlocksStayUntilReleased holds on to blocks while others are made and released.
func TestBlocksStayUntilReleased(t *testing.T) {
	t.Parallel()
	plain := plaintextOf("held", 5003)
	g := geometry(t, len(plain), 3, 10, 100)
	cfg := chk.EncoderConfig{Key: caps.NewReadKey([16]byte{1}), Geometry: g}
	want := encode(t, cfg, plain)
	e, err := chk.NewEncoder(cfg)
	if err != nil {
		t.Fatal(err)
	}
	// From the last to the first: nothing can be absorbed, and so nothing be used again, before segment 0 comes.
	var held []*chk.Blocks
	for seg := g.Segments - 1; seg >= 0; seg-- {
		b, err := e.EncodeFrom(seg, bytes.NewReader(plain))
		if err != nil {
			t.Fatal(err)
		}
		if seg%2 == 0 {
			b.Release()
		} else {
			held = append(held, b)
		}
	}
	for _, b := range held {
		for i, block := range b.Data {
			at, n := want.layout.BlockRange(g, b.Segment, 1)
			if !bytes.Equal(block, want.shares[i][at:at+n]) {
				t.Fatalf("block %d of segment %d changed before its release", i, b.Segment)
			}
		}
		b.Release()
	}
	x, err := e.Finish()
	if err != nil {
		t.Fatal(err)
	}
	if x.Cap.Verify() != want.cap.Verify() {
		t.Error("another cap")
	}
}

func TestEncoderMisuse(t *testing.T) {
	t.Parallel()
	plain := plaintextOf("misuse", 250)
	g := geometry(t, len(plain), 2, 4, 100)
	e, err := chk.NewEncoder(chk.EncoderConfig{Geometry: g})
	if err != nil {
		t.Fatal(err)
	}
	expect := func(what string, err, want error) {
		t.Helper()
		if !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", what, err, want)
		}
	}
	_, err = e.EncodeSegment(0, plain[:99])
	expect("short plaintext", err, chk.ErrPlaintextSize)
	_, err = e.EncodeSegment(2, plain[:100])
	expect("long tail", err, chk.ErrPlaintextSize)
	_, err = e.EncodeSegment(3, nil)
	expect("segment beyond the end", err, chk.ErrNoSegment)
	_, err = e.EncodeFrom(-1, bytes.NewReader(plain))
	expect("negative segment", err, chk.ErrNoSegment)
	_, err = e.EncodeFrom(1, short{bytes.NewReader(plain)})
	expect("source that ends too early", err, chk.ErrPlaintextSize)
	_, err = e.EncodeFrom(1, failing{})
	expect("source that fails", err, errFailing)
	for _, seg := range []int{1, 0} { // the failed one can be tried again
		if _, err = e.EncodeFrom(seg, bytes.NewReader(plain)); err != nil {
			t.Fatal(err)
		}
	}
	_, err = e.EncodeSegment(1, plain[100:200])
	expect("again", err, chk.ErrRepeated)
	_, err = e.Finish()
	expect("too early", err, chk.ErrUnfinished)
	if _, err = e.EncodeSegment(2, plain[200:]); err != nil {
		t.Fatal(err)
	}
	if _, err = e.Finish(); err != nil {
		t.Fatal(err)
	}
}

var errFailing = errors.New("disk on fire")

type failing struct{}

func (failing) ReadAt([]byte, int64) (int, error) { return 0, errFailing }
func (failing) Read([]byte) (int, error)          { return 0, errFailing }

func TestEncoderRefuses(t *testing.T) {
	t.Parallel()
	code, err := fec.New(2, 3)
	if err != nil {
		t.Fatal(err)
	}
	forged := geometry(t, 1000, 3, 10, 0)
	forged.BlockSize++
	for _, c := range []struct {
		name string
		cfg  chk.EncoderConfig
		want error
	}{
		{"a literal", chk.EncoderConfig{Geometry: geometry(t, chk.LiteralMax, 3, 10, 0)}, chk.ErrTooSmall},
		{"k 256", chk.EncoderConfig{Geometry: geometry(t, 1000, 256, 256, 0)}, chk.ErrGeometry},
		{"no geometry", chk.EncoderConfig{}, chk.ErrGeometry},
		{"forged geometry", chk.EncoderConfig{Geometry: forged}, chk.ErrGeometry},
		{"another file's code", chk.EncoderConfig{Geometry: geometry(t, 1000, 3, 10, 0), Code: code}, chk.ErrGeometry},
		{"layout 3", chk.EncoderConfig{Geometry: geometry(t, 1000, 3, 10, 0), LayoutVersion: 3}, chk.ErrLayout},
		{"layout -1", chk.EncoderConfig{Geometry: geometry(t, 1000, 3, 10, 0), LayoutVersion: -1}, chk.ErrLayout},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			if _, err := chk.NewEncoder(c.cfg); !errors.Is(err, c.want) {
				t.Errorf("%v, want %v", err, c.want)
			}
		})
	}
}

func TestConvergenceKey(t *testing.T) {
	t.Parallel()
	plain := plaintextOf("convergence", 1000)
	g := geometry(t, len(plain), 3, 10, 0)
	for _, c := range []struct {
		name string
		r    io.Reader
		want error
	}{
		{"right", bytes.NewReader(plain), nil},
		{"one byte short", bytes.NewReader(plain[:999]), chk.ErrPlaintextSize},
		{"empty", bytes.NewReader(nil), chk.ErrPlaintextSize},
		{"one byte more", io.MultiReader(bytes.NewReader(plain), bytes.NewReader([]byte{0})), chk.ErrPlaintextSize},
		{"fails at once", failing{}, errFailing},
		{"fails at the end", io.MultiReader(bytes.NewReader(plain), failing{}), errFailing},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			if _, err := chk.ConvergenceKey(nil, g, c.r); !errors.Is(err, c.want) {
				t.Errorf("%v, want %v", err, c.want)
			}
		})
	}
	// Whatever goes into the key changes it.
	keys := map[[16]byte]string{}
	add := func(what string, secret []byte, g chk.Geometry, plain []byte) {
		t.Helper()
		key, err := chk.ConvergenceKey(secret, g, bytes.NewReader(plain))
		if err != nil {
			t.Fatal(err)
		}
		if other, ok := keys[key.Bytes()]; ok {
			t.Errorf("%s and %s give one key", what, other)
		}
		keys[key.Bytes()] = what
	}
	changed := bytes.Clone(plain)
	changed[999]++
	add("plain", nil, g, plain)
	add("another plaintext", nil, g, changed)
	add("a secret", []byte{0}, g, plain)
	add("another k", nil, geometry(t, 1000, 6, 10, 0), plain) // with the same segment size
	add("another n", nil, geometry(t, 1000, 3, 9, 0), plain)
	add("another segment size", nil, geometry(t, 1000, 3, 10, 100), plain)
}

// TestStream decrypts any range alone, and counters beyond 32 and into 64 bits continue.
func TestStream(t *testing.T) {
	t.Parallel()
	s := chk.NewStream(caps.NewReadKey([16]byte(plaintextOf("key", 16))))
	for _, base := range []uint64{0, 1<<36 - 512, 1<<40 - 100, math.MaxInt64 - 2000} {
		whole := make([]byte, 1000)
		s.XOR(whole, whole, base)
		for from := 0; from < len(whole); from += 7 {
			for _, n := range []int{1, 15, 16, 17, 300} {
				part := make([]byte, min(n, len(whole)-from))
				s.XOR(part, part, base+uint64(from))
				if !bytes.Equal(part, whole[from:from+len(part)]) {
					t.Fatalf("%d bytes at %d+%d differ from the whole", n, base, from)
				}
			}
		}
	}
}

// TestWorkedExample is the one of the format's description: vector 0 of Tahoe's published ones, byte by byte.
func TestWorkedExample(t *testing.T) {
	t.Parallel()
	plain, secret := bytes.Repeat([]byte("a"), 56), bytes.Repeat([]byte("a"), 16)
	f := convergent(t, secret, geometry(t, 56, 1, 1, 131072), 0, plain)
	const (
		header = "00000001" + "00000038" + "00000038" + "00000024" + "0000005c" + "0000007c" + "0000009c" + "000000bc" + "000000de"
		data   = "561a358556560c7f9754bd0ff48e5a3f2baf1137c031e3aab298cf440117834a79566b6681c9451d431ab7dd87b7ad7e7f40fe16b7a42ae1"
	)
	share := f.shares[0]
	if got := hex.EncodeToString(share[:36]); got != header {
		t.Errorf("header %s", got)
	}
	if got := hex.EncodeToString(share[36:92]); got != data {
		t.Errorf("data %s", got)
	}
	if len(share) != 531 {
		t.Errorf("%d bytes", len(share))
	}
	if got := f.cap.Cap().Text(); got != "URI:CHK:yzxcoagbetwet65ltjpbqyli3m:6b7inuiha2xdtgqzd55i6aeggutnxzr6qfwpv2ep5xlln6pgef7a:1:1:56" {
		t.Error("another cap")
	}
}
