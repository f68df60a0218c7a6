package longdistance_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"
	"testing"
	"testing/synctest"

	"google.golang.org/protobuf/proto"

	"trunkline/billing"
	"trunkline/caps"
	"trunkline/grid/longdistance"
	"trunkline/grid/longdistance/pb"
	"trunkline/grid/ssk"
	"trunkline/p2p"
)

// Mutable files of both encodings, whole and in part: right bytes, and vouchers
// for exactly the blocks that came.
func TestReadVersion(t *testing.T) {
	t.Parallel()
	const seg = 128<<10 + 1 // 3 divides it
	files := []struct {
		name   string
		format ssk.Format
		size   int
		k, n   int
	}{
		{"sdmf", ssk.SDMF, 1000, 3, 10},
		{"sdmf_one_byte", ssk.SDMF, 1, 3, 10},
		{"sdmf_empty", ssk.SDMF, 0, 3, 10},
		{"sdmf_one_share", ssk.SDMF, 100, 1, 1},
		{"mdmf_one_segment", ssk.MDMF, 1000, 3, 10},
		{"mdmf_five_segments", ssk.MDMF, 4*seg + 1000, 3, 10},
		{"mdmf_empty", ssk.MDMF, 0, 3, 10},
		{"mdmf_all_shares", ssk.MDMF, seg + 7, 255, 255},
	}
	ranges := []struct{ offset, length uint64 }{
		{0, 1 << 63}, {0, 1}, {seg - 1, 2}, {3 * seg, math.MaxUint64}, {700, 100}, {10, 0}, {math.MaxUint64, math.MaxUint64}, {4*seg + 999, 5},
	}
	for _, file := range files {
		t.Run(file.name, func(t *testing.T) {
			t.Parallel()
			c := newChangeable(t, 1, file.format, 3, file.size, file.k, file.n)
			atLevels(t, func(t *testing.T, l level) {
				w := newWorld(t)
				y := l.payee(w, newShelf().putVersion(c))
				p := w.addPayer(nil)
				var due uint64
				for i, r := range ranges {
					want := wanted(c)
					want.Offset, want.Length = r.offset, r.length
					got, h, err := p.fetchVersion(t.Context(), c, want, y.offer())
					if err != nil {
						t.Fatalf("%+v: %v", r, err)
					}
					first, count := c.header.Cover(r.offset, r.length)
					from := min(int(c.header.SegmentOffset(first)), file.size)
					to := from
					if count > 0 {
						to = min(int(c.header.SegmentOffset(first+count)), file.size)
					}
					if !bytes.Equal(got, c.plaintext[from:to]) || h != c.header {
						t.Errorf("%+v: %d bytes came, want %d, or they differ", r, len(got), to-from)
					}
					due += c.padded(r.offset, r.length)
					if b, n := y.vouched(); b != due || n != uint64(i+1) {
						t.Errorf("%+v: vouchers for %d bytes and %d look-ups, want %d and %d", r, b, n, due, i+1)
					}
				}
				for _, e := range y.Exposure() {
					if e.Bytes != 0 {
						t.Errorf("%d bytes are unsigned", e.Bytes)
					}
				}
			})
		})
	}
}

