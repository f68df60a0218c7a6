package transfer

import (
	"context"
	"fmt"
	"math/bits"
	"sync"

	"trunkline/caps"
	"trunkline/grid/storage"
)

// How many leaves of a hash tree are held at a time: 128 KiB of hashes, and a
// quarter of that for files of many shares.
const (
	windowLeaves     = 4096
	windowLeavesMany = 1024
	manyShares       = 8
)

// remoteTree is a Merkle tree that lies in a share and of which only the root
// is trusted. It is read in windows of an aligned power of two of leaves. The
// leaves of a window are hashed up to the root of their subtree; that root is
// proven by its own chain, whose nodes carry the same numbers in the whole
// tree as in the tree that ends at that level.
//
// Source: tahoe-formats 4.4.
type remoteTree struct {
	offset uint64 // of node 0 in the share
	leaves int    // real ones, without padding
	width  int    // leaves with padding, a power of two
	span   int    // leaves in a window, a power of two, at most width
	root   caps.Hash
}

func newRemoteTree(offset uint64, leaves, k int, root caps.Hash) remoteTree {
	width := caps.TreeWidth(leaves)
	return remoteTree{offset: offset, leaves: leaves, width: width, span: min(windowSpan(k), width), root: root}
}

// windowSpan is the number of leaves in a window, for files of k shares.
func windowSpan(k int) int {
	if k > manyShares {
		return windowLeavesMany
	}
	return windowLeaves
}

// window is a proven stretch of a tree's leaves.
type window struct {
	first  int // leaf number of leaves[0]
	leaves []caps.Hash
	tree   caps.Tree   // the subtree over leaves
	above  []caps.Node // chain of the subtree's root, bottom up
}

// ranges says what to read for window w: the leaves first, then one node per
// level above them.
func (t remoteTree) ranges(w int) []storage.Range {
	first, count := w*t.span, t.span
	if t.span == t.width {
		count = t.leaves // padding leaves can be computed
	}
	ranges := []storage.Range{{Offset: t.node(t.width - 1 + first), Length: uint64(count) * 32}}
	for i := t.width/t.span - 1 + w; i != 0; i = (i - 1) / 2 {
		ranges = append(ranges, storage.Range{Offset: t.node(siblingNode(i)), Length: 32})
	}
	return ranges
}

func (t remoteTree) node(number int) uint64 { return t.offset + uint64(number)*32 }

// prove makes a window of what was read for ranges(w). Its error is
// ErrCorrupt.
func (t remoteTree) prove(w int, data [][]byte) (*window, error) {
	leaves := make([]caps.Hash, len(data[0])/32)
	for i := range leaves {
		copy(leaves[i][:], data[0][i*32:])
	}
	tree := caps.NewTree(leaves)
	win := &window{first: w * t.span, leaves: leaves, tree: tree}
	for i, level := t.width/t.span-1+w, 1; i != 0; i, level = (i-1)/2, level+1 {
		node := caps.Node{Number: siblingNode(i)}
		copy(node.Hash[:], data[level])
		win.above = append(win.above, node)
	}
	if err := caps.VerifyChain(t.root, t.width/t.span, w, tree.Root(), win.above); err != nil {
		return nil, fmt.Errorf("%w: hash tree does not lead to its root: %w", ErrCorrupt, err)
	}
	return win, nil
}

// chain is the whole chain of a leaf, with the numbers of the whole tree.
func (w *window) chain(t remoteTree, leaf int) []caps.Node {
	below := w.tree.Chain(leaf - w.first)
	chain := make([]caps.Node, 0, len(below)+len(w.above))
	index := w.first / t.span
	for _, n := range below {
		// A node at depth d below the subtree's root is at depth top+d in
		// the whole tree, and index<<d further to the right.
		d := bits.Len(uint(n.Number+1)) - 1
		left := n.Number - (1<<d - 1)
		n.Number = (t.width/t.span)<<d - 1 + index<<d + left
		chain = append(chain, n)
	}
	return append(chain, w.above...)
}

func siblingNode(i int) int {
	if i%2 == 1 {
		return i + 1
	}
	return i - 1
}

// windows caches the last windows of one tree. Safe for concurrent use;
// callers that need the same window at once wait for one read.
type windows struct {
	mu   sync.Mutex
	held [2]*windowLoad // most recently used first
}

type windowLoad struct {
	index int
	done  chan struct{}
	win   *window
	err   error
}

// peek returns window w if it is there already.
func (c *windows) peek(w int) *window {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, l := range c.held {
		if l != nil && l.index == w {
			select {
			case <-l.done:
				return l.win
			default:
				return nil
			}
		}
	}
	return nil
}

// put stores a window that was read along with something else.
func (c *windows) put(w int, win *window) {
	done := make(chan struct{})
	close(done)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.push(&windowLoad{index: w, done: done, win: win})
}

// push needs the lock.
func (c *windows) push(l *windowLoad) { c.held[1], c.held[0] = c.held[0], l }

// get returns window w, with load if it is not there. A failed load is not
// kept. load runs in the first caller's goroutine; the others wait for it and
// if it fails try for themselves.
func (c *windows) get(ctx context.Context, w int, load func() (*window, error)) (*window, error) {
	for {
		c.mu.Lock()
		var found *windowLoad
		for i, l := range c.held {
			if l != nil && l.index == w {
				found = l
				if i == 1 {
					c.held[0], c.held[1] = c.held[1], c.held[0]
				}
			}
		}
		if found == nil {
			mine := &windowLoad{index: w, done: make(chan struct{})}
			c.push(mine)
			c.mu.Unlock()
			mine.win, mine.err = load()
			if mine.err != nil {
				c.drop(mine)
			}
			close(mine.done)
			return mine.win, mine.err
		}
		c.mu.Unlock()
		select {
		case <-found.done:
			if found.err == nil {
				return found.win, nil
			}
			if ctx.Err() != nil {
				return nil, ctx.Err()
			}
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

func (c *windows) drop(l *windowLoad) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := range c.held {
		if c.held[i] == l {
			c.held[i] = nil
		}
	}
}
