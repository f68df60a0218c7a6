package longdistance_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/libp2p/go-libp2p/core/crypto"

	"trunkline/billing"
	"trunkline/billing/sealed"
	"trunkline/caps"
	"trunkline/grid/account"
	"trunkline/grid/longdistance"
	"trunkline/grid/longdistance/pb"
	"trunkline/p2p"
)

// rogue is a payer that speaks the protocol by hand.
type rogue struct {
	*memStream
	w         *world
	key       crypto.PrivKey
	approvals *approvals
	payee     *payee
	channel   billing.ChannelID
	welcome   *pb.Welcome

	got  uint64 // bytes of segments
	next uint64 // their number
}

// rogue greets y as key, whose account is the given one.
func (w *world) rogue(y *payee, key crypto.PrivKey, account caps.PublicKey, window int64) *rogue {
	w.t.Helper()
	r := &rogue{w: w, key: key, payee: y, approvals: w.approvals(public(w.t, key))}
	r.approvals.account, r.approvals.window = account, window
	r.connect()
	return r
}

// connect opens a new stream and greets.
func (r *rogue) connect() {
	r.w.t.Helper()
	s, err := r.payee.stream(public(r.w.t, r.key))
	must(r.w.t, err)
	r.memStream = s
	a := r.approval()
	r.channel = a.Value.Channel
	must(r.w.t, r.Send(&pb.FromPayer{Message: &pb.FromPayer_Hello{Hello: &pb.Hello{Approval: a.Bytes}}}))
	m := r.receive()
	if r.welcome = m.GetWelcome(); r.welcome == nil {
		r.w.t.Fatalf("got %v instead of Welcome", m)
	}
}

func (r *rogue) approval() sealed.Sealed[billing.Approval] {
	a, err := r.approvals.Get(context.Background(), account.Need{Payee: r.payee.config.Key, Tariff: r.w.tariff})
	must(r.w.t, err)
	return a
}

func (r *rogue) receive() *pb.FromPayee {
	r.w.t.Helper()
	m := new(pb.FromPayee)
	if err := r.Receive(m, 8192); err != nil {
		return &pb.FromPayee{Message: &pb.FromPayee_End{End: &pb.End{Failure: p2p.Failure(err)}}}
	}
	if s := m.GetSegment(); s != nil {
		must(r.w.t, r.ReadData(make([]byte, s.GetLength())))
		r.got += uint64(s.GetLength())
		r.next = s.GetIndex() + 1
	}
	return m
}

func (r *rogue) ask(c *ciphertext, offset uint64) {
	r.w.t.Helper()
	must(r.w.t, r.Send(&pb.FromPayer{Message: &pb.FromPayer_Request{Request: &pb.Request{
		StorageIndex: c.verify.StorageIndex[:], UebHash: c.verify.UEBHash[:],
		K: uint32(c.verify.K), N: uint32(c.verify.N), Size: c.verify.Size, Offset: offset, Length: c.verify.Size - offset,
	}}}))
}

// voucher signs for a mark, on top of base.
func (r *rogue) voucher(key crypto.PrivKey, base, to billing.Mark, edit ...func(*billing.Voucher)) {
	r.w.t.Helper()
	cost, err := r.w.tariff.Value.Cost(to.Bytes, to.Lookups)
	must(r.w.t, err)
	v := billing.Voucher{Channel: r.channel, Bytes: to.Bytes, Lookups: to.Lookups, Credits: cost}
	for _, e := range edit {
		e(&v)
	}
	s, err := sealed.Seal(key, v)
	must(r.w.t, err)
	_ = r.Send(&pb.FromPayer{Message: &pb.FromPayer_Voucher{Voucher: &pb.Voucher{
		BaseBytes: base.Bytes, BaseLookups: base.Lookups, Envelope: s.Bytes,
	}}})
}

// until receives until want says so, or the End.
func (r *rogue) until(want func(*pb.FromPayee) bool) *pb.FromPayee {
	r.w.t.Helper()
	for {
		if m := r.receive(); m.GetEnd() != nil || want(m) {
			return m
		}
	}
}

func isEnd(*pb.FromPayee) bool { return false }

// fast makes a payee lose patience in virtual time only.
func fast(c *longdistance.PayeeConfig) { c.SignTimeout = 10 * time.Second }

