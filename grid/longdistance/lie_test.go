package longdistance_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/proto"

	"trunkline/billing"
	"trunkline/billing/sealed"
	"trunkline/grid/longdistance"
	"trunkline/grid/longdistance/pb"
	"trunkline/grid/transfer"
	"trunkline/p2p"
)

// transcript returns how many bytes each direction of the first stream of a
// three-segment transfer has.
func transcript(t *testing.T, l level, c *ciphertext) (up, down int64) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		y := l.payee(w, newShelf(c))
		p := w.addPayer(nil, tinyWindow)
		_, err := p.fetch(t.Context(), request(c), y.offer())
		must(t, err)
		y.mu.Lock()
		s := y.streams[0]
		y.mu.Unlock()
		up, down = s.in.passed, s.out.passed
	})
	return up, down
}

// tinyWindow makes vouchers go back and forth with every segment.
// Nothing to speak of is signed ahead, whatever a payee says.
func tinyWindow(c *longdistance.PayerConfig, a *approvals) { c.MaxAhead, a.window = 1, 64 }

// Whatever happens to any byte of a stream, in either direction: only right
// bytes come out, in order; the transfer completes at another payee; and no byte
// is signed for twice, nor one that was not verified.
func TestEveryByte(t *testing.T) {
	t.Parallel()
	modes := []struct {
		name string
		at   func(i int64) fault
	}{
		{"flip_low", func(i int64) fault { return fault{flipAt: i, flip: 0x01, cutAt: -1, stallAt: -1} }},
		{"flip_high", func(i int64) fault { return fault{flipAt: i, flip: 0x80, cutAt: -1, stallAt: -1} }},
		{"cut", func(i int64) fault { return fault{flipAt: -1, cutAt: i, stallAt: -1} }},
		{"stall", func(i int64) fault { return fault{flipAt: -1, cutAt: -1, stallAt: i} }},
	}
	c := newCiphertext(t, 1, 150, 56)
	for _, l := range levels {
		up, down := transcript(t, l, c)
		for _, mode := range modes {
			for _, direction := range []string{"up", "down"} {
				n := down
				if direction == "up" {
					n = up
				}
				t.Run(l.name+"/"+mode.name+"/"+direction, func(t *testing.T) {
					t.Parallel()
					step := int64(1)
					if testing.Short() {
						step = 37
					}
					for at := int64(0); at < n && !t.Failed(); at += step {
						synctest.Test(t, func(t *testing.T) {
							everyByte(t, l, c, direction == "up", mode.at(at))
						})
						if t.Failed() {
							t.Logf("at byte %d of %d", at, n)
						}
					}
				})
			}
		}
	}
}

func everyByte(t *testing.T, l level, c *ciphertext, up bool, f fault) {
	w := newWorld(t)
	w.inMemory = true
	bad, good := l.payee(w, newShelf(c), fast), w.addPayee(newShelf(c))
	only := func(n int) fault {
		if n == 0 {
			return f
		}
		return noFault
	}
	if up {
		bad.up = only
	} else {
		bad.back = only
	}
	p := w.addPayer(nil, tinyWindow)
	got, err := p.fetch(t.Context(), request(c), bad.offer(), good.offer())
	if err != nil {
		t.Errorf("the transfer did not complete: %v", err)
	}
	if !bytes.Equal(got, c.data) {
		t.Errorf("%d bytes came of %d, or wrong ones", len(got), len(c.data))
	}
	_ = p.Close() // a payee that is cut off cannot be paid
	w.settled()
	first, _ := bad.vouched()
	second, _ := good.vouched()
	if first+second > uint64(len(c.data))+2 {
		t.Errorf("vouchers for %d + %d bytes of %d", first, second, len(c.data))
	}
	for _, y := range []*payee{bad, good} {
		for _, e := range y.Exposure() {
			if e.Bytes > 64 {
				t.Errorf("exposure %d", e.Bytes)
			}
		}
	}
}

// settled waits until payees have dealt with what was sent to them.
func (w *world) settled() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, y := range w.payees {
		y.mu.Lock()
		for _, s := range y.streams {
			s.Reset()
		}
		y.mu.Unlock()
	}
	w.serving.Wait()
}

// onlyChannel is the channel between the world's first payer and the payee that
// it has a stream to.
func (w *world) onlyChannel() billing.ChannelID {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, y := range w.payees {
		y.mu.Lock()
		defer y.mu.Unlock()
		if len(y.streams) > 0 {
			return billing.NewChannelID(public(w.t, w.approver), y.streams[0].remote, y.config.Key, billing.HashTariff(w.tariff), 1)
		}
	}
	return billing.ChannelID{}
}

