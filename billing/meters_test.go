package billing_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"trunkline/billing"
	"trunkline/billing/billingtest"
	"trunkline/billing/sealed"
)

var noon = time.Unix(billingtest.Start+60, 0)

// pair is both meters of one channel at a tariff of one credit a byte, one
// credit a look-up, and a cap of a thousand.
func pair(t testing.TB, w *billing.Window) (*billing.Payer, *billing.Payee) {
	t.Helper()
	a, tariff := unitApproval(t, nil)
	payer, err := billing.NewPayer(a, tariff)
	if err != nil {
		t.Fatal(err)
	}
	payee, err := billing.NewPayee(a, tariff, w, nil)
	if err != nil {
		t.Fatal(err)
	}
	return payer, payee
}

func unitApproval(t testing.TB, change func(*billing.Approval)) (billing.Approval, sealed.Sealed[billing.Tariff]) {
	t.Helper()
	tariff := billingtest.Tariff(t, func(v *billing.Tariff) { v.PerGiB, v.PerLookup = 1<<30, 1 })
	a := billingtest.Approval(t, tariff, func(v *billing.Approval) {
		v.CapBytes, v.CapCredits, v.GraceBytes, v.GraceCredits = 1000, 1000, 100, 100
		if change != nil {
			change(v)
		}
	})
	return a.Value, tariff
}

// send moves n bytes if the payee may.
func send(t testing.TB, payer *billing.Payer, payee *billing.Payee, n uint64) {
	t.Helper()
	if v := payee.MaySend(n, noon); v != billing.Send {
		t.Fatalf("%d bytes: %v", n, v)
	}
	payee.Sent(n)
	payer.Verified(n)
}

// pay moves one voucher and its answer.
func pay(t testing.TB, payer *billing.Payer, payee *billing.Payee) {
	t.Helper()
	v, base, err := payer.Next()
	if err != nil {
		t.Fatal(err)
	}
	if err := payee.Accept(base, v); err != nil {
		t.Fatal(err)
	}
	payee.Persisted(v)
	if err := payer.Accepted(); err != nil {
		t.Fatal(err)
	}
}

func TestOneChannel(t *testing.T) {
	t.Parallel()
	w := billing.NewWindow(10)
	payer, payee := pair(t, w)
	send(t, payer, payee, 10)
	if v := payee.MaySend(1, noon); v != billing.Wait {
		t.Fatalf("window is full: %v", v)
	}
	if payer.Unsigned() != 10 || w.Exposure() != 10 || w.Room() != 0 {
		t.Fatalf("unsigned %d, exposure %d, room %d", payer.Unsigned(), w.Exposure(), w.Room())
	}
	v, base, err := payer.Next()
	if err != nil || v.Bytes != 10 || v.Credits != 10 || base != (billing.Mark{}) {
		t.Fatalf("%+v on %v, %v", v, base, err)
	}
	if !payer.InFlight() || payer.Unsigned() != 0 {
		t.Fatalf("in flight %v, unsigned %d", payer.InFlight(), payer.Unsigned())
	}
	if _, _, err := payer.Next(); !errors.Is(err, billing.ErrInFlight) {
		t.Fatalf("second voucher: %v", err)
	}
	if err := payee.Accept(base, v); err != nil {
		t.Fatal(err)
	}
	if got := payee.MaySend(1, noon); got != billing.Wait {
		t.Fatalf("window widens before the voucher is on disk: %v", got)
	}
	payee.Persisted(v)
	if err := payer.Accepted(); err != nil {
		t.Fatal(err)
	}
	if _, _, err := payer.Next(); !errors.Is(err, billing.ErrNothingDue) {
		t.Fatalf("nothing is due: %v", err)
	}
	send(t, payer, payee, 10)
	if payer.Latest() != v || *payee.Latest() != v {
		t.Fatalf("latest %+v and %+v", payer.Latest(), payee.Latest())
	}
	if err := payer.Accepted(); !errors.Is(err, billing.ErrNotInFlight) {
		t.Errorf("answer to nothing: %v", err)
	}
	if err := payer.Conflict(v); !errors.Is(err, billing.ErrNotInFlight) {
		t.Errorf("conflict with nothing: %v", err)
	}
}

