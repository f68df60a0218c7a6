package area

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"trunkline/caps"
	"trunkline/p2p"
)

// Defaults of [Config].
const (
	DefaultRefreshAfter   = 5 * time.Minute
	DefaultLookupTimeout  = 10 * time.Second
	DefaultRepublishEvery = 4 * time.Hour
	DefaultRetryAfter     = time.Minute
)

// DHT is what a resolver needs of the DHT; *[p2p.Host] is one.
type DHT interface {
	// SearchRecord returns values that get better; see p2p.Host.
	SearchRecord(ctx context.Context, key string) (<-chan []byte, error)
	PutRecord(ctx context.Context, key string, value []byte) error
}

// Config makes a [Resolver]. Cache is required, and at least one of DHT and
// Directories for anything that is not in the cache.
type Config struct {
	Cache *Cache
	// DHT is asked and published to; nil for none.
	DHT DHT
	// Host opens streams to Directories.
	Host p2p.Opener
	// Directories returns who is asked and published to, now: clearinghouses, and contact
	// points that are known beforehand.
	Directories func() []p2p.Peer
	// RefreshAfter is the age from which a record served from the cache is
	// looked up again in the background. Default 5 min.
	RefreshAfter time.Duration
	// LookupTimeout bounds one look-up over all sources. Default 10 s.
	LookupTimeout time.Duration
	// RepublishEvery is the pause of [Resolver.Republish], RetryAfter its
	// pause after a failure. Defaults 4 h and 1 min.
	RepublishEvery, RetryAfter time.Duration
	// Logger gets what an operator may care about; nil discards.
	Logger *slog.Logger
	// Now is the clock of the traces and of RefreshAfter. Default time.Now.
	Now func() time.Time
}

// Fixed is for [Config.Directories] that never change.
func Fixed(directories ...p2p.Peer) func() []p2p.Peer {
	return func() []p2p.Peer { return directories }
}

// Resolver finds area records and publishes them. It is safe for concurrent
// use. Close it to end its background work.
type Resolver struct {
	config Config

	ctx     context.Context // ends with the resolver
	cancel  context.CancelFunc
	running sync.WaitGroup

	mu      sync.Mutex
	closed  bool
	looked  map[caps.AreaCode]time.Time // last look-up that found something
	flights map[caps.AreaCode]*flight
}

// flight is one look-up under way, shared by all who wait for its area.
type flight struct {
	settled chan struct{} // closed when info or err stands
	done    chan struct{} // closed when every source has answered

	mu   sync.Mutex
	over bool
	info Info
	err  error
}

// settle sets the outcome that waiters see. The first stands.
func (f *flight) settle(info Info, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.over {
		return
	}
	f.over, f.info, f.err = true, info, err
	close(f.settled)
}