// A payee that lies in one message, or in the order of them, is left for
// another with nothing lost and nothing wrong paid for.
func TestLies(t *testing.T) {
	t.Parallel()
	const segment, count = 96, 6
	other := newCiphertext(t, 2, segment*count, segment)
	// change edits a clone of a message.
	change := func(f frame, edit func(m *pb.FromPayee)) []frame {
		m := proto.CloneOf(f.m)
		edit(m)
		return []frame{{m, f.data}}
	}
	var held []frame // for lies that reorder; each case starts with none
	var mu sync.Mutex
	third := func(f frame) bool { return f.m.GetSegment() != nil && f.m.GetSegment().GetIndex() == 2 }
	begin := func(f frame) bool { return f.m.GetBegin() != nil }
	welcome := func(f frame) bool { return f.m.GetWelcome() != nil }
	end := func(f frame) bool { return f.m.GetEnd() != nil }
	ack := func(f frame) bool { return f.m.GetAck() != nil }
	tests := []struct {
		name string
		when func(f frame) bool
		lie  func(w *world, f frame) []frame
		kind p2p.ErrorKind
	}{
		{"junk_data", third, func(_ *world, f frame) []frame {
			return []frame{{f.m, bytes.Repeat([]byte{7}, len(f.data))}}
		}, p2p.Integrity},
		{"other_files_segment", third, func(_ *world, f frame) []frame {
			return []frame{{f.m, other.segment(2)}}
		}, p2p.Integrity},
		{"other_segment_of_the_file", third, func(_ *world, f frame) []frame {
			return []frame{{f.m, newCiphertext(t, 1, segment*count, segment).segment(3)}}
		}, p2p.Integrity},
		{"no_proof", third, func(_ *world, f frame) []frame {
			return change(f, func(m *pb.FromPayee) { m.GetSegment().Chain = nil })
		}, p2p.Malformed},
		{"wrong_proof", third, func(_ *world, f frame) []frame {
			return change(f, func(m *pb.FromPayee) { m.GetSegment().Chain[0] ^= 1 })
		}, p2p.Integrity},
		{"giant_proof", third, func(_ *world, f frame) []frame {
			return change(f, func(m *pb.FromPayee) { m.GetSegment().Chain = make([]byte, 4096) })
		}, p2p.Malformed},
		{"proof_beyond_a_message", third, func(_ *world, f frame) []frame {
			return change(f, func(m *pb.FromPayee) { m.GetSegment().Chain = make([]byte, 9000) })
		}, p2p.TooLarge},
		{"skipped", third, func(*world, frame) []frame { return nil }, p2p.Malformed},
		{"repeated", third, func(_ *world, f frame) []frame { return []frame{f, f} }, p2p.Malformed},
		{"renumbered", third, func(_ *world, f frame) []frame {
			return change(f, func(m *pb.FromPayee) { m.GetSegment().Index = 3 })
		}, p2p.Malformed},
		{"too_long", third, func(_ *world, f frame) []frame {
			m := proto.CloneOf(f.m)
			m.GetSegment().Length++
			return []frame{{m, append(slices.Clone(f.data), 0)}}
		}, p2p.Malformed},
		{"huge_length", third, func(_ *world, f frame) []frame {
			return change(f, func(m *pb.FromPayee) { m.GetSegment().Length = 1<<32 - 1 })
		}, p2p.Malformed},
		{"early_end", third, func(*world, frame) []frame {
			return []frame{{m: &pb.FromPayee{Message: &pb.FromPayee_End{End: &pb.End{}}}}}
		}, p2p.Malformed},
		{"empty_message", third, func(*world, frame) []frame { return []frame{{m: &pb.FromPayee{}}} }, p2p.Malformed},
		{"ack_of_nothing", begin, func(_ *world, f frame) []frame {
			return []frame{{m: &pb.FromPayee{Message: &pb.FromPayee_Ack{Ack: &pb.Ack{}}}}, f}
		}, p2p.Malformed},
		{"one_segment_too_many", end, func(_ *world, f frame) []frame {
			return []frame{{&pb.FromPayee{Message: &pb.FromPayee_Segment{Segment: &pb.Segment{Index: count, Length: segment}}}, make([]byte, segment)}, f}
		}, p2p.Malformed},
		{"other_files_ueb", begin, func(_ *world, f frame) []frame {
			return change(f, func(m *pb.FromPayee) { m.GetBegin().Ueb = other.ueb.Raw })
		}, p2p.Integrity},
		{"no_ueb", begin, func(_ *world, f frame) []frame {
			return change(f, func(m *pb.FromPayee) { m.GetBegin().Ueb = nil })
		}, p2p.Integrity},
		{"announces_less", begin, func(_ *world, f frame) []frame {
			return change(f, func(m *pb.FromPayee) { m.GetBegin().Count-- })
		}, p2p.Malformed},
		{"announces_elsewhere", begin, func(_ *world, f frame) []frame {
			return change(f, func(m *pb.FromPayee) { m.GetBegin().First++ })
		}, p2p.Malformed},
		{"begins_twice", begin, func(_ *world, f frame) []frame { return []frame{f, f} }, p2p.Malformed},
		{"shows_a_strangers_voucher", welcome, func(w *world, f frame) []frame {
			// All is right about it but the signature.
			cost, err := w.tariff.Value.Cost(1<<20, 0)
			must(t, err)
			v, err := sealed.Seal(keyed(t, 4242), billing.Voucher{Channel: w.onlyChannel(), Bytes: 1 << 20, Credits: cost})
			must(t, err)
			return change(f, func(m *pb.FromPayee) { m.GetWelcome().Voucher = v.Bytes })
		}, p2p.Integrity},
		{"claims_a_conflict_with_junk", ack, func(_ *world, f frame) []frame {
			return change(f, func(m *pb.FromPayee) { m.GetAck().Latest = []byte("you owe me") })
		}, p2p.Integrity},
		{"wants_it_all_ahead", third, func(_ *world, f frame) []frame {
			return []frame{{m: &pb.FromPayee{Message: &pb.FromPayee_Due{Due: &pb.Due{Window: -1 << 63}}}}, f}
		}, p2p.Refused},
		{"swaps_two", func(f frame) bool {
			return f.m.GetSegment() != nil && (f.m.GetSegment().GetIndex() == 2 || f.m.GetSegment().GetIndex() == 3)
		}, func(_ *world, f frame) []frame {
			mu.Lock()
			defer mu.Unlock()
			switch held = append(held, f); len(held) {
			case 1:
				return nil
			case 2:
				return []frame{held[1], held[0]}
			}
			return []frame{f}
		}, p2p.Malformed},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for _, l := range levels {
				t.Run(l.name, func(t *testing.T) {
					held = nil
					synctest.Test(t, func(t *testing.T) {
						w, c := newWorld(t), newCiphertext(t, 1, segment*count, segment)
						bad, good := l.payee(w, newShelf(c), fast), w.addPayee(newShelf(c))
						lied := false
						bad.lie = func(_ int, f frame) []frame {
							mu.Lock()
							again := lied && tt.name != "swaps_two"
							mu.Unlock()
							if again && tt.name == "early_end" {
								return nil // it has no more to say
							}
							if again || !tt.when(f) {
								return []frame{f}
							}
							mu.Lock()
							lied = true
							mu.Unlock()
							return tt.lie(w, f)
						}
						p := w.addPayer(nil, func(_ *longdistance.PayerConfig, a *approvals) { a.window = 2 * segment })
						got, err := p.fetch(t.Context(), request(c), bad.offer(), good.offer())
						must(t, err)
						if !bytes.Equal(got, c.data) {
							t.Error("wrong bytes came out")
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
						first, _ := bad.vouched()
						second, _ := good.vouched()
						if first+second != uint64(len(c.data)) {
							t.Errorf("vouchers for %d + %d bytes of %d", first, second, len(c.data))
						}
					})
				})
			}
		})
	}
}