func TestAcceptRefuses(t *testing.T) {
	t.Parallel()
	_, payee := pair(t, billing.NewWindow(10))
	a := payee.Approval()
	at := func(bytes, lookups uint64, credits billing.Credits) billing.Voucher {
		return billing.Voucher{Channel: a.Channel, Bytes: bytes, Lookups: lookups, Credits: credits}
	}
	if err := payee.Accept(billing.Mark{}, at(5, 1, 6)); err != nil {
		t.Fatal(err)
	}
	base := billing.Mark{Bytes: 5, Lookups: 1}
	other := at(6, 1, 7)
	other.Channel[0] ^= 1
	for name, tt := range map[string]struct {
		base billing.Mark
		v    billing.Voucher
		want error
	}{
		"other channel":                   {base, other, billing.ErrWrongChannel},
		"one credit short":                {base, at(6, 1, 6), billing.ErrWrongCost},
		"one credit too much":             {base, at(6, 1, 8), billing.ErrWrongCost},
		"beyond the cap":                  {base, at(1101, 0, 1101), billing.ErrOverCap},
		"beyond the cap in credits alone": {base, at(1000, 101, 1101), billing.ErrOverCap},
		"base too low":                    {billing.Mark{Bytes: 4, Lookups: 1}, at(6, 1, 7), billing.ErrStale},
		"base too high":                   {billing.Mark{Bytes: 6, Lookups: 1}, at(6, 1, 7), billing.ErrStale},
		"base other look-ups":             {billing.Mark{Bytes: 5}, at(6, 1, 7), billing.ErrStale},
		"fewer bytes":                     {base, at(4, 2, 6), billing.ErrBackwards},
		"fewer look-ups":                  {base, at(6, 0, 6), billing.ErrBackwards},
	} {
		err := payee.Accept(tt.base, tt.v)
		if !errors.Is(err, tt.want) {
			t.Errorf("%s: %v, want %v", name, err, tt.want)
		}
		if stale, ok := errors.AsType[*billing.StaleError](err); ok && stale.Latest != at(5, 1, 6) {
			t.Errorf("%s: shows %+v", name, stale.Latest)
		}
	}
	if *payee.Latest() != at(5, 1, 6) {
		t.Errorf("a refused voucher changed the channel: %+v", payee.Latest())
	}
}

func TestWrongTariff(t *testing.T) {
	t.Parallel()
	a, tariff := unitApproval(t, nil)
	dear := billingtest.Tariff(t, func(v *billing.Tariff) { v.PerGiB = 1 << 40 })
	forged := sealed.Sealed[billing.Tariff]{Value: tariff.Value, Signer: tariff.Signer, Bytes: tariff.Bytes}
	for name, s := range map[string]sealed.Sealed[billing.Tariff]{"another": dear, "not opened": forged} {
		if _, err := billing.NewPayer(a, s); !errors.Is(err, billing.ErrWrongTariff) {
			t.Errorf("payer, %s: %v", name, err)
		}
		if _, err := billing.NewPayee(a, s, billing.NewWindow(0), nil); !errors.Is(err, billing.ErrWrongTariff) {
			t.Errorf("payee, %s: %v", name, err)
		}
	}
}

func TestLastVoucher(t *testing.T) {
	t.Parallel()
	a, tariff := unitApproval(t, nil)
	last := billing.Voucher{Channel: a.Channel, Bytes: 7, Lookups: 2, Credits: 9}
	payee, err := billing.NewPayee(a, tariff, billing.NewWindow(1), &last)
	if err != nil || *payee.Latest() != last {
		t.Fatalf("%+v, %v", payee, err)
	}
	if err := payee.Accept(last.Mark(), billing.Voucher{Channel: a.Channel, Bytes: 8, Lookups: 2, Credits: 10}); err != nil {
		t.Error(err)
	}
	last.Credits++
	if _, err := billing.NewPayee(a, tariff, billing.NewWindow(1), &last); !errors.Is(err, billing.ErrWrongCost) {
		t.Errorf("last voucher with a wrong cost: %v", err)
	}
}

