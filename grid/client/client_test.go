package client_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"trunkline/billing"
	"trunkline/caps"
	"trunkline/grid/chk"
	"trunkline/grid/client"
	"trunkline/grid/longdistance"
	"trunkline/grid/transfer/gridtest"
	"trunkline/p2p"
	"trunkline/p2p/area"
	"trunkline/p2p/p2ptest"
)

func random(t testing.TB, n int) []byte {
	t.Helper()
	b := make([]byte, n)
	_, err := rand.Read(b)
	must(t, err)
	return b
}

// put stores data in g and returns its long-distance cap.
func put(t testing.TB, g *grid, data []byte) caps.Cap {
	t.Helper()
	r, err := g.client().Put(t.Context(), bytes.NewReader(data), uint64(len(data)), nil)
	must(t, err)
	if areas := r.Cap.Areas(); len(areas) != 1 || areas[0] != g.area {
		t.Fatalf("cap of areas %v", areas)
	}
	return r.Cap
}

// A file stored in one grid opens from another, whole and in part, through
// gateway and contact point; both bills are for the verified bytes.
func TestLongDistance(t *testing.T) {
	t.Parallel()
	far, home := newGrid(t), newGrid(t)
	home.addGateway(resolver{far}, cheap)
	data := random(t, 1_000_000)
	target := put(t, far, data)
	c := home.client()
	segment := uint64(16<<10 + 2) // 3 divides it
	var due uint64
	for _, r := range []client.Range{{}, {Offset: 500_000}, {Offset: 999_999, Length: 1}, {Offset: 16_000, Length: 20_000}, {Length: 10_000_000}} {
		var out bytes.Buffer
		var last client.Event
		got, err := c.Get(t.Context(), target, client.GetOptions{Range: r, Progress: func(e client.Event) { last = e }}, &out)
		must(t, err)
		end := uint64(len(data))
		if r.Length > 0 {
			end = min(end, r.Offset+r.Length)
		}
		if !bytes.Equal(out.Bytes(), data[r.Offset:end]) || got.Bytes != end-r.Offset {
			t.Errorf("%+v: %d bytes came, or wrong ones", r, out.Len())
		}
		if got.Hop != client.HopGateway || got.Payee != home.gateways[0].host.Key() {
			t.Errorf("%+v: came by %+v", r, got)
		}
		if last.Verified != end-r.Offset || last.Total != last.Verified {
			t.Errorf("%+v: last progress %+v", r, last)
		}
		geometry, err := chk.FromSegmentSize(uint64(len(data)), 3, 10, segment/3*3)
		must(t, err)
		first, count := geometry.Cover(r.Offset, end-r.Offset)
		due += min(geometry.SegmentOffset(first+count), geometry.Size) - geometry.SegmentOffset(first)
	}
	if b := home.gateways[0].vouched(); b != due {
		t.Errorf("the client signed for %d bytes, want %d", b, due)
	}
	if b := far.contacts[0].vouched(); b != due {
		t.Errorf("the gateway signed for %d bytes, want %d", b, due)
	}
}

// forbidden fails the test when anything asks it.
type forbidden struct{ t *testing.T }

func (f forbidden) Resolve(context.Context, caps.AreaCode) (area.Info, error) {
	f.t.Error("an area was looked up for a local file")
	return area.Info{}, area.ErrNoAnswer
}

// I7: a local file needs no gateway, no approver, no area record, and touches
// none of them when they are there.
func TestLocalNeedsNothingElse(t *testing.T) {
	t.Parallel()
	g := newGrid(t)
	data := random(t, 300_000)
	target := put(t, g, data)
	for name, c := range map[string]*client.Client{
		"all_absent": g.client(func(c *client.Config) { c.Payer, c.Gateways, c.Resolver = nil, nil, nil }),
		"all_watched": g.client(func(c *client.Config) {
			c.Resolver = forbidden{t}
			c.Gateways = func() []longdistance.Offer { t.Error("gateways were looked for"); return nil }
			h := p2ptest.Hosts(t, 1)[0]
			p, err := longdistance.NewPayer(longdistance.PayerConfig{Key: h.PrivKey(), Dial: func(context.Context, p2p.Peer) (longdistance.Stream, error) {
				t.Error("somebody was dialled")
				return nil, p2p.ErrUnreachable
			}})
			must(t, err)
			t.Cleanup(func() { must(t, p.Close()) })
			c.Payer = p
		}),
	} {
		for _, target := range []caps.Cap{target, target.Local()} {
			var out bytes.Buffer
			r, err := c.Get(t.Context(), target, client.GetOptions{}, &out)
			must(t, err)
			if !bytes.Equal(out.Bytes(), data) || r.Hop != client.HopLocal {
				t.Errorf("%s: wrong bytes, or by %s", name, r.Hop)
			}
		}
	}
}

