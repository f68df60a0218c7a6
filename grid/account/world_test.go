package account_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/crypto"

	"trunkline/billing"
	"trunkline/billing/ledger"
	"trunkline/billing/ledger/sqlite"
	"trunkline/billing/sealed"
	"trunkline/caps"
	"trunkline/grid/account"
	"trunkline/p2p"
	"trunkline/p2p/p2ptest"
)

var start = time.Unix(1_800_000_000, 0)

// clock is turned by hand.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) Turn(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// testKey is the n-th of a fixed row of keys.
func testKey(n byte) crypto.PrivKey {
	key, err := crypto.UnmarshalEd25519PrivateKey(ed25519.NewKeyFromSeed(bytes.Repeat([]byte{n}, ed25519.SeedSize)))
	if err != nil {
		panic(err)
	}
	return key
}

func keyOf(key crypto.PrivKey) caps.PublicKey {
	id, err := p2p.KeyOf(key)
	if err != nil {
		panic(err)
	}
	return id
}

var (
	approverKey  = testKey(1)
	payerKey     = testKey(2)
	payeeKey     = testKey(3)
	managerKey   = testKey(4) // signs tariffs
	strangerKey  = testKey(5)
	payer        = keyOf(payerKey)
	payee        = keyOf(payeeKey)
	payerAccount = keyOf(testKey(6))
	payeeAccount = keyOf(testKey(7))
	theArea      = caps.NewAreaCode(keyOf(testKey(8)))
)

// people is a small Members: one payer, one payee, one reader.
type people struct {
	tariff billing.TariffHash
	answer *atomic.Pointer[p2p.ErrorKind] // what payers are refused with, if it points to any
}

func (p people) Payer(_ context.Context, key caps.PublicKey, _ []byte, _ time.Time) (caps.PublicKey, error) {
	if p.answer != nil {
		if kind := p.answer.Load(); kind != nil {
			return caps.PublicKey{}, *kind
		}
	}
	if key != payer {
		return caps.PublicKey{}, account.ErrNoMember
	}
	return payerAccount, nil
}

func (p people) Payee(_ context.Context, key caps.PublicKey, code caps.AreaCode, _ time.Time) (account.Payee, error) {
	if key != payee || code != theArea {
		return account.Payee{}, account.ErrPayee
	}
	return account.Payee{Account: payeeAccount, TariffSigner: keyOf(managerKey), Tariff: p.tariff}, nil
}

func (people) Reader(_ context.Context, key, of caps.PublicKey, _ []byte, _ time.Time) error {
	if key == payer && of == payerAccount {
		return nil
	}
	return account.ErrNotYours
}

// world is an approver on a host, with a payer and a payee that may call it.
type world struct {
	t        *testing.T
	clock    *clock
	tariff   sealed.Sealed[billing.Tariff]
	store    ledger.Store
	approver *account.Approver
	policy   account.Policy
	answer   atomic.Pointer[p2p.ErrorKind] // see people
	host     *p2p.Host                     // the approver's
	peer     p2p.Peer
	payer    *p2p.Host
	payee    *p2p.Host
}

const line = 10 * billing.Unit // credit line of the payer's account

func newTariff(t testing.TB, edit func(*billing.Tariff)) sealed.Sealed[billing.Tariff] {
	t.Helper()
	v := billing.Tariff{
		Area: theArea, Sequence: 1, Currency: "CREDIT", PerGiB: billing.Unit,
		ValidFrom: start.Add(-time.Hour).Unix(), ValidUntil: start.Add(1000 * time.Hour).Unix(),
	}
	if edit != nil {
		edit(&v)
	}
	s, err := sealed.Seal(managerKey, v)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func newWorld(t *testing.T, policy account.Policy) *world {
	t.Helper()
	w := &world{t: t, clock: &clock{now: start}, tariff: newTariff(t, nil), policy: policy}
	store, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "ledger.sqlite"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := store.Check(context.Background()); err != nil {
			t.Errorf("books: %v", err)
		}
		if err := store.Close(); err != nil {
			t.Errorf("closing ledger: %v", err)
		}
	})
	w.store = store
	for key, l := range map[caps.PublicKey]billing.Credits{payerAccount: line, payeeAccount: 0} {
		if err := store.Admit(t.Context(), key, ledger.Terms{Currency: "CREDIT", CreditLine: l}); err != nil {
			t.Fatal(err)
		}
	}
	w.serve()
	w.payer = p2ptest.Host(t, func(c *p2p.Config) { c.Key = payerKey })
	w.payee = p2ptest.Host(t, func(c *p2p.Config) { c.Key = payeeKey })
	return w
}

// serve starts the approver on a host of its own.
func (w *world) serve() {
	w.t.Helper()
	var err error
	w.approver, err = account.NewApprover(account.ApproverConfig{
		Store: w.store, Key: approverKey, Members: people{tariff: billing.HashTariff(w.tariff), answer: &w.answer}, Policy: w.policy, Now: w.clock.Now,
	})
	if err != nil {
		w.t.Fatal(err)
	}
	w.host = p2ptest.Host(w.t, func(c *p2p.Config) {
		c.Key = approverKey
		if len(w.peer.Addrs) > 0 {
			c.Listen = w.peer.Addrs // come back where it was
		}
	})
	w.approver.Register(w.host)
	w.peer = w.host.Self()
}

// away takes the approver off the network.
func (w *world) away() {
	w.t.Helper()
	if err := w.host.Close(); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) ask() account.Ask {
	return account.Ask{Payee: payee, PayeeArea: theArea, Tariff: w.tariff.Bytes}
}

func (w *world) need(bytes uint64) account.Need {
	return account.Need{Approvers: []p2p.Peer{w.peer}, Payee: payee, PayeeArea: theArea, Tariff: w.tariff, Bytes: bytes}
}

// voucher is the payer's signature for a total on a channel.
func (w *world) voucher(channel billing.ChannelID, total uint64) sealed.Sealed[billing.Voucher] {
	w.t.Helper()
	return w.signed(payerKey, channel, total)
}

func (w *world) signed(key crypto.PrivKey, channel billing.ChannelID, total uint64) sealed.Sealed[billing.Voucher] {
	w.t.Helper()
	cost, err := w.tariff.Value.Cost(total, 0)
	if err != nil {
		w.t.Fatal(err)
	}
	v, err := sealed.Seal(key, billing.Voucher{Channel: channel, Bytes: total, Credits: cost})
	if err != nil {
		w.t.Fatal(err)
	}
	return v
}

func (w *world) balance(key caps.PublicKey) billing.Credits {
	w.t.Helper()
	a, err := w.store.Account(w.t.Context(), key)
	if err != nil {
		w.t.Fatal(err)
	}
	return a.Balance
}
