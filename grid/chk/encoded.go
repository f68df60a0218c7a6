package chk

import (
	"encoding/binary"
	"slices"

	"trunkline/caps"
)

// Encoded is a file whose blocks are all made: its cap, and what each share has after its blocks. It is not changed
// any more and safe for concurrent use. Its memory is the hash trees: 64 bytes a share and segment.
type Encoded struct {
	Cap caps.CHKRead
	UEB []byte // not to be changed

	g         Geometry
	layout    Layout
	crypttext caps.Tree
	blocks    []caps.Tree // by share
	shares    caps.Tree
}

// Trailer is everything of share num after its blocks, from Layout.PlaintextTree to the end: hash trees, share hash
// chain and UEB. The chain's nodes ascend (Tahoe writes them in the order of a hash table; readers take any order).
// num is 0 to N-1. The caller owns the result.
func (x *Encoded) Trailer(num int) []byte {
	l := x.layout
	out := make([]byte, 0, l.ShareLen(len(x.UEB))-l.PlaintextTree)
	out = out[:l.CrypttextTree-l.PlaintextTree] // the plaintext tree: zero bytes
	for _, h := range x.crypttext {
		out = append(out, h[:]...)
	}
	for _, h := range x.blocks[num] {
		out = append(out, h[:]...)
	}
	for _, n := range x.Chain(num) {
		out = binary.BigEndian.AppendUint16(out, uint16(n.Number))
		out = append(out, n.Hash[:]...)
	}
	if l.Version == 1 {
		out = binary.BigEndian.AppendUint32(out, uint32(len(x.UEB)))
	} else {
		out = binary.BigEndian.AppendUint64(out, uint64(len(x.UEB)))
	}
	return append(out, x.UEB...)
}

// Chain is the share hash chain of share num: its own leaf and the siblings on the way up, by ascending number.
func (x *Encoded) Chain(num int) []caps.Node {
	leaf := caps.TreeWidth(x.g.N) - 1 + num
	chain := append(x.shares.Chain(num), caps.Node{Number: leaf, Hash: x.shares[leaf]})
	slices.SortFunc(chain, func(a, b caps.Node) int { return a.Number - b.Number })
	return chain
}
