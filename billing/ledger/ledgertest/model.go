package ledgertest

import (
	"errors"
	"fmt"
	"os"
	"testing"
	"time"

	"pgregory.net/rapid"

	"trunkline/billing"
	"trunkline/billing/billingtest"
	"trunkline/billing/ledger"
	"trunkline/billing/sealed"
)

// model is the books in the simplest form: a cap and a figure for each channel.
// Everything else follows.
type model struct {
	b        *books
	dir      string
	open     Opener
	deposit  map[string]billing.Credits
	channels map[string]*modelChannel // by payer key
	epoch    uint64
	revoked  map[string]bool
}

type modelChannel struct {
	approval sealed.Sealed[billing.Approval]
	owed     billing.Credits
	released bool
}

// accounts and the payer keys in them: key i is of account i mod 3, and pays the
// next one.
var modelAccounts = []string{"grid 0", "grid 1", "grid 2"}

const modelKeys = 6

func (m *model) balance(account int) (sum billing.Credits) {
	for key, c := range m.channels {
		if accountOf(key) == account {
			sum -= c.owed
		}
		if (accountOf(key)+1)%3 == account {
			sum += c.owed
		}
	}
	return sum
}

func (m *model) reserved(account int) (sum billing.Credits) {
	for key, c := range m.channels {
		if accountOf(key) == account && !c.released {
			sum += c.approval.Value.LimitCredits() - c.owed
		}
	}
	return sum
}

func (m *model) available(account int) billing.Credits {
	return m.deposit[modelAccounts[account]] + m.balance(account) - m.reserved(account)
}

func accountOf(key string) int { return int(key[len(key)-1]-'0') % 3 }

func drawKey(t *rapid.T) string {
	return fmt.Sprint("key ", rapid.IntRange(0, modelKeys-1).Draw(t, "key"))
}

// expect fails unless got is want, or both are nil.
func expect(t *rapid.T, what string, got, want error) {
	if !errors.Is(got, want) || (got == nil) != (want == nil) {
		t.Fatalf("%s: %v, the model says %v", what, got, want)
	}
}

func (m *model) admit(t *rapid.T) {
	i := rapid.IntRange(0, 2).Draw(t, "account")
	deposit := billing.Credits(rapid.Int64Range(0, 300).Draw(t, "deposit"))
	var want error
	if deposit+m.balance(i) < m.reserved(i) {
		want = ledger.ErrCredit
	}
	err := m.b.s.Admit(m.b.t.Context(), billingtest.Public(modelAccounts[i]), ledger.Terms{Currency: "EUR", Deposit: deposit})
	expect(t, "admit", err, want)
	if err == nil {
		m.deposit[modelAccounts[i]] = deposit
	}
}

func (m *model) reserve(t *rapid.T) {
	key := drawKey(t)
	i := accountOf(key)
	limit := billing.Credits(rapid.Int64Range(0, 200).Draw(t, "cap"))
	grace := billing.Credits(rapid.Int64Range(0, 50).Draw(t, "grace"))
	hours := rapid.Int64Range(1, 5).Draw(t, "hours")
	a := m.b.approval(key, limit, func(v *billing.Approval) {
		v.PayerAccount, v.PayeeAccount = billingtest.Public(modelAccounts[i]), billingtest.Public(modelAccounts[(i+1)%3])
		v.GraceBytes, v.GraceCredits = uint64(grace), grace
		v.GraceUntil = v.NotAfter + hours*billingtest.Hour
		v.Epoch = m.epoch
	})
	c := m.channels[key]
	asked := a.Value.LimitCredits()
	var want error
	if c != nil {
		asked -= c.owed
		if !c.released {
			asked -= c.approval.Value.LimitCredits() - c.owed
		}
		want = c.approval.Value.CheckRenewal(a.Value)
	}
	switch {
	case m.revoked[key]:
		want = ledger.ErrRevoked
	case want == nil && asked > m.available(i):
		want = ledger.ErrCredit
	}
	expect(t, "reserve", m.b.tryReserve(a), want)
	if want != nil {
		return
	}
	if c == nil {
		c = &modelChannel{}
		m.channels[key] = c
	}
	c.approval, c.released = a, false
}

