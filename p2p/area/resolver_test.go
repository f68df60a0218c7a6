package area_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"trunkline/caps"
	"trunkline/p2p"
	"trunkline/p2p/area"
	"trunkline/p2p/p2ptest"
)

// fakeDHT answers each key with scripted values, in order. A key that is held
// answers when it is released.
type fakeDHT struct {
	mu     sync.Mutex
	values map[string][][]byte
	held   map[string]chan struct{}
	fail   error
	asked  map[string]int
	puts   map[string][]byte
}

func newFakeDHT() *fakeDHT {
	return &fakeDHT{values: map[string][][]byte{}, held: map[string]chan struct{}{}, asked: map[string]int{}, puts: map[string][]byte{}}
}

// hold makes the keys of name wait until the returned function is called.
func (d *fakeDHT) hold(name caps.PublicKey, replicas ...int) (release func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	gate := make(chan struct{})
	for _, i := range replicas {
		d.held[area.RecordKey(i, name)] = gate
	}
	return func() { close(gate) }
}

// set scripts one key.
func (d *fakeDHT) set(name caps.PublicKey, replica int, values ...[]byte) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.values[area.RecordKey(replica, name)] = values
}

// publish puts both layers under every key, as the real thing has it.
func (d *fakeDHT) publish(g *grid, delegate caps.PublicKey, r area.Record) {
	for i := range area.Replicas {
		d.set(g.area.Key(), i, r.Delegation)
		d.set(delegate, i, r.Sheet)
	}
}

func (d *fakeDHT) SearchRecord(ctx context.Context, key string) (<-chan []byte, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.asked[key]++
	if d.fail != nil {
		return nil, d.fail
	}
	out := make(chan []byte)
	values, gate := d.values[key], d.held[key]
	go func() {
		defer close(out)
		if gate != nil {
			select {
			case <-gate:
			case <-ctx.Done():
				return
			}
		}
		for _, v := range values {
			select {
			case out <- v:
			case <-ctx.Done():
				return
			}
		}
	}()
	return out, nil
}

func (d *fakeDHT) PutRecord(_ context.Context, key string, value []byte) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.fail != nil {
		return d.fail
	}
	d.puts[key] = value
	d.values[key] = [][]byte{value}
	return nil
}

// away makes every later call fail.
func (d *fakeDHT) away(err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.fail = err
}

func (d *fakeDHT) questions() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	n := 0
	for _, k := range d.asked {
		n += k
	}
	return n
}

// newResolver makes a resolver on the test's clock.
func newResolver(t testing.TB, c *clock, config area.Config) *area.Resolver {
	t.Helper()
	if config.Cache == nil {
		config.Cache = openCache(t, "", c)
	}
	if config.Now == nil {
		config.Now = c.Now
	}
	if config.LookupTimeout == 0 {
		config.LookupTimeout = time.Minute
	}
	r, err := area.NewResolver(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.Close() })
	return r
}

// directory is a host that serves what its cache holds.
func directory(t testing.TB, c *clock) (*p2p.Host, *area.Cache) {
	t.Helper()
	h, cache := p2ptest.Host(t, nil), openCache(t, "", c)
	(&area.Directory{Cache: cache}).Register(h)
	return h, cache
}

func put(t testing.TB, cache *area.Cache, g *grid, r area.Record) {
	t.Helper()
	if _, _, err := cache.Put(g.area, r); err != nil {
		t.Fatal(err)
	}
}

func TestResolveFirstValidWins(t *testing.T) {
	t.Parallel()
	g, c, dht := newGrid(t), newClock(), newFakeDHT()
	cache := openCache(t, "", c)
	delegate := publicKey(t, g.delegate)
	dht.publish(g, delegate, g.record(g.delegate, 3, 8, start))
	older := g.record(g.delegate, 3, 7, start)
	dht.set(delegate, 2, []byte("rubbish"), older.Sheet)
	// Only replica 2, with rubbish and then the older sheet, answers at once.
	release := dht.hold(delegate, 0, 1, 3)
	r := newResolver(t, c, area.Config{Cache: cache, DHT: dht})
	info, err := r.Resolve(t.Context(), g.area)
	if err != nil || info.SheetSeq != 7 {
		t.Fatalf("got sheet %d, %v; want the first valid, 7", info.SheetSeq, err)
	}
	// The look-up goes on, and the newer one overtakes.
	release()
	for info.SheetSeq != 8 {
		if info, err = r.Resolve(t.Context(), g.area); err != nil {
			t.Fatal(err)
		}
	}
}

