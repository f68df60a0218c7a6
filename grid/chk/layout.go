package chk

import (
	"encoding/binary"
	"fmt"
	"math"

	"trunkline/caps"
)

const (
	headerV1 = 36
	headerV2 = 68

	// HeaderMax is how much of a share's beginning ParseLayout wants to see, in bytes; a version 1 share, which can be
	// shorter, needs 36.
	HeaderMax = headerV2

	// chainEntry is a node number of two bytes and a hash.
	chainEntry = 2 + 32
	// MaxChain is the longest share hash chain, in bytes: nine entries when n > 128.
	MaxChain = 9 * chainEntry

	// TailMax bounds what stands between the block hash tree and the end of a share, in bytes: the share hash chain,
	// the length of the UEB, and the UEB. Who knows a share's length can read it together with the header.
	TailMax = MaxChain + 8 + MaxUEB
)

// Layout says where the parts of one share lie. All offsets count from the share's first byte (not the container's).
// The parts follow each other in the order of the fields. All shares of a file have equal layouts if one writer made
// them.
//
//	header | blocks | plaintext tree, unused | crypttext tree | block tree | share chain | UEB length | UEB
//
// Version 1 has offsets of 32 bits and version 2 of 64; nothing else differs.
type Layout struct {
	Version       int    // 1 or 2
	BlockSize     uint64 // as the header says; readers use the geometry's
	DataSize      uint64 // likewise
	Data          uint64
	PlaintextTree uint64 // written as zero bytes, never read
	CrypttextTree uint64
	BlockTree     uint64
	ShareChain    uint64
	UEBLength     uint64
}

// NewLayout lays out the shares of a file. version is 1, 2, or 0 for Tahoe's own choice: 1 unless a field would not
// fit.
//
// Errors: ErrGeometry (which includes a version 1 that does not fit), ErrLayout (another version).
func NewLayout(g Geometry, version int) (Layout, error) {
	if err := g.valid(); err != nil {
		return Layout{}, err
	}
	place := func(version int, header uint64) Layout {
		tree := treeBytes(g.Segments)
		l := Layout{Version: version, BlockSize: g.BlockSize, DataSize: g.DataSize, Data: header}
		l.PlaintextTree = l.Data + g.DataSize
		l.CrypttextTree = l.PlaintextTree + tree
		l.BlockTree = l.CrypttextTree + tree
		l.ShareChain = l.BlockTree + tree
		l.UEBLength = l.ShareChain + chainBytes(g.N)
		return l
	}
	v1 := place(1, headerV1)
	fits := max(v1.BlockSize, v1.DataSize, v1.UEBLength) <= math.MaxUint32
	switch {
	case version == 2 || version == 0 && !fits:
		return place(2, headerV2), nil
	case version > 2 || version < 0:
		return Layout{}, fmt.Errorf("%w: there is no version %d", ErrLayout, version)
	case !fits:
		return Layout{}, fmt.Errorf("%w: a share of %d bytes needs layout version 2", ErrGeometry, v1.UEBLength)
	}
	return v1, nil
}

// treeBytes is the length of a whole tree over the segments.
func treeBytes(segments int) uint64 { return 32 * uint64(caps.TreeNodes(segments)) }

// chainBytes is the length of a share hash chain: one node a level, the leaf itself included.
func chainBytes(n int) uint64 {
	entries := 1
	for w := caps.TreeWidth(n); w > 1; w /= 2 {
		entries++
	}
	return uint64(entries) * chainEntry
}

// ParseLayout reads a share's header. head is the beginning of the share, HeaderMax bytes or all of it; shareLen is
// the length of the whole share. Every section lies within the share when it returns without error; that the sections
// have the lengths a geometry asks for is known after Fit.
//
// Errors: ErrLayout.
func ParseLayout(head []byte, shareLen uint64) (Layout, error) {
	var l Layout
	if len(head) < headerV1 || shareLen < headerV1 {
		return Layout{}, fmt.Errorf("%w: a share of %d bytes has no room for its header", ErrLayout, min(shareLen, uint64(len(head))))
	}
	l.Version = int(binary.BigEndian.Uint32(head))
	fields := []*uint64{
		&l.BlockSize, &l.DataSize,
		&l.Data, &l.PlaintextTree, &l.CrypttextTree, &l.BlockTree, &l.ShareChain, &l.UEBLength,
	}
	switch l.Version {
	case 1:
		for i, f := range fields {
			*f = uint64(binary.BigEndian.Uint32(head[4+4*i:]))
		}
	case 2:
		if len(head) < headerV2 || shareLen < headerV2 {
			return Layout{}, fmt.Errorf("%w: a share of %d bytes has no room for its header", ErrLayout, min(shareLen, uint64(len(head))))
		}
		for i, f := range fields {
			*f = binary.BigEndian.Uint64(head[4+8*i:])
		}
	default:
		return Layout{}, fmt.Errorf("%w: unknown version %d", ErrLayout, binary.BigEndian.Uint32(head))
	}
	// Never looked at: the two sizes, and where the unused tree would be.
	switch chain := l.UEBLength - l.ShareChain; {
	case l.Data > shareLen || l.CrypttextTree > l.BlockTree || l.BlockTree > l.ShareChain || l.ShareChain > l.UEBLength:
		return Layout{}, fmt.Errorf("%w: sections out of order", ErrLayout)
	case l.UEBLength > shareLen || shareLen-l.UEBLength < l.lengthField():
		return Layout{}, fmt.Errorf("%w: the sections end after the share", ErrLayout)
	case chain%chainEntry != 0 || chain == 0 || chain > MaxChain:
		return Layout{}, fmt.Errorf("%w: a share hash chain of %d bytes", ErrLayout, chain)
	}
	return l, nil
}

