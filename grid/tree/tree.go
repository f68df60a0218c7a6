package tree

import (
	"context"
	"log/slog"
	"time"

	"trunkline/caps"
	"trunkline/grid/dirnode"
	"trunkline/grid/transfer"
)

// Config makes a Tree.
type Config struct {
	// Files is where directories are kept.
	Files Files
	// Format is the kind of file in which mutable directories are kept if nobody says: caps.KindSDMF, which is the default,
	// or caps.KindMDMF.
	Format caps.Kind
	// Logger gets what helps to find out what happened; nil discards.
	Logger *slog.Logger
	// Now is the clock. Default time.Now.
	Now func() time.Time
}

// Tree is safe for concurrent use. It keeps nothing between calls and starts nothing that outlives them.
type Tree struct{}

// New makes a Tree.
func New(c Config) *Tree { return &Tree{} }

// Files is where the directories are kept.
func (t *Tree) Files() Files { return nil }

// Resolve walks from root, name by name; an empty path is root itself. Names are compared in their normal form NFC.
//
// Errors: ErrNotFound, ErrNotDirectory (something on the way is a file), ErrNotReadable, ErrMalformed, ErrTooLarge; those of
// Files.
func (t *Tree) Resolve(ctx context.Context, root caps.Cap, path []string) (Node, error) {
	return Node{}, nil
}

// Listing is what stands in a directory.
type Listing struct {
	// Children are in the order of their names. The caller owns them.
	Children []Child
	// Malformed are the names of children whose entries cannot be used. They stay in the directory as they are.
	Malformed []string
	// Size is the length of the directory's contents in bytes.
	Size uint64
}

// List lists a directory.
//
// Errors: ErrNotDirectory, ErrNotReadable, ErrMalformed, ErrTooLarge; those of Files.
func (t *Tree) List(ctx context.Context, dir caps.Cap) (Listing, error) { return Listing{}, nil }

// Replace says what becomes of a child that is in the way.
type Replace uint8

// What can become of it.
const (
	ReplaceAlways    Replace = iota // it is replaced
	ReplaceNever                    // ErrExists
	ReplaceOnlyFiles                // ErrExists if it is a directory
)

// NewChild is a child to be linked.
type NewChild struct {
	Name string
	Pair caps.Pair
	// Metadata are the link's; nil keeps those of the child that is replaced.
	Metadata *dirnode.Metadata
}

// Link puts one child into a directory of the home grid and reports whether it replaced another.
//
// Errors: ErrExists, ErrNotDirectory, ErrReadOnly, ErrForeign, ErrName, ErrChild, ErrMalformed, ErrTooLarge; those of Files.
func (t *Tree) Link(ctx context.Context, dir caps.Cap, child NewChild, r Replace) (replaced bool, err error) {
	return false, nil
}

// LinkMany is Link for many, all or none.
func (t *Tree) LinkMany(ctx context.Context, dir caps.Cap, children []NewChild, r Replace) error {
	return nil
}

// Unlink takes a child out of a directory of the home grid and returns what it was. want is the type that it must have;
// empty for any. A child whose entry is malformed goes too, if want is empty, and is returned as an unknown one.
//
// Errors: ErrNotFound, ErrWrongType, ErrNotDirectory, ErrReadOnly, ErrForeign, ErrMalformed; those of Files.
func (t *Tree) Unlink(ctx context.Context, dir caps.Cap, name string, want Type) (Node, error) {
	return Node{}, nil
}

// Move links a child under another name, in the same directory or another, and then unlinks the old one; in one directory
// that is one change. Metadata move along. It reports whether it replaced another child.
//
// Errors: those of Link and Unlink, ErrIntoItself; ErrChanged.
func (t *Tree) Move(ctx context.Context, from caps.Cap, name string, to caps.Cap, newName string, r Replace) (replaced bool, err error) {
	return false, nil
}

// Mkdir makes an empty directory that is linked nowhere. format is caps.KindSDMF or caps.KindMDMF; anything else is the
// tree's own.
func (t *Tree) Mkdir(ctx context.Context, format caps.Kind) (caps.Cap, error) {
	return caps.Cap{}, nil
}

// MkdirWithChildren makes a mutable directory with these children, whose metadata are stored as they are.
//
// Errors: ErrName, ErrChild, ErrTooLarge; those of Files.
func (t *Tree) MkdirWithChildren(ctx context.Context, format caps.Kind, children []NewChild) (caps.Cap, error) {
	return caps.Cap{}, nil
}

// MkdirImmutable makes an immutable directory. The same children give the same cap.
//
// Errors: ErrMutableChild, ErrName, ErrChild, ErrTooLarge; those of Files.
func (t *Tree) MkdirImmutable(ctx context.Context, children []NewChild) (caps.Cap, error) {
	return caps.Cap{}, nil
}

// MkdirAll makes the directory at a path, and all that are missing on the way; one that is there already is left alone.
// An empty path is root itself.
//
// Errors: ErrInTheWay; those of Resolve and Link.
func (t *Tree) MkdirAll(ctx context.Context, root caps.Cap, path []string, format caps.Kind) (Node, error) {
	return Node{}, nil
}

// Visit is a node that a walk comes to.
type Visit struct {
	// Path is the names from the root, for which it is empty. The caller owns it.
	Path []string
	Node Node
}

// Walker is told what a walk finds. Calls come from one goroutine, one after the other; an error ends the walk.
type Walker struct {
	// Node is called for each node. May be nil.
	Node func(Visit) error
	// Directory is called after Node for a directory that could be read, before its children. May be nil.
	Directory func(Visit, Listing) error
	// Unreadable is called after Node for a directory that could not be read. nil ends the walk with the error.
	Unreadable func(Visit, error) error
}

// Walk visits everything below root, depth first, root first; in a directory first the unknown children, then files, then
// directories, each by name. Of several links to one object the first is followed; literals and unknown nodes come every
// time. root may be a file.
//
// Errors: those of List, wrapped with the path; those of the Walker.
//
// Source: tahoe-formats 7.5.
func (t *Tree) Walk(ctx context.Context, root caps.Cap, w Walker) error { return nil }

// CheckOptions says how to check.
type CheckOptions struct {
	Verify   bool // read every share
	Repair   bool // and repair what is not healthy
	AddLease bool // and renew leases
}

// Checked is what a check of one node found.
type Checked struct {
	// Literal says that there was nothing to check: the node is in its cap, or unknown.
	Literal bool
	// Before is what was found; After what was there after a repair, else equal to Before.
	Before, After transfer.Health
	// Attempted says that a repair was tried; RepairErr why it failed, if it did.
	Attempted bool
	RepairErr error
}

// Check checks one node.
//
// Errors: ErrForeign; those of Files.
func (t *Tree) Check(ctx context.Context, n Node, o CheckOptions) (Checked, error) {
	return Checked{}, nil
}

// DeepCheck walks and checks every node it comes to. checked is called with each before the walker's own functions; the
// error is that of Check, and the walk goes on if checked returns nil.
func (t *Tree) DeepCheck(ctx context.Context, root caps.Cap, o CheckOptions, checked func(Visit, Checked, error) error, w Walker) error {
	return nil
}

// Stats counts what a walk finds.
type Stats struct{}

// Walker feeds the statistics: give it to Walk, or call its functions from another.
func (s *Stats) Walker() Walker { return Walker{} }

// MarshalJSON gives the keys and the order of Tahoe.
//
// Source: tahoe-formats 9.6.
func (s *Stats) MarshalJSON() ([]byte, error) { return []byte("{}"), nil }
