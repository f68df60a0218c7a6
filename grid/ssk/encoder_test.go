package ssk_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"testing"

	"trunkline/caps"
	"trunkline/grid/ssk"
)

func TestRoundTrip(t *testing.T) {
	t.Parallel()
	keys := testKeys(t)
	for _, f := range []ssk.Format{ssk.SDMF, ssk.MDMF} {
		for _, kn := range [][2]int{{1, 1}, {1, 4}, {2, 3}, {3, 3}, {3, 10}, {5, 9}, {71, 255}, {255, 255}} {
			for _, size := range []int{0, 1, 2, 3, 254, 1000, 131071, 131072, 131073, 131074, 262146, 300000} {
				if testing.Short() && kn[1] > 10 && size > 1000 {
					continue
				}
				t.Run(fmt.Sprintf("%s-%dof%d-%d", f, kn[0], kn[1], size), func(t *testing.T) {
					t.Parallel()
					plain := pattern("round", size)
					shares, x := encode(t, ssk.EncoderConfig{Keys: keys, Format: f, Seq: 7, K: kn[0], N: kn[1]}, plain)
					v := verifyCap(t, capOf(t, keys, f))
					for num, raw := range shares {
						if num > 3 && num < kn[1]-2 {
							continue
						}
						head, err := ssk.VerifyShare(bytes.NewReader(raw), uint64(len(raw)), v, num)
						if err != nil {
							t.Fatalf("share %d: %v", num, err)
						}
						if head != x.Head() {
							t.Errorf("share %d says\n%+v, not\n%+v", num, head, x.Head())
						}
					}
					for _, descending := range []bool{false, true} {
						got, h, blame, err := read(v, keys.WriteKey().ReadKey(), shares, numbers(shares, descending))
						if err != nil || len(blame) > 0 || !bytes.Equal(got, plain) {
							t.Fatalf("read: %v, blamed %v, equal %t", err, blame, bytes.Equal(got, plain))
						}
						if h != x.Head().Header || h.Seq != 7 {
							t.Error("another version came out")
						}
					}
				})
			}
		}
	}
}

// Two encodings of one thing have nothing in common that tells so: salts are fresh.
func TestFreshSalts(t *testing.T) {
	t.Parallel()
	keys, plain := testKeys(t), make([]byte, 300000)
	for _, f := range []ssk.Format{ssk.SDMF, ssk.MDMF} {
		cfg := ssk.EncoderConfig{Keys: keys, Format: f, Seq: 1, K: 1, N: 1}
		a, x := encode(t, cfg, plain)
		b, _ := encode(t, cfg, plain)
		for seg := range x.Head().Segments() {
			one, _ := section(a[0], x.Head().Entry(seg))
			two, _ := section(b[0], x.Head().Entry(seg))
			if bytes.Equal(one[:16], two[:16]) {
				t.Errorf("%s: segment %d has the same beginning twice", f, seg)
			}
		}
	}
}

func TestEncodeFrom(t *testing.T) {
	t.Parallel()
	keys := testKeys(t)
	for _, f := range []ssk.Format{ssk.SDMF, ssk.MDMF} {
		for _, k := range []int{1, 3, 7} {
			for _, size := range []int{1, 4, 131073 + 2, 270000} {
				plain := pattern("from", size)
				e, err := ssk.NewEncoder(ssk.EncoderConfig{Keys: keys, Format: f, K: k, N: 9, Length: uint64(size)})
				if err != nil {
					t.Fatal(err)
				}
				for seg := range e.Header().Segments() {
					b, err := e.EncodeFrom(seg, bytes.NewReader(plain))
					if err != nil {
						t.Fatalf("%s %d of 9, %d bytes: %v", f, k, size, err)
					}
					at := e.Header().SegmentOffset(seg)
					same, err := e.Encode(seg, plain[at:at+uint64(e.Header().SegmentLen(seg))])
					if err != nil {
						t.Fatalf("%s %d of 9, %d bytes: encoded again: %v", f, k, size, err)
					}
					for i := range b.Data {
						if !bytes.Equal(b.Data[i], same.Data[i]) {
							t.Errorf("share %d differs", i)
						}
					}
					b.Release()
					same.Release()
				}
			}
		}
	}
}