// Fit checks that the share's sections have the lengths that its file's geometry asks for.
//
// Errors: ErrLayout.
func (l Layout) Fit(g Geometry) error {
	tree := treeBytes(g.Segments)
	switch {
	case l.CrypttextTree < l.Data || l.CrypttextTree-l.Data < g.DataSize:
		return fmt.Errorf("%w: no room for %d bytes of blocks", ErrLayout, g.DataSize)
	case l.BlockTree-l.CrypttextTree != tree || l.ShareChain-l.BlockTree != tree:
		return fmt.Errorf("%w: hash trees of another size than %d segments need", ErrLayout, g.Segments)
	}
	return nil
}

// Header is the beginning of every share with this layout, up to Data.
func (l Layout) Header() []byte {
	fields := [...]uint64{
		l.BlockSize, l.DataSize,
		l.Data, l.PlaintextTree, l.CrypttextTree, l.BlockTree, l.ShareChain, l.UEBLength,
	}
	b := binary.BigEndian.AppendUint32(make([]byte, 0, headerV2), uint32(l.Version))
	for _, f := range fields {
		if l.Version == 1 {
			b = binary.BigEndian.AppendUint32(b, uint32(f))
		} else {
			b = binary.BigEndian.AppendUint64(b, f)
		}
	}
	return b
}

// ShareLen is the length of a share whose UEB has uebLen bytes.
func (l Layout) ShareLen(uebLen int) uint64 { return l.UEBLength + l.lengthField() + uint64(uebLen) }

// BlockRange is where a share keeps its blocks of count segments from seg on, which lie back to back.
func (l Layout) BlockRange(g Geometry, seg, count int) (offset, length uint64) {
	offset = l.Data + uint64(seg)*g.BlockSize
	if count > 0 {
		length = uint64(count-1)*g.BlockSize + uint64(g.BlockLen(seg+count-1))
	}
	return offset, length
}

// BlockTreeNode is where a share keeps a node of its block hash tree, 32 bytes. Nodes follow each other by number.
func (l Layout) BlockTreeNode(number int) uint64 { return l.BlockTree + 32*uint64(number) }

// CrypttextTreeNode is the like for the share's copy of the crypttext hash tree.
func (l Layout) CrypttextTreeNode(number int) uint64 { return l.CrypttextTree + 32*uint64(number) }

// SplitTail takes apart what a share has from ShareChain on: the share hash chain and the UEB, both as slices of tail.
// What follows the UEB is ignored. The chain is for NewShare, the UEB for ParseUEB.
//
// tail may stop short of the share's end, at TailMax bytes or wherever the UEB ends. Errors: ErrLayout.
func (l Layout) SplitTail(tail []byte) (chain, ueb []byte, err error) {
	at := l.UEBLength - l.ShareChain
	field := l.lengthField()
	if uint64(len(tail)) < at+field {
		return nil, nil, fmt.Errorf("%w: it ends before the URI extension block", ErrLayout)
	}
	chain, rest := tail[:at:at], tail[at+field:]
	n := uint64(binary.BigEndian.Uint32(tail[at:]))
	if l.Version == 2 {
		n = binary.BigEndian.Uint64(tail[at:])
	}
	if n > MaxUEB {
		return nil, nil, fmt.Errorf("%w: a URI extension block of %d bytes", ErrLayout, n)
	}
	if n > uint64(len(rest)) {
		return nil, nil, fmt.Errorf("%w: it ends inside the URI extension block", ErrLayout)
	}
	return chain, rest[:n:n], nil
}

// lengthField is the size of the number before the UEB.
func (l Layout) lengthField() uint64 {
	if l.Version == 1 {
		return 4
	}
	return 8
}

// Nodes reads nodes of a hash tree as a share stores them: consecutive ones, 32 bytes each, from number first on.
// What is left over at the end of raw is ignored. Nothing about them is verified.
func Nodes(first int, raw []byte) []caps.Node {
	nodes := make([]caps.Node, len(raw)/32)
	for i := range nodes {
		nodes[i] = caps.Node{Number: first + i, Hash: caps.Hash(raw[32*i:])}
	}
	return nodes
}
