package caps

import (
	"crypto/sha256"
	"math/bits"
	"strconv"
)

// MaxLeaves bounds the leaves of a hash tree: far above any file, far below where node
// numbers overflow.
const MaxLeaves = 1 << 30

// Node is one numbered node of a hash tree: the root is 0, the children of i are 2i+1 and
// 2i+2, and leaf j of a tree of width W is W-1+j.
type Node struct {
	Number int
	Hash   Hash
}

// Tree is a whole hash tree: all 2W-1 nodes in number order, where W is the number of
// leaves rounded up to a power of two.
//
// Source: tahoe-formats 4.4.
type Tree []Hash

// TreeWidth is the number of leaves rounded up to a power of two, at least 1. It is 0 if
// leaves is negative or above MaxLeaves.
func TreeWidth(leaves int) int {
	switch {
	case leaves < 0 || leaves > MaxLeaves:
		return 0
	case leaves < 2:
		return 1
	}
	return 1 << bits.Len(uint(leaves-1))
}

// TreeNodes is the number of nodes of a tree over so many leaves, 2W-1. It is 0 if leaves
// is negative or above MaxLeaves.
func TreeNodes(leaves int) int {
	w := TreeWidth(leaves)
	if w == 0 {
		return 0
	}
	return 2*w - 1
}

// NewTree builds the tree over leaves, padding them as Tahoe does. No leaves at all give
// the one-node tree of an empty mutable file. The leaves are copied.
func NewTree(leaves []Hash) Tree {
	w := TreeWidth(len(leaves))
	t := make(Tree, 2*w-1)
	copy(t[w-1:], leaves)
	for i := len(leaves); i < w; i++ {
		t[w-1+i] = treePad(i)
	}
	for i := w - 2; i >= 0; i-- {
		t[i] = treeNode(&t[2*i+1], &t[2*i+2])
	}
	return t
}

// Root is node 0. The tree must come from NewTree.
func (t Tree) Root() Hash { return t[0] }

// Chain is the proof of one leaf: the siblings on the way up, from the leaf's own to the
// root's child, log2(W) of them. leaf must be a leaf of the tree. The caller owns the
// result.
func (t Tree) Chain(leaf int) []Node {
	w := (len(t) + 1) / 2
	chain := make([]Node, 0, bits.Len(uint(w-1)))
	for i := w - 1 + leaf; i > 0; i = parent(i) {
		s := sibling(i)
		chain = append(chain, Node{s, t[s]})
	}
	return chain
}

// VerifyChain checks that h is leaf number leaf, counted from 0, of the tree over so many
// leaves with this root.
//
// chain holds the siblings on the way up in any order. It may also hold nodes of the way
// itself, which are then checked as well (a CHK share's chain includes its own leaf). It
// does not allocate.
//
// Errors, all ErrChain: ErrChainLeaf (no such leaf), ErrChainNodeNumber, ErrChainShort
// (a sibling is missing; an empty chain proves only the leaf of a one-leaf tree),
// ErrChainExtra (a node off the way, or one given twice), ErrChainMismatch.
func VerifyChain(root Hash, leaves, leaf int, h Hash, chain []Node) error {
	w := TreeWidth(leaves)
	if leaf < 0 || leaf >= leaves || w == 0 {
		return ErrChainLeaf
	}
	for _, n := range chain {
		if n.Number < 0 || n.Number >= 2*w-1 {
			return ErrChainNodeNumber
		}
	}
	used := 0
	i := w - 1 + leaf
	for {
		if own, n := findNode(chain, i); n > 0 {
			if n > 1 {
				return ErrChainExtra
			}
			if own != h {
				return ErrChainMismatch
			}
			used++
		}
		if i == 0 {
			break
		}
		other, n := findNode(chain, sibling(i))
		switch {
		case n == 0:
			return ErrChainShort
		case n > 1:
			return ErrChainExtra
		}
		used++
		h = parentHash(i, &h, &other)
		i = parent(i)
	}
	if h != root {
		return ErrChainMismatch
	}
	if used != len(chain) {
		return ErrChainExtra
	}
	return nil
}

// findNode is the node of that number in the chain, and how often the number occurs.
// Chains are at most 2*log2(W) long, so that scanning beats an index.
func findNode(chain []Node, number int) (h Hash, count int) {
	for i := range chain {
		if chain[i].Number == number {
			h = chain[i].Hash
			count++
		}
	}
	return h, count
}

func parent(i int) int { return (i - 1) / 2 }

// sibling of a node that is not the root: left children are odd, right ones even.
func sibling(i int) int {
	if i%2 == 1 {
		return i + 1
	}
	return i - 1
}

// parentHash is the hash above node i, whose hash is h and whose sibling's is other.
func parentHash(i int, h, other *Hash) Hash {
	if i%2 == 1 {
		return treeNode(h, other)
	}
	return treeNode(other, h)
}

// treeNode is tree_node of tahoe-formats 2, laid out by hand: the message is 101 bytes of
// fixed shape, built on the stack.
func treeNode(left, right *Hash) Hash {
	const lead = tagTreeNode + "32:"
	var msg [len(lead) + 32 + len(",32:") + 32 + len(",")]byte
	copy(msg[:], lead)
	copy(msg[len(lead):], left[:])
	copy(msg[len(lead)+32:], ",32:")
	copy(msg[len(lead)+36:], right[:])
	msg[len(msg)-1] = ','
	inner := sha256.Sum256(msg[:])
	return sha256.Sum256(inner[:])
}

// treePad is the hash of the padding leaf with index i.
func treePad(i int) Hash {
	var buf [64]byte
	msg := append(buf[:0], tagTreePad...)
	msg = strconv.AppendInt(msg, int64(i), 10)
	inner := sha256.Sum256(msg)
	return sha256.Sum256(inner[:])
}
