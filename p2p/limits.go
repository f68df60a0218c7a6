package p2p

import (
	"net/netip"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	rcmgr "github.com/libp2p/go-libp2p/p2p/host/resource-manager"
	"github.com/libp2p/go-libp2p/p2p/net/connmgr"
	"github.com/libp2p/go-libp2p/x/rate"
)

// profileLimits are one profile's limits. The table in PROTOCOL.md shows them.
type profileLimits struct {
	connsIn, connsOut int // connections, also the descriptors they may use
	streams           int // streams in all, half of them inbound at most
	memory            int64
	perSubnet         int // connections from one IPv4 address or IPv6 /56
	trimLow, trimHigh int // connection manager: closes idle ones above high, down to low
}

const (
	mib = 1 << 20

	// One peer's share of the host. Memory is mostly receive windows: up to
	// 16 MiB a stream where bandwidth × delay asks for it. Each command of a
	// client is a process with connections of its own under the client's one
	// key, and a shell starts many side by side.
	peerConns   = 64
	peerStreams = 1024
	peerMemory  = 256 * mib

	connMemory   = 32 * mib
	streamMemory = 16 * mib

	transientConns   = 256
	transientStreams = 1024
	transientMemory  = 64 * mib
)

// limitsOf returns the limits of a profile.
func limitsOf(p Profile) profileLimits {
	switch p {
	case Server:
		return profileLimits{connsIn: 2048, connsOut: 512, streams: 16384, memory: 1024 * mib, perSubnet: 512, trimLow: 768, trimHigh: 1024}
	case Gateway, Contact, Clearinghouse, Manager:
		return profileLimits{connsIn: 4096, connsOut: 1024, streams: 32768, memory: 1024 * mib, perSubnet: 1024, trimLow: 1536, trimHigh: 2048}
	default:
		return profileLimits{connsIn: 64, connsOut: 512, streams: 4096, memory: 512 * mib, perSubnet: 512, trimLow: 192, trimHigh: 256}
	}
}

func defaultConnsPerSubnet(p Profile) int { return limitsOf(p).perSubnet }

// newResourceManager returns the limits of c's profile as libp2p enforces
// them. Nothing depends on the machine's memory, so that two machines refuse
// at the same point.
func newResourceManager(c Config) (network.ResourceManager, error) {
	l := limitsOf(c.Profile)
	conns := l.connsIn + l.connsOut
	limit := func(streams, conns int, memory int64) rcmgr.ResourceLimits {
		return rcmgr.ResourceLimits{
			Streams: rcmgr.LimitVal(streams), StreamsInbound: rcmgr.LimitVal(streams), StreamsOutbound: rcmgr.LimitVal(streams),
			Conns: rcmgr.LimitVal(conns), ConnsInbound: rcmgr.LimitVal(conns), ConnsOutbound: rcmgr.LimitVal(conns),
			FD: rcmgr.LimitVal(conns), Memory: rcmgr.LimitVal64(memory),
		}
	}
	open := rcmgr.ResourceLimits{
		Streams: rcmgr.Unlimited, StreamsInbound: rcmgr.Unlimited, StreamsOutbound: rcmgr.Unlimited,
		Conns: rcmgr.Unlimited, ConnsInbound: rcmgr.Unlimited, ConnsOutbound: rcmgr.Unlimited,
		FD: rcmgr.Unlimited, Memory: rcmgr.Unlimited64,
	}
	system := limit(l.streams, conns, l.memory)
	system.ConnsInbound, system.ConnsOutbound = rcmgr.LimitVal(l.connsIn), rcmgr.LimitVal(l.connsOut)
	system.StreamsInbound = rcmgr.LimitVal(l.streams / 2)
	config := rcmgr.PartialLimitConfig{
		System:    system,
		Transient: limit(transientStreams, transientConns, transientMemory),
		// No address is on an allow list; if one ever is, it gets no more.
		AllowlistedSystem:    system,
		AllowlistedTransient: limit(transientStreams, transientConns, transientMemory),
		// Streams per peer and protocol are counted by Host.Handle, which
		// answers with a kind; a limit here would only reset.
		ServiceDefault: open, ServicePeerDefault: open,
		ProtocolDefault: open, ProtocolPeerDefault: open,
		PeerDefault: limit(peerStreams, peerConns, peerMemory),
		Conn:        limit(1, 1, connMemory),
		Stream:      limit(1, 1, streamMemory),
	}
	limiter := rcmgr.NewFixedLimiter(config.Build(rcmgr.InfiniteLimits))

	loopback4, loopback6 := netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")
	burst := 2 * c.ConnsPerSubnet
	perSecond := float64(c.ConnsPerSubnet) / 60
	return rcmgr.NewResourceManager(limiter,
		rcmgr.WithMetricsDisabled(),
		rcmgr.WithLimitPerSubnet(
			[]rcmgr.ConnLimitPerSubnet{{PrefixLength: 32, ConnCount: c.ConnsPerSubnet}},
			[]rcmgr.ConnLimitPerSubnet{{PrefixLength: 56, ConnCount: c.ConnsPerSubnet}, {PrefixLength: 48, ConnCount: 4 * c.ConnsPerSubnet}},
		),
		rcmgr.WithNetworkPrefixLimit(
			[]rcmgr.NetworkPrefixLimit{{Network: loopback4, ConnCount: conns}},
			[]rcmgr.NetworkPrefixLimit{{Network: loopback6, ConnCount: conns}},
		),
		rcmgr.WithConnRateLimiters(&rate.Limiter{
			NetworkPrefixLimits: []rate.PrefixLimit{{Prefix: loopback4}, {Prefix: loopback6}},
			SubnetRateLimiter: rate.SubnetLimiter{
				IPv4SubnetLimits: []rate.SubnetLimit{{PrefixLength: 32, Limit: rate.Limit{RPS: perSecond, Burst: burst}}},
				IPv6SubnetLimits: []rate.SubnetLimit{{PrefixLength: 56, Limit: rate.Limit{RPS: perSecond, Burst: burst}}},
				GracePeriod:      time.Minute,
			},
		}),
	)
}

// newConnManager returns the connection manager of a profile: it closes the
// least useful idle connections above the high mark.
func newConnManager(p Profile) (*connmgr.BasicConnMgr, error) {
	l := limitsOf(p)
	return connmgr.NewConnManager(l.trimLow, l.trimHigh, connmgr.WithGracePeriod(time.Minute))
}