func TestResolveNewDelegateOvertakes(t *testing.T) {
	t.Parallel()
	g, c, dht := newGrid(t), newClock(), newFakeDHT()
	dht.publish(g, publicKey(t, g.delegate), g.record(g.delegate, 3, 7, start))
	next := g.record(g.other, 4, 1, start)
	dht.publish(g, publicKey(t, g.other), next)
	dht.set(g.area.Key(), 1, g.record(g.delegate, 3, 7, start).Delegation)
	info, err := newResolver(t, c, area.Config{DHT: dht}).Trace(t.Context(), g.area, nil)
	if err != nil || info.Delegate != publicKey(t, g.other) || info.DelegationSeq != 4 || info.SheetSeq != 1 {
		t.Fatalf("got %d and %d, %v", info.DelegationSeq, info.SheetSeq, err)
	}
}

// TestResolveRefusesOlder offers older records from each source, before and
// after a restart.
func TestResolveRefusesOlder(t *testing.T) {
	t.Parallel()
	g := newGrid(t)
	older := g.record(g.delegate, 2, 6, start.Add(area.SheetLife))
	for _, source := range []string{"dht", "directory"} {
		for _, restart := range []string{"same process", "restart"} {
			t.Run(source+"/"+restart, func(t *testing.T) {
				t.Parallel()
				c, dir := newClock(), t.TempDir()
				cache := openCache(t, dir, c)
				put(t, cache, g, g.record(g.delegate, 3, 7, start))
				if restart == "restart" {
					cache = openCache(t, dir, c)
				}
				c.turn(area.SheetLife + time.Minute) // what is cached is over
				config := area.Config{Cache: cache}
				if source == "dht" {
					dht := newFakeDHT()
					dht.publish(g, publicKey(t, g.delegate), older)
					config.DHT = dht
				} else {
					h, served := directory(t, c)
					put(t, served, g, older)
					config.Host, config.Directories = p2ptest.Host(t, nil), area.Fixed(h.Self())
				}
				if _, err := newResolver(t, c, config).Resolve(t.Context(), g.area); !errors.Is(err, area.ErrRollback) {
					t.Fatalf("got %v, want ErrRollback", err)
				}
			})
		}
	}
}

func TestResolveErrors(t *testing.T) {
	t.Parallel()
	g, c := newGrid(t), newClock()
	delegate := publicKey(t, g.delegate)
	stranger := newGrid(t)
	stranger.key = testKey(t, 66)
	empty, _ := directory(t, c)
	gone := p2p.Peer{Key: publicKey(t, testKey(t, 67)), Addrs: []string{"/ip4/127.0.0.1/tcp/1"}}
	with := func(edit func(*fakeDHT)) *fakeDHT {
		d := newFakeDHT()
		edit(d)
		return d
	}
	for _, tc := range []struct {
		name        string
		dht         *fakeDHT
		directories []p2p.Peer
		want        error
	}{
		{"no source", nil, nil, area.ErrNoAnswer},
		{"DHT has nothing", newFakeDHT(), nil, area.ErrUnknownArea},
		{"directory has nothing", nil, []p2p.Peer{empty.Self()}, area.ErrUnknownArea},
		{"DHT cannot be asked", with(func(d *fakeDHT) { d.fail = p2p.ErrUnavailable }), nil, area.ErrNoAnswer},
		{"directory cannot be asked", nil, []p2p.Peer{gone}, area.ErrNoAnswer},
		{"one has nothing, one cannot be asked", newFakeDHT(), []p2p.Peer{gone}, area.ErrNoAnswer},
		{"delegation, but no sheet", with(func(d *fakeDHT) {
			d.set(g.area.Key(), 0, g.record(g.delegate, 1, 1, start).Delegation)
		}), nil, area.ErrNoAnswer},
		{"rubbish", with(func(d *fakeDHT) { d.set(g.area.Key(), 0, []byte("rubbish")) }), nil, area.ErrMalformed},
		{"signed by a stranger", with(func(d *fakeDHT) {
			d.set(g.area.Key(), 0, stranger.record(g.delegate, 1, 1, start).Delegation)
		}), nil, area.ErrSignature},
		{"expired sheet", with(func(d *fakeDHT) {
			d.publish(g, delegate, g.record(g.delegate, 1, 1, start.Add(-2*area.SheetLife)))
		}), nil, area.ErrExpired},
		{"expired tells more than rubbish", with(func(d *fakeDHT) {
			d.publish(g, delegate, g.record(g.delegate, 1, 1, start.Add(-2*area.SheetLife)))
			d.set(g.area.Key(), 1, []byte("rubbish"))
		}), nil, area.ErrExpired},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			config := area.Config{Directories: area.Fixed(tc.directories...), Host: p2ptest.Host(t, nil)}
			if tc.dht != nil {
				config.DHT = tc.dht
			}
			_, err := newResolver(t, c, config).Resolve(t.Context(), g.area)
			if !errors.Is(err, tc.want) || !strings.Contains(err.Error(), g.area.String()) {
				t.Fatalf("got %v, want %v", err, tc.want)
			}
		})
	}
}