// TestPayerAdopts: a payer that starts anew goes on from its own last signature.
func TestPayerAdopts(t *testing.T) {
	t.Parallel()
	payer, _ := pair(t, billing.NewWindow(10))
	shown := billing.Voucher{Channel: payer.Approval().Channel, Bytes: 40, Credits: 40}
	if err := payer.Adopt(shown); err != nil {
		t.Fatal(err)
	}
	lower := billing.Voucher{Channel: shown.Channel, Bytes: 30, Credits: 30}
	if err := payer.Adopt(lower); err != nil || payer.Latest() != shown {
		t.Fatalf("the lower one wins: %+v, %v", payer.Latest(), err)
	}
	wrong := shown
	wrong.Credits++
	if err := payer.Adopt(wrong); !errors.Is(err, billing.ErrWrongCost) {
		t.Errorf("wrong cost: %v", err)
	}
	wrong = shown
	wrong.Channel[3]++
	if err := payer.Adopt(wrong); !errors.Is(err, billing.ErrWrongChannel) {
		t.Errorf("wrong channel: %v", err)
	}
	payer.Verified(2)
	payer.LookedUp()
	v, base, err := payer.Next()
	if err != nil || v.Bytes != 42 || v.Lookups != 1 || v.Credits != 43 || base != shown.Mark() {
		t.Fatalf("%+v on %v, %v", v, base, err)
	}
}

// TestPayeeLostWhatItTook: the payer shows it again, and pays nothing twice.
func TestPayeeLostWhatItTook(t *testing.T) {
	t.Parallel()
	payer, _ := pair(t, billing.NewWindow(100))
	_, payee := pair(t, billing.NewWindow(100))
	known := billing.Voucher{Channel: payer.Approval().Channel, Bytes: 40, Credits: 40}
	if err := payer.Adopt(known); err != nil {
		t.Fatal(err)
	}
	payer.Verified(5)
	v, base, err := payer.Next()
	if err != nil {
		t.Fatal(err)
	}
	stale, ok := errors.AsType[*billing.StaleError](payee.Accept(base, v))
	if !ok {
		t.Fatal("accepted")
	}
	if err := payer.Conflict(stale.Latest); err != nil {
		t.Fatal(err)
	}
	pay(t, payer, payee)
	if *payee.Latest() != known {
		t.Fatalf("not shown again: %+v", payee.Latest())
	}
	pay(t, payer, payee)
	if payee.Latest().Bytes != 45 {
		t.Fatalf("paid %d, verified 45", payee.Latest().Bytes)
	}
}

func TestI6_NothingBeyondTheCap(t *testing.T) {
	t.Parallel()
	a, tariff := unitApproval(t, nil)
	at := func(sec int64) time.Time { return time.Unix(sec, 0) }
	meter := func(sent uint64) *billing.Payee {
		p, err := billing.NewPayee(a, tariff, billing.NewWindow(1<<20), nil)
		if err != nil {
			t.Fatal(err)
		}
		p.Sent(sent)
		return p
	}
	for _, tt := range []struct {
		name    string
		sent, n uint64
		at      int64
		want    billing.Verdict
	}{
		{"up to the cap", 0, 1000, a.NotAfter, billing.Send},
		{"one beyond", 0, 1001, a.NotAfter, billing.Spent},
		{"one beyond, in parts", 1000, 1, a.NotAfter, billing.Spent},
		{"grace", 500, 100, a.NotAfter + 1, billing.Send},
		{"grace is not the rest of the cap", 500, 101, a.NotAfter + 1, billing.Spent},
		{"grace beyond the cap", 1000, 100, a.GraceUntil, billing.Send},
		{"grace has a cap", 1000, 101, a.GraceUntil, billing.Spent},
		{"after grace", 0, 1, a.GraceUntil + 1, billing.Expired},
		{"no end of bytes", 0, 1<<64 - 1, a.NotAfter, billing.Spent},
	} {
		if got := meter(tt.sent).MaySend(tt.n, at(tt.at)); got != tt.want {
			t.Errorf("%s: %v, want %v", tt.name, got, tt.want)
		}
	}

	t.Run("by credits", func(t *testing.T) {
		t.Parallel()
		p := meter(999)
		if v := p.MayLookUp(noon); v != billing.Send {
			t.Fatalf("last look-up: %v", v)
		}
		p.LookedUp()
		if v := p.MayLookUp(noon); v != billing.Spent {
			t.Errorf("look-up beyond: %v", v)
		}
		if v := p.MaySend(1, noon); v != billing.Spent {
			t.Errorf("byte beyond: %v", v)
		}
	})
	t.Run("grace does not renew itself", func(t *testing.T) {
		t.Parallel()
		p := meter(500)
		for range 100 {
			if v := p.MaySend(1, at(a.NotAfter+1)); v != billing.Send {
				t.Fatal(v)
			}
			p.Sent(1)
		}
		if v := p.MaySend(1, at(a.NotAfter+2)); v != billing.Spent {
			t.Errorf("101st byte: %v", v)
		}
		next := a
		next.NotAfter += 100
		if err := p.Renew(next); err != nil {
			t.Fatal(err)
		}
		if v := p.MaySend(400, at(a.NotAfter+3)); v != billing.Send {
			t.Errorf("renewed: %v", v)
		}
	})
	t.Run("what died counts", func(t *testing.T) {
		t.Parallel()
		p := meter(600)
		p.Abandon(600)
		if v := p.MaySend(401, noon); v != billing.Spent {
			t.Errorf("%v", v)
		}
	})
	t.Run("payer does not sign beyond", func(t *testing.T) {
		t.Parallel()
		payer, err := billing.NewPayer(a, tariff)
		if err != nil {
			t.Fatal(err)
		}
		payer.Verified(1101)
		if _, _, err := payer.Next(); !errors.Is(err, billing.ErrCapReached) {
			t.Errorf("%v", err)
		}
		next := a
		next.CapBytes, next.CapCredits = next.CapBytes+1, next.CapCredits+1
		if err := payer.Renew(next); err != nil {
			t.Fatal(err)
		}
		if _, _, err := payer.Next(); err != nil {
			t.Errorf("cap raised: %v", err)
		}
	})
	t.Run("payee does not take beyond", func(t *testing.T) {
		t.Parallel()
		p := meter(0)
		if err := p.Accept(billing.Mark{}, billing.Voucher{Channel: a.Channel, Bytes: 1101, Credits: 1101}); !errors.Is(err, billing.ErrOverCap) {
			t.Errorf("%v", err)
		}
	})
}

