package account_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"trunkline/billing"
	"trunkline/billing/sealed"
	"trunkline/grid/account"
	"trunkline/grid/account/pb"
	"trunkline/p2p"
	"trunkline/p2p/p2ptest"
)

// T9: an approver that signs something else than it was asked for is caught by
// whoever asked.
func TestLyingApprover(t *testing.T) {
	t.Parallel()
	w := newWorld(t, account.Policy{})
	// Not over the network: the payer is to know no other host of this key.
	honest, err := w.approver.Approve(t.Context(), payer, w.ask())
	if err != nil {
		t.Fatal(err)
	}
	v := w.voucher(honest.Value.Channel, 100*mib)
	var lie *pb.Answer // what it says next
	host := p2ptest.Host(t, func(c *p2p.Config) { c.Key = approverKey })
	host.Handle(account.Protocol, func(_ context.Context, s *p2p.Stream) error {
		var req pb.Request
		if err := s.Receive(&req, 1<<20); err != nil {
			return fmt.Errorf("request: %w", err)
		}
		return s.Send(lie)
	})
	approval := func(edit func(*billing.Approval)) *pb.Answer {
		a := honest.Value
		edit(&a)
		a.Channel = billing.NewChannelID(a.Approver, a.Payer, a.Payee, a.Tariff, a.Period)
		s, err := sealed.Seal(approverKey, a)
		if err != nil {
			t.Fatal(err)
		}
		return &pb.Answer{Approval: s.Bytes}
	}
	receipt := func(edit func(*billing.Receipt)) *pb.Answer {
		r := billing.Receipt{Channel: v.Value.Channel, Voucher: v.Hash(), Entry: 1, Bytes: v.Value.Bytes, Credits: v.Value.Credits}
		edit(&r)
		s, err := sealed.Seal(approverKey, r)
		if err != nil {
			t.Fatal(err)
		}
		return &pb.Answer{Receipt: s.Bytes}
	}
	for _, tc := range []struct {
		name string
		lie  *pb.Answer
		want error
	}{
		{"other_payer", approval(func(a *billing.Approval) { a.Payer = keyOf(strangerKey) }), account.ErrApproval},
		{"other_payee", approval(func(a *billing.Approval) { a.Payee = keyOf(strangerKey) }), account.ErrApproval},
		{"other_tariff", approval(func(a *billing.Approval) { a.Tariff[0]++ }), account.ErrApproval},
		{"receipt_for_approval", receipt(func(*billing.Receipt) {}), account.ErrApproval},
		{"nothing", &pb.Answer{}, account.ErrApproval},
	} {
		lie = tc.lie
		if _, err := account.NewClient(w.payer).Approve(t.Context(), host.Self(), w.ask()); !errors.Is(err, tc.want) {
			t.Errorf("%s: got %v, want %v", tc.name, err, tc.want)
		}
	}
	for _, tc := range []struct {
		name string
		lie  *pb.Answer
		want error
	}{
		{"honest", receipt(func(*billing.Receipt) {}), nil},
		{"higher_is_fine", receipt(func(r *billing.Receipt) { r.Bytes++; r.Voucher[0]++ }), nil},
		{"fewer_bytes", receipt(func(r *billing.Receipt) { r.Bytes-- }), account.ErrReceipt},
		{"fewer_credits", receipt(func(r *billing.Receipt) { r.Credits-- }), account.ErrReceipt},
		{"other_channel", receipt(func(r *billing.Receipt) { r.Channel[0]++ }), account.ErrReceipt},
		{"other_voucher", receipt(func(r *billing.Receipt) { r.Voucher[0]++ }), account.ErrReceipt},
		{"approval_for_receipt", approval(func(*billing.Approval) {}), account.ErrReceipt},
	} {
		lie = tc.lie
		if _, err := account.NewClient(w.payee).Post(t.Context(), host.Self(), v); !errors.Is(err, tc.want) || (err == nil) != (tc.want == nil) {
			t.Errorf("%s: got %v, want %v", tc.name, err, tc.want)
		}
	}
	st, err := sealed.Seal(approverKey, billing.Statement{Account: payeeAccount, Period: 3, Currency: "CREDIT"})
	if err != nil {
		t.Fatal(err)
	}
	lie = &pb.Answer{Statement: st.Bytes}
	for name, ask := range map[string]account.StatementAsk{
		"other_account": {Account: payerAccount, Period: 3}, "other_period": {Account: payeeAccount, Period: 4},
	} {
		if _, err := account.NewClient(w.payee).Statement(t.Context(), host.Self(), ask); !errors.Is(err, account.ErrStatement) {
			t.Errorf("%s: got %v, want ErrStatement", name, err)
		}
	}
	if _, err := account.NewClient(w.payee).Join(t.Context(), host.Self(), account.JoinRequest{Area: theArea}); !errors.Is(err, account.ErrMalformed) {
		t.Errorf("no answer to join: got %v", err)
	}
	if _, err := account.NewClient(w.payee).Status(t.Context(), host.Self()); !errors.Is(err, account.ErrMalformed) {
		t.Errorf("no answer to status: got %v", err)
	}
}
