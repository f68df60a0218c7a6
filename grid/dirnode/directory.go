package dirnode

import (
	"time"

	"trunkline/caps"
)

const (
	// MaxContents is the largest directory in bytes that is read or written: more than 200,000 children.
	MaxContents = 64 << 20
	// MaxName is the longest name in bytes that is written; longer ones are read.
	MaxName = 64 << 10
	// MaxMetadata is the longest metadata in bytes that are written; longer ones are read.
	MaxMetadata = 1 << 20
)

// Options says what is known about a directory besides its contents.
type Options struct {
	// Write is the write key of a mutable directory; nil if only its read key is known. With it come the children's
	// write caps.
	Write *caps.WriteKey
	// Immutable says that the directory is one of fixed contents, in which nothing that can change may stand.
	Immutable bool
}

// Entry is one child.
type Entry struct {
	// Pair holds the child's caps as its directory tells them, areas included; both are zero if it tells none.
	Pair     caps.Pair
	Metadata Metadata
}

// Directory is the children of one directory. Any number of goroutines may read it, or one may change it.
type Directory struct{ o Options }

// New is the directory without children.
func New(o Options) *Directory { return &Directory{o: o} }

// Parse reads a directory's contents, which it may keep: they must not change afterwards.
//
// Only what concerns the directory as a whole is looked at. Get tells whether one child's entry can be used.
//
// Errors: ErrMalformed, ErrTooLarge.
func Parse(contents []byte, o Options) (*Directory, error) {
	return New(o), nil
}

// Len is the number of children, those with malformed entries included.
func (d *Directory) Len() int { return 0 }

// Names lists the children in order (of code points), those with malformed entries included. The caller owns it.
func (d *Directory) Names() []string { return nil }

// Has says whether there is a child of that name, its entry malformed or not. Names are compared in their normal form
// NFC.
func (d *Directory) Has(name string) bool { return false }

// Get is the child of that name.
//
// Errors: ErrNotFound; ErrEntry with the reason, one of caps'.
func (d *Directory) Get(name string) (Entry, error) { return Entry{}, ErrNotFound }

// Set links a child under a name, in place of the one that is there.
//
// meta are the caller's metadata, nil to keep those that are there. Their key "tahoe" is the directory's own: the time of
// the link's creation stays, that of its change becomes now. If metadata say "no-write", only the read cap is kept.
//
// Errors: ErrReadOnly; ErrName; ErrMetadata; caps.ErrMustBeDeepImmutable (a child that can change in an immutable
// directory); caps.ErrNoCap; caps.ErrMustNotBeUnknownRW.
//
// Source: tahoe-formats 7.3.
func (d *Directory) Set(name string, child caps.Pair, meta *Metadata, now time.Time) error {
	return nil
}

// Add is Set for a directory in the making: metadata are stored as they are.
func (d *Directory) Add(name string, e Entry) error { return nil }

// Remove unlinks a child and reports whether there was one.
//
// Errors: ErrReadOnly.
func (d *Directory) Remove(name string) (bool, error) { return false, nil }

// Pack is the directory's contents: every entry that was not set as it was read, in the order of their names. The caller
// owns the result.
//
// Errors: ErrTooLarge.
func (d *Directory) Pack() ([]byte, error) { return nil, nil }
