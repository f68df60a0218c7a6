package ledgertest

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"trunkline/billing"
	"trunkline/billing/billingtest"
	"trunkline/billing/ledger"
	"trunkline/caps"
)

func testAccounts(t *testing.T, open Opener) {
	b := newBooks(t, open, 100)
	ctx := t.Context()
	key := billingtest.Public("third grid")
	if _, err := b.s.Account(ctx, key); !errors.Is(err, ledger.ErrNoAccount) {
		t.Errorf("unknown account: %v", err)
	}
	good := ledger.Terms{Name: "Drittes Netz, Köln", Currency: "EUR", Deposit: 5, CreditLine: 6}
	for name, tt := range map[string]struct {
		key    caps.PublicKey
		change func(*ledger.Terms)
		want   error
	}{
		"no key":           {caps.PublicKey{}, func(*ledger.Terms) {}, ledger.ErrTerms},
		"negative deposit": {key, func(v *ledger.Terms) { v.Deposit = -1 }, ledger.ErrTerms},
		"negative line":    {key, func(v *ledger.Terms) { v.CreditLine = -1 }, ledger.ErrTerms},
		"too much":         {key, func(v *ledger.Terms) { v.Deposit = ledger.MaxAmount + 1 }, ledger.ErrTerms},
		"no currency":      {key, func(v *ledger.Terms) { v.Currency = "" }, billing.ErrCurrency},
		"long name":        {key, func(v *ledger.Terms) { v.Name = strings.Repeat("n", ledger.MaxName+1) }, ledger.ErrTerms},
		"escape in name":   {key, func(v *ledger.Terms) { v.Name = "\x1b[2J" }, ledger.ErrTerms},
		"bidi in name":     {key, func(v *ledger.Terms) { v.Name = "a\u202eb" }, ledger.ErrTerms},
		"not UTF-8":        {key, func(v *ledger.Terms) { v.Name = "\xff" }, ledger.ErrTerms},
	} {
		terms := good
		tt.change(&terms)
		if err := b.s.Admit(ctx, tt.key, terms); !errors.Is(err, tt.want) {
			t.Errorf("%s: %v, want %v", name, err, tt.want)
		}
	}
	b.admit("third grid", good)
	good.Suspended, good.Deposit = true, 7
	b.admit("third grid", good)
	if got := b.account("third grid"); got != (ledger.Account{Key: key, Terms: good}) {
		t.Errorf("got %+v", got)
	}
	good.Currency = "USD"
	if err := b.s.Admit(ctx, key, good); !errors.Is(err, ledger.ErrCurrency) {
		t.Errorf("currency changed: %v", err)
	}
	list, err := b.s.Accounts(ctx)
	if err != nil || len(list) != 3 {
		t.Fatalf("%d accounts, %v", len(list), err)
	}
	if !slices.IsSortedFunc(list, func(a, b ledger.Account) int { return slices.Compare(a.Key[:], b.Key[:]) }) {
		t.Error("accounts are not in order")
	}
	b.check()
}

func testRevoke(t *testing.T, open Opener) {
	b := newBooks(t, open, 1000)
	ctx := t.Context()
	epoch := func() uint64 {
		t.Helper()
		n, err := b.s.Epoch(ctx)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	revoke := func(name string) uint64 {
		t.Helper()
		n, err := b.s.Revoke(ctx, billingtest.Public(name), now)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	if got := epoch(); got != 0 {
		t.Fatalf("begins with epoch %d", got)
	}
	if err := b.tryReserve(b.approval("payer", 1, func(v *billing.Approval) { v.Epoch = 1 })); !errors.Is(err, ledger.ErrEpoch) {
		t.Errorf("epoch to come: %v", err)
	}
	thief := b.reserve(b.approval("thief", 10, nil))
	if got := revoke("thief"); got != 1 || epoch() != 1 {
		t.Fatalf("first revocation begins epoch %d, now %d", got, epoch())
	}
	if err := b.tryReserve(b.approval("payer", 1, nil)); !errors.Is(err, ledger.ErrEpoch) {
		t.Errorf("epoch gone by: %v", err)
	}
	in := func(n uint64) func(*billing.Approval) { return func(v *billing.Approval) { v.Epoch = n } }
	if err := b.tryReserve(b.approval("thief", 20, in(1))); !errors.Is(err, ledger.ErrRevoked) {
		t.Errorf("revoked payer: %v", err)
	}
	b.reserve(b.approval("payer", 1, in(1)))
	b.post(b.voucher("thief", thief, 10)) // what was approved is owed
	if got := revoke("payee"); got != 2 {
		t.Errorf("second revocation begins epoch %d", got)
	}
	if got := revoke("thief"); got != 1 || epoch() != 2 {
		t.Errorf("revoked again: epoch %d, now %d", got, epoch())
	}
	if err := b.tryReserve(b.approval("payer", 2, in(2))); !errors.Is(err, ledger.ErrRevoked) {
		t.Errorf("revoked payee: %v", err)
	}
	other := func(v *billing.Approval) { v.Epoch, v.Payee = 3, billingtest.Public("payee 2") }
	if got := revoke("payer grid"); got != 3 {
		t.Errorf("third revocation begins epoch %d", got)
	}
	if err := b.tryReserve(b.approval("payer", 2, other)); !errors.Is(err, ledger.ErrRevoked) {
		t.Errorf("revoked account: %v", err)
	}
	b.check()
}
