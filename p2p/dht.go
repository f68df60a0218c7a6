package p2p

import (
	"context"
	"errors"
	"fmt"
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

const (
	// readyTimeout bounds waiting for the first peer of the DHT, and
	// readyPoll is how often it is looked for.
	readyTimeout = 5 * time.Second
	readyPoll    = 10 * time.Millisecond
)

// Limits of the DHT's routing table on peers of one neighbourhood (IPv4 /16,
// IPv6 by autonomous system), so that renting one network does not buy the
// table. They are wider than the public IPFS network's 2 and 3: ours is small.
const (
	maxNeighboursPerBucket = 3
	maxNeighboursPerTable  = 8
)

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
	opts := []dht.Option{
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
	}
	if !c.AllowPrivateAddrs {
		opts = append(opts, dht.RoutingTablePeerDiversityFilter(
			dht.NewRTPeerDiversityFilter(h, maxNeighboursPerBucket, maxNeighboursPerTable)))
	}
	kad, err := dht.New(h, opts...)
	if err != nil {
		return nil, err
	}
	return &recordDHT{kad}, nil
}

// ready waits until the routing table has somebody in it, which takes a few
// round trips after the first bootstrap peer was connected. A host without
// bootstrap peers does not wait: it may be the first.
func (h *Host) ready(ctx context.Context) error {
	if h.dht == nil {
		return ErrNoDHT
	}
	if len(h.config.Bootstrap) == 0 || h.DHTPeers() > 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	tick := time.NewTicker(readyPoll)
	defer tick.Stop()
	for h.DHTPeers() == 0 {
		select {
		case <-ctx.Done():
			return fmt.Errorf("no bootstrap peer of the DHT answered: %w", ErrUnavailable)
		case <-h.ctx.Done():
			return ErrClosed
		case <-tick.C:
		}
	}
	return nil
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
	if err := h.ready(ctx); err != nil {
		return err
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
	if err := h.ready(ctx); err != nil {
		return nil, err
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
					h.config.Logger.Info("bootstrap peer did not answer", "peer_id", p.Key.String(), "error", err)
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