// Several reads of one opened version, in any order, while the shares that they
// come from change.
func TestReadVersionAgain(t *testing.T) {
	t.Parallel()
	c := newChangeable(t, 1, ssk.MDMF, 1, 11*128<<10, 3, 10)
	atLevels(t, func(t *testing.T, l level) {
		w, shelf := newWorld(t), newShelf().putVersion(c)
		shelf.use = func(seg, i int) int { return (seg/2*3 + i*3 + seg%2) % 10 }
		y := l.payee(w, shelf)
		p := w.addPayer(nil)
		f, err := p.OpenMutable(t.Context(), longdistance.NewRoute(y.offer()), wanted(c))
		must(t, err)
		all := f.Header().Segments()
		for _, span := range [][2]int{{3, 2}, {0, all}, {all - 1, 1}, {0, 1}, {0, 0}, {2, 7}} {
			next := span[0]
			must(t, f.ReadBlocks(t.Context(), span[0], span[1], func(b longdistance.Blocks) error {
				plain, err := c.opened(f.Header(), b)
				must(t, err)
				at := int(c.header.SegmentOffset(next))
				if b.Index != next || !bytes.Equal(plain, c.plaintext[at:at+c.header.SegmentLen(next)]) {
					t.Errorf("segment %d came for %d, or wrong", b.Index, next)
				}
				next++
				return nil
			}))
			if next != span[0]+span[1] {
				t.Errorf("span %v ended at %d", span, next)
			}
		}
		must(t, f.Close())
		if err := f.ReadBlocks(t.Context(), 5, all, nil); !errors.Is(err, p2p.ErrMalformed) {
			t.Errorf("a read beyond the end: %v", err)
		}
	})
}

// What proves a file costs each hash once: with the same shares throughout, no
// more than the nodes of their trees and their chains.
func TestVersionProofs(t *testing.T) {
	t.Parallel()
	c := newChangeable(t, 1, ssk.MDMF, 1, 64*128<<10, 3, 10)
	w := newWorld(t)
	y := w.addPayee(newShelf().putVersion(c))
	var mu sync.Mutex
	proof := 0
	y.lie = func(_ int, f frame) []frame {
		mu.Lock()
		defer mu.Unlock()
		proof += int(f.m.GetBlocks().GetProof())
		return []frame{f}
	}
	got, _, err := w.addPayer(nil).fetchVersion(t.Context(), c, wanted(c), y.offer())
	must(t, err)
	if !bytes.Equal(got, c.plaintext) {
		t.Error("wrong bytes")
	}
	mu.Lock()
	defer mu.Unlock()
	segments := c.header.Segments()
	most := 3 * (segments*16 + 32*(1+4+2*caps.TreeWidth(segments)))
	if proof == 0 || proof > most {
		t.Errorf("%d bytes of proof for %d segments, at most %d were due", proof, segments, most)
	}
	t.Logf("%d bytes of proof for %d of blocks", proof, c.padded(0, math.MaxUint64))
}

