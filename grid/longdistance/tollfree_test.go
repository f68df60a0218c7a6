package longdistance_test

import (
	"bytes"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"trunkline/grid/longdistance"
	"trunkline/p2p"
)

// stranger has no approvals at all.
func stranger(c *longdistance.PayerConfig, _ *approvals) { c.Approvals = nil }

// A stranger is served where the tariff is toll-free, without an approval or a
// voucher, and refused before the first byte where it is not.
func TestTollFree(t *testing.T) {
	t.Parallel()
	atLevels(t, func(t *testing.T, l level) {
		c := newCiphertext(t, 1, 10_000, 1000)
		free := newWorld(t, tollFree)
		y := l.payee(free, newShelf(c), func(c *longdistance.PayeeConfig) { c.Approver, c.Vouchers = nil, nil })
		offer := y.offer()
		for name, o := range map[string]longdistance.Offer{
			"known_tariff": offer,
			"asked_for_it": {Peer: offer.Peer, Area: offer.Area, Signer: offer.Signer},
		} {
			got, err := free.addPayer(nil, stranger).fetch(t.Context(), request(c), o)
			must(t, err)
			if !bytes.Equal(got, c.data) {
				t.Errorf("%s: wrong bytes", name)
			}
		}
		if b, n := y.vouched(); b != 0 || n != 0 {
			t.Errorf("vouchers for %d bytes and %d look-ups", b, n)
		}

		paid := newWorld(t)
		shelf := newShelf(c)
		y = l.payee(paid, shelf)
		for name, o := range map[string]longdistance.Offer{
			"known_tariff": y.offer(),
			"asked_for_it": {Peer: y.offer().Peer, Area: paid.area, Signer: paid.area.Key()},
		} {
			got, err := paid.addPayer(nil, stranger).fetch(t.Context(), request(c), o)
			if !errors.Is(err, longdistance.ErrTariff) || !errors.Is(err, p2p.ErrRefused) || len(got) > 0 {
				t.Errorf("%s: %d bytes, %v", name, len(got), err)
			}
		}
		if shelf.opened != 0 {
			t.Error("files were looked up for a stranger")
		}
	})
}

// A payee that is offered as toll-free and is not sends nothing either.
func TestTollFreeNoLonger(t *testing.T) {
	t.Parallel()
	atLevels(t, func(t *testing.T, l level) {
		c := newCiphertext(t, 1, 10_000, 1000)
		was, w := newWorld(t, tollFree), newWorld(t)
		y := l.payee(w, newShelf(c))
		o := y.offer()
		o.Tariff = was.tariff
		if _, err := w.addPayer(nil, stranger).fetch(t.Context(), request(c), o); !errors.Is(err, p2p.ErrDenied) {
			t.Errorf("got %v", err)
		}
	})
}

// Toll-free peers get their rate and no more, and each its own; look-ups are
// limited too.
func TestTollFreeRate(t *testing.T) {
	t.Parallel()
	const perSecond = 32 * mib
	for _, l := range levels {
		t.Run(l.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w, c := newWorld(t, tollFree), newCiphertext(t, 1, 8*mib, mib)
				limited := func(lookups float64) *payee {
					return l.payee(w, newShelf(c), func(c *longdistance.PayeeConfig) {
						c.Now = time.Now // virtual, as the limits' waits are
						c.TollFree = longdistance.TollFree{BytesPerSecond: perSecond, TotalPerSecond: 64 * perSecond, LookupsPerSecond: lookups}
					})
				}
				y := limited(100)
				greedy := w.addPayer(nil, stranger)
				begun := time.Now()
				for range 12 { // 96 MiB, of which one second's worth may come at once
					_, err := greedy.fetch(t.Context(), request(c), y.offer())
					must(t, err)
				}
				if took := time.Since(begun); took < 2*time.Second || took > 3*time.Second {
					t.Errorf("96 MiB took %v of virtual time", took)
				}
				begun = time.Now()
				_, err := w.addPayer(nil, stranger).fetch(t.Context(), request(c), y.offer())
				must(t, err)
				if took := time.Since(begun); took > time.Second {
					t.Errorf("another peer waited for %v", took)
				}

				y = limited(2)
				quick, small := w.addPayer(nil, stranger), request(c)
				small.Length = 0
				begun = time.Now()
				for range 10 { // 4 at once, and the others at two a second
					_, err := quick.fetch(t.Context(), small, y.offer())
					must(t, err)
				}
				if took := time.Since(begun); took < 2900*time.Millisecond || took > 3500*time.Millisecond {
					t.Errorf("ten look-ups took %v of virtual time", took)
				}

				y = limited(0.2) // the second one would wait for five seconds
				quick = w.addPayer(nil, stranger)
				_, err = quick.fetch(t.Context(), small, y.offer())
				must(t, err)
				if _, err = quick.fetch(t.Context(), small, y.offer()); !errors.Is(err, p2p.ErrBusy) {
					t.Errorf("a look-up too many: %v", err)
				}
				time.Sleep(5 * time.Second)
				_, err = quick.fetch(t.Context(), small, y.offer())
				must(t, err)
			})
		})
	}
}