// A payer account that never signs gets its window once, over all its keys,
// streams and attempts, and not a byte more.
func TestNeverSigns(t *testing.T) {
	t.Parallel()
	const window, segment = 20_000, 1000
	for _, l := range levels {
		for keys := 1; keys <= 3; keys++ {
			for streams := 1; streams <= 3; streams++ {
				t.Run(fmt.Sprintf("%s/%d_keys_%d_streams", l.name, keys, streams), func(t *testing.T) {
					t.Parallel()
					synctest.Test(t, func(t *testing.T) {
						w, c := newWorld(t), newCiphertext(t, 1, 100*segment, segment)
						y := l.payee(w, newShelf(c), fast)
						account := public(t, w.newKey())
						var mu sync.Mutex
						var total uint64
						for range 3 { // attempts
							var wg sync.WaitGroup
							for range keys {
								key := w.newKey()
								for range streams {
									r := w.rogue(y, key, account, window)
									wg.Go(func() {
										r.ask(c, 0)
										end := r.until(isEnd)
										if kind := p2p.KindOf(p2p.FromFailure(end.GetEnd().GetFailure())); kind != p2p.Unpaid {
											t.Errorf("the payee ended with %v", end)
										}
										r.Reset()
										mu.Lock()
										total += r.got
										mu.Unlock()
									})
								}
							}
							wg.Wait()
						}
						if total > window || total < window-segment {
							t.Errorf("%d bytes were served without a signature, with a window of %d", total, window)
						}
						if b, _ := y.vouched(); b != 0 {
							t.Errorf("vouchers for %d bytes from nowhere", b)
						}
						for _, e := range y.Exposure() {
							if e.Bytes > window {
								t.Errorf("exposure %d", e.Bytes)
							}
						}
					})
				})
			}
		}
	}
}

// A payer that signs for a part of what it gets is out by at most its window.
func TestUnderSigns(t *testing.T) {
	t.Parallel()
	const window, segment = 20_000, 1000
	for _, l := range levels {
		t.Run(l.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w, c := newWorld(t), newCiphertext(t, 1, 200*segment, segment)
				y := l.payee(w, newShelf(c), fast)
				key := w.newKey()
				r := w.rogue(y, key, public(t, key), window)
				r.ask(c, 0)
				signed := billing.Mark{Lookups: 1}
				var prior billing.Mark
				for {
					m := r.receive()
					if m.GetEnd() != nil {
						break
					}
					if m.GetSegment() != nil && m.GetSegment().GetIndex()%2 == 0 {
						signed.Bytes += segment // for every other one
						r.voucher(key, prior, signed)
						prior = signed
					}
				}
				b, _ := y.vouched()
				if r.got-b > window {
					t.Errorf("%d bytes served, %d signed for, with a window of %d", r.got, b, window)
				}
				if r.got < 2*window-2*segment {
					t.Errorf("only %d bytes were served", r.got)
				}
			})
		})
	}
}

