package dirnode

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"

	"trunkline/caps"
)

const (
	// MaxContents is the largest directory in bytes that is read or written: more than 200,000 children.
	MaxContents = 64 << 20
	// MaxChildren is the largest number of children that is read.
	MaxChildren = 1 << 20
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
type Directory struct {
	o Options
	// items are sorted by name. Of several with one name, which should not occur, the last counts.
	items []item
}

// item is one entry as it is stored.
type item struct {
	name string // in NFC, which the stored name may not be
	raw  []byte // four netstrings: name, read cap, sealed write cap, metadata
}

// New is the directory without children.
func New(o Options) *Directory { return &Directory{o: o} }

// Parse reads a directory's contents, which it may keep: they must not change afterwards.
//
// Only what concerns the directory as a whole is looked at. Get tells whether one child's entry can be used.
//
// Errors: ErrMalformed, ErrTooLarge.
func Parse(contents []byte, o Options) (*Directory, error) {
	if len(contents) > MaxContents {
		return nil, ErrTooLarge
	}
	d := New(o)
	for rest := contents; len(rest) > 0; {
		if len(d.items) == MaxChildren {
			return nil, fmt.Errorf("%w: more than %d children", ErrTooLarge, MaxChildren)
		}
		raw, after, ok := cutNetstring(rest)
		if !ok {
			return nil, fmt.Errorf("%w: entry %d is no netstring", ErrMalformed, len(d.items))
		}
		fields, ok := split(raw)
		switch {
		case !ok:
			return nil, fmt.Errorf("%w: entry %d has no four fields", ErrMalformed, len(d.items))
		case !utf8.Valid(fields.name):
			return nil, fmt.Errorf("%w: the name of entry %d is not UTF-8", ErrMalformed, len(d.items))
		case o.Immutable && len(fields.sealed) > 0:
			return nil, fmt.Errorf("%w: entry %d of an immutable directory has a write cap", ErrMalformed, len(d.items))
		}
		d.items = append(d.items, item{normal(string(fields.name)), raw})
		rest = after
	}
	if !slices.IsSortedFunc(d.items, byName) {
		slices.SortStableFunc(d.items, byName)
	}
	return d, nil
}

func byName(a, b item) int { return strings.Compare(a.name, b.name) }

// normal is the form in which names are compared.
func normal(name string) string { return norm.NFC.String(name) }

type fields struct{ name, read, sealed, metadata []byte }

// split cuts an entry into its fields. What follows the fourth is ignored, as in Tahoe.
func split(raw []byte) (f fields, ok bool) {
	for _, field := range []*[]byte{&f.name, &f.read, &f.sealed, &f.metadata} {
		if *field, raw, ok = cutNetstring(raw); !ok {
			return f, false
		}
	}
	return f, true
}

// span is where the items of that name are.
func (d *Directory) span(name string) (from, to int) {
	name = normal(name)
	from, _ = slices.BinarySearchFunc(d.items, name, func(i item, name string) int { return strings.Compare(i.name, name) })
	for to = from; to < len(d.items) && d.items[to].name == name; {
		to++
	}
	return from, to
}

// Len is the number of children, those with malformed entries included.
func (d *Directory) Len() int {
	n := 0
	for i := range d.items {
		if i == 0 || d.items[i].name != d.items[i-1].name {
			n++
		}
	}
	return n
}

// Names lists the children in order (of code points), those with malformed entries included. The caller owns it.
func (d *Directory) Names() []string {
	names := make([]string, 0, len(d.items))
	for i := range d.items {
		if i == 0 || d.items[i].name != d.items[i-1].name {
			names = append(names, d.items[i].name)
		}
	}
	return names
}

// Has says whether there is a child of that name, its entry malformed or not. Names are compared in their normal form
// NFC.
func (d *Directory) Has(name string) bool {
	from, to := d.span(name)
	return from < to
}

// Get is the child of that name.
//
// Errors: ErrNotFound; ErrEntry with the reason, one of caps'.
func (d *Directory) Get(name string) (Entry, error) {
	from, to := d.span(name)
	if from == to {
		return Entry{}, ErrNotFound
	}
	f, ok := split(d.items[to-1].raw)
	if !ok {
		return Entry{}, ErrEntry
	}
	return d.entry(f)
}

// entry reads one child's fields.
func (d *Directory) entry(f fields) (Entry, error) {
	var write []byte
	if d.o.Write != nil && !d.o.Immutable {
		var ok bool
		if write, ok = openWriteCap(*d.o.Write, f.sealed); !ok {
			return Entry{}, fmt.Errorf("%w: its write cap is cut short", ErrEntry)
		}
	}
	// Tahoe up to 1.4 padded caps with spaces.
	pair, err := caps.ParsePair(unpad(write), unpad(f.read), caps.Context{DeepImmutable: d.o.Immutable})
	if err != nil {
		return Entry{}, fmt.Errorf("%w: %w", ErrEntry, err)
	}
	return Entry{Pair: pair, Metadata: Metadata{string(f.metadata)}}, nil
}

func unpad(text []byte) string { return string(bytes.TrimRight(text, " ")) }

// SameName says whether two names are one, which may be spelt in several ways.
func SameName(a, b string) bool { return normal(a) == normal(b) }
