package ssk

import (
	"fmt"
	"slices"
	"sync"

	"trunkline/caps"
)

// Share checks the entries of one share of a version. It knows the root of the share's block hash tree from the start
// and learns nodes of it as verified entries come in, so that later ones need fewer. Its memory grows with the nodes
// seen. Safe for concurrent use: entries are hashed side by side.
type Share struct {
	num   int
	h     Header
	root  caps.Hash
	chain []caps.Node

	mu   sync.Mutex
	tree *caps.PartialTree
}

// NewShare starts with a version whose signature was verified, a share's number, the root of its block hash tree
// (node 0 as the share has it) and its hash chain, siblings only, which must lead from that root to Header.Root.
// chain is copied.
//
// Errors: ErrGeometry, ErrNoSegment (no such share), ErrShareChain.
func NewShare(h Header, num int, root caps.Hash, chain []caps.Node) (*Share, error) {
	if err := h.Validate(); err != nil {
		return nil, err
	}
	if num < 0 || num >= h.N {
		return nil, fmt.Errorf("%w: share %d of %d", ErrNoSegment, num, h.N)
	}
	if err := caps.VerifyChain(h.Root, h.N, num, root, chain); err != nil {
		return nil, fmt.Errorf("%w: share %d: %w", ErrShareChain, num, err)
	}
	return &Share{
		num: num, h: h, root: root, chain: slices.Clone(chain),
		tree: caps.NewPartialTree(h.Segments(), root),
	}, nil
}

// Num is the share's number.
func (s *Share) Num() int { return s.num }

// Root is the root of the share's block hash tree.
func (s *Share) Root() caps.Hash { return s.root }

// Missing lists the nodes of the block hash tree that Check still needs for segment seg, to be read at
// Head.BlockTreeNode. It is empty if seg's leaf is known already. The caller owns the result.
func (s *Share) Missing(seg int) []int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.tree.Missing(seg)
}

// Learn accepts nodes of the block hash tree ahead of the entries: a whole tree, or any part of it that includes a
// leaf and can be tied to the root. They are kept if all of them verify, and none of them otherwise.
//
// Errors: ErrBlock.
func (s *Share) Learn(nodes []caps.Node) error {
	first := caps.TreeWidth(s.h.Segments()) - 1
	for _, n := range nodes {
		if leaf := n.Number - first; leaf >= 0 && leaf < s.h.Segments() {
			return s.add(leaf, n.Hash, nodes)
		}
	}
	return fmt.Errorf("%w: hash tree of share %d: %w", ErrBlock, s.num, caps.ErrChainLeaf)
}

// Check accepts the share's entry of segment seg if it is the one that was signed. nodes are from the share's block
// hash tree: those of Missing(seg) at least, up to the whole tree, all from the same source as the entry. They are
// kept if they verify together with the entry, and none of them otherwise.
//
// Errors: ErrNoSegment, ErrBlock.
func (s *Share) Check(seg int, entry []byte, nodes []caps.Node) error {
	if seg < 0 || seg >= s.h.Segments() {
		return fmt.Errorf("%w: segment %d of %d", ErrNoSegment, seg, s.h.Segments())
	}
	if len(entry) != s.h.EntryLen(seg) {
		return fmt.Errorf("%w: %d bytes of segment %d, not %d", ErrBlock, len(entry), seg, s.h.EntryLen(seg))
	}
	return s.add(seg, caps.BlockHash(entry), nodes)
}

func (s *Share) add(seg int, h caps.Hash, nodes []caps.Node) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.tree.Add(seg, h, nodes); err != nil {
		return fmt.Errorf("%w: segment %d of share %d: %w", ErrBlock, seg, s.num, err)
	}
	return nil
}

// Leaves are the hashes of all entries, for EncoderConfig.Old. ok is false while some are not known; Learn of the
// whole tree makes them so. The caller owns the result.
func (s *Share) Leaves() (leaves []caps.Hash, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	leaves = make([]caps.Hash, s.h.Segments())
	for i := range leaves {
		if leaves[i], ok = s.tree.Leaf(i); !ok {
			return nil, false
		}
	}
	return leaves, true
}

// proof is the chain of a verified leaf.
func (s *Share) proof(seg int) ([]caps.Node, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.tree.Chain(seg)
}