// Vouchers that are not what they should be buy nothing.
func TestBadVouchers(t *testing.T) {
	t.Parallel()
	const window, segment = 20_000, 1000
	stranger := keyed(t, 9999)
	tests := []struct {
		name string
		send func(r *rogue)
		kind p2p.ErrorKind // 0: a stale answer
	}{
		{"other_signer", func(r *rogue) { r.voucher(stranger, billing.Mark{}, billing.Mark{Bytes: 5000, Lookups: 1}) }, p2p.Malformed},
		{"other_channel", func(r *rogue) {
			r.voucher(r.key, billing.Mark{}, billing.Mark{Bytes: 5000, Lookups: 1}, func(v *billing.Voucher) { v.Channel[0] ^= 1 })
		}, p2p.Malformed},
		{"too_cheap", func(r *rogue) {
			r.voucher(r.key, billing.Mark{}, billing.Mark{Bytes: 5000, Lookups: 1}, func(v *billing.Voucher) { v.Credits-- })
		}, p2p.Malformed},
		{"too_dear", func(r *rogue) {
			r.voucher(r.key, billing.Mark{}, billing.Mark{Bytes: 5000, Lookups: 1}, func(v *billing.Voucher) { v.Credits++ })
		}, p2p.Malformed},
		{"over_the_cap", func(r *rogue) { r.voucher(r.key, billing.Mark{}, billing.Mark{Bytes: 1 << 41, Lookups: 1}) }, p2p.Unpaid},
		{"replay", func(r *rogue) {
			r.voucher(r.key, billing.Mark{}, billing.Mark{Bytes: 5000, Lookups: 1})
			r.voucher(r.key, billing.Mark{}, billing.Mark{Bytes: 5000, Lookups: 1})
		}, 0},
		{"backwards", func(r *rogue) {
			r.voucher(r.key, billing.Mark{}, billing.Mark{Bytes: 5000, Lookups: 1})
			r.voucher(r.key, billing.Mark{Bytes: 5000, Lookups: 1}, billing.Mark{Bytes: 4000, Lookups: 1})
		}, p2p.Malformed},
		{"on_nothing", func(r *rogue) {
			r.voucher(r.key, billing.Mark{Bytes: 7, Lookups: 1}, billing.Mark{Bytes: 5000, Lookups: 1})
		}, p2p.Conflict},
		{"not_sealed", func(r *rogue) {
			_ = r.Send(&pb.FromPayer{Message: &pb.FromPayer_Voucher{Voucher: &pb.Voucher{Envelope: []byte("pay me")}}})
		}, p2p.Malformed},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			atLevels(t, func(t *testing.T, l level) {
				w, c := newWorld(t), newCiphertext(t, 1, 10*segment, segment)
				y := l.payee(w, newShelf(c))
				key := w.newKey()
				r := w.rogue(y, key, public(t, key), window)
				r.ask(c, 0)
				r.until(func(m *pb.FromPayee) bool { return r.next == 10 })
				if end := r.receive(); end.GetEnd() == nil || end.GetEnd().GetFailure() != nil {
					t.Fatalf("got %v", end)
				}
				tt.send(r)
				m := r.until(func(m *pb.FromPayee) bool { return len(m.GetAck().GetLatest()) > 0 })
				if tt.kind == 0 {
					latest, err := sealed.Open[billing.Voucher](m.GetAck().GetLatest())
					must(t, err)
					if latest.Value.Bytes != 5000 {
						t.Errorf("shown a voucher for %d bytes", latest.Value.Bytes)
					}
				} else if kind := p2p.KindOf(p2p.FromFailure(m.GetEnd().GetFailure())); kind != tt.kind {
					t.Errorf("ended with %v", m)
				}
				if b, _ := y.vouched(); b != 0 && b != 5000 {
					t.Errorf("vouchers for %d bytes", b)
				}
				for _, o := range y.log.All() {
					if o.Voucher.Signer != public(t, key) || o.Channel() != r.channel {
						t.Error("a foreign voucher was kept")
					}
				}
				r.Reset()
			})
		})
	}
}

// Approvals that are not good are refused at Hello, in kind.
func TestBadApprovals(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		edit func(w *world, a *billing.Approval) // nil: other bytes
		kind p2p.ErrorKind
	}{
		{"other_payer", func(w *world, a *billing.Approval) { a.Payer = public(w.t, keyed(w.t, 777)) }, p2p.Denied},
		{"other_payee", func(w *world, a *billing.Approval) { a.Payee = public(w.t, keyed(w.t, 777)) }, p2p.Denied},
		{"other_approver", func(w *world, a *billing.Approval) {
			w.approver = keyed(w.t, 778)
			a.Approver = public(w.t, w.approver)
		}, p2p.Denied},
		{"other_tariff", func(_ *world, a *billing.Approval) { a.Tariff[0] ^= 1 }, p2p.Conflict},
		{"over", func(w *world, a *billing.Approval) {
			a.IssuedAt, a.NotAfter, a.GraceUntil = start.Unix()-7200, start.Unix()-3600, start.Unix()-1
		}, p2p.Expired},
		{"not_yet", func(w *world, a *billing.Approval) {
			a.IssuedAt, a.NotAfter, a.GraceUntil = start.Unix()+3600, start.Unix()+7200, start.Unix()+7200
		}, p2p.Expired},
		{"junk", nil, p2p.Denied},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			atLevels(t, func(t *testing.T, l level) {
				w, c := newWorld(t), newCiphertext(t, 1, 1000, 96)
				y := l.payee(w, newShelf(c))
				key := w.newKey()
				r := &rogue{w: w, key: key, payee: y, approvals: w.approvals(public(t, key))}
				a := r.approval()
				envelope := []byte("let me in")
				if tt.edit != nil {
					v := a.Value
					tt.edit(w, &v)
					v.Channel = billing.NewChannelID(v.Approver, v.Payer, v.Payee, v.Tariff, v.Period)
					s, err := sealed.Seal(w.approver, v)
					must(t, err)
					envelope = s.Bytes
				}
				s, err := y.stream(public(t, key))
				must(t, err)
				r.memStream = s
				must(t, r.Send(&pb.FromPayer{Message: &pb.FromPayer_Hello{Hello: &pb.Hello{Approval: envelope}}}))
				m := r.receive()
				if kind := p2p.KindOf(p2p.FromFailure(m.GetEnd().GetFailure())); kind != tt.kind {
					t.Errorf("got %v, want %v", m, tt.kind)
				}
				// And without one nothing is served.
				r.ask(c, 0)
				m = r.receive()
				if kind := p2p.KindOf(p2p.FromFailure(m.GetEnd().GetFailure())); kind != p2p.Denied {
					t.Errorf("a request without an approval: %v", m)
				}
				r.Reset()
			})
		})
	}
}

