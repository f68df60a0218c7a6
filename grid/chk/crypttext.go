package chk

import (
	"fmt"

	"trunkline/caps"
)

// CrypttextTree checks the ciphertext of a file's segments, whoever it came from, against the root in the UEB. This
// is all that is needed to check what a contact point sends. It learns nodes as a Share does, and is safe for
// concurrent use.
type CrypttextTree struct {
	g    Geometry
	tree *lockedTree
}

// NewCrypttextTree starts with the root alone.
func NewCrypttextTree(u *UEB) *CrypttextTree {
	return &CrypttextTree{g: u.Geometry, tree: newLockedTree(u.Geometry.Segments, u.CrypttextRoot)}
}

// Missing lists the nodes that Check still needs for segment seg. Every share has a copy, at
// Layout.CrypttextTreeNode. It is empty if seg's leaf is known already.
func (t *CrypttextTree) Missing(seg int) []int { return t.tree.missing(seg) }

// Learn accepts nodes of the tree ahead of the segments: a whole tree, or any part of it that includes a leaf and can
// be tied to the root. They are kept if all of them verify, and none of them otherwise. When a share's copy is learned
// first, a segment that fails Check is not that share's fault.
//
// Errors: ErrCrypttextTree.
func (t *CrypttextTree) Learn(nodes []caps.Node) error {
	if err := t.tree.learn(nodes); err != nil {
		return fmt.Errorf("%w: %w", ErrCrypttextTree, err)
	}
	return nil
}

// Check accepts the ciphertext of segment seg, without padding, if it is the file's. nodes are those of Missing(seg)
// at least, up to the whole tree. They are kept if they verify together with the segment, and none of them otherwise.
//
// Errors: ErrNoSegment, ErrSegment.
func (t *CrypttextTree) Check(seg int, crypttext []byte, nodes []caps.Node) error {
	if seg < 0 || seg >= t.g.Segments {
		return fmt.Errorf("%w: segment %d of %d", ErrNoSegment, seg, t.g.Segments)
	}
	if len(crypttext) != t.g.SegmentLen(seg) {
		return fmt.Errorf("%w: segment %d has %d bytes, not %d", ErrSegment, seg, len(crypttext), t.g.SegmentLen(seg))
	}
	if err := t.tree.add(seg, caps.CrypttextSegmentHash(crypttext), nodes); err != nil {
		return fmt.Errorf("%w: segment %d: %w", ErrSegment, seg, err)
	}
	return nil
}

// Chain is the proof that a segment which passed Check belongs to the file: what the next one down the line needs for
// its own Check. The caller owns it.
//
// Errors: one of caps.ErrChain if the segment has not passed.
func (t *CrypttextTree) Chain(seg int) ([]caps.Node, error) { return t.tree.chain(seg) }
