package transfer

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"trunkline/caps"
	"trunkline/grid/storage"
)

const (
	// placePatience and placeFactor decide how long a server may take to
	// answer when others have answered.
	placePatience = time.Second
	placeFactor   = 8
	// abortTimeout bounds the cleaning up after a failure.
	abortTimeout = 3 * time.Second
)

// target is a server as a place for shares. The placer's lock guards it.
type target struct {
	server        Server
	renew, cancel [32]byte
	have          map[int]bool // complete shares
	open          map[int]bool // our uploads, not committed
	takes         bool         // accepts new shares, as far as known
	dead          bool         // failed or too slow: its open uploads are lost
	busy          bool         // left out a share that may be somebody else's upload
	leased        bool         // our lease is on what it has
}

// placer decides which server gets which share of one file.
type placer struct {
	cfg  UploadConfig
	si   caps.StorageIndex
	size uint64 // of every share

	wg sync.WaitGroup // aborts in the background

	mu      sync.Mutex
	targets []*target // permuted order
	active  int       // the first so many take part
	slowest time.Duration
	lost    []Blame
}

func newPlacer(cfg UploadConfig, si caps.StorageIndex, size uint64) *placer {
	p := &placer{cfg: cfg, si: si, size: size}
	for _, s := range Permute(si, cfg.Servers) {
		t := &target{server: s, have: make(map[int]bool), open: make(map[int]bool), takes: true}
		t.renew, t.cancel = caps.LeaseSecrets(cfg.LeaseSecret, si, s.PeerID20())
		p.targets = append(p.targets, t)
	}
	return p
}

// place finds a server for every share, if it can, and opens the uploads. The
// result is the index of a target for each share, or -1.
//
// Errors: [UnhappyError], with nothing left open; ctx's.
func (p *placer) place(ctx context.Context) ([]int, error) {
	for {
		p.widen(ctx)
		if err := ctx.Err(); err != nil {
			p.abort(ctx)
			return nil, err
		}
		at := p.plan()
		todo := make(map[*target][]int)
		for share, i := range at {
			if i >= 0 && !p.targets[i].have[share] && !p.targets[i].open[share] {
				todo[p.targets[i]] = append(todo[p.targets[i]], share)
			}
		}
		if len(todo) == 0 {
			return p.settle(ctx, at)
		}
		p.allocate(ctx, todo)
	}
}

// widen lets twice as many targets take part as there are shares, not counting
// those that take nothing, and asks the new ones what they have.
func (p *placer) widen(ctx context.Context) {
	for {
		p.mu.Lock()
		want := 2 * p.cfg.N
		for _, t := range p.targets[:p.active] {
			if !t.takes {
				want++
			}
		}
		from := p.active
		p.active = max(from, min(want, len(p.targets)))
		fresh := p.targets[from:p.active]
		p.mu.Unlock()
		if len(fresh) == 0 {
			return
		}
		p.query(ctx, fresh)
	}
}

// plan is the spread over the active targets as they are now.
func (p *placer) plan() []int {
	p.mu.Lock()
	defer p.mu.Unlock()
	offers := make([]offer, p.active)
	for i, t := range p.targets[:p.active] {
		if t.dead {
			continue
		}
		offers[i].takes = t.takes
		for share := range p.cfg.N {
			if t.have[share] || t.open[share] {
				offers[i].have = append(offers[i].have, share)
			}
		}
	}
	return spread(offers, p.cfg.N)
}

// settle drops the uploads that the plan does not use and checks happiness.
func (p *placer) settle(ctx context.Context, at []int) ([]int, error) {
	p.abortIf(ctx, func(i, share int) bool { return at[share] != i })
	placed := p.happiness(at)
	if placed >= p.cfg.Happy {
		return at, nil
	}
	p.abort(ctx)
	return nil, p.unhappy(placed)
}