// A payer process that dies and comes back goes on from its own last signature,
// as the payee shows it.
func TestPayerCrash(t *testing.T) {
	t.Parallel()
	atLevels(t, func(t *testing.T, l level) {
		w, c := newWorld(t), newCiphertext(t, 1, 100_000, 1000)
		y := l.payee(w, newShelf(c))
		key := w.newKey()
		var signed uint64
		for life := range 3 {
			p := w.addPayer(key)
			got, err := p.fetch(t.Context(), request(c), y.offer())
			must(t, err)
			if !bytes.Equal(got, c.data) {
				t.Error("wrong bytes")
			}
			signed += 100_000
			if b, _ := y.vouched(); b < signed || b > signed+uint64(life)*100_000 {
				t.Errorf("life %d: vouchers for %d bytes, want %d and what the lives before signed at the end", life, b, signed)
			}
			signed, _ = y.vouched()
			// And now one that it does not live to the end of.
			f, err := p.Open(t.Context(), longdistance.NewRoute(y.offer()), request(c))
			must(t, err)
			err = f.Read(t.Context(), 0, 100, func(s segment) error {
				if s.Index == 50 {
					p.die(y)
				}
				return nil
			})
			_ = err // the stream may have brought everything before
			_ = f.Close()
		}
		b, _ := y.vouched()
		if b < signed || b > signed+100_000 {
			t.Errorf("vouchers for %d bytes", b)
		}
		for _, e := range y.Exposure() {
			if e.Bytes > wideWindow {
				t.Errorf("exposure %d", e.Bytes)
			}
		}
	})
}

// A payee that crashes and starts again from its log is paid for all that it
// delivered, and no more.
func TestPayeeCrash(t *testing.T) {
	t.Parallel()
	atLevels(t, func(t *testing.T, l level) {
		w, c := newWorld(t), newCiphertext(t, 1, 100_000, 1000)
		y := l.payee(w, newShelf(c))
		p := w.addPayer(nil, func(c *longdistance.PayerConfig, a *approvals) { a.window = 20_000 })
		f, err := p.Open(t.Context(), longdistance.NewRoute(y.offer()), request(c))
		must(t, err)
		var got []byte
		must(t, f.Read(t.Context(), 0, 100, func(s segment) error {
			got = append(got, s.Data...)
			if s.Index%10 == 7 {
				y.crash()
				y.start()
			}
			return nil
		}))
		must(t, f.Close())
		must(t, p.Close())
		if !bytes.Equal(got, c.data) {
			t.Error("wrong bytes")
		}
		// Whatever was on its way when the payee died was verified by nobody.
		if b, _ := y.vouched(); b != uint64(len(c.data)) {
			t.Errorf("vouchers for %d bytes, %d were delivered", b, len(c.data))
		}
		if len(p.switched) == 0 {
			t.Error("nothing failed")
		}
	})
}

