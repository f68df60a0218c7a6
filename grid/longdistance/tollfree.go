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
	// LookupsPerSecond is how many requests each peer may make; some more wait for their turn. Default 10.
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

// lookupWait is how long a request too many is held back before it is refused. Who reads a tree of small files one after the other
// goes at the rate's pace and does not fail.
const lookupWait = 2 * time.Second

// lookup waits until the peer may make one more request, and refuses it if that would take too long.
func (b *tollBooth) lookup(ctx context.Context, key caps.PublicKey) error {
	now := b.now()
	turn := b.peer(key).lookups.ReserveN(now, 1)
	wait := turn.DelayFrom(now)
	if wait > lookupWait {
		turn.CancelAt(now)
		return fmt.Errorf("more than %v toll-free requests a second; try again in a moment: %w", b.config.LookupsPerSecond, p2p.ErrBusy)
	}
	if wait == 0 {
		return nil
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
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
