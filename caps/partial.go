package caps

import (
	"cmp"
	"slices"
)

// PartialTree is a hash tree of which only the root is known at first, filled with nodes
// from sources nobody trusts.
//
// It holds a node only once that node is tied to the root, and it is closed: with a node
// it holds the node's sibling and everything above. Memory grows with the nodes held, not
// with the number of leaves, which may come from a stranger. One goroutine at a time.
//
// Source: tahoe-formats 4.4.
type PartialTree struct {
	leaves int
	width  int // 0 if leaves is out of range: then there is no leaf to add
	known  map[int]Hash

	// Scratch of Add, kept so that a long download allocates once.
	given, derived, fresh []Node
}

// NewPartialTree is the tree over so many leaves whose root is known to be root. If leaves
// is negative or above MaxLeaves the tree has no leaves at all.
func NewPartialTree(leaves int, root Hash) *PartialTree {
	return &PartialTree{leaves: leaves, width: TreeWidth(leaves), known: map[int]Hash{0: root}}
}

// Root is the root that the tree was made with.
func (p *PartialTree) Root() Hash { return p.known[0] }

// Leaf is the hash of leaf i, if it has been verified.
func (p *PartialTree) Leaf(i int) (Hash, bool) {
	if !p.has(i) {
		return Hash{}, false
	}
	h, ok := p.known[p.width-1+i]
	return h, ok
}

// Missing lists the nodes that Add still needs besides the hash of that leaf, from the
// leaf's sibling upwards. It is empty if the leaf is verified, or if there is no such leaf.
// The caller owns the result.
func (p *PartialTree) Missing(leaf int) []int {
	if !p.has(leaf) {
		return nil
	}
	var numbers []int
	for i := p.width - 1 + leaf; ; i = parent(i) {
		if _, ok := p.known[i]; ok {
			return numbers
		}
		// Closed: an unknown node's sibling is unknown too.
		numbers = append(numbers, sibling(i))
	}
}

// Chain is the proof of a verified leaf, as Tree.Chain gives it. The caller owns the
// result.
//
// Errors: ErrChainLeaf (no such leaf), ErrChainShort (not verified yet).
func (p *PartialTree) Chain(leaf int) ([]Node, error) {
	if !p.has(leaf) {
		return nil, ErrChainLeaf
	}
	var chain []Node
	i := p.width - 1 + leaf
	if _, ok := p.known[i]; !ok {
		return nil, ErrChainShort
	}
	for ; i > 0; i = parent(i) {
		s := sibling(i)
		chain = append(chain, Node{s, p.known[s]})
	}
	return chain, nil
}

// Add takes h as the hash of that leaf, with nodes from the same source, in any order.
//
// Either every node of the batch is tied to the root and all are kept, or none is.
// Nodes already held may be given again, as may the leaf itself. nodes is not kept.
//
// Errors, all ErrChain: ErrChainLeaf, ErrChainNodeNumber, ErrChainShort (a node of the
// batch lacks its sibling), ErrChainExtra (one number with two hashes), ErrChainMismatch
// (the batch contradicts a verified node or leads to another root).
func (p *PartialTree) Add(leaf int, h Hash, nodes []Node) error {
	if !p.has(leaf) {
		return ErrChainLeaf
	}
	for _, n := range nodes {
		if n.Number < 0 || n.Number >= 2*p.width-1 {
			return ErrChainNodeNumber
		}
	}
	p.given = append(append(p.given[:0], Node{p.width - 1 + leaf, h}), nodes...)
	slices.SortFunc(p.given, func(a, b Node) int { return cmp.Compare(b.Number, a.Number) })
	if err := p.tie(); err != nil {
		return err
	}
	for _, n := range p.fresh {
		p.known[n.Number] = n.Hash
	}
	return nil
}

// tie walks the batch from the highest number down, that is from the leaves up, and
// leaves in p.fresh the nodes to keep. Parents come out in descending order when children
// go in so: given and derived are two sorted queues, and no index is needed.
func (p *PartialTree) tie() error {
	p.derived, p.fresh = p.derived[:0], p.fresh[:0]
	g, d := 0, 0
	for {
		n, ok, err := p.next(&g, &d)
		if err != nil || !ok {
			return err
		}
		if held, ok := p.known[n.Number]; ok {
			if held != n.Hash {
				return ErrChainMismatch
			}
			continue
		}
		// The root is known, so n has a sibling. It is unknown too, since the tree is
		// closed, and must follow in the batch: the right child, which is even, first.
		if n.Number%2 == 1 {
			return ErrChainShort
		}
		left, ok, err := p.next(&g, &d)
		if err != nil {
			return err
		}
		if !ok || left.Number != n.Number-1 {
			return ErrChainShort
		}
		p.fresh = append(p.fresh, n, left)
		p.derived = append(p.derived, Node{parent(n.Number), treeNode(&left.Hash, &n.Hash)})
	}
}

// next takes the highest number off both queues, checking that all who name it agree.
func (p *PartialTree) next(g, d *int) (n Node, ok bool, err error) {
	if *d < len(p.derived) {
		n, ok = p.derived[*d], true
	}
	if *g < len(p.given) && (!ok || p.given[*g].Number > n.Number) {
		n, ok = p.given[*g], true
	}
	if !ok {
		return n, false, nil
	}
	if *d < len(p.derived) && p.derived[*d].Number == n.Number {
		*d++
		for ; *g < len(p.given) && p.given[*g].Number == n.Number; *g++ {
			if p.given[*g].Hash != n.Hash {
				return n, false, ErrChainMismatch
			}
		}
		return n, true, nil
	}
	for ; *g < len(p.given) && p.given[*g].Number == n.Number; *g++ {
		if p.given[*g].Hash != n.Hash {
			return n, false, ErrChainExtra
		}
	}
	return n, true, nil
}

func (p *PartialTree) has(leaf int) bool {
	return p.width > 0 && leaf >= 0 && leaf < p.leaves
}