// The cap is reached in the middle of a file: with an approver that raises it
// the reader sees nothing of it, without one it gets a sentence with numbers.
func TestCap(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name      string
		cap, most uint64
		want      int // bytes
	}{
		{"raised", 30_000, 0, 100_000},
		{"reached", 30_000, 30_000, 30_000},
		{"reached_between_segments", 30_500, 30_500, 30_000},
		{"raised_to_a_limit", 10_000, 55_000, 55_000},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			atLevels(t, func(t *testing.T, l level) {
				w, c := newWorld(t), newCiphertext(t, 1, 100_000, 1000)
				y := l.payee(w, newShelf(c))
				p := w.addPayer(nil, func(c *longdistance.PayerConfig, a *approvals) { a.cap, a.most, a.window = tt.cap, tt.most, 8000 })
				got, err := p.fetch(t.Context(), request(c), y.offer())
				if !bytes.Equal(got, c.data[:tt.want]) {
					t.Errorf("%d bytes came, want %d", len(got), tt.want)
				}
				if tt.want == len(c.data) {
					must(t, err)
				} else if !errors.Is(err, p2p.ErrUnpaid) || !strings.Contains(err.Error(), fmt.Sprint(tt.most)) {
					t.Errorf("got %v", err)
				}
				must(t, p.Close())
				if b, _ := y.vouched(); b != uint64(tt.want) {
					t.Errorf("vouchers for %d bytes", b)
				}
			})
		})
	}
}

// With the approver away, an approval serves to its end, then through its grace
// up to the grace cap, and not beyond.
func TestGrace(t *testing.T) {
	t.Parallel()
	away := fmt.Errorf("%w", account.ErrAway)
	atLevels(t, func(t *testing.T, l level) {
		w, c := newWorld(t), newCiphertext(t, 1, 10_000, 1000)
		y := l.payee(w, newShelf(c))
		p := w.addPayer(nil, func(c *longdistance.PayerConfig, a *approvals) { a.graceBy, a.cap = 15_000, 1<<30 })
		fetch := func(length uint64) error {
			r := request(c)
			r.Length = length
			_, err := p.fetch(t.Context(), r, y.offer())
			return err
		}
		must(t, fetch(10_000))
		p.approvals.mu.Lock()
		p.approvals.refuse = away
		p.approvals.mu.Unlock()

		w.clock.Turn(59 * time.Minute) // within its hour
		must(t, fetch(10_000))
		w.clock.Turn(2 * time.Minute) // in grace: account.Approvals gives out what is at hand
		p.approvals.keep()
		must(t, fetch(10_000))
		must(t, fetch(5_000))
		if err := fetch(1_000); !errors.Is(err, p2p.ErrUnpaid) && !errors.Is(err, p2p.ErrUnavailable) {
			t.Errorf("beyond the grace cap: %v", err)
		}
		w.clock.Turn(3 * time.Hour) // after grace
		if err := fetch(1_000); !errors.Is(err, p2p.ErrExpired) && !errors.Is(err, p2p.ErrUnavailable) {
			t.Errorf("after grace: %v", err)
		}
		if b, _ := y.vouched(); b != 35_000 {
			t.Errorf("vouchers for %d bytes", b)
		}
	})
}

// keep makes the approvals hand out what they have, as in grace.
func (a *approvals) keep() {
	a.mu.Lock()
	defer a.mu.Unlock()
	for id, s := range a.granted {
		v := s.Value
		v.NotAfter = v.GraceUntil // for Get's own comparison only: the envelope stays
		a.granted[id] = sealed.Sealed[billing.Approval]{Value: v, Signer: s.Signer, Bytes: s.Bytes}
	}
}

// What the approver refuses is refused before the first byte, in its words.
func TestApproverRefuses(t *testing.T) {
	t.Parallel()
	atLevels(t, func(t *testing.T, l level) {
		w, c := newWorld(t), newCiphertext(t, 1, 10_000, 1000)
		y := l.payee(w, newShelf(c))
		p := w.addPayer(nil, func(c *longdistance.PayerConfig, a *approvals) {
			a.refuse = fmt.Errorf("credit line of 5, 4 used, resets tomorrow: %w", account.ErrCredit)
		})
		got, err := p.fetch(t.Context(), request(c), y.offer())
		if !errors.Is(err, p2p.ErrUnpaid) || !strings.Contains(err.Error(), "4 used") || len(got) > 0 {
			t.Errorf("%d bytes, %v", len(got), err)
		}
	})
}

// brokenLog is a disk that is full from the second voucher on.
type brokenLog struct {
	memVouchers
	appended int
}

