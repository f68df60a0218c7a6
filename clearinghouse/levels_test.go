package clearinghouse_test

import (
	"errors"
	"strings"
	"testing"

	"trunkline/billing"
	"trunkline/billing/sealed"
	"trunkline/caps"
	"trunkline/grid/account"
	"trunkline/grid/manager"
	"trunkline/p2p"
)

// level is one of the two levels on which there is a payer, a payee and an
// approver. The table below knows nothing else of them.
type level struct {
	clock    *clock
	approver p2p.Peer
	payer    node
	payee    node
	payees   *grid // the payee's
	market   manager.Market
	cred     func(t *testing.T) []byte

	payerAccount, payeeAccount caps.PublicKey
	// Whoever may read the payer's account: a host and its proof.
	reader     *p2p.Host
	readerCred func(t *testing.T) []byte
	// suspend stops the payer's account, if the level can.
	suspend func(t *testing.T)
	// revoke takes the payer's key out for good.
	revoke func(t *testing.T)
	// strangers are keys that are known, but not as payers here.
	strangers map[string]node
}

func (l level) ask(t *testing.T) account.Ask {
	return ask(l.payee.Key(), l.payees, l.market, l.cred(t))
}

func (l level) approve(t *testing.T) (billing.Approval, error) {
	t.Helper()
	a, err := account.NewClient(l.payer).Approve(t.Context(), l.approver, l.ask(t))
	return a.Value, err
}

// managerLevel is a client that pays a gateway of its grid, under its manager.
func managerLevel(t *testing.T) level {
	c := newClock()
	g := newGrid(t, c, "grid")
	return level{
		clock: c, approver: g.host.Self(), payer: g.client, payee: g.gateway, payees: g, market: manager.Local,
		cred:         func(*testing.T) []byte { return nil },
		payerAccount: g.client.Key(), payeeAccount: g.gateway.Key(),
		reader: g.client.Host, readerCred: func(*testing.T) []byte { return nil },
		revoke: func(t *testing.T) {
			if _, err := g.m.Revoke(t.Context(), g.client.Key()); err != nil {
				t.Fatal(err)
			}
		},
		strangers: map[string]node{"contact_point": g.contact, "nobody": {Host: hostOf(t, nil), holder: g.client.holder}},
	}
}

// clearinghouseLevel is a gateway that pays another grid's contact point, under a
// clearinghouse.
func clearinghouseLevel(t *testing.T) level {
	c := newClock()
	h := newHouse(t, c, nil)
	t.Cleanup(h.close)
	a, b := newGrid(t, c, "payers"), newGrid(t, c, "payees")
	h.member(a)
	h.member(b)
	return level{
		clock: c, approver: h.host.Self(), payer: a.gateway, payee: b.contact, payees: b, market: manager.Export,
		cred:         a.gateway.credential,
		payerAccount: a.m.Area().Key(), payeeAccount: b.m.Area().Key(),
		reader: a.host, readerCred: func(t *testing.T) []byte { return delegationOf(t, a) },
		suspend: func(t *testing.T) {
			if _, err := h.Suspend(t.Context(), a.m.Area(), true); err != nil {
				t.Fatal(err)
			}
		},
		revoke: func(t *testing.T) {
			if _, err := h.Revoke(t.Context(), a.gateway.Key()); err != nil {
				t.Fatal(err)
			}
		},
		strangers: map[string]node{"client": a.client, "contact_point": a.contact, "thief": {Host: hostOf(t, nil), holder: a.gateway.holder}},
	}
}

var levels = map[string]func(*testing.T) level{"manager": managerLevel, "clearinghouse": clearinghouseLevel}