func TestLiteral(t *testing.T) {
	t.Parallel()
	g := newGrid(t)
	r, err := g.client().Put(t.Context(), strings.NewReader("hello"), 5, nil)
	must(t, err)
	if _, ok := r.Cap.Literal(); !ok || len(r.Cap.Areas()) != 0 {
		t.Errorf("got %v of areas %v", r.Cap, r.Cap.Areas())
	}
	var out bytes.Buffer
	_, err = client.New(client.Config{}).Get(t.Context(), r.Cap, client.GetOptions{Range: client.Range{Offset: 1, Length: 3}}, &out)
	must(t, err)
	if out.String() != "ell" {
		t.Errorf("got %q", out.String())
	}
}

// Somebody who belongs to no grid gets files of toll-free ones, and a clear word
// from the others.
func TestStranger(t *testing.T) {
	t.Parallel()
	free, paid := newGrid(t, tollFree), newGrid(t)
	data := random(t, 200_000)
	caller := func() *client.Client {
		return client.New(client.Config{Payer: newPayer(t, p2ptest.Hosts(t, 1)[0], nil), Resolver: resolver{free, paid}})
	}
	var out bytes.Buffer
	r, err := caller().Get(t.Context(), put(t, free, data), client.GetOptions{}, &out)
	must(t, err)
	if !bytes.Equal(out.Bytes(), data) || r.Hop != client.HopContact || r.Payee != free.contacts[0].host.Key() {
		t.Errorf("wrong bytes, or by %+v", r)
	}
	target := put(t, paid, data)
	out.Reset()
	if _, err := caller().Get(t.Context(), target, client.GetOptions{}, &out); !errors.Is(err, p2p.ErrRefused) || out.Len() > 0 {
		t.Errorf("%d bytes, %v", out.Len(), err)
	}
	if _, err := caller().Get(t.Context(), target.Local(), client.GetOptions{}, &out); !errors.Is(err, client.ErrNoArea) {
		t.Errorf("a cap without an area: %v", err)
	}
	if _, err := caller().Put(t.Context(), bytes.NewReader(data), 5, nil); !errors.Is(err, client.ErrNoHome) {
		t.Errorf("putting: %v", err)
	}
}

