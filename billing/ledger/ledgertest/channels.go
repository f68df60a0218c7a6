package ledgertest

import (
	"bytes"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"trunkline/billing"
	"trunkline/billing/billingtest"
	"trunkline/billing/ledger"
	"trunkline/billing/sealed"
)

func testReserveRefuses(t *testing.T, open Opener) {
	b := newBooks(t, open, 100)
	b.admit("usd grid", ledger.Terms{Currency: "USD", Deposit: 100})
	b.admit("bad grid", ledger.Terms{Currency: "EUR", Deposit: 100, Suspended: true})
	b.reserve(b.approval("payer", 10, nil))
	account := func(payer, payee string) func(*billing.Approval) {
		return func(v *billing.Approval) {
			v.Payer = billingtest.Public("payer 2")
			v.PayerAccount, v.PayeeAccount = billingtest.Public(payer), billingtest.Public(payee)
		}
	}
	for name, tt := range map[string]struct {
		change func(*billing.Approval)
		want   error
	}{
		"unknown payer":             {account("nobody", "payee grid"), ledger.ErrNoAccount},
		"unknown payee":             {account("payer grid", "nobody"), ledger.ErrNoAccount},
		"suspended payer":           {account("bad grid", "payee grid"), ledger.ErrSuspended},
		"suspended payee":           {account("payer grid", "bad grid"), ledger.ErrSuspended},
		"payer in another currency": {account("usd grid", "payee grid"), ledger.ErrCurrency},
		"payee in another currency": {account("payer grid", "usd grid"), ledger.ErrCurrency},
		"no deposit":                {account("payee grid", "payer grid"), ledger.ErrCredit},
		"beyond the deposit":        {func(v *billing.Approval) { v.CapCredits = 101 }, ledger.ErrCredit},
		"with grace":                {func(v *billing.Approval) { v.GraceCredits = 91 }, ledger.ErrCredit},
		"lowered":                   {func(v *billing.Approval) { v.CapBytes = 9 }, billing.ErrLowered},
		"accounts of a channel": {func(v *billing.Approval) {
			v.PayerAccount, v.PayeeAccount = v.PayeeAccount, v.PayerAccount
		}, billing.ErrWrongChannel},
	} {
		a := b.approval("payer", 10, tt.change)
		if err := b.tryReserve(a); !errors.Is(err, tt.want) {
			t.Errorf("%s: %v, want %v", name, err, tt.want)
		}
	}
	err := b.tryReserve(b.approval("payer", 111, nil))
	credit, ok := errors.AsType[*ledger.CreditError](err)
	if !ok || *credit != (ledger.CreditError{Limit: 100, Used: 0, Reserved: 10, Asked: 101}) {
		t.Errorf("figures of a refusal: %+v", err)
	}
	good := b.approval("payer", 10, nil)
	literal := sealed.Sealed[billing.Approval]{Value: good.Value, Signer: good.Signer, Bytes: good.Bytes}
	if err := b.tryReserve(literal); !errors.Is(err, ledger.ErrUnverified) {
		t.Errorf("approval that was not opened: %v", err)
	}
	dear := billingtest.Tariff(t, nil)
	if err := b.s.Reserve(t.Context(), ledger.Reservation{Approval: good, Tariff: dear}); !errors.Is(err, billing.ErrWrongTariff) {
		t.Errorf("another tariff: %v", err)
	}
	b.stands("payer grid", 0, 10)
}