func TestResolveCached(t *testing.T) {
	t.Parallel()
	g, c, dht := newGrid(t), newClock(), newFakeDHT()
	cache := openCache(t, "", c)
	put(t, cache, g, g.record(g.delegate, 3, 7, start))
	delegate := publicKey(t, g.delegate)
	dht.publish(g, delegate, g.record(g.delegate, 3, 8, start))
	release := dht.hold(g.area.Key(), 0, 1, 2, 3)
	r := newResolver(t, c, area.Config{Cache: cache, DHT: dht, RefreshAfter: time.Minute})
	for range 10 { // at once, though no source answers, and one refresh only
		info, err := r.Resolve(t.Context(), g.area)
		if err != nil || info.SheetSeq != 7 {
			t.Fatalf("got %d, %v", info.SheetSeq, err)
		}
	}
	release()
	var info area.Info
	for info.SheetSeq != 8 {
		var err error
		if info, err = r.Resolve(t.Context(), g.area); err != nil {
			t.Fatal(err)
		}
	}
	if err := r.Close(); err != nil { // waits for the refresh
		t.Fatal(err)
	}
	if n := dht.questions(); n != 2*area.Replicas {
		t.Fatalf("%d questions for one refresh, want %d", n, 2*area.Replicas)
	}
}

// TestResolveRefreshesAfterAWhile counts look-ups as the clock turns.
func TestResolveRefreshesAfterAWhile(t *testing.T) {
	t.Parallel()
	g, c, dht := newGrid(t), newClock(), newFakeDHT()
	dht.publish(g, publicKey(t, g.delegate), g.record(g.delegate, 3, 7, start))
	r := newResolver(t, c, area.Config{DHT: dht, RefreshAfter: time.Minute})
	for i, step := range []struct {
		turn  time.Duration
		looks int
	}{{0, 1}, {59 * time.Second, 0}, {time.Second, 1}, {0, 0}} {
		c.turn(step.turn)
		before := dht.questions()
		if _, err := r.Resolve(t.Context(), g.area); err != nil {
			t.Fatal(err)
		}
		r.Settle(g.area)
		if got := (dht.questions() - before) / (2 * area.Replicas); got != step.looks {
			t.Fatalf("step %d: %d look-ups, want %d", i, got, step.looks)
		}
	}
}

// TestResolveShared lets many wait for one look-up.
func TestResolveShared(t *testing.T) {
	t.Parallel()
	g, c, dht := newGrid(t), newClock(), newFakeDHT()
	dht.publish(g, publicKey(t, g.delegate), g.record(g.delegate, 3, 7, start))
	release := dht.hold(g.area.Key(), 0, 1, 2, 3)
	r := newResolver(t, c, area.Config{DHT: dht})
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			if info, err := r.Resolve(t.Context(), g.area); err != nil || info.SheetSeq != 7 {
				t.Errorf("got %d, %v", info.SheetSeq, err)
			}
		})
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := r.Resolve(ctx, g.area); !errors.Is(err, context.Canceled) {
		t.Errorf("one that gives up: %v", err)
	}
	release()
	wg.Wait()
	_ = r.Close()
	if n := dht.questions(); n != 2*area.Replicas {
		t.Fatalf("%d questions for fifty callers, want %d", n, 2*area.Replicas)
	}
	if _, err := newResolver(t, c, area.Config{DHT: dht}).Resolve(t.Context(), g.area); err != nil {
		t.Fatal(err)
	}
	closed := newResolver(t, c, area.Config{DHT: dht})
	_ = closed.Close()
	if _, err := closed.Resolve(t.Context(), g.area); !errors.Is(err, p2p.ErrClosed) {
		t.Fatalf("a closed resolver: %v", err)
	}
}

func TestLookupTimeout(t *testing.T) {
	t.Parallel()
	g, c, dht := newGrid(t), newClock(), newFakeDHT()
	dht.hold(g.area.Key(), 0, 1, 2, 3) // never released
	r := newResolver(t, c, area.Config{DHT: dht, LookupTimeout: 20 * time.Millisecond})
	if _, err := r.Resolve(t.Context(), g.area); !errors.Is(err, area.ErrNoAnswer) || !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("got %v, want ErrNoAnswer", err)
	}
}