// A payee that lies is left for another with nothing wrong out and nothing wrong
// paid for.
func TestVersionLies(t *testing.T) {
	t.Parallel()
	const count = 6
	c := newChangeable(t, 1, ssk.MDMF, 7, count*128<<10-5, 3, 10)
	old := newChangeable(t, 1, ssk.MDMF, 6, count*128<<10-5, 3, 10)
	stranger := newChangeable(t, 2, ssk.MDMF, 7, count*128<<10-5, 3, 10)
	sdmf := newChangeable(t, 1, ssk.SDMF, 7, 1000, 3, 10)
	change := func(f frame, edit func(m *pb.FromPayee)) []frame {
		m := proto.CloneOf(f.m)
		edit(m)
		return []frame{{m, f.data}}
	}
	third := func(f frame) bool { return f.m.GetBlocks() != nil && f.m.GetBlocks().GetIndex() == 2 }
	first := func(f frame) bool { return f.m.GetBlocks() != nil && f.m.GetBlocks().GetIndex() == 0 }
	begin := func(f frame) bool { return f.m.GetBegin() != nil }
	flip := func(at func(n int) int) func(f frame) []frame {
		return func(f frame) []frame {
			data := slices.Clone(f.data)
			data[at(len(data))] ^= 1
			return []frame{{f.m, data}}
		}
	}
	show := func(o *changeable) func(f frame) []frame {
		return func(f frame) []frame {
			return change(f, func(m *pb.FromPayee) {
				b := m.GetBegin()
				b.Version, b.PublicKey, b.Signature = o.header.Prefix(), o.publicKey, o.signature
			})
		}
	}
	tests := []struct {
		name string
		when func(f frame) bool
		lie  func(f frame) []frame
		kind p2p.ErrorKind
	}{
		{"junk_data", third, func(f frame) []frame { return []frame{{f.m, bytes.Repeat([]byte{7}, len(f.data))}} }, p2p.Integrity},
		{"root_of_a_share", first, flip(func(int) int { return 0 }), p2p.Integrity},
		{"chain_of_a_share", first, flip(func(int) int { return 40 }), p2p.Integrity},
		{"tree_of_a_share", first, flip(func(int) int { return 32 * 6 }), p2p.Integrity},
		{"last_byte", third, flip(func(n int) int { return n - 1 }), p2p.Integrity},
		{"salt", third, flip(func(n int) int { return n - c.header.EntryLen(0) }), p2p.Integrity},
		{"other_shares", third, func(f frame) []frame {
			return change(f, func(m *pb.FromPayee) { m.GetBlocks().Shares = []byte{0, 1, 3} })
		}, p2p.Malformed}, // another share needs other proofs
		{"other_shares_from_the_start", first, func(f frame) []frame {
			return change(f, func(m *pb.FromPayee) { m.GetBlocks().Shares = []byte{0, 1, 3} })
		}, p2p.Integrity},
		{"too_few_shares", third, func(f frame) []frame {
			return change(f, func(m *pb.FromPayee) { m.GetBlocks().Shares = []byte{0, 1} })
		}, p2p.Malformed},
		{"too_many_shares", third, func(f frame) []frame {
			return change(f, func(m *pb.FromPayee) { m.GetBlocks().Shares = []byte{0, 1, 2, 3} })
		}, p2p.Malformed},
		{"one_share_twice", third, func(f frame) []frame {
			return change(f, func(m *pb.FromPayee) { m.GetBlocks().Shares = []byte{0, 1, 1} })
		}, p2p.Malformed},
		{"no_such_share", third, func(f frame) []frame {
			return change(f, func(m *pb.FromPayee) { m.GetBlocks().Shares = []byte{0, 1, 10} })
		}, p2p.Malformed},
		{"in_another_order", third, func(f frame) []frame {
			return change(f, func(m *pb.FromPayee) { m.GetBlocks().Shares = []byte{1, 0, 2} })
		}, p2p.Malformed},
		{"skipped", third, func(frame) []frame { return nil }, p2p.Malformed},
		{"repeated", third, func(f frame) []frame { return []frame{f, f} }, p2p.Malformed},
		{"renumbered", third, func(f frame) []frame {
			return change(f, func(m *pb.FromPayee) { m.GetBlocks().Index = 3 })
		}, p2p.Malformed},
		{"longer", third, func(f frame) []frame {
			return change(f, func(m *pb.FromPayee) { m.GetBlocks().Length++ })
		}, p2p.Malformed},
		{"huge", third, func(f frame) []frame {
			return change(f, func(m *pb.FromPayee) { m.GetBlocks().Length = math.MaxUint32 })
		}, p2p.Malformed},
		{"more_proof", third, func(f frame) []frame {
			return change(f, func(m *pb.FromPayee) { m.GetBlocks().Proof = math.MaxUint32 })
		}, p2p.Malformed},
		{"as_an_immutable_segment", third, func(f frame) []frame {
			return []frame{{m: &pb.FromPayee{Message: &pb.FromPayee_Segment{Segment: &pb.Segment{Index: 2, Length: f.m.GetBlocks().GetLength()}}}, data: f.data}}
		}, p2p.Malformed},
		{"early_end", third, func(frame) []frame {
			return []frame{{m: &pb.FromPayee{Message: &pb.FromPayee_End{End: &pb.End{}}}}}
		}, p2p.Malformed},
		{"older_blocks", begin, show(old), p2p.Integrity}, // that version is signed, these are not its blocks
		{"a_strangers_file", begin, show(stranger), p2p.Integrity},
		{"the_other_encoding", begin, show(sdmf), p2p.Integrity},
		{"no_version", begin, func(f frame) []frame {
			return change(f, func(m *pb.FromPayee) { m.GetBegin().Version = nil })
		}, p2p.Integrity},
		{"more_than_a_version", begin, func(f frame) []frame {
			return change(f, func(m *pb.FromPayee) { m.GetBegin().Version = append(m.GetBegin().GetVersion(), 0) })
		}, p2p.Malformed},
		{"impossible_version", begin, func(f frame) []frame {
			return change(f, func(m *pb.FromPayee) { m.GetBegin().Version[41] = 0 })
		}, p2p.Integrity},
		{"another_sequence_number", begin, func(f frame) []frame {
			return change(f, func(m *pb.FromPayee) { m.GetBegin().Version[8]++ })
		}, p2p.Integrity},
		{"another_signature", begin, func(f frame) []frame {
			return change(f, func(m *pb.FromPayee) { m.GetBegin().Signature[0] ^= 1 })
		}, p2p.Integrity},
		{"another_key", begin, func(f frame) []frame {
			return change(f, func(m *pb.FromPayee) { m.GetBegin().PublicKey[100] ^= 1 })
		}, p2p.Integrity},
		{"giant_key", begin, func(f frame) []frame {
			return change(f, func(m *pb.FromPayee) { m.GetBegin().PublicKey = make([]byte, ssk.MaxPublicKey+1) })
		}, p2p.Malformed},
		{"announces_less", begin, func(f frame) []frame {
			return change(f, func(m *pb.FromPayee) { m.GetBegin().Count-- })
		}, p2p.Malformed},
		{"announces_elsewhere", begin, func(f frame) []frame {
			return change(f, func(m *pb.FromPayee) { m.GetBegin().First++ })
		}, p2p.Malformed},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for _, l := range levels {
				t.Run(l.name, func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) {
						w := newWorld(t)
						bad, good := l.payee(w, newShelf().putVersion(c), fast), w.addPayee(newShelf().putVersion(c))
						var mu sync.Mutex
						lied := false
						bad.lie = func(_ int, f frame) []frame {
							mu.Lock()
							defer mu.Unlock()
							if lied && tt.name == "early_end" {
								return nil
							}
							if lied || !tt.when(f) {
								return []frame{f}
							}
							lied = true
							return tt.lie(f)
						}
						p := w.addPayer(nil, func(_ *longdistance.PayerConfig, a *approvals) { a.window = 300 << 10 })
						got, h, err := p.fetchVersion(t.Context(), c, wanted(c), bad.offer(), good.offer())
						switch {
						case tt.name == "older_blocks": // what was begun, the older version, nobody has
							if err == nil || len(got) != 0 {
								t.Errorf("%d bytes came: %v", len(got), err)
							}
						case err != nil || !bytes.Equal(got, c.plaintext) || h != c.header:
							t.Errorf("wrong bytes came out, or none: %v", err)
						}
						p.mu.Lock()
						if len(p.switched) == 0 || p.switched[0].Payee != bad.config.Key || p2p.KindOf(p.switched[0].Err) != tt.kind {
							t.Errorf("blamed %v, want %v of the liar", p.switched, tt.kind)
						}
						p.mu.Unlock()
						bad.mu.Lock()
						bad.lie = nil
						bad.mu.Unlock()
						must(t, p.Close())
						a, _ := bad.vouched()
						b, _ := good.vouched()
						if tt.name != "older_blocks" && a+b != c.padded(0, math.MaxUint64) {
							t.Errorf("vouchers for %d + %d bytes of %d", a, b, c.padded(0, math.MaxUint64))
						}
					})
				})
			}
		})
	}
}

