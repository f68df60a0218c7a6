package p2p

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	dht "github.com/libp2p/go-libp2p-kad-dht"
	record "github.com/libp2p/go-libp2p-record"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/routing"
	ma "github.com/multiformats/go-multiaddr"
)

// DHTPrefix is the protocol prefix of Trunkline's own DHT; the protocol is
// "/trunkline/kad/1.0.0".
const DHTPrefix = "/trunkline"

// bootstrapInterval is how often a host that lost all its bootstrap peers
// tries them again.
const bootstrapInterval = 30 * time.Second

// ErrNoDHT says that the host was made without [Config.DHT].
var ErrNoDHT = errors.New("this host takes no part in the DHT")

// RecordValidator checks records of one kind before they are stored, passed
// on or used. It must be safe for concurrent use.
type RecordValidator interface {
	// Validate says whether value is a record for key, "/<kind>/…", now.
	Validate(key string, value []byte) error
	// Select returns the index of the best of values, all of them valid.
	Select(key string, values [][]byte) (int, error)
}

// recordDHT is Trunkline's own Kademlia, holding records only.
type recordDHT struct {
	*dht.IpfsDHT
}

// newRecordDHT joins h to the DHT in the mode of its profile.
func newRecordDHT(h host.Host, c Config) (*recordDHT, error) {
	mode := dht.ModeClient
	if c.Profile.servesDHT() {
		mode = dht.ModeServer
	}
	validator := record.NamespacedValidator{}
	for kind, v := range c.Records {
		validator[kind] = v
	}
	gate := gater{allowPrivate: c.AllowPrivateAddrs}
	kad, err := dht.New(h,
		dht.ProtocolPrefix(DHTPrefix),
		dht.Mode(mode),
		dht.Validator(validator),
		dht.DisableProviders(),
		dht.AddressFilter(func(addrs []ma.Multiaddr) []ma.Multiaddr {
			var out []ma.Multiaddr
			for _, a := range addrs {
				if gate.dialable(a) {
					out = append(out, a)
				}
			}
			return out
		}),
	)
	if err != nil {
		return nil, err
	}
	return &recordDHT{kad}, nil
}

// find asks the DHT where a peer is.
func (d *recordDHT) find(ctx context.Context, id peer.ID) (peer.AddrInfo, error) {
	ctx, cancel := context.WithTimeout(ctx, findTimeout)
	defer cancel()
	return d.FindPeer(ctx, id)
}

// PutRecord stores value under key at the DHT's closest nodes. A nil error is
// no proof that a newer record did not win: look first.
func (h *Host) PutRecord(ctx context.Context, key string, value []byte) error {
	if h.dht == nil {
		return ErrNoDHT
	}
	if err := h.dht.PutValue(ctx, key, value); err != nil {
		return fmt.Errorf("storing in the DHT: %w", err)
	}
	return nil
}

// SearchRecord looks for key in the DHT and returns each valid value that
// beats those before it, the first after about one round trip. The channel is
// closed when the look-up is over or ctx ends; the caller must drain it or
// cancel ctx.
func (h *Host) SearchRecord(ctx context.Context, key string) (<-chan []byte, error) {
	if h.dht == nil {
		return nil, ErrNoDHT
	}
	values, err := h.dht.SearchValue(ctx, key, dht.Quorum(0))
	if err != nil {
		if errors.Is(err, routing.ErrNotFound) {
			return nil, fmt.Errorf("looking in the DHT: %w", ErrNotFound)
		}
		return nil, fmt.Errorf("looking in the DHT: %w", err)
	}
	return values, nil
}

// DHTPeers returns how many peers are in the DHT's routing table; 0 without a
// DHT. Look-ups find nothing while it is 0.
func (h *Host) DHTPeers() int {
	if h.dht == nil {
		return 0
	}
	return h.dht.RoutingTable().Size()
}

// bootstrap connects the configured peers, and again when all are lost, until
// the host closes.
func (h *Host) bootstrap() {
	timer := time.NewTicker(bootstrapInterval)
	defer timer.Stop()
	for {
		if !h.anyBootstrapConnected() {
			for _, p := range h.config.Bootstrap {
				if err := h.Connect(h.ctx, p); err != nil && h.ctx.Err() == nil {
					h.config.Logger.Info("bootstrap peer did not answer", slog.String("peer_id", p.Key.String()), slog.Any("error", err))
				}
			}
			if h.dht != nil {
				h.dht.RefreshRoutingTable() // runs in the background of the DHT
			}
		}
		select {
		case <-h.ctx.Done():
			return
		case <-timer.C:
		}
	}
}

func (h *Host) anyBootstrapConnected() bool {
	for _, p := range h.config.Bootstrap {
		if id, err := idOf(p.Key); err == nil && len(h.host.Network().ConnsToPeer(id)) > 0 {
			return true
		}
	}
	return false
}