func TestTrace(t *testing.T) {
	t.Parallel()
	g, c, dht := newGrid(t), newClock(), newFakeDHT()
	delegate := publicKey(t, g.delegate)
	r7 := g.record(g.delegate, 3, 7, start)
	dht.set(g.area.Key(), 0, r7.Delegation)
	dht.set(g.area.Key(), 1, []byte("rubbish"))
	dht.set(delegate, 0, r7.Sheet)
	h, served := directory(t, c)
	put(t, served, g, g.record(g.delegate, 3, 8, start))
	client := p2ptest.Host(t, nil)
	r := newResolver(t, c, area.Config{DHT: dht, Host: client, Directories: area.Fixed(h.Self())})
	var lines []string
	info, err := r.Trace(t.Context(), g.area, func(s area.Step) {
		if !s.At.Equal(start) {
			t.Errorf("a step at %v", s.At)
		}
		lines = append(lines, s.String())
	})
	if err != nil || info.SheetSeq != 8 {
		t.Fatalf("got %d, %v", info.SheetSeq, err)
	}
	all := strings.Join(lines, "\n")
	for _, want := range []string{
		"cache on disk: has no record",
		"dht /area/0/" + g.area.String() + ": asked",
		"dht /area/0/" + g.area.String() + ": found delegation, delegation 3",
		"dht /area/1/" + g.area.String() + ": refused delegation: delegation: area record is malformed",
		"dht /area/2/" + g.area.String() + ": has no delegation",
		"dht /area/0/" + caps.NewAreaCode(delegate).String() + ": asked",
		"directory " + h.Key().String() + ": asked",
		"directory " + h.Key().String() + ": found record, delegation 3, contact sheet 8",
	} {
		if !strings.Contains(all, want) {
			t.Errorf("no step says %q; the steps:\n%s", want, all)
		}
	}
}

func TestPublish(t *testing.T) {
	t.Parallel()
	g, c, dht := newGrid(t), newClock(), newFakeDHT()
	manager := p2ptest.Host(t, func(c *p2p.Config) { c.Key = g.delegate })
	h, served := directory(t, c)
	config := func() area.Config {
		return area.Config{DHT: dht, Host: manager, Directories: area.Fixed(h.Self())}
	}
	r := newResolver(t, c, config())
	out, err := r.Publish(t.Context(), g.area, g.record(g.delegate, 3, 7, start))
	if err != nil || out.Keys != 2*area.Replicas || out.Directories != 1 {
		t.Fatalf("published to %+v, %v", out, err)
	}
	if info, err := served.Get(g.area); err != nil || info.SheetSeq != 7 {
		t.Fatalf("the directory has %d, %v", info.SheetSeq, err)
	}
	if _, err := newResolver(t, c, config()).Resolve(t.Context(), g.area); err != nil {
		t.Fatal(err)
	}
	// A publisher that lost its memory does not put an older one over it,
	// though a DHT would take it without a word.
	forgot := newResolver(t, c, config())
	if _, err := forgot.Publish(t.Context(), g.area, g.record(g.delegate, 3, 6, start)); !errors.Is(err, area.ErrRollback) {
		t.Fatalf("an older sheet: %v, want ErrRollback", err)
	}
	if _, err := newResolver(t, c, config()).Publish(t.Context(), g.area, g.record(g.delegate, 2, 9, start)); err != nil {
		// A newer sheet under the delegation before: it joins the newer one.
		t.Fatalf("a newer sheet: %v", err)
	}
	if info, err := served.Get(g.area); err != nil || info.DelegationSeq != 3 || info.SheetSeq != 9 {
		t.Fatalf("the directory has %d and %d, %v", info.DelegationSeq, info.SheetSeq, err)
	}
	dht.away(p2p.ErrUnavailable)
	out, err = r.Publish(t.Context(), g.area, g.record(g.delegate, 3, 10, start))
	if err != nil || out.Keys != 0 || out.Directories != 1 {
		t.Fatalf("without the DHT: %+v, %v", out, err)
	}
	lonely := newResolver(t, c, area.Config{DHT: dht})
	if _, err := lonely.Publish(t.Context(), g.area, g.record(g.delegate, 3, 11, start)); !errors.Is(err, area.ErrNoAnswer) {
		t.Fatalf("to nobody: %v", err)
	}
}

func TestRepublish(t *testing.T) {
	t.Parallel()
	g, c, dht := newGrid(t), newClock(), newFakeDHT()
	cache := openCache(t, "", c)
	put(t, cache, g, g.record(g.delegate, 3, 7, start))
	r := newResolver(t, c, area.Config{Cache: cache, DHT: dht, RepublishEvery: time.Millisecond})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- r.Republish(ctx, g.area) }()
	// What the manager signs later spreads from the cache too.
	stored := func(want area.Record) bool {
		dht.mu.Lock()
		defer dht.mu.Unlock()
		return string(dht.puts[area.RecordKey(3, publicKey(t, g.delegate))]) == string(want.Sheet)
	}
	for !stored(g.record(g.delegate, 3, 7, start)) {
		time.Sleep(time.Millisecond)
	}
	next := g.record(g.delegate, 3, 8, start)
	put(t, cache, g, next)
	for !stored(next) {
		time.Sleep(time.Millisecond)
	}
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
}
