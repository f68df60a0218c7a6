package p2p_test

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/peer"

	"trunkline/p2p"
	"trunkline/p2p/p2ptest"
	"trunkline/p2p/pb"
)

func TestConfigRefused(t *testing.T) {
	t.Parallel()
	key, err := p2p.GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	rsa, _, err := crypto.GenerateKeyPair(crypto.Secp256k1, 0)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]p2p.Config{
		"no key":               {},
		"another kind of key":  {Key: rsa},
		"bad listen address":   {Key: key, Listen: []string{"127.0.0.1:4001"}},
		"bad announce address": {Key: key, Announce: []string{"/ip4/1.1.1.1/tcp/1/p2p/" + goodID}},
		"DHT without records":  {Key: key, DHT: true},
		"unknown profile":      {Key: key, Profile: 77},
		"empty bootstrap peer": {Key: key, Bootstrap: []p2p.Peer{{}}},
	} {
		h, err := p2p.New(t.Context(), c)
		if err == nil {
			_ = h.Close()
		}
		if !errors.Is(err, p2p.ErrConfig) && !errors.Is(err, p2p.ErrPeer) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestKeysRoundTrip(t *testing.T) {
	t.Parallel()
	key, err := p2p.GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	b, err := p2p.MarshalKey(key)
	if err != nil {
		t.Fatal(err)
	}
	back, err := p2p.UnmarshalKey(b)
	if err != nil || !back.Equals(key) {
		t.Fatalf("the key changed: %v", err)
	}
	if _, err := p2p.UnmarshalKey(b[:10]); err == nil {
		t.Fatal("half a key was read")
	}
	other, _, err := crypto.GenerateKeyPair(crypto.ECDSA, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p2p.MarshalKey(other); !errors.Is(err, p2p.ErrPeer) {
		t.Fatalf("an ECDSA key: %v", err)
	}
}

func TestUnreachable(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // a port that nobody answers at afterwards
	if err != nil {
		t.Fatal(err)
	}
	closed := strings.Replace(l.Addr().String(), "127.0.0.1:", "/ip4/127.0.0.1/tcp/", 1)
	_ = l.Close()
	peerAt := func(addrs ...string) p2p.Peer {
		key, err := p2p.GenerateKey()
		if err != nil {
			t.Fatal(err)
		}
		pub, err := p2p.KeyOf(key)
		if err != nil {
			t.Fatal(err)
		}
		return p2p.Peer{Key: pub, Addrs: addrs}
	}
	public := p2ptest.Host(t, func(c *p2p.Config) { c.AllowPrivateAddrs = false })
	private := p2ptest.Host(t, nil)
	server := private.Self()
	for _, tc := range []struct {
		name string
		from *p2p.Host
		to   p2p.Peer
		why  string
	}{
		{"nobody listens", private, peerAt(closed), "connection refused"},
		{"no address", private, peerAt(), "no addresses"},
		{"loopback is not dialled", public, server, "not dialled"},
		{"nor a name for it", public, p2p.Peer{Key: server.Key, Addrs: []string{strings.Replace(server.Addrs[0], "/ip4/127.0.0.1", "/dns4/localhost", 1)}}, "not dialled"},
		{"nor a private network", public, peerAt("/ip4/10.1.2.3/tcp/4001"), "not dialled"},
		{"nor a cloud's metadata", public, peerAt("/ip4/169.254.169.254/tcp/80"), "not dialled"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			_, err := tc.from.Open(t.Context(), tc.to, echo)
			var unreachable *p2p.UnreachableError
			if !errors.Is(err, p2p.ErrUnreachable) || !errors.As(err, &unreachable) {
				t.Fatalf("got %v, want ErrUnreachable", err)
			}
			if !strings.Contains(err.Error(), tc.why) {
				t.Fatalf("got %v, want it to say %q", err, tc.why)
			}
			if unreachable.Peer.Key != tc.to.Key || !strings.Contains(err.Error(), tc.to.Key.String()) {
				t.Fatalf("the peer is not named: %v", err)
			}
		})
	}
}

// TestOtherKeysAreTurnedAway connects from hosts whose keys libp2p takes and
// we do not.
func TestOtherKeysAreTurnedAway(t *testing.T) {
	t.Parallel()
	server := p2ptest.Host(t, nil)
	serveEcho(server)
	for name, kind := range map[string]int{"secp256k1": crypto.Secp256k1, "ECDSA": crypto.ECDSA} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			key, _, err := crypto.GenerateKeyPair(kind, 0)
			if err != nil {
				t.Fatal(err)
			}
			stranger, err := libp2p.New(libp2p.Identity(key), libp2p.NoListenAddrs, libp2p.DisableMetrics())
			if err != nil {
				t.Fatal(err)
			}
			defer stranger.Close()
			info := peer.AddrInfo{ID: p2p.Libp2p(server).ID(), Addrs: p2p.Libp2p(server).Addrs()}
			if err := stranger.Connect(t.Context(), info); err == nil {
				if s, err := stranger.NewStream(t.Context(), info.ID, "/trunkline/echo/1"); err == nil {
					if _, err := s.Read(make([]byte, 1)); err == nil {
						t.Fatal("it was served")
					}
				}
			}
			if n := len(p2p.Libp2p(server).Network().ConnsToPeer(stranger.ID())); n != 0 {
				t.Fatalf("%d connections to it", n)
			}
		})
	}
}

