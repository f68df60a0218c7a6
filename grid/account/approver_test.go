package account_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"trunkline/billing"
	"trunkline/billing/sealed"
	"trunkline/caps"
	"trunkline/grid/account"
	"trunkline/p2p"
	"trunkline/p2p/p2ptest"
)

const (
	mib = 1 << 20
	gib = 1 << 30
)

func TestApprove(t *testing.T) {
	t.Parallel()
	w := newWorld(t, account.Policy{})
	c := account.NewClient(w.payer)
	got, err := c.Approve(t.Context(), w.peer, w.ask())
	if err != nil {
		t.Fatal(err)
	}
	v := got.Value
	for what, ok := range map[string]bool{
		"approver":    v.Approver == keyOf(approverKey) && got.Signer == v.Approver,
		"payer":       v.Payer == payer && v.PayerAccount == payerAccount,
		"payee":       v.Payee == payee && v.PayeeAccount == payeeAccount,
		"tariff":      v.Tariff == billing.HashTariff(w.tariff),
		"cap":         v.CapBytes == gib && v.CapCredits == billing.Unit,
		"grace":       v.GraceBytes == 64*mib && v.GraceCredits == billing.Unit/16,
		"times":       v.IssuedAt == start.Unix() && v.NotAfter == start.Add(time.Hour).Unix() && v.GraceUntil == start.Add(25*time.Hour).Unix(),
		"period":      v.Period == uint64(start.Unix())/86400,
		"window":      v.Window == 4*mib,
		"channel":     v.Channel == billing.NewChannelID(v.Approver, payer, payee, v.Tariff, v.Period),
		"in_books_as": w.reserved() == v.CapCredits+v.GraceCredits,
	} {
		if !ok {
			t.Errorf("%s is wrong in %+v", what, v)
		}
	}
	// Asking again renews on the same channel and reserves nothing twice.
	w.clock.Turn(10 * time.Minute)
	again, err := c.Approve(t.Context(), w.peer, w.ask())
	if err != nil {
		t.Fatal(err)
	}
	if err := v.CheckRenewal(again.Value); err != nil || again.Value.NotAfter != v.NotAfter+600 || w.reserved() != v.LimitCredits() {
		t.Errorf("renewed to %+v (%v), reserved %v", again.Value, err, w.reserved())
	}
	// What is used is granted again on top.
	ask := w.ask()
	ask.UsedBytes = 600 * mib
	raised, err := c.Approve(t.Context(), w.peer, ask)
	if err != nil || raised.Value.CapBytes != gib+600*mib {
		t.Errorf("raised to %d, %v", raised.Value.CapBytes, err)
	}
	// A payer's lie about what it used gains nothing beyond what was approved.
	ask.UsedBytes = 1 << 40
	raised, err = c.Approve(t.Context(), w.peer, ask)
	if limit := gib + 600*mib + 64*mib; err != nil || raised.Value.CapBytes > uint64(limit)+gib {
		t.Errorf("raised to %d, %v", raised.Value.CapBytes, err)
	}
}

func (w *world) reserved() billing.Credits {
	w.t.Helper()
	a, err := w.store.Account(w.t.Context(), payerAccount)
	if err != nil {
		w.t.Fatal(err)
	}
	return a.Reserved
}