// Payees that die, stall or fail in the middle are replaced there: by the next
// one, with the first segment that is missing; and each distinct byte is paid
// for once, to whom it came from.
func TestFailover(t *testing.T) {
	t.Parallel()
	const segment, count = 1000, 60
	broken := errors.New("half of the servers burnt down")
	tests := []struct {
		name string
		fail func(ctx context.Context, y *payee, seg int) error
		kind p2p.ErrorKind
	}{
		{"source_fails", func(context.Context, *payee, int) error { return fmt.Errorf("%w: %w", broken, p2p.ErrUnavailable) }, p2p.Unavailable},
		{"stalls", func(ctx context.Context, _ *payee, _ int) error { <-ctx.Done(); return ctx.Err() }, p2p.Unavailable},
		{"streams_reset", func(_ context.Context, y *payee, _ int) error {
			y.mu.Lock()
			defer y.mu.Unlock()
			y.down = true
			for _, s := range y.streams {
				s.Reset()
			}
			return broken
		}, p2p.Unavailable},
	}
	for _, l := range levels {
		for _, tt := range tests {
			t.Run(l.name+"/"+tt.name, func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					w, c := newWorld(t), newCiphertext(t, 1, segment*count, segment)
					var payees []*payee
					var offers []longdistance.Offer
					for i := range 3 {
						shelf := newShelf(c)
						y := l.payee(w, shelf)
						if i < 2 {
							shelf.before = func(ctx context.Context, seg int) error {
								if seg >= 20*(i+1) {
									return tt.fail(ctx, y, seg)
								}
								return nil
							}
						}
						payees, offers = append(payees, y), append(offers, y.offer())
					}
					p := w.addPayer(nil, func(_ *longdistance.PayerConfig, a *approvals) { a.window = 8 * segment })
					got, err := p.fetch(t.Context(), request(c), offers...)
					must(t, err)
					if !bytes.Equal(got, c.data) {
						t.Error("wrong bytes")
					}
					for _, y := range payees {
						y.mu.Lock()
						y.down = false
						y.mu.Unlock()
					}
					must(t, p.Close())
					var sum uint64
					for _, y := range payees {
						b, _ := y.vouched()
						sum += b
					}
					if sum != uint64(len(c.data)) {
						t.Errorf("vouchers for %d bytes in all, %d were delivered", sum, len(c.data))
					}
					p.mu.Lock()
					defer p.mu.Unlock()
					for i, y := range payees[:2] {
						if !slices.ContainsFunc(p.switched, func(a longdistance.Attempt) bool { return a.Payee == y.config.Key }) {
							t.Errorf("payee %d is not named among those that failed", i)
						}
					}
				})
			})
		}
	}
}

