package treetest

import (
	"context"
	"maps"

	"trunkline/caps"
	"trunkline/grid/transfer"
)

// Every file is 3-of-10 on ten servers, one share on each.
const (
	needed = 3
	shares = 10
)

// Lose takes shares of a file away.
func (w *World) Lose(c caps.Cap, nums ...int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	si, _ := c.StorageIndex()
	for _, grid := range w.grids {
		if o := grid[si]; o != nil {
			for _, n := range nums {
				o.lost[n] = true
			}
		}
	}
}

// Server is the key of the server that holds the shares of that number.
func Server(share int) caps.PublicKey { return Area(byte(100 + share)).Key() }

// Check is one of the methods of tree.Files.
func (m *Memory) Check(ctx context.Context, c caps.Cap, _, addLease bool) (transfer.Health, error) {
	if addLease {
		if err := m.begin(ctx, "lease", c); err != nil {
			return transfer.Health{}, err
		}
	}
	if err := m.begin(ctx, "Check", c); err != nil {
		return transfer.Health{}, err
	}
	m.world.mu.Lock()
	defer m.world.mu.Unlock()
	return m.health(c)
}

func (m *Memory) health(c caps.Cap) (transfer.Health, error) {
	verify, ok := c.VerifyCap()
	if !ok {
		return transfer.Health{}, ErrNotReadable
	}
	if !m.athome(c) {
		return transfer.Health{}, ErrFar
	}
	h := transfer.Health{Cap: verify.Local(), Needed: needed, Expected: shares, Good: map[int][]caps.PublicKey{}}
	si, _ := c.StorageIndex()
	o := m.world.grids[m.home][si]
	for n := range shares {
		h.Responded = append(h.Responded, Server(n))
		if o != nil && !o.lost[n] {
			h.Good[n] = []caps.PublicKey{Server(n)}
		}
	}
	h.Happiness = len(h.Good)
	if _, mutable := c.MutableVerify(); mutable && o != nil {
		h.Versions = []transfer.VersionHealth{{Seq: o.version, Root: caps.CrypttextHash(o.contents), Needed: needed, Shares: maps.Clone(h.Good)}}
	}
	return h, nil
}

// Repair is one of the methods of tree.Files.
func (m *Memory) Repair(ctx context.Context, c caps.Cap, verify, addLease bool) (before, after transfer.Health, err error) {
	before, err = m.Check(ctx, c, verify, addLease)
	if err != nil || before.Healthy() {
		return before, before, err
	}
	if err := m.begin(ctx, "Repair", c); err != nil {
		return before, before, err
	}
	if _, mutable := c.MutableVerify(); mutable && !c.Kind().CanWrite() {
		return before, before, ErrReadOnly
	}
	m.world.mu.Lock()
	defer m.world.mu.Unlock()
	o, err := m.find(c.Local())
	if err != nil {
		return before, before, err
	}
	clear(o.lost)
	after, err = m.health(c)
	return before, after, err
}