func TestApproveRefuses(t *testing.T) {
	t.Parallel()
	w := newWorld(t, account.Policy{})
	other := newTariff(t, func(v *billing.Tariff) { v.PerGiB = 2 * billing.Unit })
	foreign := newTariff(t, func(v *billing.Tariff) { v.Area = caps.NewAreaCode(payer) })
	forged, err := sealed.Seal(strangerKey, w.tariff.Value)
	if err != nil {
		t.Fatal(err)
	}
	stranger := p2ptest.Host(t, func(c *p2p.Config) { c.Key = strangerKey })
	for name, tc := range map[string]struct {
		host *p2p.Host
		edit func(*account.Ask)
		want error
	}{
		"stranger":           {stranger, func(*account.Ask) {}, p2p.ErrDenied},
		"payee_as_payer":     {w.payee, func(*account.Ask) {}, p2p.ErrDenied},
		"other_payee":        {w.payer, func(a *account.Ask) { a.Payee = keyOf(strangerKey) }, p2p.ErrRefused},
		"itself":             {w.payer, func(a *account.Ask) { a.Payee = payer }, p2p.ErrRefused},
		"other_area":         {w.payer, func(a *account.Ask) { a.PayeeArea = caps.NewAreaCode(payer) }, p2p.ErrRefused},
		"other_tariff":       {w.payer, func(a *account.Ask) { a.Tariff = other.Bytes }, account.ErrTariff},
		"tariff_of_another":  {w.payer, func(a *account.Ask) { a.Tariff = foreign.Bytes }, account.ErrTariff},
		"forged_tariff":      {w.payer, func(a *account.Ask) { a.Tariff = forged.Bytes }, account.ErrTariff},
		"voucher_as_tariff":  {w.payer, func(a *account.Ask) { a.Tariff = w.voucher(billing.ChannelID{1}, 1).Bytes }, p2p.ErrMalformed},
		"no_tariff":          {w.payer, func(a *account.Ask) { a.Tariff = nil }, p2p.ErrMalformed},
		"long_tariff":        {w.payer, func(a *account.Ask) { a.Tariff = make([]byte, 2000) }, p2p.ErrMalformed},
		"long_credential":    {w.payer, func(a *account.Ask) { a.Credential = make([]byte, 9000) }, p2p.ErrMalformed},
		"small_order_payee":  {w.payer, func(a *account.Ask) { a.Payee = caps.PublicKey{} }, p2p.ErrMalformed},
		"absurd_want":        {w.payer, func(a *account.Ask) { a.WantBytes = 1 << 63 }, p2p.ErrMalformed},
		"absurd_used":        {w.payer, func(a *account.Ask) { a.UsedBytes = 1 << 63 }, p2p.ErrMalformed},
		"unknown_channel_ok": {w.payer, func(a *account.Ask) { a.Renew = billing.ChannelID{1} }, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ask := w.ask()
			tc.edit(&ask)
			got, err := account.NewClient(tc.host).Approve(t.Context(), w.peer, ask)
			if !errors.Is(err, tc.want) || (err == nil) != (tc.want == nil) {
				t.Errorf("got %v, want %v", err, tc.want)
			}
			if err != nil && got.Verified() {
				t.Error("an approval came with the error")
			}
		})
	}
}

func TestTollFreeNeedsNoApproval(t *testing.T) {
	t.Parallel()
	w := newWorld(t, account.Policy{})
	w.tariff = newTariff(t, func(v *billing.Tariff) { v.PerGiB, v.TollFree = 0, true })
	a, err := account.NewApprover(account.ApproverConfig{Store: w.store, Key: approverKey, Members: people{tariff: billing.HashTariff(w.tariff)}, Now: w.clock.Now})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := a.Approve(t.Context(), payer, w.ask()); !errors.Is(err, account.ErrTollFree) {
		t.Errorf("got %v, want ErrTollFree", err)
	}
}

// A sheet that lists a tariff of another key than the delegate's makes it no tariff.
func TestTariffSignerCounts(t *testing.T) {
	t.Parallel()
	w := newWorld(t, account.Policy{})
	forged, err := sealed.Seal(strangerKey, w.tariff.Value)
	if err != nil {
		t.Fatal(err)
	}
	w.tariff = forged
	a, err := account.NewApprover(account.ApproverConfig{Store: w.store, Key: approverKey, Members: people{tariff: billing.HashTariff(forged)}, Now: w.clock.Now})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := a.Approve(t.Context(), payer, w.ask()); !errors.Is(err, account.ErrTariff) {
		t.Errorf("got %v, want ErrTariff", err)
	}
}

func TestTariffEnds(t *testing.T) {
	t.Parallel()
	w := newWorld(t, account.Policy{})
	w.clock.Turn(1001 * time.Hour)
	if _, err := account.NewClient(w.payer).Approve(t.Context(), w.peer, w.ask()); !errors.Is(err, account.ErrTariff) {
		t.Errorf("got %v, want ErrTariff", err)
	}
}

// Short credit shrinks the grant; none refuses it with the numbers.
func TestCreditRunsOut(t *testing.T) {
	t.Parallel()
	w := newWorld(t, account.Policy{})
	c := account.NewClient(w.payer)
	ask := w.ask()
	ask.WantBytes = 64 * gib // 64 units; the line is 10
	got, err := c.Approve(t.Context(), w.peer, ask)
	if err != nil {
		t.Fatal(err)
	}
	if n := got.Value.CapBytes; n != 8*gib {
		t.Errorf("granted %d, want 8 GiB: half, and half again, until it fits", n)
	}
	if w.reserved() > line {
		t.Errorf("reserved %v of %v", w.reserved(), line)
	}
	ask.UsedBytes = 8 * gib
	if got, err = c.Approve(t.Context(), w.peer, ask); err != nil || got.Value.CapBytes != 9*gib {
		t.Errorf("granted %d, %v; want 9 GiB", got.Value.CapBytes, err)
	}
	ask.UsedBytes = got.Value.LimitBytes()
	for range 20 { // until there is nothing left to halve
		got, err = c.Approve(t.Context(), w.peer, ask)
		if err != nil {
			break
		}
		ask.UsedBytes = got.Value.LimitBytes()
	}
	if !errors.Is(err, account.ErrCredit) || !errors.Is(err, p2p.ErrUnpaid) {
		t.Fatalf("got %v, want ErrCredit", err)
	}
	for _, number := range []string{"limit 10", "used 0", "reserved 9."} {
		if !strings.Contains(err.Error(), number) {
			t.Errorf("%q does not say %q", err, number)
		}
	}
}

