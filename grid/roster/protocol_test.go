package roster_test

import (
	"context"
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/crypto"
	"google.golang.org/protobuf/proto"

	"trunkline/billing/sealed"
	"trunkline/caps"
	"trunkline/grid/roster"
	"trunkline/grid/roster/pb"
	"trunkline/p2p"
	"trunkline/p2p/p2ptest"
)

// fakeManager is an Issuer without a disk.
type fakeManager struct {
	t     *testing.T
	clock *clock

	mu      sync.Mutex
	roster  roster.Roster
	tickets map[[32]byte]roster.Role
	certs   int            // issued
	certFor caps.PublicKey // issue them for this key instead, if set
	addrs   map[caps.PublicKey][]string
}

func newFakeManager(t *testing.T, c *clock) *fakeManager {
	r := sample(1)
	r.Members[1].Addrs, r.Members[0].Addrs, r.Members[2].Addrs = nil, nil, nil // nobody to wait for
	return &fakeManager{t: t, clock: c, roster: r, tickets: map[[32]byte]roster.Role{}, addrs: map[caps.PublicKey][]string{}}
}

func (m *fakeManager) edit(fn func(*roster.Roster)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.editLocked(fn)
}

func (m *fakeManager) editLocked(fn func(*roster.Roster)) {
	m.roster.Members = append([]roster.Member(nil), m.roster.Members...)
	fn(&m.roster)
	m.roster.Sequence++
	m.roster.IssuedAt = m.clock.Now().Unix()
	m.roster.NotAfter = m.clock.Now().Add(24 * time.Hour).Unix()
	sortMembers(&m.roster)
}

func (m *fakeManager) Current() (roster.Verified, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return roster.Open(theArea, bundle(m.t, m.roster), m.clock.Now())
}

func (m *fakeManager) Certify(_ context.Context, key caps.PublicKey, addrs []string) (roster.SealedCertificate, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	e, ok := m.roster.Find(key)
	if !ok {
		return roster.SealedCertificate{}, roster.ErrNotMember
	}
	m.certs++
	m.addrs[key] = addrs
	if !m.certFor.IsZero() {
		key = m.certFor
	}
	return sealed.Seal(managerKey, roster.Certificate{
		Area: theArea, Key: key, Roles: e.Roles, Name: e.Name, Serial: uint64(m.certs), Epoch: m.roster.Epoch,
		IssuedAt: m.clock.Now().Unix(), NotAfter: m.clock.Now().Add(time.Hour).Unix(),
	})
}

func (m *fakeManager) Redeem(_ context.Context, key caps.PublicKey, secret roster.Secret, name string, addrs []string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	roles, ok := m.tickets[secret.Hash()]
	if !ok {
		return roster.ErrTicket
	}
	if roles == 0 {
		return roster.ErrTicketUsed
	}
	m.tickets[secret.Hash()] = 0
	m.editLocked(func(r *roster.Roster) {
		e := member(key, roles, name)
		e.Addrs = addrs
		r.Members = append(r.Members, e)
	})
	return nil
}

func (m *fakeManager) Bootstrap() []p2p.Peer {
	return []p2p.Peer{{Key: bob, Addrs: []string{"/ip4/192.0.2.1/tcp/1"}}}
}

func host(t *testing.T, key crypto.PrivKey) *p2p.Host {
	t.Helper()
	return p2ptest.Host(t, func(c *p2p.Config) { c.Key = key })
}

func serveManager(t *testing.T, m *fakeManager) *p2p.Host {
	t.Helper()
	h := host(t, managerKey)
	roster.NewService(theArea, m).Register(h)
	return h
}