// TestPrepaid: with W <= 0 each channel is ahead by -W, and the payer risks what
// it is ahead.
func TestPrepaid(t *testing.T) {
	t.Parallel()
	for _, w := range []int64{0, -3} {
		t.Run(fmt.Sprint(w), func(t *testing.T) {
			t.Parallel()
			const segment = 5
			window := billing.NewWindow(w)
			payer, payee := pair(t, window)
			if v := payee.MaySend(1, noon); v != billing.Wait {
				t.Fatalf("unpaid: %v", v)
			}
			payer.SetAhead(uint64(segment - window.Room()))
			for i := range uint64(4) {
				pay(t, payer, payee)
				if got := payer.Ahead(); got != uint64(segment-w) {
					t.Fatalf("ahead by %d", got)
				}
				if v := payee.MaySend(segment+1, noon); v != billing.Wait {
					t.Fatalf("more than is paid ahead: %v", v)
				}
				send(t, payer, payee, segment)
				if v := payee.MaySend(1, noon); v != billing.Wait {
					t.Fatalf("after segment %d: %v", i, v)
				}
				if window.Exposure() != 0 {
					t.Fatalf("exposure %d", window.Exposure())
				}
			}
			// At the end the payer stops being ahead: all it paid for it got,
			// but for -W.
			payer.SetAhead(0)
			if _, _, err := payer.Next(); !errors.Is(err, billing.ErrNothingDue) {
				t.Errorf("at the end: %v", err)
			}
			if got := payer.Ahead(); got != uint64(-w) {
				t.Errorf("ahead by %d at the end", got)
			}
		})
	}
}