func (m *model) post(t *rapid.T) {
	key := drawKey(t)
	signer := key
	if rapid.IntRange(0, 9).Draw(t, "forge") == 0 {
		signer = "stranger"
	}
	bytes := rapid.Uint64Max(260).Draw(t, "bytes")
	c := m.channels[key]
	if c == nil {
		a := m.b.approval(key, 1, nil)
		_, err := m.b.tryPost(m.b.voucher(key, a, bytes))
		expect(t, "post", err, ledger.ErrNoChannel)
		return
	}
	delta := max(0, billing.Credits(bytes)-c.owed)
	var want error
	switch {
	case signer != key:
		want = ledger.ErrPayer
	case bytes > c.approval.Value.LimitBytes():
		want = billing.ErrOverCap
	case c.released && delta > 0 && delta > m.available(accountOf(key)):
		want = ledger.ErrCredit
	}
	p, err := m.b.tryPost(m.b.voucher(signer, c.approval, bytes))
	expect(t, "post", err, want)
	if err != nil {
		return
	}
	c.owed += delta
	if p.Delta != delta || p.Credits != c.owed {
		t.Fatalf("posting %+v, the model says %d more, %d in all", p, delta, c.owed)
	}
}

func (m *model) expire(t *rapid.T) {
	at := rapid.Int64Range(0, 7).Draw(t, "hours")*billingtest.Hour + billingtest.Start
	want := 0
	for _, c := range m.channels {
		if !c.released && c.approval.Value.GraceUntil+int64(billing.ClockTolerance/time.Second) < at {
			c.released = true
			want++
		}
	}
	if n, err := m.b.s.Expire(m.b.t.Context(), time.Unix(at, 0)); err != nil || n != want {
		t.Fatalf("released %d, %v; the model says %d", n, err, want)
	}
}

func (m *model) revoke(t *rapid.T) {
	key := drawKey(t)
	if len(m.revoked) > 1 { // leave somebody to go on with
		t.Skip("enough are revoked")
	}
	if !m.revoked[key] {
		m.epoch++
		m.revoked[key] = true
	}
	if _, err := m.b.s.Revoke(m.b.t.Context(), billingtest.Public(key), now); err != nil {
		t.Fatal(err)
	}
}

func (m *model) reopen(t *rapid.T) {
	if err := m.b.s.Close(); err != nil {
		t.Fatal(err)
	}
	var err error
	if m.b.s, err = m.open(m.dir); err != nil {
		t.Fatal(err)
	}
}

// check compares the books with the model, and has them check themselves.
func (m *model) check(t *rapid.T) {
	for i, name := range modelAccounts {
		a, err := m.b.s.Account(m.b.t.Context(), billingtest.Public(name))
		if err != nil {
			t.Fatal(err)
		}
		if a.Deposit != m.deposit[name] || a.Balance != m.balance(i) || a.Reserved != m.reserved(i) || a.Available() < 0 {
			t.Fatalf("%s: %+v, the model says %d, %d, %d", name, a, m.deposit[name], m.balance(i), m.reserved(i))
		}
	}
	if epoch, err := m.b.s.Epoch(m.b.t.Context()); err != nil || epoch != m.epoch {
		t.Fatalf("epoch %d, %v; the model says %d", epoch, err, m.epoch)
	}
	if err := m.b.s.Check(m.b.t.Context()); err != nil {
		t.Fatal(err)
	}
}

// testModel does random things to the books and to the model.
func testModel(t *testing.T, open Opener) {
	base := t.TempDir()
	rapid.Check(t, func(rt *rapid.T) {
		dir, err := os.MkdirTemp(base, "")
		if err != nil {
			rt.Fatal(err)
		}
		s, err := open(dir)
		if err != nil {
			rt.Fatal(err)
		}
		m := &model{
			b: &books{t: t, s: s, tariff: UnitTariff(t)}, dir: dir, open: open,
			deposit:  make(map[string]billing.Credits),
			channels: make(map[string]*modelChannel), revoked: make(map[string]bool),
		}
		defer func() {
			if err := m.b.s.Close(); err != nil {
				rt.Error(err)
			}
			if err := os.RemoveAll(dir); err != nil {
				rt.Error(err)
			}
		}()
		for _, name := range modelAccounts {
			m.b.admit(name, ledger.Terms{Currency: "EUR", Deposit: 200})
			m.deposit[name] = 200
		}
		rt.Repeat(map[string]func(*rapid.T){
			"admit": m.admit, "reserve": m.reserve, "reserve more": m.reserve,
			"post": m.post, "post more": m.post, "expire": m.expire,
			"revoke": m.revoke, "reopen": m.reopen, "": m.check,
		})
	})
}
