package area_test

import (
	"crypto/ed25519"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/crypto"
	"go.uber.org/goleak"

	"trunkline/caps"
	"trunkline/p2p"
	"trunkline/p2p/area"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// start is when the tests' clocks begin.
var start = time.Date(2027, 3, 1, 12, 0, 0, 0, time.UTC)

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

func (c *clock) turn(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// testKey is a key that depends on n only.
func testKey(t testing.TB, n byte) crypto.PrivKey {
	t.Helper()
	seed := make([]byte, ed25519.SeedSize)
	seed[0] = n
	key, err := crypto.UnmarshalEd25519PrivateKey(ed25519.NewKeyFromSeed(seed))
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func publicKey(t testing.TB, key crypto.PrivKey) caps.PublicKey {
	t.Helper()
	pub, err := p2p.KeyOf(key)
	if err != nil {
		t.Fatal(err)
	}
	return pub
}

// grid signs records.
type grid struct {
	t              testing.TB
	key, delegate  crypto.PrivKey
	area           caps.AreaCode
	other, another crypto.PrivKey // later delegates
}

func newGrid(t testing.TB) *grid {
	t.Helper()
	g := &grid{t: t, key: testKey(t, 1), delegate: testKey(t, 2), other: testKey(t, 3), another: testKey(t, 4)}
	g.area = caps.NewAreaCode(publicKey(t, g.key))
	return g
}

func (g *grid) sheet() area.Sheet {
	key := publicKey(g.t, testKey(g.t, 9))
	return area.Sheet{
		Name:     "Grid A",
		Contacts: []p2p.Peer{{Key: key, Addrs: []string{"/ip4/192.0.2.7/tcp/4001"}}},
		Epoch:    5,
	}
}

// record signs delegation d for delegate and its sheet s, from now on.
func (g *grid) record(delegate crypto.PrivKey, d, s uint64, now time.Time) area.Record {
	g.t.Helper()
	upper, err := area.NewDelegation(g.key, publicKey(g.t, delegate), d, now, area.DelegationLife)
	if err != nil {
		g.t.Fatal(err)
	}
	sheet := g.sheet()
	sheet.Name = fmt.Sprintf("Grid A, sheet %d", s)
	lower, err := area.NewSheet(delegate, sheet, s, now, area.SheetLife)
	if err != nil {
		g.t.Fatal(err)
	}
	return area.Record{Delegation: upper, Sheet: lower}
}