func TestSuspendedAndRevoked(t *testing.T) {
	t.Parallel()
	w := newWorld(t, account.Policy{})
	c := account.NewClient(w.payer)
	suspend := func(key caps.PublicKey, on bool) {
		t.Helper()
		a, err := w.store.Account(t.Context(), key)
		if err != nil {
			t.Fatal(err)
		}
		a.Suspended = on
		if err := w.store.Admit(t.Context(), key, a.Terms); err != nil {
			t.Fatal(err)
		}
	}
	for _, key := range []caps.PublicKey{payerAccount, payeeAccount} {
		suspend(key, true)
		if _, err := c.Approve(t.Context(), w.peer, w.ask()); !errors.Is(err, p2p.ErrDenied) {
			t.Errorf("got %v, want denied", err)
		}
		suspend(key, false)
	}
	before, err := c.Approve(t.Context(), w.peer, w.ask())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.store.Revoke(t.Context(), keyOf(strangerKey), w.clock.Now()); err != nil {
		t.Fatal(err)
	}
	after, err := c.Approve(t.Context(), w.peer, w.ask())
	if err != nil || after.Value.Epoch != before.Value.Epoch+1 {
		t.Errorf("epoch %d after %d, %v", after.Value.Epoch, before.Value.Epoch, err)
	}
	st, err := c.Status(t.Context(), w.peer)
	if err != nil || st.Epoch != after.Value.Epoch || st.Now != start.Unix() || st.Period != after.Value.Period {
		t.Errorf("status %+v, %v", st, err)
	}
	if _, err := w.store.Revoke(t.Context(), payer, w.clock.Now()); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Approve(t.Context(), w.peer, w.ask()); !errors.Is(err, p2p.ErrDenied) {
		t.Errorf("revoked payer: got %v, want denied", err)
	}
}

// A channel can be carried on into the next period, but not into a third.
func TestRenewAcrossPeriods(t *testing.T) {
	t.Parallel()
	w := newWorld(t, account.Policy{})
	c := account.NewClient(w.payer)
	first, err := c.Approve(t.Context(), w.peer, w.ask())
	if err != nil {
		t.Fatal(err)
	}
	w.clock.Turn(24 * time.Hour)
	ask := w.ask()
	ask.Renew = first.Value.Channel
	carried, err := c.Approve(t.Context(), w.peer, ask)
	if err != nil || carried.Value.Channel != first.Value.Channel {
		t.Errorf("the next day: channel %s, %v; want the same", carried.Value.Channel, err)
	}
	fresh, err := c.Approve(t.Context(), w.peer, w.ask())
	if err != nil || fresh.Value.Channel == first.Value.Channel || fresh.Value.Period != first.Value.Period+1 {
		t.Errorf("a new read the next day: %+v, %v; want a new channel", fresh.Value, err)
	}
	w.clock.Turn(24 * time.Hour)
	ended, err := c.Approve(t.Context(), w.peer, ask)
	if err != nil || ended.Value.Channel == first.Value.Channel {
		t.Errorf("two days later: %s, %v; want a new channel", ended.Value.Channel, err)
	}
}

