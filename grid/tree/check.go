package tree

import (
	"context"
	"sync"

	"trunkline/caps"
	"trunkline/grid/transfer"
)

// CheckOptions says how to check.
type CheckOptions struct {
	Verify   bool // read every share
	Repair   bool // and repair what is not healthy
	AddLease bool // and renew leases
}

// Checked is what a check of one node found.
type Checked struct {
	// Literal says that there was nothing to check: the node is in its cap, or unknown.
	Literal bool
	// Before is what was found; After what was there after a repair, else equal to Before.
	Before, After transfer.Health
	// Attempted says that a repair was tried; RepairErr why it failed, if it did.
	Attempted bool
	RepairErr error
}

// Check checks one node of the home grid.
//
// Errors: ErrForeign; those of Files.
func (t *Tree) Check(ctx context.Context, n Node, o CheckOptions) (Checked, error) {
	c := n.Cap()
	if _, ok := c.VerifyCap(); !ok {
		return Checked{Literal: true}, nil
	}
	if !t.athome(c) {
		return Checked{}, ErrForeign
	}
	_, mutable := c.MutableVerify()
	if !o.Repair || mutable && !c.Kind().CanWrite() {
		h, err := t.c.Files.Check(ctx, c, o.Verify, o.AddLease)
		r := Checked{Before: h, After: h}
		if err == nil && o.Repair && !h.Healthy() {
			r.Attempted, r.RepairErr = true, ErrReadOnly
		}
		return r, err
	}
	before, after, err := t.c.Files.Repair(ctx, c, o.Verify, o.AddLease)
	if err != nil && before.Cap.IsZero() {
		return Checked{}, err
	}
	return Checked{Before: before, After: after, Attempted: !before.Healthy(), RepairErr: err}, nil
}

// DeepCheck walks and checks every node it comes to, several at a time. checked is called with each, in the order of the
// walk; its error ends the walk. err is that of Check. The walker's functions may be a little ahead of checked, but
// Unreadable is called when checked was with all nodes before. All calls come from one goroutine.
func (t *Tree) DeepCheck(ctx context.Context, root caps.Cap, o CheckOptions, checked func(v Visit, c Checked, err error) error, w Walker) error {
	ctx, cancel := context.WithCancel(ctx)
	var running sync.WaitGroup
	defer running.Wait()
	defer cancel()

	var queue []*check
	// deliver tells of the oldest checks until so few are left.
	deliver := func(left int) error {
		for len(queue) > left {
			c := queue[0]
			queue = queue[1:]
			<-c.done
			if err := ctx.Err(); err != nil {
				return err
			}
			if err := checked(c.visit, c.result, c.err); err != nil {
				return err
			}
		}
		return nil
	}
	deep := w
	deep.Node = func(v Visit) error {
		if err := deliver(t.c.Ahead - 1); err != nil {
			return err
		}
		c := &check{visit: v, done: make(chan struct{})}
		queue = append(queue, c)
		running.Go(func() {
			defer close(c.done)
			c.result, c.err = t.Check(ctx, v.Node, o)
		})
		if w.Node != nil {
			return w.Node(v)
		}
		return nil
	}
	if w.Unreadable != nil {
		deep.Unreadable = func(v Visit, err error) error {
			if err := deliver(0); err != nil {
				return err
			}
			return w.Unreadable(v, err)
		}
	}
	if err := t.Walk(ctx, root, deep); err != nil {
		// What was found before is told nevertheless.
		if ctx.Err() == nil {
			if err := deliver(0); err != nil {
				return err
			}
		}
		return err
	}
	return deliver(0)
}

// check is a check that is under way.
type check struct {
	visit  Visit
	done   chan struct{}
	result Checked // once done
	err    error
}
