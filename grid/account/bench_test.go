package account_test

import (
	"path/filepath"
	"testing"

	"trunkline/billing"
	"trunkline/billing/ledger"
	"trunkline/billing/ledger/sqlite"
	"trunkline/billing/sealed"
	"trunkline/caps"
	"trunkline/grid/account"
)

func benchApprover(b *testing.B) (*account.Approver, sealed.Sealed[billing.Tariff]) {
	b.Helper()
	store, err := sqlite.Open(b.Context(), filepath.Join(b.TempDir(), "ledger.sqlite"))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = store.Close() })
	for _, key := range []caps.PublicKey{payerAccount, payeeAccount} {
		if err := store.Admit(b.Context(), key, ledger.Terms{Currency: "CREDIT", CreditLine: 1_000_000 * billing.Unit}); err != nil {
			b.Fatal(err)
		}
	}
	tariff := newTariff(b, nil)
	c := &clock{now: start}
	a, err := account.NewApprover(account.ApproverConfig{Store: store, Key: approverKey, Members: people{tariff: billing.HashTariff(tariff)}, Now: c.Now})
	if err != nil {
		b.Fatal(err)
	}
	return a, tariff
}

// One approval, on disk: what a renewal costs the approver.
func BenchmarkApprove(b *testing.B) {
	a, tariff := benchApprover(b)
	ask := account.Ask{Payee: payee, PayeeArea: theArea, Tariff: tariff.Bytes}
	for b.Loop() {
		if _, err := a.Approve(b.Context(), payer, ask); err != nil {
			b.Fatal(err)
		}
	}
}

// One voucher, booked and receipted.
func BenchmarkPost(b *testing.B) {
	a, tariff := benchApprover(b)
	ap, err := a.Approve(b.Context(), payer, account.Ask{Payee: payee, PayeeArea: theArea, Tariff: tariff.Bytes, WantBytes: 64 * gib})
	if err != nil {
		b.Fatal(err)
	}
	var total uint64
	for b.Loop() {
		total += 1024
		cost, err := tariff.Value.Cost(total, 0)
		if err != nil {
			b.Fatal(err)
		}
		v, err := sealed.Seal(payerKey, billing.Voucher{Channel: ap.Value.Channel, Bytes: total, Credits: cost})
		if err != nil {
			b.Fatal(err)
		}
		if _, err := a.Post(b.Context(), payee, v.Bytes); err != nil {
			b.Fatal(err)
		}
	}
}