func TestTransports(t *testing.T) {
	t.Parallel()
	for name, listen := range map[string][]string{
		"tcp":         {"/ip4/127.0.0.1/tcp/0"},
		"quic":        {"/ip4/127.0.0.1/udp/0/quic-v1"},
		"both is tcp": {"/ip4/127.0.0.1/udp/0/quic-v1", "/ip4/127.0.0.1/tcp/0"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := p2ptest.Host(t, func(c *p2p.Config) { c.Listen = listen })
			client := p2ptest.Host(t, func(c *p2p.Config) { c.Listen = nil; c.Profile = p2p.Client })
			if len(client.Addrs()) != 0 {
				t.Fatalf("a host that listens nowhere announces %v", client.Addrs())
			}
			serveEcho(server)
			roundTrip(t, client, server)
			conns := p2p.Libp2p(client).Network().ConnsToPeer(p2p.Libp2p(server).ID())
			if len(conns) != 1 {
				t.Fatalf("%d connections", len(conns))
			}
			if over := conns[0].ConnState().Transport; over != strings.TrimPrefix(name, "both is ") && over != name+"-v1" {
				t.Fatalf("connected over %s", over)
			}
			if got := conns[0].ConnState().Security; over(name) && got != "/tls/1.0.0" {
				t.Fatalf("secured by %s, want TLS", got)
			}
		})
	}
}

func over(name string) bool { return strings.Contains(name, "tcp") }

func TestAnnounce(t *testing.T) {
	t.Parallel()
	h := p2ptest.Host(t, func(c *p2p.Config) { c.Announce = []string{"/ip4/8.8.8.8/tcp/4001"} })
	if got := h.Self().String(); got != "/ip4/8.8.8.8/tcp/4001/p2p/"+h.Key().String() {
		t.Fatalf("announces %s", got)
	}
}