func holder(t *testing.T, c *clock, h *p2p.Host, manager p2p.Peer) *roster.Holder {
	t.Helper()
	out, err := roster.OpenHolder(roster.HolderConfig{
		Area: theArea, Self: h.Key(), Path: filepath.Join(t.TempDir(), "roster"), Host: h, Manager: manager, Addrs: h.Addrs, Now: c.Now,
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestRefreshFromManager(t *testing.T) {
	t.Parallel()
	c := newClock()
	m := newFakeManager(t, c)
	mh := serveManager(t, m)
	ah := host(t, aliceKey)
	h := holder(t, c, ah, mh.Self())
	if err := h.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := h.Allow(bob, roster.Server); err != nil {
		t.Error(err)
	}
	if _, err := h.Credential(); err != nil {
		t.Error(err)
	}
	if got := m.addrs[alice]; len(got) == 0 || got[0] != ah.Addrs()[0] {
		t.Errorf("the manager was told the addresses %v", got)
	}

	// A revocation holds from the next refresh on, and the rest get certificates of
	// the new epoch along with it.
	m.edit(func(r *roster.Roster) {
		r.Epoch++
		for i, e := range r.Members {
			if e.Key == bob {
				r.Members = append(r.Members[:i], r.Members[i+1:]...)
				break
			}
		}
	})
	if err := h.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := h.Allow(bob, roster.Server); !errors.Is(err, roster.ErrNotMember) {
		t.Errorf("revoked server: got %v, want ErrNotMember", err)
	}
	b, err := h.Credential()
	if err != nil {
		t.Fatal(err)
	}
	cred, err := roster.ParseCredential(b)
	if err != nil {
		t.Fatal(err)
	}
	got, err := cred.Verify(theArea, alice, c.Now())
	if err != nil || got.Certificate.Epoch != 4 {
		t.Errorf("certificate %+v, %v; want epoch 4", got.Certificate, err)
	}

	// Nothing new: no new roster, and a certificate only at half of its life.
	was := got.Certificate.Serial
	c.Turn(31 * time.Minute)
	if err := h.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	b, err = h.Credential()
	if err != nil {
		t.Fatal(err)
	}
	if cred, err = roster.ParseCredential(b); err != nil {
		t.Fatal(err)
	}
	if got, err = cred.Verify(theArea, alice, c.Now()); err != nil || got.Certificate.Serial == was {
		t.Errorf("certificate %d, %v, was not renewed at half of its life", got.Certificate.Serial, err)
	}
}

func TestRefreshAfterTheEnd(t *testing.T) {
	t.Parallel()
	c := newClock()
	m := newFakeManager(t, c)
	h := holder(t, c, host(t, aliceKey), serveManager(t, m).Self())
	if err := h.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	c.Turn(25 * time.Hour)
	if err := h.Refresh(t.Context()); err == nil {
		t.Error("an ended roster was good enough")
	}
	m.edit(func(*roster.Roster) {})
	if err := h.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := h.Allow(alice, roster.Client); err != nil {
		t.Error(err)
	}
}

// With the manager away any member's copy does, and only members get it.
func TestRefreshFromMember(t *testing.T) {
	t.Parallel()
	c := newClock()
	m := newFakeManager(t, c)
	bh := host(t, bobKey)
	m.edit(func(r *roster.Roster) {
		for i := range r.Members {
			if r.Members[i].Key == bob {
				r.Members[i].Addrs = bh.Addrs()
			}
		}
	})
	mh := host(t, managerKey)
	roster.NewService(theArea, m).Register(mh)
	ah := host(t, aliceKey)
	forAlice, forBob := holder(t, c, ah, mh.Self()), holder(t, c, bh, mh.Self())
	if err := forAlice.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	m.edit(func(r *roster.Roster) {
		r.Members = append(r.Members, member(keyOf(testKey(20)), roster.Server, "new"))
	})
	if err := forBob.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	roster.NewService(theArea, forBob).Register(bh)
	if err := mh.Close(); err != nil {
		t.Fatal(err)
	}

	if err := forAlice.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := forAlice.Allow(keyOf(testKey(20)), roster.Server); err != nil {
		t.Errorf("bob's newer roster did not arrive: %v", err)
	}
	if _, err := roster.Fetch(t.Context(), host(t, malloryKey), bh.Self(), roster.Ask{Area: theArea}); !errors.Is(err, roster.ErrNotMember) {
		t.Errorf("a stranger: got %v, want ErrNotMember", err)
	}
	if err := bh.Close(); err != nil {
		t.Fatal(err)
	}
	if err := forAlice.Refresh(t.Context()); !errors.Is(err, roster.ErrUnreachable) {
		t.Errorf("nobody is there: got %v, want ErrUnreachable", err)
	}
}

func TestStrangersLearnNothing(t *testing.T) {
	t.Parallel()
	c := newClock()
	mh := serveManager(t, newFakeManager(t, c))
	for name, tc := range map[string]struct {
		key  crypto.PrivKey
		area caps.AreaCode
		want error
	}{
		"stranger":            {malloryKey, theArea, p2p.ErrDenied},
		"grid_key_itself":     {gridKey, theArea, p2p.ErrDenied},
		"member_of_elsewhere": {aliceKey, otherArea, p2p.ErrRefused},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a, err := roster.Fetch(t.Context(), host(t, tc.key), mh.Self(), roster.Ask{Area: tc.area, Certificate: true})
			if !errors.Is(err, tc.want) {
				t.Errorf("got %v, want %v", err, tc.want)
			}
			if len(a.Bundle.Roster) != 0 || len(a.Certificate) != 0 {
				t.Error("got something all the same")
			}
		})
	}
}

func TestJoin(t *testing.T) {
	t.Parallel()
	c := newClock()
	m := newFakeManager(t, c)
	mh := serveManager(t, m)
	tk := ticket()
	tk.Manager = mh.Self()
	m.tickets[tk.Secret.Hash()] = roster.Server
	newcomer := testKey(30)

	wrong := tk
	wrong.Secret = roster.RandomSecret()
	if _, err := roster.Join(t.Context(), host(t, testKey(31)), keyOf(testKey(31)), wrong, "", nil, c.Now()); !errors.Is(err, roster.ErrTicket) {
		t.Errorf("wrong secret: got %v, want ErrTicket", err)
	}
	late := c.Now().Add(2 * time.Hour)
	if _, err := roster.Join(t.Context(), host(t, testKey(32)), keyOf(testKey(32)), tk, "", nil, late); !errors.Is(err, roster.ErrExpired) {
		t.Errorf("ended ticket: got %v, want ErrExpired", err)
	}
	nh := host(t, newcomer)
	j, err := roster.Join(t.Context(), nh, nh.Key(), tk, "newcomer", append(nh.Addrs(), "junk"), c.Now())
	if err != nil {
		t.Fatal(err)
	}
	e, ok := j.Roster.Roster.Value.Find(nh.Key())
	if !ok || e.Roles != roster.Server || e.Name != "newcomer" || len(e.Addrs) != len(nh.Addrs()) {
		t.Errorf("on the roster as %+v, %v", e, ok)
	}
	if j.Certificate.Value.Key != nh.Key() || len(j.Bootstrap) != 1 || j.Bootstrap[0].Key != bob {
		t.Errorf("joined with %+v and %v", j.Certificate.Value, j.Bootstrap)
	}
	h := holder(t, c, nh, mh.Self())
	if err := h.Adopt(j.Roster.Bundle, j.Certificate.Bytes); err != nil {
		t.Fatal(err)
	}
	if _, err := h.Credential(); err != nil {
		t.Error(err)
	}
	if _, err := roster.Join(t.Context(), host(t, testKey(33)), keyOf(testKey(33)), tk, "", nil, c.Now()); !errors.Is(err, roster.ErrTicketUsed) {
		t.Errorf("used ticket: got %v, want ErrTicketUsed", err)
	}

	// A member cannot let anybody in.
	roster.NewService(theArea, h).Register(nh)
	tk.Manager = nh.Self()
	if _, err := roster.Join(t.Context(), host(t, testKey(34)), keyOf(testKey(34)), tk, "", nil, c.Now()); !errors.Is(err, p2p.ErrUnsupported) {
		t.Errorf("joining at a member: got %v, want ErrUnsupported", err)
	}
}

// What a manager answers is checked before it is believed.
func TestJoinChecksTheAnswer(t *testing.T) {
	t.Parallel()
	c := newClock()
	m := newFakeManager(t, c)
	mh := serveManager(t, m)
	tk := ticket()
	tk.Manager = mh.Self()
	m.tickets[tk.Secret.Hash()] = roster.Client
	m.certFor = mallory
	nh := host(t, testKey(30))
	if _, err := roster.Join(t.Context(), nh, nh.Key(), tk, "", nil, c.Now()); !errors.Is(err, roster.ErrNotMember) {
		t.Errorf("a certificate for another key: got %v, want ErrNotMember", err)
	}
	// The ticket's own area decides, not what the answerer says.
	impostor := host(t, malloryKey)
	roster.NewService(otherArea, m).Register(impostor)
	tk.Area, tk.Manager = otherArea, impostor.Self()
	m.certFor = caps.PublicKey{}
	m.tickets[tk.Secret.Hash()] = roster.Client
	nh = host(t, testKey(31))
	if _, err := roster.Join(t.Context(), nh, nh.Key(), tk, "", nil, c.Now()); !errors.Is(err, roster.ErrSigner) {
		t.Errorf("another area's roster: got %v, want ErrSigner", err)
	}
}

func TestServiceRefusesMalformedRequests(t *testing.T) {
	t.Parallel()
	c := newClock()
	mh := serveManager(t, newFakeManager(t, c))
	ah := host(t, aliceKey)
	long := make([]string, p2p.MaxPeerAddrs+1)
	for name, req := range map[string]*pb.Request{
		"empty":       {},
		"no_area":     {Kind: &pb.Request_Get{Get: &pb.Get{}}},
		"small_order": {Kind: &pb.Request_Get{Get: &pb.Get{Area: make([]byte, 32)}}},
		"many_addrs":  {Kind: &pb.Request_Get{Get: &pb.Get{Area: theArea.Key().Bytes(), Addrs: long}}},
		"secret":      {Kind: &pb.Request_Join{Join: &pb.Join{Area: theArea.Key().Bytes(), Secret: []byte{1}}}},
		"name":        {Kind: &pb.Request_Join{Join: &pb.Join{Area: theArea.Key().Bytes(), Secret: make([]byte, 16), Name: "\x1b"}}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, err := ah.Open(t.Context(), mh.Self(), roster.Protocol)
			if err != nil {
				t.Fatal(err)
			}
			defer s.Reset()
			if err := s.Send(req); err != nil {
				t.Fatal(err)
			}
			var a pb.Answer
			if err := s.Receive(&a, 1<<20); err != nil {
				t.Fatal(err)
			}
			if err := p2p.FromFailure(a.GetFailure()); !errors.Is(err, p2p.ErrMalformed) {
				t.Errorf("got %v, want malformed", err)
			}
		})
	}
	t.Run("too_long", func(t *testing.T) {
		t.Parallel()
		s, err := ah.Open(t.Context(), mh.Self(), roster.Protocol)
		if err != nil {
			t.Fatal(err)
		}
		defer s.Reset()
		if err := s.Send(&pb.Request{Kind: &pb.Request_Join{Join: &pb.Join{Secret: make([]byte, 1<<20)}}}); err != nil {
			return // reset while sending: as good
		}
		if err := s.Receive(&pb.Answer{}, 1<<20); !errors.Is(err, p2p.ErrTooLarge) && !errors.Is(err, p2p.ErrReset) {
			t.Errorf("got %v, want the stream reset", err)
		}
	})
}