// Whatever happens to any byte of a stream that carries a small mutable file:
// only right bytes come out, and they do.
func TestEveryByteOfAVersion(t *testing.T) {
	t.Parallel()
	for _, format := range []ssk.Format{ssk.SDMF, ssk.MDMF} {
		c := newChangeable(t, 1, format, 1, 100, 2, 3)
		for _, l := range levels {
			for _, up := range []bool{true, false} {
				t.Run(fmt.Sprintf("%s/%s/up_%v", format, l.name, up), func(t *testing.T) {
					t.Parallel()
					step := int64(3)
					if testing.Short() {
						step = 41
					}
					for at := int64(0); !t.Failed(); at += step {
						reached := true
						synctest.Test(t, func(t *testing.T) { reached = everyByteOfAVersion(t, l, c, up, at) })
						if t.Failed() {
							t.Logf("at byte %d", at)
						}
						if !reached {
							return
						}
					}
				})
			}
		}
	}
}

func everyByteOfAVersion(t *testing.T, l level, c *changeable, up bool, at int64) (reached bool) {
	w := newWorld(t)
	w.inMemory = true
	bad, good := l.payee(w, newShelf().putVersion(c), fast), w.addPayee(newShelf().putVersion(c))
	only := func(n int) fault {
		if n == 0 {
			return fault{flipAt: at, flip: 0x04, cutAt: -1, stallAt: -1}
		}
		return noFault
	}
	if up {
		bad.up = only
	} else {
		bad.back = only
	}
	p := w.addPayer(nil, func(c *longdistance.PayerConfig, a *approvals) { c.MaxAhead, a.window = 128, 64 })
	got, h, err := p.fetchVersion(t.Context(), c, wanted(c), bad.offer(), good.offer())
	if err != nil || !bytes.Equal(got, c.plaintext) || h != c.header {
		t.Errorf("%d bytes came of %d, or wrong ones: %v", len(got), len(c.plaintext), err)
	}
	bad.mu.Lock()
	s := bad.streams[0]
	bad.mu.Unlock()
	half := s.out
	if up {
		half = s.in
	}
	half.mu.Lock()
	reached = half.passed > at
	half.mu.Unlock()
	_ = p.Close() // a payee that is cut off cannot be paid
	w.settled()
	a, _ := bad.vouched()
	b, _ := good.vouched()
	if a+b > 2*uint64(len(c.plaintext))+2 {
		t.Errorf("vouchers for %d + %d bytes of %d", a, b, len(c.plaintext))
	}
	return reached
}