// Mirrors: what cannot be had at home, or in the first area, comes from another,
// from where the first one broke off.
func TestMirrors(t *testing.T) {
	t.Parallel()
	far, mirror, home := newGrid(t), newGrid(t), newGrid(t)
	home.addGateway(resolver{far, mirror}, cheap)
	data := random(t, 500_000)
	target := put(t, far, data)
	_ = put(t, mirror, data)
	_ = put(t, home, data)
	c := home.client()

	both, err := target.Local().WithAreas(far.area, mirror.area)
	must(t, err)
	for _, s := range far.servers {
		s.Set(gridtest.Faults{DieAfter: 60_000})
	}
	var out bytes.Buffer
	_, err = c.Get(t.Context(), both, client.GetOptions{}, &out)
	must(t, err)
	if !bytes.Equal(out.Bytes(), data) {
		t.Error("wrong bytes from the mirror")
	}
	// The gateway settles with whom it left in the background.
	var a, b uint64
	for range 500 {
		if a, b = far.contacts[0].vouched(), mirror.contacts[0].vouched(); a+b >= uint64(len(data)) {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	if a+b != uint64(len(data)) || b == 0 {
		t.Errorf("the gateway signed for %d + %d bytes of %d", a, b, len(data))
	}

	withHome, err := target.Local().WithAreas(home.area, mirror.area)
	must(t, err)
	for _, s := range home.servers {
		s.Set(gridtest.Faults{DieAfter: 60_000})
	}
	out.Reset()
	var failed error
	r, err := c.Get(t.Context(), withHome, client.GetOptions{Progress: func(e client.Event) {
		if e.Failed != nil {
			failed = e.Failed
		}
	}}, &out)
	must(t, err)
	if !bytes.Equal(out.Bytes(), data) || r.Hop != client.HopGateway || failed == nil {
		t.Errorf("wrong bytes, or by %+v after %v", r, failed)
	}
	if paid := mirror.contacts[0].vouched() - b; paid == 0 || paid > uint64(len(data)) {
		t.Errorf("the mirror was paid %d bytes", paid)
	}
}

// Contact points and gateways that die in the middle of a file are replaced, and
// named.
func TestFailover(t *testing.T) {
	t.Parallel()
	for _, who := range []string{"contact", "gateway"} {
		t.Run(who, func(t *testing.T) {
			t.Parallel()
			far, home := newGrid(t), newGrid(t)
			far.addContact()
			home.addGateway(resolver{far}, cheap)
			home.addGateway(resolver{far}, cheap)
			data := random(t, 4_000_000)
			target := put(t, far, data)
			victim := far.contacts[0]
			if who == "gateway" {
				victim = home.gateways[0]
			}
			var out bytes.Buffer
			w := writerFunc(func(b []byte) (int, error) {
				if out.Len() < 1_000_000 && out.Len()+len(b) >= 1_000_000 {
					must(t, victim.host.Close())
				}
				return out.Write(b)
			})
			r, err := home.client().Get(t.Context(), target, client.GetOptions{}, w)
			must(t, err)
			if !bytes.Equal(out.Bytes(), data) {
				t.Error("wrong bytes")
			}
			if who == "gateway" {
				if len(r.Failed) == 0 || r.Failed[0].Payee != victim.host.Key() {
					t.Errorf("failed: %v", r.Failed)
				}
				if a, b := home.gateways[0].vouched(), home.gateways[1].vouched(); a+b > uint64(len(data)) || b == 0 {
					t.Errorf("the client signed for %d + %d bytes", a, b)
				}
			}
			if a, b := far.contacts[0].vouched(), far.contacts[1].vouched(); who == "contact" && (a+b > uint64(len(data)) || b == 0) {
				t.Errorf("the gateway signed for %d + %d bytes", a, b)
			}
		})
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(b []byte) (int, error) { return f(b) }

// Each thing that can be wrong has its kind and a sentence, nothing wrong is
// written, and a part is never taken for the whole.
func TestErrors(t *testing.T) {
	t.Parallel()
	dear := func(t *billing.Tariff) { t.PerGiB = 50 * billing.Unit }
	data := random(t, 100_000)
	fullDisk := errors.New("disk full")
	tests := []struct {
		name  string
		far   func(*billing.Tariff)
		setup func(far, home *grid)
		cap   func(c caps.Cap) caps.Cap
		opts  client.GetOptions
		w     io.Writer
		want  error
		says  string
	}{
		{name: "no_such_file", setup: func(far, _ *grid) { far.servers = gridtest.New(10) }, want: p2p.ErrNotFound, says: "no server"},
		{name: "too_few_shares", setup: func(far, _ *grid) { down(far.servers[:9]) }, want: p2p.ErrUnavailable, says: "of the 3 needed"},
		{name: "corrupt_shares", setup: func(far, _ *grid) { lie(far.servers) }, want: p2p.ErrIntegrity},
		{name: "over_the_ceiling", far: dear, want: p2p.ErrRefused, says: "50 EUR per GiB, over the ceiling of 10"},
		{name: "unknown_area", cap: func(c caps.Cap) caps.Cap { return elsewhere(c) }, want: p2p.ErrNotFound, says: "unknown"},
		{name: "contact_unreachable", setup: func(far, _ *grid) { _ = far.contacts[0].host.Close() }, want: p2p.ErrUnavailable, says: "unreachable"},
		{name: "gateway_unreachable", setup: func(_, home *grid) { _ = home.gateways[0].host.Close() }, want: p2p.ErrUnreachable, says: "unreachable"},
		{name: "no_gateway", setup: func(_, home *grid) { home.gateways = nil }, want: client.ErrNoGateway},
		{name: "too_dear_for_the_request", opts: client.GetOptions{MaxCredits: 1}, want: p2p.ErrRefused, says: "over the limit of 0.000001"},
		{name: "range_outside", opts: client.GetOptions{Range: client.Range{Offset: 100_001}}, want: client.ErrRange},
		{name: "verify_cap", cap: func(c caps.Cap) caps.Cap { v, _ := c.VerifyCap(); return v }, want: client.ErrNotFile},
		{name: "writer_fails", w: writerFunc(func([]byte) (int, error) { return 0, fullDisk }), want: fullDisk},
		{name: "writer_is_short", w: writerFunc(func(b []byte) (int, error) { return len(b) / 2, nil }), want: io.ErrShortWrite},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if tt.far == nil {
				tt.far = func(*billing.Tariff) {}
			}
			far, home := newGrid(t, tt.far), newGrid(t)
			home.addGateway(resolver{far}, cheap)
			target := put(t, far, data)
			if tt.cap != nil {
				target = tt.cap(target)
			}
			if tt.setup != nil {
				tt.setup(far, home)
			}
			var out bytes.Buffer
			w := tt.w
			if w == nil {
				w = &out
			}
			r, err := home.client().Get(t.Context(), target, tt.opts, w)
			if !errors.Is(err, tt.want) || !strings.Contains(err.Error(), tt.says) {
				t.Errorf("got %v; want %v that says %q", err, tt.want, tt.says)
			}
			if out.Len() > 0 {
				t.Errorf("%d bytes were written", out.Len())
			}
			if r.Bytes >= uint64(len(data)) {
				t.Errorf("%d bytes are said to be written", r.Bytes)
			}
		})
	}
	t.Run("unapproved_client", func(t *testing.T) {
		t.Parallel()
		far, home := newGrid(t), newGrid(t)
		home.addGateway(resolver{far}, cheap, func(c *longdistance.PayeeConfig) {
			c.Allow = func(context.Context, caps.PublicKey) error { return errors.New("not on the roster") }
		})
		_, err := home.client().Get(t.Context(), put(t, far, data), client.GetOptions{}, io.Discard)
		if !errors.Is(err, p2p.ErrDenied) || !strings.Contains(err.Error(), "roster") {
			t.Errorf("got %v", err)
		}
	})
	t.Run("denied_area", func(t *testing.T) {
		t.Parallel()
		far, home := newGrid(t), newGrid(t)
		policy := cheap
		policy.Deny = []caps.AreaCode{far.area}
		home.addGateway(resolver{far}, policy)
		_, err := home.client().Get(t.Context(), put(t, far, data), client.GetOptions{}, io.Discard)
		if !errors.Is(err, p2p.ErrRefused) || !strings.Contains(err.Error(), "denies area") {
			t.Errorf("got %v", err)
		}
	})
	t.Run("breaks_off", func(t *testing.T) {
		t.Parallel()
		far, home := newGrid(t), newGrid(t)
		home.addGateway(resolver{far}, cheap)
		big := random(t, 2_000_000)
		target := put(t, far, big)
		for _, s := range far.servers {
			s.Set(gridtest.Faults{DieAfter: 200_000})
		}
		var out bytes.Buffer
		r, err := home.client().Get(t.Context(), target, client.GetOptions{}, &out)
		if !errors.Is(err, p2p.ErrUnavailable) {
			t.Errorf("got %v", err)
		}
		if n := out.Len(); n == len(big) || !bytes.Equal(out.Bytes(), big[:n]) || r.Bytes != uint64(n) {
			t.Errorf("%d bytes, or wrong ones; %d are said to be written", n, r.Bytes)
		}
	})
}

func down(servers []*gridtest.Server) {
	for _, s := range servers {
		s.Set(gridtest.Faults{Down: gridtest.ErrDown})
	}
}

func lie(servers []*gridtest.Server) {
	for _, s := range servers {
		s.Set(gridtest.Faults{Lie: func(_ caps.StorageIndex, _ int, _ uint64, data []byte) {
			for i := range data {
				data[i] ^= 0x55
			}
		}})
	}
}

// elsewhere names an area that nobody knows.
func elsewhere(c caps.Cap) caps.Cap {
	key, err := p2p.GenerateKey()
	if err != nil {
		panic(err)
	}
	public, err := p2p.KeyOf(key)
	if err != nil {
		panic(err)
	}
	far, err := c.Local().WithAreas(caps.NewAreaCode(public))
	if err != nil {
		panic(err)
	}
	return far
}
