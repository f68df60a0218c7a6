package chk

import (
	"sync"

	"trunkline/caps"
)

// lockedTree is a hash tree over a file's segments that several goroutines fill. Hashing blocks and segments, the
// bulk of the work, happens outside the lock.
type lockedTree struct {
	leaves int

	mu   sync.Mutex
	tree *caps.PartialTree
}

func newLockedTree(leaves int, root caps.Hash) *lockedTree {
	return &lockedTree{leaves: leaves, tree: caps.NewPartialTree(leaves, root)}
}

func (t *lockedTree) missing(leaf int) []int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.tree.Missing(leaf)
}

func (t *lockedTree) add(leaf int, h caps.Hash, nodes []caps.Node) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.tree.Add(leaf, h, nodes)
}

// learn adds nodes that bring a leaf of their own.
func (t *lockedTree) learn(nodes []caps.Node) error {
	first := caps.TreeWidth(t.leaves) - 1
	for _, n := range nodes {
		if leaf := n.Number - first; leaf >= 0 && leaf < t.leaves {
			return t.add(leaf, n.Hash, nodes)
		}
	}
	return caps.ErrChainLeaf
}

func (t *lockedTree) chain(leaf int) ([]caps.Node, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.tree.Chain(leaf)
}