// Run refreshes at once and ends with its context.
func TestRun(t *testing.T) {
	t.Parallel()
	c := newClock()
	h := holder(t, c, host(t, aliceKey), serveManager(t, newFakeManager(t, c)).Self())
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	changed := h.Changed()
	go func() { done <- h.Run(ctx) }()
	<-changed
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if err := h.Allow(alice, roster.Client); err != nil {
		t.Error(err)
	}
}

// The worked example in PROTOCOL.md is what is sent.
func TestProtocolExample(t *testing.T) {
	t.Parallel()
	doc, err := os.ReadFile("PROTOCOL.md")
	if err != nil {
		t.Fatal(err)
	}
	b, err := proto.MarshalOptions{Deterministic: true}.Marshal(&pb.Request{Kind: &pb.Request_Get{Get: &pb.Get{
		Area: theArea.Key().Bytes(), DelegationSequence: 1, RosterSequence: 41, Certificate: true, Addrs: []string{"/ip4/192.0.2.7/tcp/4001"},
	}}})
	if err != nil {
		t.Fatal(err)
	}
	cert := certificate(alice, roster.Client)
	payload, err := cert.MarshalRecord()
	if err != nil {
		t.Fatal(err)
	}
	text, err := ticket().Text()
	if err != nil {
		t.Fatal(err)
	}
	flat := strings.Join(strings.Fields(string(doc)), "")
	for what, want := range map[string]string{"request": hex.EncodeToString(b), "certificate": hex.EncodeToString(payload), "ticket": text} {
		if !strings.Contains(flat, want) {
			t.Errorf("PROTOCOL.md lacks the %s\n%s", what, want)
		}
	}
}