func TestCloseWaitsForHandlers(t *testing.T) {
	t.Parallel()
	server, client := p2ptest.Host(t, nil), p2ptest.Host(t, nil)
	started, ended := make(chan struct{}), make(chan struct{})
	p := p2p.Protocol{ID: "/trunkline/long/1", StepTimeout: time.Hour}
	server.Handle(p, func(ctx context.Context, s *p2p.Stream) error {
		defer close(ended)
		if err := s.Receive(&pb.Failure{}, 100); err != nil {
			return err
		}
		close(started)
		err := s.Receive(&pb.Failure{}, 100) // nothing comes: only Close ends it
		if ctx.Err() == nil {
			t.Error("the handler's context lives on")
		}
		return err
	})
	s, err := client.Open(t.Context(), server.Self(), p)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Reset()
	if err := s.Send(&pb.Failure{}); err != nil {
		t.Fatal(err)
	}
	<-started
	if err := server.Close(); err != nil {
		t.Fatal(err)
	}
	select {
	case <-ended:
	default:
		t.Fatal("Close returned before the handler")
	}
	if err := s.Receive(&pb.Failure{}, 100); err == nil {
		t.Fatal("a closed host answers")
	}
	if _, err := server.Open(t.Context(), client.Self(), p); !errors.Is(err, p2p.ErrClosed) {
		t.Fatalf("opening from a closed host: %v", err)
	}
	if err := server.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestOpenEndsWithItsContext(t *testing.T) {
	t.Parallel()
	// A listener that accepts and says nothing.
	l, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // test
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	p, err := p2p.ParsePeer(strings.Replace(l.Addr().String(), "127.0.0.1:", "/ip4/127.0.0.1/tcp/", 1) + "/p2p/" + goodID)
	if err != nil {
		t.Fatal(err)
	}
	h := p2ptest.Host(t, func(c *p2p.Config) { c.DialTimeout = 50 * time.Millisecond })
	if _, err := h.Open(t.Context(), p, echo); !errors.Is(err, p2p.ErrUnreachable) {
		t.Fatalf("after DialTimeout: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := h.Open(ctx, p, echo); !errors.Is(err, context.Canceled) {
		t.Fatalf("after cancel: %v", err)
	}
}

func TestConnectionsFromOneAddress(t *testing.T) {
	t.Parallel()
	key, err := p2p.GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		name   string
		config p2p.Config
		from   string
		want   int
	}{
		{"gateway", p2p.Config{Key: key, Profile: p2p.Gateway}, "198.51.100.1", 1024},
		{"server", p2p.Config{Key: key, Profile: p2p.Server}, "198.51.100.1", 512},
		{"IPv6 neighbourhood", p2p.Config{Key: key, Profile: p2p.Server}, "2001:db8::1", 512},
		{"as configured", p2p.Config{Key: key, Profile: p2p.Server, ConnsPerSubnet: 20}, "198.51.100.1", 20},
		{"loopback has only the total", p2p.Config{Key: key, Profile: p2p.Server, ConnsPerSubnet: 20}, "127.0.0.1", 2048},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			got, err := p2p.ConnectionsFrom(tc.config, netip.MustParseAddr(tc.from))
			if err != nil {
				t.Fatal(err)
			}
			if got != tc.want {
				t.Fatalf("%d connections, want %d", got, tc.want)
			}
		})
	}
}

// TestReopenAfterRestart reaches a peer that came back in the same place, at
// once and in spite of failures in between.
func TestReopenAfterRestart(t *testing.T) {
	t.Parallel()
	key, err := p2p.GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	var listen []string
	start := func() *p2p.Host {
		h := p2ptest.Host(t, func(c *p2p.Config) {
			c.Key = key
			if listen != nil {
				c.Listen = listen
			}
		})
		serveEcho(h)
		listen = h.Addrs()
		return h
	}
	client := p2ptest.Host(t, nil)
	for range 3 {
		server := start()
		roundTrip(t, client, server)
		to := server.Self()
		if err := server.Close(); err != nil {
			t.Fatal(err)
		}
		for range 3 {
			if s, err := client.Open(t.Context(), to, echo); err == nil {
				// The end of the connection may not have arrived yet.
				_ = s.Send(&pb.Failure{})
				if err := s.Receive(&pb.Failure{}, 100); err == nil {
					t.Fatal("a closed host answers")
				}
				s.Reset()
			}
		}
	}
}