// testI3: cover is deposit, credit line and net earnings; open caps with grace
// use it, and posting moves no more than was reserved.
func testI3(t *testing.T, open Opener) {
	b := newBooks(t, open, 100)
	b.admit("payer grid", ledger.Terms{Currency: "EUR", Deposit: 60, CreditLine: 40})
	a := b.reserve(b.approval("payer", 60, func(v *billing.Approval) { v.CapCredits, v.GraceCredits = 50, 10 }))
	b.stands("payer grid", 0, 60)
	b.reserve(b.approval("payer 2", 40, nil))
	b.stands("payer grid", 0, 100)
	if err := b.tryReserve(b.approval("payer 3", 1, nil)); !errors.Is(err, ledger.ErrCredit) {
		t.Errorf("one more: %v", err)
	}
	b.post(b.voucher("payer", a, 25))
	b.stands("payer grid", -25, 75)
	if err := b.tryReserve(b.approval("payer 3", 1, nil)); !errors.Is(err, ledger.ErrCredit) {
		t.Errorf("what is posted is used up: %v", err)
	}
	// The payee has earned 25 and can spend them, not more.
	back := func(limit billing.Credits) sealed.Sealed[billing.Approval] {
		return b.approval("payee", limit, func(v *billing.Approval) {
			v.Payee = billingtest.Public("payer")
			v.PayerAccount, v.PayeeAccount = v.PayeeAccount, v.PayerAccount
		})
	}
	if err := b.tryReserve(back(26)); !errors.Is(err, ledger.ErrCredit) {
		t.Errorf("more than earned: %v", err)
	}
	r := b.reserve(back(25))
	b.post(b.voucher("payee", r, 25))
	b.stands("payee grid", 0, 0)
	b.stands("payer grid", 0, 75)
	b.reserve(b.approval("payer 3", 25, nil))

	// Terms may not fall below what is promised.
	if err := b.s.Admit(t.Context(), billingtest.Public("payer grid"), ledger.Terms{Currency: "EUR", Deposit: 99}); !errors.Is(err, ledger.ErrCredit) {
		t.Errorf("deposit withdrawn: %v", err)
	}
	b.admit("payer grid", ledger.Terms{Currency: "EUR", Deposit: 100})
	b.stands("payer grid", 0, 100)
}

// testI3Concurrent: 64 callers ask for channels on one account, and for more on
// them, all at once; at no moment is more reserved than is covered.
func testI3Concurrent(t *testing.T, open Opener) {
	const callers, rounds, deposit = 64, 6, 301
	b := newBooks(t, open, deposit)
	var granted, refused atomic.Int64
	stop := make(chan struct{})
	var watch, work sync.WaitGroup
	watch.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
			}
			if a := b.account("payer grid"); a.Available() < 0 {
				t.Errorf("reserved %v of %v", a.Reserved, a.Deposit)
				return
			}
		}
	})
	for c := range callers {
		work.Go(func() {
			for r := range rounds {
				// Callers share channels in pairs, and race to raise them.
				a := b.approval(fmt.Sprint("payer ", c/2), billing.Credits(3*(r+1)), nil)
				switch err := b.tryReserve(a); {
				case err == nil:
					granted.Add(1)
				case errors.Is(err, ledger.ErrCredit), errors.Is(err, billing.ErrLowered):
					refused.Add(1)
				default:
					t.Error(err)
				}
			}
		})
	}
	work.Wait()
	close(stop)
	watch.Wait()
	if granted.Load() == 0 || refused.Load() == 0 {
		t.Errorf("%d granted, %d refused", granted.Load(), refused.Load())
	}
	// 32 channels would take 18 each; all but what is left over is reserved.
	if a := b.account("payer grid"); a.Reserved != 300 {
		t.Errorf("reserved %d of %d", a.Reserved, deposit)
	}
	b.check()
}

// testI6: nothing is booked beyond the cap with grace, in bytes or credits.
func testI6(t *testing.T, open Opener) {
	b := newBooks(t, open, 1000)
	a := b.reserve(b.approval("payer", 100, func(v *billing.Approval) { v.GraceBytes, v.GraceCredits = 20, 10 }))
	for bytes, want := range map[uint64]error{110: nil, 111: billing.ErrOverCap, 121: billing.ErrOverCap} {
		if _, err := b.tryPost(b.voucher("payer", a, bytes)); !errors.Is(err, want) {
			t.Errorf("%d bytes: %v, want %v", bytes, err, want)
		}
	}
	b.stands("payer grid", -110, 0)
	a = b.reserve(b.approval("payer", 100, func(v *billing.Approval) { v.GraceBytes, v.GraceCredits = 20, 300 }))
	if _, err := b.tryPost(b.voucher("payer", a, 121)); !errors.Is(err, billing.ErrOverCap) {
		t.Errorf("beyond the cap in bytes alone: %v", err)
	}
	b.post(b.voucher("payer", a, 120))
	b.stands("payer grid", -120, 280)
}

