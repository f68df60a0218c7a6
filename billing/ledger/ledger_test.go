package ledger_test

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"testing"

	"trunkline/billing"
	"trunkline/billing/billingtest"
	"trunkline/billing/ledger"
)

// TestChain computes the head by another way, and changes each thing it binds.
func TestChain(t *testing.T) {
	t.Parallel()
	e := ledger.Entry{
		Number: 7, Channel: billing.ChannelID{1}, Payer: billingtest.Public("payer grid"), Payee: billingtest.Public("payee grid"),
		Amount: 12314, Voucher: []byte("voucher"), BookedAt: billingtest.Start,
	}
	previous := [32]byte{9}
	u64 := func(v uint64) []byte { return binary.BigEndian.AppendUint64(nil, v) }
	voucher := sha256.Sum256(e.Voucher)
	want := sha256.Sum256(slices.Concat([]byte("trunkline/ledger-entry/v1\n"), previous[:], u64(7), e.Channel[:],
		e.Payer[:], e.Payee[:], u64(12314), u64(billingtest.Start), voucher[:]))
	if got := e.Chain(previous); got != want {
		t.Errorf("head is %x, want %x", got, want)
	}
	for name, change := range map[string]func(e *ledger.Entry, previous *[32]byte){
		"previous": func(_ *ledger.Entry, previous *[32]byte) { previous[31]++ },
		"number":   func(e *ledger.Entry, _ *[32]byte) { e.Number++ },
		"channel":  func(e *ledger.Entry, _ *[32]byte) { e.Channel[31]++ },
		"payer":    func(e *ledger.Entry, _ *[32]byte) { e.Payer[31]++ },
		"payee":    func(e *ledger.Entry, _ *[32]byte) { e.Payee[31]++ },
		"amount":   func(e *ledger.Entry, _ *[32]byte) { e.Amount++ },
		"voucher":  func(e *ledger.Entry, _ *[32]byte) { e.Voucher = []byte("vouchers") },
		"time":     func(e *ledger.Entry, _ *[32]byte) { e.BookedAt++ },
	} {
		other, head := e, previous
		change(&other, &head)
		if other.Chain(head) == want {
			t.Errorf("head does not bind the %s", name)
		}
	}
}

// TestAbove: any two vouchers are in one order.
func TestAbove(t *testing.T) {
	t.Parallel()
	rising := []billing.Voucher{{}, {Lookups: 1}, {Bytes: 1}, {Bytes: 1, Lookups: 1}, {Credits: 1}, {Credits: 1, Bytes: 5}, {Credits: 2, Lookups: 9}}
	for i, v := range rising {
		for j, w := range rising {
			if ledger.Above(v, w) != (i > j) {
				t.Errorf("%+v above %+v: %v", v, w, i <= j)
			}
		}
	}
}

func TestCreditError(t *testing.T) {
	t.Parallel()
	err := fmt.Errorf("approving: %w", &ledger.CreditError{Limit: 5 * billing.Unit, Used: 1, Reserved: 2, Asked: 3})
	if !errors.Is(err, ledger.ErrCredit) {
		t.Error("is not ErrCredit")
	}
	want := "approving: ledger: account does not cover this: limit 5, used 0.000001, reserved 0.000002, asked 0.000003"
	if err.Error() != want {
		t.Errorf("says %q", err)
	}
}