func TestEncoderRefuses(t *testing.T) {
	t.Parallel()
	keys := testKeys(t)
	good := ssk.EncoderConfig{Keys: keys, Format: ssk.MDMF, K: 3, N: 10, Length: 300000}
	for name, change := range map[string]func(*ssk.EncoderConfig){
		"no k":           func(c *ssk.EncoderConfig) { c.K = 0 },
		"k above n":      func(c *ssk.EncoderConfig) { c.K = 11 },
		"n of 256":       func(c *ssk.EncoderConfig) { c.N = 256 },
		"format":         func(c *ssk.EncoderConfig) { c.Format = 2 },
		"too long":       func(c *ssk.EncoderConfig) { c.Length = ssk.MaxSegments << 18 },
		"absurd":         func(c *ssk.EncoderConfig) { c.Length = 1<<64 - 1 },
		"SDMF too long":  func(c *ssk.EncoderConfig) { c.Format, c.Length = ssk.SDMF, ssk.MaxSegment+1 },
		"old of nothing": func(c *ssk.EncoderConfig) { c.Old = &ssk.Old{} },
	} {
		cfg := good
		change(&cfg)
		if _, err := ssk.NewEncoder(cfg); !errors.Is(err, ssk.ErrGeometry) {
			t.Errorf("%s: %v", name, err)
		}
	}
	e, err := ssk.NewEncoder(good)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := e.Encode(0, nil); !errors.Is(err, ssk.ErrPlaintextSize) {
		t.Errorf("no plaintext: %v", err)
	}
	if _, err := e.Encode(3, nil); !errors.Is(err, ssk.ErrNoSegment) {
		t.Errorf("no segment: %v", err)
	}
	if _, err := e.EncodeFrom(1, bytes.NewReader(make([]byte, 131074))); !errors.Is(err, ssk.ErrPlaintextSize) {
		t.Errorf("short source: %v", err)
	}
	if _, err := e.EncodeFrom(0, failing{}); !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("failing source: %v", err)
	}
	if _, err := e.Finish(); !errors.Is(err, ssk.ErrUnfinished) {
		t.Errorf("finish too early: %v", err)
	}
	zeros := make([]byte, 300000)
	if _, err := e.EncodeFrom(0, bytes.NewReader(zeros)); err != nil {
		t.Fatal(err)
	}
	zeros[131072] = 1
	if _, err := e.EncodeFrom(0, bytes.NewReader(zeros)); !errors.Is(err, ssk.ErrChanged) {
		t.Errorf("plaintext that changed: %v", err)
	}
}

type failing struct{}

func (failing) ReadAt([]byte, int64) (int, error) { return 0, io.ErrClosedPipe }

// TestUpdate changes shares in place again and again, as a server would store the writes, and after each step they are
// what a reader and VerifyShare expect.
func TestUpdate(t *testing.T) {
	t.Parallel()
	keys := testKeys(t)
	v, key := verifyCap(t, capOf(t, keys, ssk.MDMF)), keys.WriteKey().ReadKey()
	for _, kn := range [][2]int{{1, 3}, {2, 3}, {3, 10}} {
		t.Run(fmt.Sprintf("%dof%d", kn[0], kn[1]), func(t *testing.T) {
			t.Parallel()
			rng := rand.New(rand.NewPCG(1, uint64(kn[1])))
			plain := pattern("update", 500000)
			cfg := ssk.EncoderConfig{Keys: keys, Format: ssk.MDMF, Seq: 1, K: kn[0], N: kn[1]}
			shares, x := encode(t, cfg, plain)
			for step := range 20 {
				size := []int{len(plain), len(plain), len(plain) + rng.IntN(300000), rng.IntN(900000), 131073 * rng.IntN(4)}[rng.IntN(5)]
				next := make([]byte, size)
				copy(next, plain)
				from := rng.IntN(size + 1)
				copy(next[from:], pattern(fmt.Sprint(step), min(rng.IntN(200000), size-from)))

				cfg.Seq++
				written, done := updated(t, cfg, x.Head(), shares, plain, next)
				x, plain = done, next
				for num, raw := range shares {
					head, err := ssk.VerifyShare(bytes.NewReader(raw), uint64(len(raw)), v, num)
					if err != nil {
						t.Fatalf("step %d: share %d: %v", step, num, err)
					}
					if head != x.Head() {
						t.Fatalf("step %d: share %d has another head", step, num)
					}
				}
				got, _, blame, err := read(v, key, shares, numbers(shares, true))
				if err != nil || len(blame) > 0 || !bytes.Equal(got, plain) {
					t.Fatalf("step %d: read: %v, blamed %v, equal %t", step, err, blame, bytes.Equal(got, plain))
				}
				if all := x.Head().Segments(); written > all {
					t.Fatalf("step %d: %d of %d segments written", step, written, all)
				}
			}
		})
	}
}

