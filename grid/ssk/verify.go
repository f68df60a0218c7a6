package ssk

import (
	"errors"
	"fmt"
	"io"

	"trunkline/caps"
)

// FirstRead is how much of a share to ask for at first, in bytes: it holds the front of every share that Tahoe writes,
// and all of a small one.
const FirstRead = 4096

// verifyBuffer is how much VerifyShare reads at once, in bytes, unless an entry is larger.
const verifyBuffer = 256 << 10

// VerifyShare checks all of a share that a verify cap speaks of, reading it once from beginning to end: head, public
// key, signature, share hash chain, every entry, the whole block hash tree.
//
// r is the share without its container, size what its container says is there in bytes, num its number. Memory is a
// buffer, an entry, and 96 bytes for each segment.
//
// Not looked at, because nothing without the write key can judge it: the private key. Nor are the gap that MDMF shares
// have before their data, and what may follow the share.
//
// Errors: one of the family ErrCorrupt, ErrNoSegment (no such share), or what r returned.
//
// Source: tahoe-formats 6.9.
func VerifyShare(r io.ReaderAt, size uint64, v caps.MutableVerify, num int) (Head, error) {
	start, err := readAt(r, Section{0, min(size, HeadMax)})
	if err != nil {
		return Head{}, err
	}
	h, err := ParseHead(start)
	if err != nil {
		return Head{}, err
	}
	if h.Size() > size {
		return Head{}, fmt.Errorf("%w: %d bytes of %d are there", ErrLayout, size, h.Size())
	}
	share, err := openShare(r, h, v, num)
	if err != nil {
		return Head{}, err
	}
	leaves, err := hashEntries(r, h)
	if err != nil {
		return Head{}, err
	}
	return h, sameTree(r, h, caps.NewTree(leaves), share.Root())
}

// openShare checks what comes before the entries.
func openShare(r io.ReaderAt, h Head, v caps.MutableVerify, num int) (*Share, error) {
	parts := make([][]byte, 4)
	for i, s := range []Section{h.publicKey, h.signature, h.shareChain, h.BlockTreeNode(0)} {
		var err error
		if parts[i], err = readAt(r, s); err != nil {
			return nil, err
		}
	}
	if err := VerifySignature(v, h.Header, parts[0], parts[1]); err != nil {
		return nil, err
	}
	chain, err := ParseChain(parts[2])
	if err != nil {
		return nil, err
	}
	return NewShare(h.Header, num, caps.Hash(parts[3]), chain)
}

// hashEntries reads all entries.
func hashEntries(r io.ReaderAt, h Head) ([]caps.Hash, error) {
	segments := h.Segments()
	if segments == 0 {
		return nil, nil
	}
	leaves := make([]caps.Hash, 0, segments)
	entry := h.EntryLen(0)
	entries := io.NewSectionReader(r, int64(h.data.Offset), int64(h.data.Length))
	buf := make([]byte, min(h.data.Length, uint64(max(verifyBuffer/entry, 1)*entry)))
	for len(leaves) < segments {
		n, err := io.ReadFull(entries, buf)
		if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) { // the last time is shorter
			return nil, fmt.Errorf("reading the entry of segment %d: %w", len(leaves), err)
		}
		for part := buf[:n]; len(part) > 0; {
			size := h.EntryLen(len(leaves))
			if size == 0 || size > len(part) {
				return nil, fmt.Errorf("reading the entry of segment %d: %w", len(leaves), io.ErrUnexpectedEOF)
			}
			leaves = append(leaves, caps.BlockHash(part[:size]))
			part = part[size:]
		}
	}
	return leaves, nil
}

// sameTree compares the stored block hash tree with the one built over the entries, whose root must be root.
func sameTree(r io.ReaderAt, h Head, tree caps.Tree, root caps.Hash) error {
	if tree.Root() != root {
		return fmt.Errorf("%w: the entries have another root", ErrBlock)
	}
	section := io.NewSectionReader(r, int64(h.blockTree.Offset), int64(h.blockTree.Length))
	buf := make([]byte, min(verifyBuffer, 32*len(tree)))
	for i := 0; i < len(tree); {
		n, err := io.ReadFull(section, buf[:min(len(buf), 32*(len(tree)-i))])
		if err != nil {
			return fmt.Errorf("reading the block hash tree: %w", err)
		}
		for _, node := range Nodes(i, buf[:n]) {
			if tree[node.Number] != node.Hash {
				return fmt.Errorf("%w: node %d of the tree differs", ErrBlock, node.Number)
			}
		}
		i += n / 32
	}
	return nil
}

// readAt reads a part of a share whose length has a bound.
func readAt(r io.ReaderAt, s Section) ([]byte, error) {
	buf := make([]byte, s.Length)
	if n, err := r.ReadAt(buf, int64(s.Offset)); n < len(buf) {
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		return nil, fmt.Errorf("reading the share at byte %d: %w", s.Offset, err)
	}
	return buf, nil
}