// Every rule holds at both levels. Each case gets a level of its own.
func TestApproverAtBothLevels(t *testing.T) {
	t.Parallel()
	for name, rule := range map[string]func(*testing.T, level){
		"approves": func(t *testing.T, l level) {
			a, err := l.approve(t)
			if err != nil {
				t.Fatal(err)
			}
			if a.PayerAccount != l.payerAccount || a.PayeeAccount != l.payeeAccount || a.Payer != l.payer.Key() || a.Approver != l.approver.Key || a.CapBytes != gib {
				t.Errorf("approval %+v", a)
			}
		},
		"refuses_who_is_no_payer": func(t *testing.T, l level) {
			for who, n := range l.strangers {
				ask := ask(l.payee.Key(), l.payees, l.market, nil)
				if n.holder != nil {
					ask.Credential = n.credential(t)
				}
				if _, err := account.NewClient(n).Approve(t.Context(), l.approver, ask); !errors.Is(err, p2p.ErrDenied) {
					t.Errorf("%s: got %v, want denied", who, err)
				}
			}
		},
		"refuses_other_payees": func(t *testing.T, l level) {
			for who, key := range map[string]caps.PublicKey{"client": l.payees.client.Key(), "manager": l.payees.host.Key(), "nobody": hostOf(t, nil).Key()} {
				if key == l.payer.Key() {
					continue
				}
				ask := l.ask(t)
				ask.Payee = key
				if _, err := account.NewClient(l.payer).Approve(t.Context(), l.approver, ask); !errors.Is(err, p2p.ErrRefused) {
					t.Errorf("%s: got %v, want refused", who, err)
				}
			}
			ask := l.ask(t)
			ask.PayeeArea = caps.NewAreaCode(l.payer.Key())
			if _, err := account.NewClient(l.payer).Approve(t.Context(), l.approver, ask); !errors.Is(err, p2p.ErrRefused) {
				t.Errorf("other area: got %v, want refused", err)
			}
		},
		"refuses_old_tariffs": func(t *testing.T, l level) {
			ask := l.ask(t)
			if _, err := l.payees.m.SetTariff(t.Context(), l.market, manager.Terms{PerGiB: 2}); err != nil {
				t.Fatal(err)
			}
			if len(l.payees.m.Clearinghouses()) > 0 {
				l.payees.publish()
			}
			if _, err := account.NewClient(l.payer).Approve(t.Context(), l.approver, ask); !errors.Is(err, account.ErrTariff) {
				t.Errorf("got %v, want ErrTariff", err)
			}
			if _, err := l.approve(t); err != nil {
				t.Errorf("the new tariff: %v", err)
			}
		},
		"refuses_when_credit_is_used_up": func(t *testing.T, l level) {
			ask := l.ask(t)
			ask.WantBytes = 64 * gib
			var err error
			for range 30 {
				a, e := account.NewClient(l.payer).Approve(t.Context(), l.approver, ask)
				if err = e; err != nil {
					break
				}
				ask.UsedBytes = a.Value.LimitBytes()
			}
			if !errors.Is(err, account.ErrCredit) {
				t.Fatalf("got %v, want ErrCredit", err)
			}
			for _, number := range []string{"limit 10", "used 0", "reserved 10", "asked 0."} {
				if !strings.Contains(err.Error(), number) {
					t.Errorf("%q does not say %q", err, number)
				}
			}
		},
		"refuses_suspended_accounts": func(t *testing.T, l level) {
			if l.suspend == nil {
				t.Skip("a manager revokes members instead")
			}
			l.suspend(t)
			if _, err := l.approve(t); !errors.Is(err, p2p.ErrDenied) {
				t.Errorf("got %v, want denied", err)
			}
		},
		"refuses_revoked_keys_at_once": func(t *testing.T, l level) {
			before, err := l.approve(t)
			if err != nil {
				t.Fatal(err)
			}
			l.revoke(t)
			if _, err := l.approve(t); !errors.Is(err, p2p.ErrDenied) {
				t.Errorf("got %v, want denied", err)
			}
			st, err := account.NewClient(l.payee).Status(t.Context(), l.approver)
			if err != nil || st.Epoch <= before.Epoch {
				t.Errorf("epoch %d, approvals of %d, %v", st.Epoch, before.Epoch, err)
			}
			// What was signed before is still booked: the payee loses nothing by it.
			v := voucher(t, l.payer.PrivKey(), before.Channel, l.payees.tariff(l.market).Value, mib)
			if _, err := account.NewClient(l.payee).Post(t.Context(), l.approver, v); err != nil {
				t.Errorf("posting: %v", err)
			}
		},
		"books_and_states": func(t *testing.T, l level) {
			a, err := l.approve(t)
			if err != nil {
				t.Fatal(err)
			}
			v := voucher(t, l.payer.PrivKey(), a.Channel, l.payees.tariff(l.market).Value, 512*mib)
			for range 3 { // I4
				r, err := account.NewClient(l.payee).Post(t.Context(), l.approver, v)
				if err != nil || r.Value.Credits != billing.Unit/2 || r.Value.Entry != 1 {
					t.Fatalf("receipt %+v, %v", r.Value, err)
				}
			}
			st, err := account.NewClient(l.reader).Statement(t.Context(), l.approver, account.StatementAsk{Account: l.payerAccount, Current: true, Credential: l.readerCred(t)})
			if err != nil {
				t.Fatal(err)
			}
			if s := st.Value; len(s.Lines) != 1 || s.Debit != billing.Unit/2 || s.Lines[0].Counterparty != l.payeeAccount || s.Lines[0].Voucher != v.Hash() {
				t.Errorf("statement %+v", s)
			}
		},
		"keeps_accounts_private": func(t *testing.T, l level) {
			for who, tc := range map[string]struct {
				host *p2p.Host
				of   caps.PublicKey
				cred []byte
			}{
				"payers_reader_of_the_payee": {l.reader, l.payeeAccount, l.readerCred(t)},
				"payee_of_the_payer":         {l.payee.Host, l.payerAccount, l.payee.credential(t)},
				"nobody_of_the_payer":        {hostOf(t, nil), l.payerAccount, l.readerCred(t)},
			} {
				if _, err := account.NewClient(tc.host).Statement(t.Context(), l.approver, account.StatementAsk{Account: tc.of, Current: true, Credential: tc.cred}); !errors.Is(err, p2p.ErrDenied) {
					t.Errorf("%s: got %v, want denied", who, err)
				}
			}
		},
		"books_nothing_false": func(t *testing.T, l level) {
			a, err := l.approve(t)
			if err != nil {
				t.Fatal(err)
			}
			tariff := l.payees.tariff(l.market).Value
			for what, tc := range map[string]struct {
				host *p2p.Host
				v    sealed.Sealed[billing.Voucher]
				want error
			}{
				"over_the_cap": {l.payee.Host, voucher(t, l.payer.PrivKey(), a.Channel, tariff, a.LimitBytes()+1), p2p.ErrRefused},
				"payees_own":   {l.payee.Host, voucher(t, l.payee.PrivKey(), a.Channel, tariff, mib), p2p.ErrRefused},
				"no_channel":   {l.payee.Host, voucher(t, l.payer.PrivKey(), billing.ChannelID{1}, tariff, mib), p2p.ErrNotFound},
				"by_nobody":    {hostOf(t, nil), voucher(t, l.payer.PrivKey(), a.Channel, tariff, mib), p2p.ErrDenied},
			} {
				if _, err := account.NewClient(tc.host).Post(t.Context(), l.approver, tc.v); !errors.Is(err, tc.want) {
					t.Errorf("%s: got %v, want %v", what, err, tc.want)
				}
			}
		},
	} {
		for levelName, make := range levels {
			t.Run(name+"/"+levelName, func(t *testing.T) {
				t.Parallel()
				rule(t, make(t))
			})
		}
	}
}