// TestGhosts: what dead streams leave unsigned counts until it is paid late or
// forgiven; meanwhile prepaying works.
func TestGhosts(t *testing.T) {
	t.Parallel()
	w := billing.NewWindow(10)
	payer, payee := pair(t, w)
	payee.Sent(10) // of which 4 arrive
	payer.Verified(4)
	payee.Abandon(billing.MaxCount)
	if v := payee.MaySend(1, noon); v != billing.Wait || w.Exposure() != 10 {
		t.Fatalf("%v, exposure %d", v, w.Exposure())
	}
	pay(t, payer, payee) // late, for the 4
	if w.Exposure() != 10 {
		t.Fatalf("exposure %d before it is known to be late", w.Exposure())
	}
	payee.Repay(payer.Ahead())
	if w.Exposure() != 6 {
		t.Fatalf("exposure %d after late payment of 4 in 10", w.Exposure())
	}
	send(t, payer, payee, 4)
	pay(t, payer, payee)
	payer.SetAhead(5)
	pay(t, payer, payee)
	payee.Repay(payer.Ahead()) // nothing is late: all of it is meant to be ahead
	send(t, payer, payee, 5)
	if w.Exposure() != 6 {
		t.Fatalf("exposure %d", w.Exposure())
	}
	if got := w.Forgive(); got != 6 || w.Exposure() != 0 || w.Room() != 10 {
		t.Fatalf("forgave %d, exposure %d, room %d", got, w.Exposure(), w.Room())
	}
	payee.Sent(3)
	payee.LookedUp()
	payee.Close()
	if w.Exposure() != 3 {
		t.Fatalf("closed with 3 unsigned: exposure %d", w.Exposure())
	}
}

// TestUnpaidLookups: an account's look-ups are bounded over its channels.
func TestUnpaidLookups(t *testing.T) {
	t.Parallel()
	w := billing.NewWindow(10)
	payer, payee := pair(t, w)
	a, tariff := unitApproval(t, func(v *billing.Approval) { v.Payer = billingtest.Public("payer 2") })
	other, err := billing.NewPayee(a, tariff, w, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := range billing.MaxUnpaidLookups {
		p := []*billing.Payee{payee, other}[i%2]
		if v := p.MayLookUp(noon); v != billing.Send {
			t.Fatalf("look-up %d: %v", i, v)
		}
		p.LookedUp()
	}
	for _, p := range []*billing.Payee{payee, other} {
		if v := p.MayLookUp(noon); v != billing.Wait {
			t.Fatalf("one more: %v", v)
		}
	}
	payer.LookedUp()
	pay(t, payer, payee)
	if v := other.MayLookUp(noon); v != billing.Send {
		t.Errorf("after one is paid: %v", v)
	}
}

func TestWindowGrowth(t *testing.T) {
	t.Parallel()
	const mib = 1 << 20
	w := billing.NewWindow(billing.StartWindow)
	step := func(name string, want int64) {
		t.Helper()
		if w.Limit() != want {
			t.Fatalf("%s: %d, want %d", name, w.Limit(), want)
		}
	}
	w.Settled(mib)
	step("by what is settled", 5*mib)
	w.Settled(1 << 60)
	step("at most to the double", 10*mib)
	for range 5 {
		w.Settled(1 << 63)
	}
	step("at most to the maximum", billing.MaxWindow)
	w.Defaulted()
	step("halved", billing.MaxWindow/2)
	for range 20 {
		w.Defaulted()
	}
	step("down to nothing", 0)
	w.Settled(1 << 30)
	step("prepaid stays prepaid", 0)
	w.SetLimit(-5)
	w.Defaulted()
	w.Settled(5)
	step("more than prepaid", -5)
	if w.Room() != -5 {
		t.Errorf("room %d", w.Room())
	}
	if w.SetLimit(1 << 62); w.Limit() != billing.MaxWindow {
		t.Errorf("set beyond the maximum: %d", w.Limit())
	}
}

func TestLossBounds(t *testing.T) {
	t.Parallel()
	tariff := exampleTariff(t).Value // 2 a GiB, 0.001 a look-up
	tariff.FreeBytes = 1 << 40
	bytes, credits, err := billing.PayeeLoss(billing.StartWindow, tariff)
	if bytes != 4<<20 || credits != 7813+16000 || err != nil {
		t.Errorf("payee: %d bytes, %v, %v", bytes, credits, err)
	}
	if bytes, _, err := billing.PayeeLoss(-1, tariff); bytes != 0 || err != nil {
		t.Errorf("prepaid payee: %d bytes, %v", bytes, err)
	}
	if credits, err := billing.PayerLoss(1<<20, tariff); credits != 1954 || err != nil {
		t.Errorf("payer: %v, %v", credits, err)
	}
	a := exampleApproval(t).Value
	raised, other := a, a
	raised.CapCredits += 5
	raised.GraceUntil += 9
	other.Channel[0]++
	credits, until, err := billing.KeyLoss(raised, a, other)
	if credits != 22*billing.Unit+5 || until != raised.GraceUntil || err != nil {
		t.Errorf("key: %v until %d, %v", credits, until, err)
	}
}
