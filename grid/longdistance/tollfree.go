package longdistance

import (
	"container/list"
	"context"
	"fmt"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"trunkline/caps"
	"trunkline/p2p"
)

// TollFree bounds what is served to those who need no approval. Zero fields
// mean the defaults.
type TollFree struct {
	// BytesPerSecond is each peer's rate. Default 16 MiB/s.
	BytesPerSecond int64
	// TotalPerSecond is the rate of all peers together. Default 64 MiB/s.
	TotalPerSecond int64
	// LookupsPerSecond is how many requests each peer may make. Default 10.
	LookupsPerSecond float64
	// MaxPeers is how many peers are remembered. When one more comes, the one
	// that was quiet the longest is forgotten. Default 4096.
	MaxPeers int
}

func (t TollFree) withDefaults() TollFree {
	if t.BytesPerSecond <= 0 {
		t.BytesPerSecond = 16 << 20
	}
	if t.TotalPerSecond <= 0 {
		t.TotalPerSecond = 64 << 20
	}
	if t.LookupsPerSecond <= 0 {
		t.LookupsPerSecond = 10
	}
	if t.MaxPeers <= 0 {
		t.MaxPeers = 4096
	}
	return t
}

// tollBooth keeps the rates of toll-free peers. Safe for concurrent use.
type tollBooth struct {
	config TollFree
	now    func() time.Time
	total  *rate.Limiter

	mu    sync.Mutex
	peers map[caps.PublicKey]*list.Element // of *tollPeer
	order *list.List                       // most recently used first
}

type tollPeer struct {
	key     caps.PublicKey
	bytes   *rate.Limiter
	lookups *rate.Limiter
}

func newTollBooth(c TollFree, now func() time.Time) *tollBooth {
	c = c.withDefaults()
	return &tollBooth{
		config: c,
		now:    now,
		total:  byteLimiter(c.TotalPerSecond),
		peers:  make(map[caps.PublicKey]*list.Element),
		order:  list.New(),
	}
}

// byteLimiter lets a second's worth through at once, and any segment at all.
func byteLimiter(perSecond int64) *rate.Limiter {
	return rate.NewLimiter(rate.Limit(perSecond), int(max(perSecond, maxSegment)))
}

// peer returns the rates of one peer.
func (b *tollBooth) peer(key caps.PublicKey) *tollPeer {
	b.mu.Lock()
	defer b.mu.Unlock()
	if e, ok := b.peers[key]; ok {
		b.order.MoveToFront(e)
		return e.Value.(*tollPeer)
	}
	for len(b.peers) >= b.config.MaxPeers {
		oldest := b.order.Back()
		delete(b.peers, b.order.Remove(oldest).(*tollPeer).key)
	}
	p := &tollPeer{
		key:     key,
		bytes:   byteLimiter(b.config.BytesPerSecond),
		lookups: rate.NewLimiter(rate.Limit(b.config.LookupsPerSecond), int(max(2*b.config.LookupsPerSecond, 1))),
	}
	b.peers[key] = b.order.PushFront(p)
	return p
}

// lookup says whether the peer may make one more request now.
func (b *tollBooth) lookup(key caps.PublicKey) error {
	if !b.peer(key).lookups.AllowN(b.now(), 1) {
		return fmt.Errorf("more than %v toll-free requests a second; try again in a moment: %w", b.config.LookupsPerSecond, p2p.ErrBusy)
	}
	return nil
}

// send waits until the peer may be sent n more bytes.
func (b *tollBooth) send(ctx context.Context, key caps.PublicKey, n int) error {
	if err := b.peer(key).bytes.WaitN(ctx, n); err != nil {
		return fmt.Errorf("toll-free rate: %w: %w", err, p2p.ErrBusy)
	}
	if err := b.total.WaitN(ctx, n); err != nil {
		return fmt.Errorf("toll-free rate: %w: %w", err, p2p.ErrBusy)
	}
	return nil
}