// With nobody left the error says who was asked and what each said; the most
// telling decides its kind, and the bytes that came are a true prefix.
func TestNobodyLeft(t *testing.T) {
	t.Parallel()
	atLevels(t, func(t *testing.T, l level) {
		w, c := newWorld(t), newCiphertext(t, 1, 1000, 100)
		half := newShelf(c)
		half.before = func(_ context.Context, seg int) error {
			if seg == 5 {
				return p2p.ErrUnavailable
			}
			return nil
		}
		a, b := l.payee(w, half), l.payee(w, newShelf())
		gone := longdistance.Offer{Peer: p2p.Peer{Key: public(t, keyed(t, 31337))}, Area: w.area, Tariff: w.tariff}
		p := w.addPayer(nil)
		got, err := p.fetch(t.Context(), request(c), gone, a.offer(), b.offer())
		var failed *longdistance.FailedError
		if !errors.As(err, &failed) || !errors.Is(err, p2p.ErrNotFound) || errors.Is(err, p2p.ErrUnavailable) {
			t.Fatalf("got %v", err)
		}
		if failed.Segment != 5 || !bytes.Equal(got, c.data[:500]) {
			t.Errorf("ended at segment %d with %d bytes", failed.Segment, len(got))
		}
		if n := len(failed.Attempts); n != 4 { // gone; half, twice since it had worked; empty
			t.Errorf("%d attempts: %v", n, err)
		}
	})
}

// A reader that takes its time is not a payee that stalls: the stream may die,
// the read does not.
func TestSlowReader(t *testing.T) {
	t.Parallel()
	for _, l := range levels {
		t.Run(l.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w, c := newWorld(t), newCiphertext(t, 1, 2*mib, 16<<10)
				y := l.payee(w, newShelf(c))
				p := w.addPayer(nil, func(c *longdistance.PayerConfig, _ *approvals) { c.ReadAhead = 64 << 10 })
				f, err := p.Open(t.Context(), longdistance.NewRoute(y.offer()), request(c))
				must(t, err)
				var got []byte
				must(t, f.Read(t.Context(), 0, c.geometry().Segments, func(s transfer.Segment) error {
					if s.Index%50 == 3 {
						time.Sleep(time.Hour) // virtual
					}
					got = append(got, s.Data...)
					return nil
				}))
				must(t, f.Close())
				must(t, p.Close())
				if !bytes.Equal(got, c.data) {
					t.Error("wrong bytes")
				}
				if b, _ := y.vouched(); b != uint64(len(c.data)) {
					t.Errorf("vouchers for %d bytes", b)
				}
			})
		})
	}
}

// A silent stream costs a payee a bounded time, in every state.
func TestSilentPayer(t *testing.T) {
	t.Parallel()
	for _, l := range levels {
		t.Run(l.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w, c := newWorld(t), newCiphertext(t, 1, 4*mib, 16<<10)
				y := l.payee(w, newShelf(c))
				key := w.newKey()
				begun := time.Now()
				s, err := y.stream(public(t, key)) // never says a word
				must(t, err)
				greeted := w.rogue(y, key, public(t, key), wideWindow)
				asked := w.rogue(y, key, public(t, key), wideWindow)
				asked.ask(c, 0) // and does not read the answer
				w.serving.Wait()
				if took := time.Since(begun); took > 10*time.Minute {
					t.Errorf("held for %v", took)
				}
				for _, s := range []*memStream{s, greeted.memStream, asked.memStream} {
					s.Reset()
				}
			})
		})
	}
}
