package transfer

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"trunkline/caps"
	"trunkline/grid/chk"
	"trunkline/grid/storage"
)

const (
	// checkPatience and checkFactor decide how long a check waits for servers
	// that are silent when half of them have answered: so long, or so many
	// times what the slowest of those took.
	checkPatience = 3 * time.Second
	checkFactor   = 8
	// verifyAtOnce bounds the shares that a check reads at the same time.
	verifyAtOnce = 16
)

// CheckOptions say how thoroughly to check a file, and what to do on the way.
type CheckOptions struct {
	// Verify reads and checks every byte of every share; else servers are
	// believed that they have what they list.
	Verify bool
	// AddLease, if not nil, is a client's lease secret: its leases are added
	// or renewed where shares are.
	AddLease *[32]byte
}

// Check asks all servers for the shares of a file. That a file is not there,
// or unhealthy, is no error.
//
// A share that a check reads and finds wrong is held against its server, which
// is told so. Verify sees whether each share is what the cap says; only reading
// the file shows whether they belong together, which an uploader can make
// wrong on purpose. A server that is silent is waited for a few seconds beyond
// the others and then listed in [Health.Failed].
//
// Errors: what v.Validate says; ctx's.
func Check(ctx context.Context, cfg Config, v caps.CHKVerify, o CheckOptions) (Health, error) {
	if err := v.Validate(); err != nil {
		return Health{}, fmt.Errorf("checking the verify cap: %w", err)
	}
	c := &checker{
		cfg: cfg.withDefaults(), v: v, o: o,
		servers: Permute(v.StorageIndex, cfg.Servers),
		slots:   make(chan struct{}, verifyAtOnce),
		health: Health{
			Cap: v.Cap(), Needed: v.K, Expected: v.N,
			Good: make(map[int][]caps.PublicKey),
		},
	}
	c.ask(ctx)
	if err := ctx.Err(); err != nil {
		return Health{}, err
	}
	c.health.finish()
	return c.health, nil
}

// finish brings what was found into a fixed order, and counts happiness.
func (h *Health) finish() {
	for _, keys := range h.Good {
		slices.SortFunc(keys, compareKeys)
	}
	slices.SortFunc(h.Corrupt, func(a, b Located) int {
		if a.Num != b.Num {
			return a.Num - b.Num
		}
		return compareKeys(a.Server, b.Server)
	})
	slices.SortFunc(h.Responded, compareKeys)
	h.Happiness = happinessOf(h.Good, h.Expected)
}

func compareKeys(a, b caps.PublicKey) int { return bytes.Compare(a[:], b[:]) }

// happinessOf counts the servers that hold a share of their own.
func happinessOf(good map[int][]caps.PublicKey, n int) int {
	index := make(map[caps.PublicKey]int)
	var holds [][]int
	for _, num := range slices.Sorted(maps.Keys(good)) {
		for _, key := range good[num] {
			i, ok := index[key]
			if !ok {
				i = len(holds)
				index[key] = i
				holds = append(holds, nil)
			}
			holds[i] = append(holds[i], num)
		}
	}
	return Happiness(holds, n)
}

// checker is one call of Check.
type checker struct {
	cfg     Config
	v       caps.CHKVerify
	o       CheckOptions
	servers []Server
	slots   chan struct{} // a token for each share being read

	mu     sync.Mutex
	health Health
}

// ask puts the question to all servers at once, and sees to what they answer.
func (c *checker) ask(ctx context.Context) {
	answers := make(chan time.Duration, len(c.servers))
	listing, giveUp := context.WithCancel(ctx)
	defer giveUp()
	var wg sync.WaitGroup
	start := c.cfg.Now()
	for _, s := range c.servers {
		wg.Go(func() {
			limited, cancel := context.WithTimeout(listing, c.cfg.Timeout)
			infos, err := s.Shares(limited, c.v.StorageIndex)
			if err != nil && limited.Err() != nil && ctx.Err() == nil {
				err = errSilent
			}
			cancel()
			answers <- c.cfg.Now().Sub(start)
			if err != nil {
				c.failed(s, -1, err)
				return
			}
			c.answered(ctx, s, infos)
		})
	}
	c.wait(answers, start, giveUp)
	wg.Wait()
}

