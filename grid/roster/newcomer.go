package roster

import (
	"context"
	"errors"
	"sync"
	"time"

	"trunkline/caps"
)

// newcomerPause is the least time between two looks for a newer roster that
// others cause, so that strangers cannot make a member pester its manager.
const newcomerPause = time.Second

// Newcomers looks for a newer roster where the one at hand would make a service
// fail: a member may have joined a moment ago. Safe for concurrent use.
type Newcomers struct {
	holder *Holder
	mu     sync.Mutex // held while one looks; the others wait for the same answer
	last   time.Time
}

// NewNewcomers looks through h.
func NewNewcomers(h *Holder) *Newcomers { return &Newcomers{holder: h} }

// Allow is [Holder.Allow], but before it refuses a key that is not on the roster,
// or not in that role, it looks once for a newer one.
func (n *Newcomers) Allow(ctx context.Context, key caps.PublicKey, anyOf Role) error {
	err := n.holder.Allow(key, anyOf)
	if err == nil || !errors.Is(err, ErrNotMember) && !errors.Is(err, ErrRole) {
		return err
	}
	n.Look(ctx)
	return n.holder.Allow(key, anyOf)
}

// Look asks for a newer roster, at most once a second over all callers, and
// reports whether there is another one than when it was called. Who calls too
// soon after another waits for the second to pass: a member that joined just
// after somebody else was looked for is a member all the same.
func (n *Newcomers) Look(ctx context.Context) bool {
	before, called := n.holder.state.Load().number, n.holder.cfg.Now()
	n.mu.Lock()
	defer n.mu.Unlock()
	// A look that began after this call answers it too.
	if !n.last.After(called) && n.pause(ctx) {
		n.last = n.holder.cfg.Now()
		_ = n.holder.Refresh(ctx) // what it finds is what counts; Run reports failures
	}
	return n.holder.state.Load().number != before
}

// pause waits until the next look is due, and says whether ctx lasted so long.
func (n *Newcomers) pause(ctx context.Context) bool {
	left := newcomerPause - n.holder.cfg.Now().Sub(n.last)
	if left <= 0 || left > newcomerPause {
		return true
	}
	t := time.NewTimer(left)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
