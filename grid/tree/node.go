package tree

import (
	"trunkline/caps"
	"trunkline/grid/dirnode"
)

// Type is what a node is.
type Type string

// The types, named as in Tahoe's JSON.
const (
	TypeFile      Type = "file"
	TypeDirectory Type = "directory"
	TypeUnknown   Type = "unknown" // of a later version
)

// Node is a file or directory as it was reached. Its caps have areas if it is not of the home grid.
type Node struct {
	// Pair holds the caps that we have: see caps.Pair. Of an unknown child both may be zero.
	Pair caps.Pair
	// Linked says that the node was reached through a directory, which has Metadata about it.
	Linked   bool
	Metadata dirnode.Metadata
}

// Child is a node in its directory.
type Child struct {
	Name string
	Node
}

// NodeOf is the node of a cap that stands alone.
func NodeOf(c caps.Cap) Node { return Node{} }

// Cap is the strongest cap that we have; zero if none.
func (n Node) Cap() caps.Cap { return caps.Cap{} }

// ReadCap is the strongest cap that cannot change the node; zero if there is none.
func (n Node) ReadCap() caps.Cap { return caps.Cap{} }

// WriteCap is the cap that changes the node; zero if we have none.
func (n Node) WriteCap() caps.Cap { return caps.Cap{} }

// VerifyCap is the cap that only finds and checks ciphertext; false for literals and unknown nodes.
func (n Node) VerifyCap() (caps.Cap, bool) { return caps.Cap{}, false }

// RepairCap is the weakest cap that repairs the node: the verify cap of what is immutable, the write cap of what is not;
// false if there is none.
func (n Node) RepairCap() (caps.Cap, bool) { return caps.Cap{}, false }

// Type is what the node is, as far as its caps tell.
func (n Node) Type() Type { return TypeUnknown }

// Mutable says whether the node can change, known whether that can be told.
func (n Node) Mutable() (mutable, known bool) { return false, false }

// Size is a file's size in bytes, if its cap tells.
func (n Node) Size() (uint64, bool) { return 0, false }