// M5: however many ask at once, what is reserved is covered.
func TestConcurrentApprovals(t *testing.T) {
	t.Parallel()
	w := newWorld(t, account.Policy{})
	var wg sync.WaitGroup
	for i := range 64 {
		wg.Go(func() {
			ask := w.ask()
			ask.WantBytes = uint64(i%7+1) * gib
			if _, err := w.approver.Approve(context.Background(), payer, ask); err != nil && !errors.Is(err, account.ErrCredit) && !errors.Is(err, account.ErrBusy) {
				t.Errorf("approval: %v", err)
			}
		})
	}
	wg.Wait()
	if got := w.reserved(); got > line {
		t.Errorf("reserved %v of %v", got, line)
	}
	if err := w.store.Check(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestPost(t *testing.T) {
	t.Parallel()
	w := newWorld(t, account.Policy{})
	ap, err := account.NewClient(w.payer).Approve(t.Context(), w.peer, w.ask())
	if err != nil {
		t.Fatal(err)
	}
	ch := ap.Value.Channel
	c := account.NewClient(w.payee)
	post := func(total uint64) billing.Receipt {
		t.Helper()
		r, err := c.Post(t.Context(), w.peer, w.voucher(ch, total))
		if err != nil {
			t.Fatal(err)
		}
		return r.Value
	}
	first := post(512 * mib)
	if first.Bytes != 512*mib || first.Credits != billing.Unit/2 || first.Entry == 0 || first.BookedAt != start.Unix() {
		t.Errorf("receipt %+v", first)
	}
	if again := post(512 * mib); again != first {
		t.Errorf("again: %+v", again)
	}
	// An older one changes nothing and gets the higher one's receipt.
	if older := post(100 * mib); older != first {
		t.Errorf("older: %+v", older)
	}
	if higher := post(700 * mib); higher.Bytes != 700*mib || higher.Entry <= first.Entry {
		t.Errorf("higher: %+v", higher)
	}
	if p, e := w.balance(payerAccount), w.balance(payeeAccount); p != -e || e != billing.Unit*700/1024+1 && e != billing.Unit*700/1024 {
		t.Errorf("balances %v and %v", p, e)
	}
	wrongCost, err := sealed.Seal(payerKey, billing.Voucher{Channel: ch, Bytes: 800 * mib, Credits: 1})
	if err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		host *p2p.Host
		v    sealed.Sealed[billing.Voucher]
		want error
	}{
		"over_the_cap":    {w.payee, w.voucher(ch, 2*gib), p2p.ErrRefused},
		"payees_own":      {w.payee, w.signed(payeeKey, ch, 800*mib), p2p.ErrRefused},
		"wrong_cost":      {w.payee, wrongCost, p2p.ErrRefused},
		"unknown_channel": {w.payee, w.voucher(billing.ChannelID{9}, mib), p2p.ErrNotFound},
		"by_a_stranger":   {p2ptest.Host(t, func(c *p2p.Config) { c.Key = strangerKey }), w.voucher(ch, 800*mib), p2p.ErrDenied},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := account.NewClient(tc.host).Post(t.Context(), w.peer, tc.v); !errors.Is(err, tc.want) {
				t.Errorf("got %v, want %v", err, tc.want)
			}
		})
	}
	if got := w.balance(payeeAccount); got != w.cost(700*mib) {
		t.Errorf("refused vouchers were booked: %v", got)
	}
	if _, err := account.NewClient(w.payer).Post(t.Context(), w.peer, w.voucher(ch, 900*mib)); err != nil {
		t.Errorf("the payer's own posting: %v", err)
	}
}

func (w *world) cost(n uint64) billing.Credits {
	w.t.Helper()
	c, err := w.tariff.Value.Cost(n, 0)
	if err != nil {
		w.t.Fatal(err)
	}
	return c
}

func TestStatement(t *testing.T) {
	t.Parallel()
	w := newWorld(t, account.Policy{})
	ap, err := account.NewClient(w.payer).Approve(t.Context(), w.peer, w.ask())
	if err != nil {
		t.Fatal(err)
	}
	v := w.voucher(ap.Value.Channel, 512*mib)
	if _, err := account.NewClient(w.payee).Post(t.Context(), w.peer, v); err != nil {
		t.Fatal(err)
	}
	st, err := account.NewClient(w.payer).Statement(t.Context(), w.peer, account.StatementAsk{Account: payerAccount, Current: true})
	if err != nil {
		t.Fatal(err)
	}
	if s := st.Value; len(s.Lines) != 1 || s.Debit != billing.Unit/2 || s.Credit != 0 || s.Lines[0].Voucher != v.Hash() ||
		s.Lines[0].Counterparty != payeeAccount || s.Period != ap.Value.Period || s.Currency != "CREDIT" {
		t.Errorf("statement %+v", s)
	}
	empty, err := account.NewClient(w.payer).Statement(t.Context(), w.peer, account.StatementAsk{Account: payerAccount, Period: ap.Value.Period - 1})
	if err != nil || len(empty.Value.Lines) != 0 {
		t.Errorf("another period: %+v, %v", empty.Value, err)
	}
	for name, tc := range map[string]struct {
		host *p2p.Host
		of   caps.PublicKey
	}{
		"payee_reads_payers":    {w.payee, payerAccount},
		"payer_reads_payees":    {w.payer, payeeAccount},
		"stranger_reads_payers": {p2ptest.Host(t, func(c *p2p.Config) { c.Key = strangerKey }), payerAccount},
		"own_without_account":   {w.payee, payee},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := account.NewClient(tc.host).Statement(t.Context(), w.peer, account.StatementAsk{Account: tc.of, Current: true}); !errors.Is(err, p2p.ErrDenied) {
				t.Errorf("got %v, want denied", err)
			}
		})
	}
}

func TestJoinNeedsAJoiner(t *testing.T) {
	t.Parallel()
	w := newWorld(t, account.Policy{})
	_, err := account.NewClient(w.payer).Join(t.Context(), w.peer, account.JoinRequest{Area: theArea, Delegation: []byte{1}, Sheet: []byte{1}})
	if !errors.Is(err, p2p.ErrUnsupported) {
		t.Errorf("got %v, want unsupported", err)
	}
}