// A version that was begun is gone on with at another payee if that has it, and
// never mixed with another.
func TestVersionFailover(t *testing.T) {
	t.Parallel()
	const count = 8
	size := count * 128 << 10
	newer := newChangeable(t, 1, ssk.MDMF, 2, size, 3, 10)
	c := newChangeable(t, 1, ssk.MDMF, 1, size, 3, 10)
	broken := fmt.Errorf("half of the servers burnt down: %w", p2p.ErrUnavailable)
	tests := []struct {
		name string
		next []*changeable // what the payees after the one that fails have
		want error
	}{
		{"same", []*changeable{c}, nil},
		{"newer_then_same", []*changeable{newer, c}, nil},
		{"newer_only", []*changeable{newer, newer}, longdistance.ErrChanged},
		{"nobody", nil, p2p.ErrUnavailable},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			atLevels(t, func(t *testing.T, l level) {
				w := newWorld(t)
				failing := newShelf().putVersion(c)
				failing.before = func(_ context.Context, seg int) error {
					if seg >= 3 {
						return broken
					}
					return nil
				}
				y := l.payee(w, failing)
				offers := []longdistance.Offer{y.offer()}
				for _, v := range tt.next {
					offers = append(offers, w.addPayee(newShelf().putVersion(v)).offer())
				}
				p := w.addPayer(nil)
				got, h, err := p.fetchVersion(t.Context(), c, wanted(c), offers...)
				if !errors.Is(err, tt.want) || h != c.header {
					t.Errorf("got %v, want %v", err, tt.want)
				}
				if !bytes.HasPrefix(c.plaintext, got) || err == nil && len(got) != size || len(got) < 3*128<<10 {
					t.Errorf("%d bytes came, or wrong ones", len(got))
				}
				must(t, p.Close())
				var sum, lookups uint64
				for _, y := range w.payees {
					b, n := y.vouched()
					sum, lookups = sum+b, lookups+n
				}
				if first, _ := c.header.Cover(uint64(len(got)), 1); sum != uint64(first)*uint64(c.header.PaddedLen(0)) && err != nil {
					t.Errorf("vouchers for %d bytes, %d came", sum, len(got))
				}
			})
		})
	}
}