// NewResolver makes a resolver. It starts nothing until asked.
func NewResolver(c Config) (*Resolver, error) {
	if c.Cache == nil {
		return nil, errors.New("area resolver: no cache")
	}
	if c.Directories != nil && c.Host == nil {
		return nil, errors.New("area resolver: directories, but no host to reach them")
	}
	for _, set := range []struct {
		d        *time.Duration
		standard time.Duration
	}{
		{&c.RefreshAfter, DefaultRefreshAfter},
		{&c.LookupTimeout, DefaultLookupTimeout},
		{&c.RepublishEvery, DefaultRepublishEvery},
		{&c.RetryAfter, DefaultRetryAfter},
	} {
		if *set.d <= 0 {
			*set.d = set.standard
		}
	}
	if c.Directories == nil {
		c.Directories = Fixed()
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Now == nil {
		c.Now = time.Now //nolint:forbidigo // the default of an injected clock
	}
	r := &Resolver{config: c, looked: make(map[caps.AreaCode]time.Time), flights: make(map[caps.AreaCode]*flight)}
	r.ctx, r.cancel = context.WithCancel(context.Background())
	return r, nil
}

// Close ends look-ups under way and waits for them.
func (r *Resolver) Close() error {
	r.mu.Lock()
	r.closed = true
	r.mu.Unlock()
	r.cancel()
	r.running.Wait()
	return nil
}

// Resolve returns a valid record of area. One in the cache is served at once,
// and looked up again in the background when it was not for RefreshAfter.
// Otherwise all sources are asked at the same time and the first valid answer
// wins; newer ones that come later replace it in the cache, for the next
// caller. It never goes back behind a record that was seen before.
//
// Errors: [ErrUnknownArea], [ErrNoAnswer], or, when there were answers but
// none to believe, the most telling of [ErrRollback], [ErrExpired],
// [ErrSignature] and [ErrMalformed].
func (r *Resolver) Resolve(ctx context.Context, area caps.AreaCode) (Info, error) {
	info, err := r.config.Cache.Get(area)
	if err == nil {
		r.lookIfDue(area)
		return info, nil
	}
	if errors.Is(err, ErrCacheDamaged) {
		return Info{}, fmt.Errorf("resolving area %s: %w", area, err)
	}
	f := r.look(area)
	if f == nil {
		return Info{}, fmt.Errorf("resolving area %s: %w", area, p2p.ErrClosed)
	}
	select {
	case <-f.settled:
	case <-ctx.Done():
		return Info{}, fmt.Errorf("resolving area %s: %w", area, ctx.Err())
	}
	if f.err != nil {
		return Info{}, fmt.Errorf("resolving area %s: %w", area, f.err)
	}
	return f.info, nil
}

// Refresh looks area up again, because what its record says proved wrong: a
// price that was raised, a contact point that has moved. It returns when every
// source has answered or ctx ends; what it found is in the cache then. After a
// good look-up within the last refreshPause it does nothing, so that whoever
// causes failures does not cause look-ups at the same rate.
func (r *Resolver) Refresh(ctx context.Context, area caps.AreaCode) {
	r.mu.Lock()
	last, ok := r.looked[area]
	r.mu.Unlock()
	if ok && r.config.Now().Sub(last) < refreshPause {
		return
	}
	if f := r.look(area); f != nil {
		select {
		case <-f.done:
		case <-ctx.Done():
		}
	}
}

// refreshPause is the least time between a good look-up and a Refresh.
const refreshPause = 2 * time.Second

// lookIfDue looks area up in the background if the last good look-up is long
// ago.
func (r *Resolver) lookIfDue(area caps.AreaCode) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if last, ok := r.looked[area]; !ok || r.config.Now().Sub(last) >= r.config.RefreshAfter {
		r.start(area)
	}
}

// look starts a look-up in the background, or joins the one under way. It is
// nil when the resolver is closed.
func (r *Resolver) look(area caps.AreaCode) *flight {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.start(area)
}

// start is look. mu is held.
func (r *Resolver) start(area caps.AreaCode) *flight {
	if r.closed {
		return nil
	}
	if f, ok := r.flights[area]; ok {
		return f
	}
	f := &flight{settled: make(chan struct{}), done: make(chan struct{})}
	r.flights[area] = f
	r.running.Go(func() {
		info, err := r.run(r.ctx, area, nil, func(first Info) { f.settle(first, nil) })
		r.mu.Lock()
		delete(r.flights, area)
		if err == nil {
			r.remember(area)
		}
		r.mu.Unlock()
		f.settle(info, err)
		close(f.done)
		if err != nil && r.ctx.Err() == nil {
			r.config.Logger.Info("area look-up found nothing valid", "area_code", area.String(), "error", err)
		}
	})
	return f
}

// remember notes a good look-up. mu is held.
func (r *Resolver) remember(area caps.AreaCode) {
	if len(r.looked) >= DefaultMaxAreas {
		clear(r.looked) // costs a refresh each, nothing more
	}
	r.looked[area] = r.config.Now()
}

// Trace looks area up at every source, waits for all of them, reports each
// step in order, and returns the newest record.
func (r *Resolver) Trace(ctx context.Context, area caps.AreaCode, report func(Step)) (Info, error) {
	info, err := r.run(ctx, area, report, nil)
	if err != nil {
		return Info{}, fmt.Errorf("resolving area %s: %w", area, err)
	}
	return info, nil
}