// updated writes the segments that differ into shares.
func updated(t *testing.T, cfg ssk.EncoderConfig, old ssk.Head, shares map[int][]byte, was, now []byte) (int, *ssk.Encoded) {
	t.Helper()
	cfg.Old, cfg.Length = &ssk.Old{Head: old, Leaves: leaves(t, old, shares)}, uint64(len(now))
	e, err := ssk.NewEncoder(cfg)
	if err != nil {
		t.Fatal(err)
	}
	h := e.Header()
	entries := make(map[int][][]byte)
	for seg := range h.Segments() {
		at := h.SegmentOffset(seg)
		plain := now[at : at+uint64(h.SegmentLen(seg))]
		if same := !e.MustEncode(seg); same && bytes.Equal(plain, was[at:at+uint64(len(plain))]) {
			continue
		}
		b, err := e.Encode(seg, plain)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range b.Data {
			entries[seg] = append(entries[seg], bytes.Clone(d))
		}
		b.Release()
	}
	x, err := e.Finish()
	if err != nil {
		t.Fatal(err)
	}
	for num := range shares {
		raw := make([]byte, x.Head().Size())
		copy(raw, shares[num])
		copy(raw, x.Front(num))
		for seg, data := range entries {
			copy(raw[x.Head().Entry(seg).Offset:], data[num])
		}
		copy(raw[x.BackOffset():], x.Back(num))
		shares[num] = raw
	}
	return len(entries), x
}

// leaves reads the whole block hash trees of all shares.
func leaves(t testing.TB, h ssk.Head, shares map[int][]byte) [][]caps.Hash {
	t.Helper()
	all := make([][]caps.Hash, h.N)
	for num, raw := range shares {
		tree, _ := section(raw, h.BlockTree())
		rawChain, _ := section(raw, h.ShareChain())
		chain, err := ssk.ParseChain(rawChain)
		if err != nil {
			t.Fatal(err)
		}
		s, err := ssk.NewShare(h.Header, num, caps.Hash(tree[:32]), chain)
		if err != nil {
			t.Fatal(err)
		}
		if h.Segments() > 0 {
			if err := s.Learn(ssk.Nodes(0, tree)); err != nil {
				t.Fatal(err)
			}
		}
		var ok bool
		if all[num], ok = s.Leaves(); !ok {
			t.Fatalf("share %d does not know its leaves", num)
		}
	}
	return all
}

// An update of one segment of many writes one entry, and the other entries stay as they are.
func TestUpdateWritesLittle(t *testing.T) {
	t.Parallel()
	keys := testKeys(t)
	plain := pattern("little", 8*131072)
	cfg := ssk.EncoderConfig{Keys: keys, Format: ssk.MDMF, Seq: 1, K: 1, N: 2}
	shares, x := encode(t, cfg, plain)
	before := bytes.Clone(shares[1])
	now := bytes.Clone(plain)
	now[5*131072+17]++
	cfg.Seq = 2
	n, y := updated(t, cfg, x.Head(), shares, plain, now)
	if n != 1 {
		t.Errorf("%d segments written", n)
	}
	for seg := range 8 {
		was, _ := section(before, x.Head().Entry(seg))
		is, _ := section(shares[1], y.Head().Entry(seg))
		if bytes.Equal(was, is) != (seg != 5) {
			t.Errorf("segment %d: equal %t", seg, bytes.Equal(was, is))
		}
	}
}

// Shares that were laid out otherwise cannot be changed in place, nor SDMF, nor another code.
func TestUpdateRefuses(t *testing.T) {
	t.Parallel()
	keys := testKeys(t)
	plain := pattern("refuse", 300000)
	cfg := ssk.EncoderConfig{Keys: keys, Format: ssk.MDMF, Seq: 1, K: 2, N: 3}
	shares, x := encode(t, cfg, plain)
	rows := leaves(t, x.Head(), shares)
	cfg.Length = uint64(len(plain))
	for name, change := range map[string]func(*ssk.EncoderConfig, *ssk.Old){
		"format":    func(c *ssk.EncoderConfig, _ *ssk.Old) { c.Format = ssk.SDMF },
		"k":         func(c *ssk.EncoderConfig, _ *ssk.Old) { c.K = 1 },
		"n":         func(c *ssk.EncoderConfig, _ *ssk.Old) { c.N = 4 },
		"few rows":  func(_ *ssk.EncoderConfig, o *ssk.Old) { o.Leaves = o.Leaves[:2] },
		"short row": func(_ *ssk.EncoderConfig, o *ssk.Old) { o.Leaves = [][]caps.Hash{rows[0], rows[1], rows[2][:1]} },
		"layout": func(_ *ssk.EncoderConfig, o *ssk.Old) {
			b := o.Head.Bytes()
			for _, at := range []int{99, 107, 115} { // data, block hash tree, end: eight bytes further on
				b[at+7] += 8
			}
			head, err := ssk.ParseHead(b)
			if err != nil {
				t.Fatal(err)
			}
			o.Head = head
		},
	} {
		c, old := cfg, ssk.Old{Head: x.Head(), Leaves: rows}
		change(&c, &old)
		c.Old = &old
		if _, err := ssk.NewEncoder(c); !errors.Is(err, ssk.ErrGeometry) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