// Who has seen a version is not served an older one, whoever has it; what is
// there is shown and paid for as a look-up.
func TestOlderVersion(t *testing.T) {
	t.Parallel()
	old, c := newChangeable(t, 1, ssk.SDMF, 4, 500, 3, 10), newChangeable(t, 1, ssk.SDMF, 5, 600, 3, 10)
	atLevels(t, func(t *testing.T, l level) {
		w := newWorld(t)
		stale, fresh := l.payee(w, newShelf().putVersion(old)), w.addPayee(newShelf().putVersion(c))
		p := w.addPayer(nil)
		r := wanted(c)
		r.Mutable.LeastSeq = 5
		got, h, err := p.fetchVersion(t.Context(), c, r, stale.offer(), fresh.offer())
		must(t, err)
		if !bytes.Equal(got, c.plaintext) || h != c.header {
			t.Error("wrong bytes")
		}
		if _, _, err = p.fetchVersion(t.Context(), c, r, stale.offer()); !errors.Is(err, p2p.ErrIntegrity) {
			t.Errorf("an older version alone: %v", err)
		}
		if b, _ := stale.vouched(); b != 0 {
			t.Errorf("%d bytes of an older version were paid for", b)
		}
		r.Mutable.LeastSeq = 4 // what else is of use is as it was
		got, h, err = p.fetchVersion(t.Context(), c, r, stale.offer())
		must(t, err)
		if !bytes.Equal(got, old.plaintext) || h != old.header {
			t.Error("the stream is not in order any more")
		}
	})
}

// What a request may cost is held against what the version turns out to be, on
// both sides.
func TestVersionTooDear(t *testing.T) {
	t.Parallel()
	c := newChangeable(t, 1, ssk.MDMF, 1, 8*128<<10, 3, 10)
	w := newWorld(t)
	y := w.addPayee(newShelf().putVersion(c))
	cost, err := w.tariff.Value.Cost(c.padded(0, math.MaxUint64), 1)
	must(t, err)
	p := w.addPayer(nil)
	r := wanted(c)
	for _, tt := range []struct {
		most billing.Credits
		want error
	}{{cost - 1, p2p.ErrRefused}, {cost, nil}} {
		r.MaxCredits = tt.most
		if _, _, err := p.fetchVersion(t.Context(), c, r, y.offer()); !errors.Is(err, tt.want) {
			t.Errorf("with a limit of %v: %v", tt.most, err)
		}
	}
	// What comes in two requests is held against the limit together.
	cost, err = w.tariff.Value.Cost(c.padded(0, math.MaxUint64), 2)
	must(t, err)
	for _, tt := range []struct {
		most billing.Credits
		want error
	}{{cost - 1, p2p.ErrRefused}, {cost, nil}} {
		r.MaxCredits, r.Length = tt.most, 1
		f, err := p.OpenMutable(t.Context(), longdistance.NewRoute(y.offer()), r)
		must(t, err)
		nothing := func(longdistance.Blocks) error { return nil }
		must(t, f.ReadBlocks(t.Context(), 0, 1, nothing))
		if err := f.ReadBlocks(t.Context(), 1, 7, nothing); !errors.Is(err, tt.want) {
			t.Errorf("in two requests with a limit of %v: %v", tt.most, err)
		}
		must(t, f.Close())
	}
	must(t, p.Close())
	cost, err = w.tariff.Value.Cost(c.padded(0, math.MaxUint64), 1)
	must(t, err)
	r.Length = math.MaxUint64
	// A payee that does not care is left before anything is signed.
	r.MaxCredits = 0
	careless := w.addPayee(newShelf().putVersion(c))
	careless.lie = func(_ int, f frame) []frame { return []frame{f} }
	stream := w.addPayer(nil, func(pc *longdistance.PayerConfig, _ *approvals) {
		dial := pc.Dial
		pc.Dial = func(ctx context.Context, to p2p.Peer) (longdistance.Stream, error) {
			s, err := dial(ctx, to)
			return &limitless{s}, err
		}
	})
	r.MaxCredits = cost - 1
	if _, _, err := stream.fetchVersion(t.Context(), c, r, careless.offer()); !errors.Is(err, p2p.ErrRefused) {
		t.Errorf("a payee that does not care: %v", err)
	}
	must(t, stream.Close())
	if b, _ := careless.vouched(); b != 0 {
		t.Errorf("vouchers for %d bytes", b)
	}
}