func (b *brokenLog) Append(o longdistance.Owed) error {
	if b.appended++; b.appended > 1 {
		return errors.New("no space left on device")
	}
	return b.memVouchers.Append(o)
}

// A voucher that cannot be kept buys nothing: the payee serves no more than it
// would have without it, and says that it is its own fault.
func TestVoucherNotKept(t *testing.T) {
	t.Parallel()
	const window, segment = 8_000, 1000
	atLevels(t, func(t *testing.T, l level) {
		w, c := newWorld(t), newCiphertext(t, 1, 100*segment, segment)
		log := &brokenLog{memVouchers: memVouchers{latest: make(map[billing.ChannelID]longdistance.Owed)}}
		y := l.payee(w, newShelf(c))
		y.restart(func(c *longdistance.PayeeConfig) { c.Vouchers = log })
		p := w.addPayer(nil, func(_ *longdistance.PayerConfig, a *approvals) { a.window = window })
		got, err := p.fetch(t.Context(), request(c), y.offer())
		if !errors.Is(err, p2p.ErrInternal) {
			t.Errorf("got %v", err)
		}
		kept := log.All()[0].Voucher.Value.Bytes
		if uint64(len(got)) > kept+window || !bytes.Equal(got, c.data[:len(got)]) {
			t.Errorf("%d bytes were served with a voucher for %d on disk", len(got), kept)
		}
	})
}

// slowLog keeps nothing until it is let.
type slowLog struct {
	memVouchers
	let chan struct{}
}

func (s *slowLog) Append(o longdistance.Owed) error {
	<-s.let
	return s.memVouchers.Append(o)
}

// A voucher widens the window when it is on disk, and not before.
func TestNotBeforeOnDisk(t *testing.T) {
	t.Parallel()
	const window, segment = 8_000, 1000
	for _, l := range levels {
		t.Run(l.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w, c := newWorld(t), newCiphertext(t, 1, 100*segment, segment)
				log := &slowLog{memVouchers: memVouchers{latest: make(map[billing.ChannelID]longdistance.Owed)}, let: make(chan struct{})}
				y := l.payee(w, newShelf(c), fast)
				y.restart(func(c *longdistance.PayeeConfig) { c.Vouchers = log })
				key := w.newKey()
				r := w.rogue(y, key, public(t, key), window)
				r.ask(c, 0)
				var got atomic.Uint64
				done := make(chan struct{})
				go func() {
					defer close(done)
					r.until(func(*pb.FromPayee) bool { got.Store(r.got); return false })
				}()
				synctest.Wait()
				if n := got.Load(); n != window {
					t.Errorf("%d bytes came before a voucher", n)
				}
				r.voucher(key, billing.Mark{}, billing.Mark{Bytes: 4 * segment, Lookups: 1})
				synctest.Wait()
				if n := got.Load(); n != window {
					t.Errorf("%d bytes came before the voucher was on disk", n)
				}
				close(log.let)
				synctest.Wait()
				if n := got.Load(); n != window+4*segment {
					t.Errorf("%d bytes came after it", n)
				}
				r.Reset()
				<-done
			})
		})
	}
}

// When streams that died have eaten an account's window, it can go on by paying
// ahead.
func TestGhosts(t *testing.T) {
	t.Parallel()
	const window, segment = 8_000, 1000
	for _, l := range levels {
		t.Run(l.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w, c := newWorld(t), newCiphertext(t, 1, 50*segment, segment)
				y := l.payee(w, newShelf(c), fast)
				key := w.newKey()
				r := w.rogue(y, key, public(t, key), window)
				r.ask(c, 0)
				r.until(func(*pb.FromPayee) bool { return r.got == window })
				r.Reset()
				p := w.addPayer(key, func(_ *longdistance.PayerConfig, a *approvals) { a.window = window })
				got, err := p.fetch(t.Context(), request(c), y.offer())
				must(t, err)
				if !bytes.Equal(got, c.data) {
					t.Error("wrong bytes")
				}
				must(t, p.Close())
				for _, e := range y.Exposure() {
					if e.Bytes != window {
						t.Errorf("exposure %d", e.Bytes)
					}
				}
				if b, _ := y.vouched(); b != uint64(len(c.data)) {
					t.Errorf("vouchers for %d bytes", b)
				}
			})
		})
	}
}