func (p *placer) unhappy(placed int) *UnhappyError {
	p.mu.Lock()
	defer p.mu.Unlock()
	return &UnhappyError{
		Placed: placed, Wanted: p.cfg.Happy, Servers: p.active,
		Failed: append([]Blame(nil), p.lost...),
	}
}

// happiness counts what is at the places given, and what else is complete.
func (p *placer) happiness(at []int) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	holds := make([][]int, len(p.targets))
	for i, t := range p.targets {
		for share := range p.cfg.N {
			if t.have[share] && !t.dead || at[share] == i {
				holds[i] = append(holds[i], share)
			}
		}
	}
	return Happiness(holds, p.cfg.N)
}

// busy reports whether somebody else's upload of the same file may be in the
// way.
func (p *placer) busy() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, t := range p.targets {
		if t.busy {
			return true
		}
	}
	return false
}

// query asks which shares are there already.
func (p *placer) query(ctx context.Context, targets []*target) {
	p.together(ctx, targets, func(ctx context.Context, t *target) error {
		infos, err := t.server.Shares(ctx, p.si)
		if err != nil {
			return err
		}
		p.mu.Lock()
		defer p.mu.Unlock()
		for _, info := range infos {
			switch {
			case info.Num < 0 || info.Num >= p.cfg.N:
			case info.Size != p.size:
				// Not the share it should be, and it cannot be replaced.
				t.takes = false
			default:
				t.have[info.Num] = true
			}
		}
		return nil
	})
}

// allocate opens uploads.
func (p *placer) allocate(ctx context.Context, todo map[*target][]int) {
	targets := make([]*target, 0, len(todo))
	for t := range todo {
		targets = append(targets, t)
	}
	p.together(ctx, targets, func(ctx context.Context, t *target) error { return p.open(ctx, t, todo[t]) })
}

// open asks one target to take shares, which may be reserved there already.
func (p *placer) open(ctx context.Context, t *target, shares []int) error {
	have, allocated, err := t.server.Allocate(ctx, p.si, shares, p.size, t.renew, t.cancel)
	p.mu.Lock()
	defer p.mu.Unlock()
	if errors.Is(err, storage.ErrNoSpace) || errors.Is(err, storage.ErrReadOnly) {
		t.takes = false // what it has still counts
		p.lost = append(p.lost, Blame{t.server.Key(), -1, err})
		for _, share := range shares {
			delete(t.open, share)
		}
		return nil
	}
	if err != nil {
		return err
	}
	t.leased = true
	for _, share := range shares {
		delete(t.open, share)
		switch {
		case slices.Contains(have, share):
			t.have[share] = true
		case slices.Contains(allocated, share):
			t.open[share] = true
		default:
			t.takes, t.busy = false, true
		}
	}
	return nil
}

// together runs a step at several targets side by side. A target that fails is
// dead, and so is one that takes much longer than the slowest that answered.
func (p *placer) together(ctx context.Context, targets []*target, step func(context.Context, *target) error) {
	if len(targets) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, p.cfg.Timeout)
	defer cancel()
	start := p.cfg.Now()
	done := make(chan struct{}, len(targets))
	for _, t := range targets {
		go func() {
			err := step(ctx, t)
			p.mu.Lock()
			if err == nil {
				p.slowest = max(p.slowest, p.cfg.Now().Sub(start))
			} else {
				if ctx.Err() != nil {
					err = errSilent
				}
				p.failed(t, err)
			}
			p.mu.Unlock()
			done <- struct{}{}
		}()
	}
	timer := time.NewTimer(p.cfg.Timeout)
	defer timer.Stop()
	for left := len(targets); left > 0; {
		p.mu.Lock()
		if p.slowest > 0 && left <= len(targets)/2 {
			timer.Reset(max(placePatience, placeFactor*p.slowest) - p.cfg.Now().Sub(start))
		}
		p.mu.Unlock()
		select {
		case <-done:
			left--
		case <-timer.C:
			cancel() // who is not here by now is left behind
			for ; left > 0; left-- {
				<-done
			}
		}
	}
}

