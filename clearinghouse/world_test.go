package clearinghouse_test

import (
	"context"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/crypto"

	"trunkline/billing"
	"trunkline/billing/sealed"
	"trunkline/caps"
	"trunkline/clearinghouse"
	"trunkline/grid/account"
	"trunkline/grid/manager"
	"trunkline/grid/roster"
	"trunkline/p2p"
	"trunkline/p2p/p2ptest"
)

const (
	mib = 1 << 20
	gib = 1 << 30
)

var start = time.Unix(1_800_000_000, 0)

// clock is turned by hand.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func newClock() *clock { return &clock{now: start} }

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

// node is a member of a grid: a host and what it knows.
type node struct {
	*p2p.Host
	holder *roster.Holder
}

func (n node) credential(t *testing.T) []byte {
	t.Helper()
	b, err := n.holder.Credential()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// grid is a manager on a host, with a gateway, a contact point and a client.
type grid struct {
	t       *testing.T
	clock   *clock
	dir     string
	m       *manager.Manager
	host    *p2p.Host
	gateway node
	contact node
	client  node
}

func newGrid(t *testing.T, c *clock, name string) *grid {
	t.Helper()
	g := &grid{t: t, clock: c, dir: filepath.Join(t.TempDir(), "grid")}
	price := manager.Terms{PerGiB: billing.Unit}
	if _, err := manager.Create(manager.CreateConfig{Dir: g.dir, Name: name, CreditLine: 10 * billing.Unit, Local: price, Export: price, Now: c.Now}); err != nil {
		t.Fatal(err)
	}
	m, err := manager.Open(t.Context(), manager.Config{Dir: g.dir, Now: c.Now})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := m.Close(); err != nil {
			t.Errorf("closing manager: %v", err)
		}
	})
	g.m = m
	g.host = hostOf(t, m.HostKey())
	if err := m.Serve(t.Context(), g.host, nil); err != nil {
		t.Fatal(err)
	}
	g.gateway = g.node(roster.Gateway)
	g.contact = g.node(roster.Contact)
	g.client = g.node(roster.Client)
	return g
}

func hostOf(t *testing.T, key crypto.PrivKey) *p2p.Host {
	t.Helper()
	return p2ptest.Host(t, func(c *p2p.Config) {
		if key != nil {
			c.Key = key
		}
	})
}

func (g *grid) node(role roster.Role) node {
	g.t.Helper()
	n := node{Host: hostOf(g.t, nil)}
	if _, err := g.m.Approve(g.t.Context(), n.Key(), role, role.String()); err != nil {
		g.t.Fatal(err)
	}
	var err error
	n.holder, err = roster.OpenHolder(roster.HolderConfig{
		Area: g.m.Area(), Self: n.Key(), Path: filepath.Join(g.t.TempDir(), "roster"), Host: n.Host, Manager: g.host.Self(), Addrs: n.Addrs, Now: g.clock.Now,
	})
	if err != nil {
		g.t.Fatal(err)
	}
	g.refresh(n)
	return n
}

func (g *grid) refresh(n node) {
	g.t.Helper()
	if err := n.holder.Refresh(g.t.Context()); err != nil {
		g.t.Fatal(err)
	}
}

func (g *grid) tariff(market manager.Market) sealed.Sealed[billing.Tariff] {
	g.t.Helper()
	v, err := g.m.Current()
	if err != nil {
		g.t.Fatal(err)
	}
	b := v.Roster.Value.LocalTariff
	if market == manager.Export {
		b = v.Roster.Value.ExportTariff
	}
	s, err := sealed.OpenFrom[billing.Tariff](g.m.Key(), b)
	if err != nil {
		g.t.Fatal(err)
	}
	return s
}

// publish brings the area record to the grid's clearinghouses.
func (g *grid) publish() {
	g.t.Helper()
	if err := g.m.Publish(g.t.Context(), true); err != nil {
		g.t.Fatal(err)
	}
}

// house is a clearinghouse on a host.
type house struct {
	*clearinghouse.Clearinghouse
	t    *testing.T
	dir  string
	host *p2p.Host
}

func newHouse(t *testing.T, c *clock, edit func(*clearinghouse.CreateConfig)) *house {
	t.Helper()
	h := &house{t: t, dir: filepath.Join(t.TempDir(), "house")}
	cfg := clearinghouse.CreateConfig{Dir: h.dir, Name: "the house", Now: c.Now}
	if edit != nil {
		edit(&cfg)
	}
	if _, err := clearinghouse.Create(cfg); err != nil {
		t.Fatal(err)
	}
	h.open(c)
	return h
}

func (h *house) open(c *clock) {
	h.t.Helper()
	ch, err := clearinghouse.Open(h.t.Context(), clearinghouse.Config{Dir: h.dir, Now: c.Now})
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() { _ = ch.Close() }) // a second time in tests of restarts
	h.Clearinghouse = ch
	h.host = hostOf(h.t, ch.HostKey())
	if err := ch.Serve(h.host, nil); err != nil {
		h.t.Fatal(err)
	}
}

// close ends host and books, after a last look at them.
func (h *house) close() {
	h.t.Helper()
	if err := h.Check(context.Background()); err != nil {
		h.t.Errorf("books: %v", err)
	}
	if err := h.host.Close(); err != nil {
		h.t.Error(err)
	}
	if err := h.Close(); err != nil {
		h.t.Error(err)
	}
}

// member makes a grid a member of the house with a credit line of 10.
func (h *house) member(g *grid) {
	h.t.Helper()
	if _, err := h.Admit(h.t.Context(), g.m.Area(), clearinghouse.Terms{CreditLine: 10 * billing.Unit}); err != nil {
		h.t.Fatal(err)
	}
	if _, err := g.m.Subscribe(h.t.Context(), h.host.Self()); err != nil {
		h.t.Fatal(err)
	}
	g.publish()
}

func voucher(t *testing.T, key crypto.PrivKey, channel billing.ChannelID, tariff billing.Tariff, total uint64) sealed.Sealed[billing.Voucher] {
	t.Helper()
	cost, err := tariff.Cost(total, 0)
	if err != nil {
		t.Fatal(err)
	}
	v, err := sealed.Seal(key, billing.Voucher{Channel: channel, Bytes: total, Credits: cost})
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func ask(payee caps.PublicKey, g *grid, market manager.Market, credential []byte) account.Ask {
	return account.Ask{Payee: payee, PayeeArea: g.m.Area(), Tariff: g.tariff(market).Bytes, Credential: credential}
}
