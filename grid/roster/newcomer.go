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
// reports whether there is another one than when it was called.
func (n *Newcomers) Look(ctx context.Context) bool {
	before := n.holder.state.Load().number
	n.mu.Lock()
	defer n.mu.Unlock()
	now := n.holder.cfg.Now()
	if since := now.Sub(n.last); since < 0 || since >= newcomerPause {
		n.last = now
		_ = n.holder.Refresh(ctx) // what it finds is what counts; Run reports failures
	}
	return n.holder.state.Load().number != before
}
