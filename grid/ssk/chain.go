package ssk

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"math/bits"
	"slices"

	"trunkline/caps"
)

// chainLen is the length of a share hash chain in bytes.
func chainLen(n int) int { return chainEntry * bits.Len(uint(caps.TreeWidth(n)-1)) }

// ParseChain reads a share hash chain: entries of a big-endian 16-bit node number and 32 bytes of hash. It does not
// judge them; NewShare does.
//
// Errors: ErrShareChain.
func ParseChain(raw []byte) ([]caps.Node, error) {
	if len(raw)%chainEntry != 0 || len(raw) > MaxChain {
		return nil, fmt.Errorf("%w: %d bytes", ErrShareChain, len(raw))
	}
	nodes := make([]caps.Node, 0, len(raw)/chainEntry)
	for ; len(raw) > 0; raw = raw[chainEntry:] {
		nodes = append(nodes, caps.Node{Number: int(binary.BigEndian.Uint16(raw)), Hash: caps.Hash(raw[2:chainEntry])})
	}
	return nodes, nil
}

// appendChain writes a chain with ascending node numbers, which it leaves sorted.
func appendChain(b []byte, chain []caps.Node) []byte {
	slices.SortFunc(chain, func(a, b caps.Node) int { return cmp.Compare(a.Number, b.Number) })
	for _, n := range chain {
		b = binary.BigEndian.AppendUint16(b, uint16(n.Number))
		b = append(b, n.Hash[:]...)
	}
	return b
}

// Nodes reads nodes of a hash tree as a share keeps them, 32 bytes each, from node number first on. What does not
// fill a node is ignored.
func Nodes(first int, raw []byte) []caps.Node {
	nodes := make([]caps.Node, len(raw)/32)
	for i := range nodes {
		nodes[i] = caps.Node{Number: first + i, Hash: caps.Hash(raw[32*i : 32*i+32])}
	}
	return nodes
}