// limitless leaves the limit out of requests.
type limitless struct{ longdistance.Stream }

func (s *limitless) Send(m proto.Message) error {
	if r := m.(*pb.FromPayer).GetRequest(); r != nil {
		r.MaxCredits = 0
	}
	return s.Stream.Send(m)
}

// A segment that is too large to be sent is refused in words, by either side.
func TestVersionTooLarge(t *testing.T) {
	t.Parallel()
	c := newChangeable(t, 1, ssk.SDMF, 1, 17<<20, 1, 1)
	w := newWorld(t, tollFree)
	y := w.addPayee(newShelf().putVersion(c))
	p := w.addPayer(nil)
	_, _, err := p.fetchVersion(t.Context(), c, wanted(c), y.offer())
	if !errors.Is(err, p2p.ErrTooLarge) {
		t.Errorf("got %v", err)
	}
	must(t, p.Close())
}

// A source without mutable files says so.
func TestNoVersions(t *testing.T) {
	t.Parallel()
	c := newChangeable(t, 1, ssk.SDMF, 1, 10, 1, 1)
	w := newWorld(t)
	y := w.addPayee(sourceFunc(func(context.Context, longdistance.Request) (longdistance.File, error) {
		t.Error("an immutable file was opened")
		return nil, p2p.ErrNotFound
	}))
	q := w.addPayer(nil)
	if _, _, err := q.fetchVersion(t.Context(), c, wanted(c), y.offer()); !errors.Is(err, p2p.ErrUnsupported) {
		t.Errorf("got %v", err)
	}
	must(t, q.Close())
	none := w.addPayee(newShelf())
	p := w.addPayer(nil)
	if _, _, err := p.fetchVersion(t.Context(), c, wanted(c), none.offer()); !errors.Is(err, p2p.ErrNotFound) {
		t.Errorf("got %v", err)
	}
	must(t, p.Close())
	if b, n := none.vouched(); b != 0 || n != 1 {
		t.Errorf("looking cost %d bytes and %d look-ups", b, n)
	}
}

// A source that hands out nonsense is found out before it is sent.
func TestVersionSourceLies(t *testing.T) {
	t.Parallel()
	c := newChangeable(t, 1, ssk.MDMF, 1, 3*128<<10, 3, 10)
	for name, use := range map[string]func(seg, i int) int{
		"one_share_twice": func(_, _ int) int { return 4 },
	} {
		w, shelf := newWorld(t), newShelf().putVersion(c)
		shelf.use = use
		y := w.addPayee(shelf)
		p := w.addPayer(nil)
		if _, _, err := p.fetchVersion(t.Context(), c, wanted(c), y.offer()); p2p.KindOf(err) != p2p.Malformed && p2p.KindOf(err) != p2p.Internal {
			t.Errorf("%s: %v", name, err)
		}
		must(t, p.Close())
	}
}
