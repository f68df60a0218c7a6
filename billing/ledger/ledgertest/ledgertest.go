// Package ledgertest is the suite that every ledger.Store passes.
package ledgertest

import (
	"context"
	"testing"
	"time"

	"trunkline/billing"
	"trunkline/billing/billingtest"
	"trunkline/billing/ledger"
	"trunkline/billing/sealed"
)

// Opener opens the store that is kept in dir, and makes it if there is none.
type Opener func(dir string) (ledger.Store, error)

// Run runs the suite. Tests run in parallel, each on stores of its own.
func Run(t *testing.T, open Opener) {
	for _, tt := range []struct {
		name string
		run  func(*testing.T, Opener)
	}{
		{"Accounts", testAccounts},
		{"ReserveRefuses", testReserveRefuses},
		{"PostRefuses", testPostRefuses},
		{"TestI1_NothingWithoutThePayersSignature", testI1},
		{"TestI2_DebitsEqualCredits", testI2},
		{"TestI3_ReservedWithinCover", testI3},
		{"TestI3_ConcurrentReserve", testI3Concurrent},
		{"TestI4_PostingIsIdempotentAndOrderFree", testI4},
		{"TestI4_ConcurrentPost", testI4Concurrent},
		{"TestI6_NothingBeyondTheCap", testI6},
		{"Renewal", testRenewal},
		{"Expire", testExpire},
		{"Revoke", testRevoke},
		{"Lines", testLines},
		{"Entries", testEntries},
		{"Durable", testDurable},
		{"Canceled", testCanceled},
		{"Closed", testClosed},
		{"Model", testModel},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			tt.run(t, open)
		})
	}
}

// now is when everything happens.
var now = time.Unix(billingtest.Start+60, 0)

// books is a store and what to fill it with.
type books struct {
	t      testing.TB
	s      ledger.Store
	tariff sealed.Sealed[billing.Tariff]
}

// newBooks opens an empty store with the accounts "payer grid", with the given
// deposit, and "payee grid". Its tariff is one credit a byte or look-up.
func newBooks(t testing.TB, open Opener, deposit billing.Credits) *books {
	t.Helper()
	s, err := open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	b := &books{t: t, s: s, tariff: UnitTariff(t)}
	b.admit("payer grid", ledger.Terms{Currency: "EUR", Deposit: deposit})
	b.admit("payee grid", ledger.Terms{Currency: "EUR"})
	return b
}

// UnitTariff costs one credit a byte or look-up.
func UnitTariff(t testing.TB) sealed.Sealed[billing.Tariff] {
	return billingtest.Tariff(t, func(v *billing.Tariff) { v.PerGiB, v.PerLookup = 1<<30, 1 })
}

func (b *books) admit(name string, terms ledger.Terms) {
	b.t.Helper()
	if err := b.s.Admit(b.t.Context(), billingtest.Public(name), terms); err != nil {
		b.t.Fatal(err)
	}
}

// approval is for the given payer key, with a cap and no grace.
func (b *books) approval(payer string, limit billing.Credits, change func(*billing.Approval)) sealed.Sealed[billing.Approval] {
	b.t.Helper()
	return billingtest.Approval(b.t, b.tariff, func(v *billing.Approval) {
		v.Payer = billingtest.Public(payer)
		v.CapBytes, v.CapCredits, v.GraceBytes, v.GraceCredits = uint64(limit), limit, 0, 0
		if change != nil {
			change(v)
		}
	})
}

func (b *books) tryReserve(a sealed.Sealed[billing.Approval]) error {
	return b.s.Reserve(b.t.Context(), ledger.Reservation{Approval: a, Tariff: b.tariff})
}

func (b *books) reserve(a sealed.Sealed[billing.Approval]) sealed.Sealed[billing.Approval] {
	b.t.Helper()
	if err := b.tryReserve(a); err != nil {
		b.t.Fatal(err)
	}
	return a
}

// voucher is signed by payer, for bytes on the channel of a.
func (b *books) voucher(payer string, a sealed.Sealed[billing.Approval], bytes uint64) sealed.Sealed[billing.Voucher] {
	b.t.Helper()
	return billingtest.Seal(b.t, payer, billing.Voucher{Channel: a.Value.Channel, Bytes: bytes, Credits: billing.Credits(bytes)})
}

func (b *books) tryPost(v sealed.Sealed[billing.Voucher]) (ledger.Posting, error) {
	return b.s.Post(b.t.Context(), v, now)
}

func (b *books) post(v sealed.Sealed[billing.Voucher]) ledger.Posting {
	b.t.Helper()
	p, err := b.tryPost(v)
	if err != nil {
		b.t.Fatal(err)
	}
	return p
}

func (b *books) account(name string) ledger.Account {
	b.t.Helper()
	a, err := b.s.Account(b.t.Context(), billingtest.Public(name))
	if err != nil {
		b.t.Fatal(err)
	}
	return a
}

// stands checks an account's balance and what is reserved on it, and the books
// as a whole.
func (b *books) stands(name string, balance, reserved billing.Credits) {
	b.t.Helper()
	if a := b.account(name); a.Balance != balance || a.Reserved != reserved {
		b.t.Errorf("%s has balance %d, reserved %d; want %d and %d", name, a.Balance, a.Reserved, balance, reserved)
	}
	b.check()
}

func (b *books) check() {
	b.t.Helper()
	// Not the test's context, which is over in Cleanup.
	if err := b.s.Check(context.WithoutCancel(b.t.Context())); err != nil {
		b.t.Error(err)
	}
}