// failed marks a target dead. It needs the lock.
func (p *placer) failed(t *target, err error) {
	t.dead = true
	t.takes = false
	p.lost = append(p.lost, Blame{t.server.Key(), -1, err})
	p.cfg.Logger.Warn("server failed during an upload", "peer_id", t.server.Key().String(), "error", err)
}

// abandon gives up one share on a target that failed over it, and has the
// target drop it, in the background. Its other shares find out for themselves.
func (p *placer) abandon(ctx context.Context, t *target, share int, reason error) {
	p.mu.Lock()
	delete(t.open, share)
	t.takes = false
	p.lost = append(p.lost, Blame{t.server.Key(), share, reason})
	p.mu.Unlock()
	p.cfg.Logger.Warn("server failed during an upload", "peer_id", t.server.Key().String(), "share", share, "error", reason)
	p.wg.Go(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), abortTimeout)
		defer cancel()
		p.abortShare(ctx, t, share)
	})
}

func (p *placer) abortShare(ctx context.Context, t *target, share int) {
	if err := t.server.Abort(ctx, p.si, share); err != nil {
		p.cfg.Logger.Debug("upload not aborted", "peer_id", t.server.Key().String(), "share", share, "error", err)
	}
}

// replace finds another server for a share whose server failed, and opens the
// upload there. It returns nil if there is none, or a target that turned out
// to have the share already.
func (p *placer) replace(ctx context.Context, share int) *target {
	for ctx.Err() == nil {
		t := p.next(share)
		if t == nil {
			return nil
		}
		limited, cancel := context.WithTimeout(ctx, p.cfg.Timeout)
		err := p.open(limited, t, []int{share})
		cancel()
		p.mu.Lock()
		if err != nil && ctx.Err() == nil {
			p.failed(t, err)
		}
		if err != nil {
			delete(t.open, share) // it was reserved only
		}
		ok := t.have[share] || t.open[share]
		p.mu.Unlock()
		if ok {
			return t
		}
	}
	return nil
}

// next is the live target with the fewest shares that has not this one, the
// earlier in order the better. The share is reserved there, so that two writers
// that move at once go to different ones.
func (p *placer) next(share int) *target {
	p.mu.Lock()
	defer p.mu.Unlock()
	var best *target
	for i, t := range p.targets {
		if t.dead || !t.takes || t.have[share] || t.open[share] {
			continue
		}
		if best == nil || len(t.have)+len(t.open) < len(best.have)+len(best.open) {
			best = t
			p.active = max(p.active, i+1)
		}
	}
	if best != nil {
		best.open[share] = true
	}
	return best
}

// lease renews the lease where shares were found and nothing was allocated.
func (p *placer) lease(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, p.cfg.Timeout)
	defer cancel()
	var wg sync.WaitGroup
	for _, t := range p.targets {
		p.mu.Lock()
		wanted := len(t.have) > 0 && !t.leased && !t.dead
		p.mu.Unlock()
		if !wanted {
			continue
		}
		wg.Go(func() {
			if err := t.server.AddLease(ctx, p.si, t.renew, t.cancel); err != nil {
				p.cfg.Logger.Warn("lease not renewed", "peer_id", t.server.Key().String(), "error", err)
			}
		})
	}
	wg.Wait()
}

// abort drops every open upload.
func (p *placer) abort(ctx context.Context) {
	p.abortIf(ctx, func(int, int) bool { return true })
}

// abortIf drops the open uploads chosen by target and share, side by side and
// whatever became of ctx.
func (p *placer) abortIf(ctx context.Context, chosen func(target, share int) bool) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), abortTimeout)
	defer cancel()
	var wg sync.WaitGroup
	p.mu.Lock()
	for i, t := range p.targets {
		for share := range t.open {
			if !chosen(i, share) {
				continue
			}
			delete(t.open, share)
			wg.Go(func() { p.abortShare(ctx, t, share) })
		}
	}
	p.mu.Unlock()
	wg.Wait()
}
