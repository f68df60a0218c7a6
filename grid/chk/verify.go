package chk

import (
	"errors"
	"fmt"
	"io"
	"math"

	"trunkline/caps"
)

// verifyBuffer is how much VerifyShare reads at once, in bytes, unless a block is larger.
const verifyBuffer = 256 << 10

// VerifyShare checks all of a share that anything rests on, reading it once from beginning to end: header, UEB, share
// hash chain, every block, the whole block hash tree and the whole crypttext hash tree. It needs no other share, so
// it cannot see whether the blocks decode to the ciphertext that the crypttext tree speaks of; a reader can.
//
// r is the share without its container, size its length in bytes, num its number. Memory is a buffer, a block, and 96
// bytes for each segment.
//
// Not looked at, because no reader does: the two sizes in the header, the place and content of the unused plaintext
// tree, and what may follow the UEB.
//
// Errors: one of the family ErrCorrupt, ErrNoSegment (no such share), or what r returned.
func VerifyShare(r io.ReaderAt, size uint64, v caps.CHKVerify, num int) error {
	if size > math.MaxInt64 {
		return fmt.Errorf("%w: %d bytes long", ErrLayout, size)
	}
	head, err := readAt(r, 0, min(size, HeaderMax))
	if err != nil {
		return err
	}
	l, err := ParseLayout(head, size)
	if err != nil {
		return err
	}
	tail, err := readAt(r, l.ShareChain, min(size-l.ShareChain, TailMax))
	if err != nil {
		return err
	}
	chain, raw, err := l.SplitTail(tail)
	if err != nil {
		return err
	}
	u, err := ParseUEB(raw, v)
	if err != nil {
		return err
	}
	g := u.Geometry
	if err := l.Fit(g); err != nil {
		return err
	}
	share, err := NewShare(u, num, chain)
	if err != nil {
		return err
	}

	leaves := make([]caps.Hash, 0, g.Segments)
	blocks := io.NewSectionReader(r, int64(l.Data), int64(g.DataSize))
	buf := make([]byte, min(g.DataSize, max(verifyBuffer/g.BlockSize, 1)*g.BlockSize))
	for len(leaves) < g.Segments {
		n, err := io.ReadFull(blocks, buf)
		if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) { // the last time is shorter
			return fmt.Errorf("reading block %d: %w", len(leaves), err)
		}
		for part := buf[:n]; len(part) > 0; {
			size := g.BlockLen(len(leaves))
			if size == 0 || size > len(part) {
				return fmt.Errorf("reading block %d: %w", len(leaves), io.ErrUnexpectedEOF)
			}
			leaves = append(leaves, caps.BlockHash(part[:size]))
			part = part[size:]
		}
	}
	if err := sameTree(r, l.BlockTree, leaves, share.tree.tree.Root(), ErrBlock); err != nil {
		return err
	}
	// The other tree brings its own leaves.
	stored, err := readAt(r, l.CrypttextTreeNode(caps.TreeWidth(g.Segments)-1), 32*uint64(g.Segments))
	if err != nil {
		return err
	}
	for i, n := range Nodes(0, stored) {
		leaves[i] = n.Hash
	}
	return sameTree(r, l.CrypttextTree, leaves, u.CrypttextRoot, ErrCrypttextTree)
}

// sameTree compares a whole tree in a share with the one built over leaves, whose root must be root.
func sameTree(r io.ReaderAt, offset uint64, leaves []caps.Hash, root caps.Hash, kind error) error {
	tree := caps.NewTree(leaves)
	if tree.Root() != root {
		return fmt.Errorf("%w: it has another root", kind)
	}
	section := io.NewSectionReader(r, int64(offset), int64(len(tree))*32)
	buf := make([]byte, min(verifyBuffer, 32*len(tree)))
	for i := 0; i < len(tree); {
		n, err := io.ReadFull(section, buf[:min(len(buf), 32*(len(tree)-i))])
		if err != nil {
			return fmt.Errorf("reading a hash tree: %w", err)
		}
		for _, node := range Nodes(i, buf[:n]) {
			if tree[node.Number] != node.Hash {
				return fmt.Errorf("%w: node %d differs", kind, node.Number)
			}
		}
		i += n / 32
	}
	return nil
}

// readAt reads a part of a share whose bounds are known to lie within it.
func readAt(r io.ReaderAt, offset, length uint64) ([]byte, error) {
	buf := make([]byte, length)
	if n, err := r.ReadAt(buf, int64(offset)); n < len(buf) {
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		return nil, fmt.Errorf("reading the share at byte %d: %w", offset, err)
	}
	return buf, nil
}
