package chk

import (
	"encoding/binary"
	"fmt"

	"trunkline/caps"
)

// Share checks the blocks of one share. It knows the share's root from the start and learns nodes of the block hash
// tree as verified blocks come in, so that later blocks need fewer of them. Its memory grows with the nodes seen.
// Safe for concurrent use: blocks are hashed side by side.
type Share struct {
	num  int
	g    Geometry
	tree *lockedTree
}

// NewShare starts with a share's number and its hash chain, as the share has it from Layout.ShareChain on (see
// Layout.SplitTail): entries of a big-endian 16-bit node number and 32 bytes of hash, in any order, the share's own
// leaf among them and nothing off the way to the root.
//
// Errors: ErrNoSegment (no such share), ErrShareChain.
func NewShare(u *UEB, num int, chain []byte) (*Share, error) {
	g := u.Geometry
	if num < 0 || num >= g.N {
		return nil, fmt.Errorf("%w: share %d of %d", ErrNoSegment, num, g.N)
	}
	nodes, err := parseChain(chain)
	if err != nil {
		return nil, err
	}
	own := caps.TreeWidth(g.N) - 1 + num
	for _, n := range nodes {
		if n.Number != own {
			continue
		}
		if err := caps.VerifyChain(u.ShareRoot, g.N, num, n.Hash, nodes); err != nil {
			return nil, fmt.Errorf("%w: %w", ErrShareChain, err)
		}
		return &Share{num: num, g: g, tree: newLockedTree(g.Segments, n.Hash)}, nil
	}
	return nil, fmt.Errorf("%w: share %d's own root is not in it", ErrShareChain, num)
}

// parseChain reads a share hash chain without judging it.
func parseChain(raw []byte) ([]caps.Node, error) {
	if len(raw)%chainEntry != 0 || len(raw) > MaxChain {
		return nil, fmt.Errorf("%w: %d bytes", ErrShareChain, len(raw))
	}
	nodes := make([]caps.Node, 0, len(raw)/chainEntry)
	for ; len(raw) > 0; raw = raw[chainEntry:] {
		nodes = append(nodes, caps.Node{
			Number: int(binary.BigEndian.Uint16(raw)),
			Hash:   caps.Hash(raw[2:chainEntry]),
		})
	}
	return nodes, nil
}

// Num is the share's number.
func (s *Share) Num() int { return s.num }

// Missing lists the nodes of the share's block hash tree that CheckBlock still needs for segment seg, to be read at
// Layout.BlockTreeNode. It is empty if seg's leaf is known already.
func (s *Share) Missing(seg int) []int { return s.tree.missing(seg) }

// Learn accepts nodes of the share's block hash tree ahead of the blocks: a whole tree, or any part of it that
// includes a leaf and can be tied to the root. They are kept if all of them verify, and none of them otherwise.
//
// Errors: ErrBlock.
func (s *Share) Learn(nodes []caps.Node) error {
	if err := s.tree.learn(nodes); err != nil {
		return fmt.Errorf("%w: hash tree of share %d: %w", ErrBlock, s.num, err)
	}
	return nil
}

// CheckBlock accepts the share's block of segment seg if it is the one the UEB vouches for. nodes are from the
// share's block hash tree: those of Missing(seg) at least, up to the whole tree, all from the same source as the
// block. They are kept if they verify together with the block, and none of them otherwise.
//
// Errors: ErrNoSegment, ErrBlock.
func (s *Share) CheckBlock(seg int, block []byte, nodes []caps.Node) error {
	if seg < 0 || seg >= s.g.Segments {
		return fmt.Errorf("%w: segment %d of %d", ErrNoSegment, seg, s.g.Segments)
	}
	if len(block) != s.g.BlockLen(seg) {
		return fmt.Errorf("%w: %d bytes of segment %d, not %d", ErrBlock, len(block), seg, s.g.BlockLen(seg))
	}
	if err := s.tree.add(seg, caps.BlockHash(block), nodes); err != nil {
		return fmt.Errorf("%w: segment %d of share %d: %w", ErrBlock, seg, s.num, err)
	}
	return nil
}
