package tree

import (
	"strings"

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
func NodeOf(c caps.Cap) Node {
	if c.Kind().CanWrite() {
		return Node{Pair: caps.Pair{Write: c}}
	}
	if _, err := c.ReadOnly(); err != nil {
		return Node{Pair: caps.Pair{Write: c}} // of unknown kind: it may write for all we know
	}
	return Node{Pair: caps.Pair{Read: c}}
}

// Cap is the strongest cap that we have; zero if none.
func (n Node) Cap() caps.Cap {
	if n.Pair.Write.IsZero() {
		return n.Pair.Read
	}
	return n.Pair.Write
}

// ReadCap is the strongest cap that cannot change the node; zero if there is none.
func (n Node) ReadCap() caps.Cap {
	if !n.Pair.Read.IsZero() || n.Pair.Write.IsZero() {
		return n.Pair.Read
	}
	read, err := n.Pair.Write.ReadOnly()
	if err != nil {
		return caps.Cap{}
	}
	return read
}

// WriteCap is the cap that changes the node; zero if we have none.
func (n Node) WriteCap() caps.Cap { return n.Pair.Write }

// VerifyCap is the cap that only finds and checks ciphertext; false for literals and unknown nodes.
func (n Node) VerifyCap() (caps.Cap, bool) { return n.Cap().VerifyCap() }

// RepairCap is the weakest cap that repairs the node: the verify cap of what is immutable, the write cap of what is not;
// false if there is none.
func (n Node) RepairCap() (caps.Cap, bool) {
	if _, fixed := n.Cap().CHKVerify(); fixed {
		return n.VerifyCap()
	}
	return n.Pair.Write, n.Pair.Write.Kind().CanWrite()
}

// Type is what the node is, as far as its caps tell.
func (n Node) Type() Type {
	c := n.Cap()
	switch {
	case c.Kind() == caps.KindUnknown:
		return TypeUnknown
	case c.IsDirectory():
		return TypeDirectory
	}
	return TypeFile
}

// Mutable says whether the node can change, known whether that can be told.
func (n Node) Mutable() (mutable, known bool) {
	if n.Type() == TypeUnknown {
		switch {
		case !n.Pair.Write.IsZero():
			return true, true
		case strings.HasPrefix(n.Pair.Read.Text(), "imm."):
			return false, true
		}
		return false, false
	}
	_, mutable = n.Cap().MutableVerify()
	return mutable, true
}

// Size is the length in bytes of a file, or of an immutable directory's contents, if its cap tells.
func (n Node) Size() (uint64, bool) {
	if content, ok := n.Cap().Literal(); ok {
		return uint64(len(content)), true
	}
	v, ok := n.Cap().CHKVerify()
	return v.Size, ok
}

// sameObject says whether two caps are of one object.
func sameObject(a, b caps.Cap) bool {
	x, ok := a.VerifyCap()
	if !ok {
		return false
	}
	y, ok := b.VerifyCap()
	return ok && x.Local().Equal(y.Local())
}