// testRenewal: raising a cap reserves the difference, on what is left.
func testRenewal(t *testing.T, open Opener) {
	b := newBooks(t, open, 100)
	a := b.reserve(b.approval("payer", 50, nil))
	b.reserve(a) // again
	b.stands("payer grid", 0, 50)
	b.post(b.voucher("payer", a, 30))
	next := b.reserve(b.approval("payer", 100, nil))
	b.stands("payer grid", -30, 70)
	c, err := b.s.Channel(t.Context(), a.Value.Channel)
	if err != nil {
		t.Fatal(err)
	}
	if c.Approval != next.Value || !bytes.Equal(c.ApprovalBytes, next.Bytes) || !bytes.Equal(c.TariffBytes, b.tariff.Bytes) {
		t.Errorf("channel has another approval or tariff: %+v", c.Approval)
	}
	if c.Last == nil || c.Last.Bytes != 30 || c.Entry != 1 || c.Reserved != 70 || c.Released {
		t.Errorf("channel is %+v", c)
	}
	if !bytes.Equal(c.LastBytes, b.voucher("payer", a, 30).Bytes) {
		t.Error("last voucher is not verbatim")
	}
	if err := b.tryReserve(b.approval("payer", 101, nil)); !errors.Is(err, ledger.ErrCredit) {
		t.Errorf("beyond cover: %v", err)
	}
	if err := b.tryReserve(a); !errors.Is(err, billing.ErrLowered) {
		t.Errorf("the old one again: %v", err)
	}
	if _, err := b.s.Channel(t.Context(), billing.ChannelID{1}); !errors.Is(err, ledger.ErrNoChannel) {
		t.Errorf("unknown channel: %v", err)
	}
}

// testExpire: after the grace time unused cover is free again; a voucher that
// comes later still is booked if there is cover.
func testExpire(t *testing.T, open Opener) {
	b := newBooks(t, open, 100)
	expire := func(at int64, want int) {
		t.Helper()
		n, err := b.s.Expire(t.Context(), time.Unix(at, 0))
		if err != nil || n != want {
			t.Fatalf("released %d, %v; want %d", n, err, want)
		}
	}
	a := b.reserve(b.approval("payer", 60, nil))
	b.reserve(b.approval("payer 2", 40, func(v *billing.Approval) { v.GraceUntil++ }))
	b.post(b.voucher("payer", a, 10))
	end := a.Value.GraceUntil + int64(billing.ClockTolerance/time.Second)
	expire(end, 0)
	expire(end+1, 1)
	b.stands("payer grid", -10, 40)
	expire(end+1, 0)
	c, err := b.s.Channel(t.Context(), a.Value.Channel)
	if err != nil || !c.Released || c.Reserved != 0 {
		t.Fatalf("%+v, %v", c, err)
	}

	b.post(b.voucher("payer", a, 20)) // late, covered
	b.stands("payer grid", -20, 40)
	b.reserve(b.approval("payer 3", 35, nil)) // leaves 5
	if _, err := b.tryPost(b.voucher("payer", a, 26)); !errors.Is(err, ledger.ErrCredit) {
		t.Errorf("late and not covered: %v", err)
	}
	b.post(b.voucher("payer", a, 25))
	b.stands("payer grid", -25, 75)
	b.post(b.voucher("payer", a, 20)) // late and not news
	b.stands("payer grid", -25, 75)

	// The channel opens again with a longer approval, for what is left of it.
	b.admit("payer grid", ledger.Terms{Currency: "EUR", Deposit: 135})
	b.reserve(b.approval("payer", 60, func(v *billing.Approval) { v.GraceUntil += 100 }))
	b.stands("payer grid", -25, 110)
	expire(end+2, 2)
	b.stands("payer grid", -25, 35)
}
