package roster_test

import (
	"bytes"
	"crypto/ed25519"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/crypto"

	"trunkline/billing/sealed"
	"trunkline/caps"
	"trunkline/grid/roster"
	"trunkline/p2p"
	"trunkline/p2p/area"
)

// start is when the tests' clocks begin.
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

// Members of the tests' grid. alice is a client, bob a server, carol a gateway
// and contact point, mallory nobody.
var (
	gridKey    = testKey(1)
	managerKey = testKey(2)
	aliceKey   = testKey(3)
	bobKey     = testKey(4)
	carolKey   = testKey(5)
	malloryKey = testKey(6)
	alice      = keyOf(aliceKey)
	bob        = keyOf(bobKey)
	carol      = keyOf(carolKey)
	mallory    = keyOf(malloryKey)
	theArea    = caps.NewAreaCode(keyOf(gridKey))
	otherArea  = caps.NewAreaCode(keyOf(testKey(9)))
)

func member(key caps.PublicKey, roles roster.Role, name string) roster.Member {
	return roster.Member{Key: key, Roles: roles, Name: name, Seed: roster.SeedOf(key), Since: start.Unix()}
}

// sample is a valid roster of the tests' grid.
func sample(seq uint64) roster.Roster {
	r := roster.Roster{
		Area:           theArea,
		Sequence:       seq,
		IssuedAt:       start.Unix(),
		NotAfter:       start.Add(24 * time.Hour).Unix(),
		Epoch:          3,
		ManagerAddrs:   []string{"/ip4/127.0.0.1/tcp/4001"},
		LocalTariff:    []byte("local"),
		ExportTariff:   []byte("export"),
		Clearinghouses: []p2p.Peer{{Key: keyOf(testKey(8)), Addrs: []string{"/dns4/house.example/tcp/4001"}}},
		Members: []roster.Member{
			member(alice, roster.Client, "Alice"),
			member(bob, roster.Server, ""),
			member(carol, roster.Gateway|roster.Contact, "carol's"),
		},
	}
	r.Members[1].Addrs = []string{"/ip4/192.0.2.1/tcp/1", "/ip6/::1/udp/2/quic-v1"}
	sortMembers(&r)
	return r
}

func sortMembers(r *roster.Roster) {
	slices.SortFunc(r.Members, func(a, b roster.Member) int { return bytes.Compare(a.Key[:], b.Key[:]) })
}

// delegation is the n-th delegation of the grid, to the key, 30 days from start.
func delegation(t testing.TB, by crypto.PrivKey, to crypto.PrivKey, n uint64) []byte {
	t.Helper()
	b, err := area.NewDelegation(by, keyOf(to), n, start, 30*24*time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func seal[T any, P sealed.Object[T]](t testing.TB, key crypto.PrivKey, v T) []byte {
	t.Helper()
	s, err := sealed.Seal[T, P](key, v)
	if err != nil {
		t.Fatal(err)
	}
	return s.Bytes
}

// bundle is a roster by the manager under the first delegation.
func bundle(t testing.TB, r roster.Roster) roster.Bundle {
	t.Helper()
	return roster.Bundle{Delegation: delegation(t, gridKey, managerKey, 1), Roster: seal(t, managerKey, r)}
}

func certificate(key caps.PublicKey, roles roster.Role) roster.Certificate {
	return roster.Certificate{
		Area: theArea, Key: key, Roles: roles, Name: "Alice", Serial: 7, Epoch: 3,
		IssuedAt: start.Unix(), NotAfter: start.Add(time.Hour).Unix(),
	}
}
