package p2p

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/net/swarm"
	"github.com/libp2p/go-libp2p/p2p/security/noise"
	tls "github.com/libp2p/go-libp2p/p2p/security/tls"
	quic "github.com/libp2p/go-libp2p/p2p/transport/quic"
	"github.com/libp2p/go-libp2p/p2p/transport/tcp"
	ma "github.com/multiformats/go-multiaddr"

	"trunkline/caps"
)

// Host is one node on the network. It is safe for concurrent use. Close it to
// end its connections, streams and goroutines.
type Host struct {
	config Config
	key    caps.PublicKey
	host   host.Host
	gate   gater
	dht    *recordDHT // nil unless Config.DHT

	ctx     context.Context // ends with the host
	cancel  context.CancelFunc
	running sync.WaitGroup // handlers and background work
	buffers sync.Pool      // of *[]byte, writeBuffer long

	panics, refused atomic.Uint64

	mu       sync.Mutex
	closed   bool
	services map[string]*service
	traffic  map[string]*odometer // by protocol; guarded by mu
}

// New makes a host and starts listening. ctx bounds the start only; Bootstrap
// peers are connected in the background afterwards.
func New(ctx context.Context, config Config) (*Host, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("starting host: %w", err)
	}
	c, err := config.withDefaults()
	if err != nil {
		return nil, err
	}
	key, err := KeyOf(c.Key)
	if err != nil {
		return nil, err
	}
	h := &Host{config: c, key: key, gate: gater{allowPrivate: c.AllowPrivateAddrs}, services: make(map[string]*service)}
	h.buffers.New = func() any {
		b := make([]byte, 0, writeBuffer)
		return &b
	}
	h.ctx, h.cancel = context.WithCancel(context.Background())
	if h.host, err = newLibp2p(c, h.gate); err != nil {
		h.cancel()
		return nil, fmt.Errorf("starting host: %w", err)
	}
	if c.DHT {
		if h.dht, err = newRecordDHT(h.host, c); err != nil {
			_ = h.Close() // the first error is the one to tell
			return nil, fmt.Errorf("starting the DHT: %w", err)
		}
	}
	if len(c.Bootstrap) > 0 {
		h.running.Go(h.bootstrap)
	}
	return h, nil
}

// newLibp2p makes the libp2p host: TCP and QUIC, TLS before Noise, and
// nothing else that listens or runs by itself.
func newLibp2p(c Config, gate gater) (host.Host, error) {
	manager, err := newResourceManager(c)
	if err != nil {
		return nil, err
	}
	conns, err := newConnManager(c.Profile)
	if err != nil {
		_ = manager.Close()
		return nil, err
	}
	opts := []libp2p.Option{
		libp2p.Identity(c.Key),
		libp2p.Transport(tcp.NewTCPTransport),
		libp2p.Transport(quic.NewTransport),
		libp2p.Security(tls.ID, tls.New),
		libp2p.Security(noise.ID, noise.New),
		libp2p.ResourceManager(manager),
		libp2p.ConnectionManager(conns),
		libp2p.ConnectionGater(gate),
		libp2p.SwarmOpts(swarm.WithDialRanker(rankTCPFirst)),
		libp2p.WithDialTimeout(c.DialTimeout),
		libp2p.NonPublicAddrPublishing(c.AllowPrivateAddrs),
		libp2p.DisableRelay(),
		libp2p.DisableMetrics(),
		libp2p.DisableIdentifyAddressDiscovery(),
		libp2p.Ping(false),
		libp2p.UserAgent("trunkline"),
		libp2p.ProtocolVersion("trunkline/1"),
	}
	if len(c.Listen) == 0 {
		opts = append(opts, libp2p.NoListenAddrs)
	} else {
		opts = append(opts, libp2p.ListenAddrStrings(c.Listen...))
	}
	if len(c.Announce) > 0 {
		announce := make([]ma.Multiaddr, 0, len(c.Announce))
		for _, s := range c.Announce {
			a, err := parseAddr(s)
			if err != nil {
				return nil, err
			}
			announce = append(announce, a)
		}
		opts = append(opts, libp2p.AddrsFactory(func([]ma.Multiaddr) []ma.Multiaddr { return announce }))
	}
	h, err := libp2p.New(opts...)
	if err != nil {
		_ = conns.Close()
		_ = manager.Close()
		return nil, err
	}
	return h, nil
}

// Close ends the host: no new streams, handlers' contexts cancelled and
// waited for, then the DHT, the connections and the listeners. Later calls
// return nil.
func (h *Host) Close() error {
	h.mu.Lock()
	if h.closed {
		h.mu.Unlock()
		return nil
	}
	h.closed = true
	h.mu.Unlock()
	h.cancel()
	h.running.Wait()
	if h.dht != nil {
		if err := h.dht.Close(); err != nil {
			h.config.Logger.Warn("closing the DHT", "error", err)
		}
	}
	if err := h.host.Close(); err != nil {
		return fmt.Errorf("closing host: %w", err)
	}
	return nil
}

// Key returns the host's public key, its account.
func (h *Host) Key() caps.PublicKey { return h.key }

// PrivKey returns the host's key, for what it signs as itself.
func (h *Host) PrivKey() crypto.PrivKey { return h.config.Key }

// Self returns the host as others should be told of it.
func (h *Host) Self() Peer { return Peer{Key: h.key, Addrs: h.Addrs()} }

// Addrs returns what the host announces, at most [MaxPeerAddrs] multiaddrs
// without the peer ID.
func (h *Host) Addrs() []string {
	var out []string
	for _, a := range h.host.Addrs() {
		if s := a.String(); len(s) <= MaxAddrText && len(out) < MaxPeerAddrs {
			out = append(out, s)
		}
	}
	return out
}

// Connected says whether there is a connection to the peer now.
func (h *Host) Connected(key caps.PublicKey) bool {
	id, err := idOf(key)
	return err == nil && h.host.Network().Connectedness(id) == network.Connected
}

// Stats are counts since the host started, and what is open now.
type Stats struct {
	Peers           int    // connected now
	Streams         int    // served now
	Panics, Refused uint64 // handlers that panicked, streams refused as busy
	// Traffic is by protocol ID, since the host started.
	Traffic map[string]Traffic
}

// Stats returns the host's counts.
func (h *Host) Stats() Stats {
	st := Stats{Peers: len(h.host.Network().Peers()), Panics: h.panics.Load(), Refused: h.refused.Load()}
	h.mu.Lock()
	defer h.mu.Unlock()
	st.Traffic = make(map[string]Traffic, len(h.traffic))
	for id, o := range h.traffic {
		st.Traffic[id] = Traffic{Sent: o.sent.Load(), Received: o.received.Load()}
	}
	for _, v := range h.services {
		for _, n := range v.open {
			st.Streams += n
		}
	}
	return st
}

// info returns p in libp2p's terms, without addresses that may not be
// dialled.
func (h *Host) info(p Peer) (peer.AddrInfo, error) {
	id, err := idOf(p.Key)
	if err != nil {
		return peer.AddrInfo{}, err
	}
	info := peer.AddrInfo{ID: id}
	for _, s := range p.Addrs {
		a, err := parseAddr(s)
		if err != nil {
			return peer.AddrInfo{}, err
		}
		info.Addrs = append(info.Addrs, a)
	}
	return info, nil
}