// wait returns when all have answered, and gives up those that take much
// longer than the first half.
func (c *checker) wait(answers <-chan time.Duration, start time.Time, giveUp func()) {
	var timer *time.Timer
	for left := len(c.servers); left > 0; left-- {
		took := <-answers
		if left-1 > len(c.servers)/2 || left == 1 {
			continue
		}
		limit := max(checkPatience, checkFactor*took) - c.cfg.Now().Sub(start)
		if timer == nil {
			timer = time.AfterFunc(limit, giveUp)
			defer timer.Stop()
		} else if took < checkPatience {
			timer.Reset(limit)
		}
	}
}

// answered sees to what one server has.
func (c *checker) answered(ctx context.Context, s Server, infos []storage.ShareInfo) {
	c.mu.Lock()
	c.health.Responded = append(c.health.Responded, s.Key())
	c.mu.Unlock()
	least := (c.v.Size-1)/uint64(c.v.K) + 1
	seen := make(map[int]bool)
	var wg sync.WaitGroup
	for _, info := range infos {
		if info.Num < 0 || info.Num >= c.v.N || seen[info.Num] {
			continue
		}
		seen[info.Num] = true
		switch {
		case info.Size < least:
			c.corrupt(ctx, s, info.Num, fmt.Errorf("%w: %d bytes long", ErrCorrupt, info.Size))
		case c.o.Verify:
			wg.Go(func() { c.verify(ctx, s, info) })
		default:
			c.good(s, info.Num)
		}
	}
	if c.o.AddLease != nil && len(seen) > 0 {
		wg.Go(func() { c.lease(ctx, s) })
	}
	wg.Wait()
}

// verify reads a share from beginning to end.
func (c *checker) verify(ctx context.Context, s Server, info storage.ShareInfo) {
	select {
	case c.slots <- struct{}{}:
		defer func() { <-c.slots }()
	case <-ctx.Done():
		return
	}
	r := &shareReader{ctx: ctx, server: s, si: c.v.StorageIndex, info: info, timeout: c.cfg.Timeout}
	err := chk.VerifyShare(r, info.Size, c.v, info.Num)
	switch {
	case err == nil:
		c.good(s, info.Num)
	case ctx.Err() != nil:
	case errors.Is(err, chk.ErrUEB): // the uploader's fault
		c.held(s, info.Num, fmt.Errorf("%w: %w", ErrInconsistent, err))
	case errors.Is(err, chk.ErrCorrupt) || errors.Is(err, storage.ErrRange):
		c.corrupt(ctx, s, info.Num, fmt.Errorf("%w: %w", ErrCorrupt, err))
	default:
		c.failed(s, info.Num, err)
	}
}

func (c *checker) lease(ctx context.Context, s Server) {
	ctx, cancel := context.WithTimeout(ctx, c.cfg.Timeout)
	defer cancel()
	renew, cancelSecret := caps.LeaseSecrets(*c.o.AddLease, c.v.StorageIndex, s.PeerID20())
	if err := s.AddLease(ctx, c.v.StorageIndex, renew, cancelSecret); err != nil {
		c.failed(s, -1, fmt.Errorf("adding a lease: %w", err))
	}
}

func (c *checker) good(s Server, num int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.health.Good[num] = append(c.health.Good[num], s.Key())
}

// corrupt notes a wrong share and tells its server.
func (c *checker) corrupt(ctx context.Context, s Server, num int, reason error) {
	c.held(s, num, reason)
	ctx, cancel := context.WithTimeout(ctx, adviseTimeout)
	defer cancel()
	if err := s.Advise(ctx, c.v.StorageIndex, num, reason.Error()); err != nil {
		c.cfg.Logger.Debug("corruption advisory not delivered", "peer_id", s.Key().String(), "error", err)
	}
}

func (c *checker) held(s Server, num int, reason error) {
	c.cfg.Logger.Warn("share not usable", "peer_id", s.Key().String(), "share", num, "error", reason)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.health.Corrupt = append(c.health.Corrupt, Located{s.Key(), num, reason})
}

func (c *checker) failed(s Server, num int, reason error) {
	c.cfg.Logger.Warn("server failed during a check", "peer_id", s.Key().String(), "share", num, "error", reason)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.health.Failed = append(c.health.Failed, Blame{s.Key(), num, reason})
}
