package dirnode

import (
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"trunkline/caps"
)

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
	var old Metadata
	if from, to := d.span(name); from < to {
		if f, ok := split(d.items[to-1].raw); ok {
			old = Metadata{string(f.metadata)}
		}
	}
	linked, err := old.relinked(meta, now)
	if err != nil {
		return err
	}
	if linked.NoWrite() {
		if child, err = readOnly(child); err != nil {
			return err
		}
	}
	return d.Add(name, Entry{child, linked})
}

// readOnly is the pair without its write cap.
func readOnly(p caps.Pair) (caps.Pair, error) {
	switch {
	case p.Write.IsZero() || !p.Read.IsZero():
		return caps.Pair{Read: p.Read}, nil
	default:
		read, err := p.Write.ReadOnly()
		return caps.Pair{Read: read}, err
	}
}

// Add is Set for a directory in the making: metadata are stored as they are.
func (d *Directory) Add(name string, e Entry) error {
	if len(name) > MaxName || !utf8.ValidString(name) {
		return ErrName
	}
	if len(e.Metadata.Text()) > MaxMetadata {
		return fmt.Errorf("%w: more than %d bytes", ErrMetadata, MaxMetadata)
	}
	f, err := d.fields(e.Pair)
	if err != nil {
		return err
	}
	name = normal(name)
	f.name, f.metadata = []byte(name), []byte(e.Metadata.Text())
	// What could not be read again is not stored.
	if _, err := d.entry(f); err != nil {
		return err
	}
	size := 0
	for _, field := range [][]byte{f.name, f.read, f.sealed, f.metadata} {
		size += netstringSize(len(field))
	}
	raw := make([]byte, 0, size)
	for _, field := range [][]byte{f.name, f.read, f.sealed, f.metadata} {
		raw = appendNetstring(raw, field)
	}
	from, to := d.span(name)
	d.items = slices.Replace(d.items, from, to, item{name, raw})
	return nil
}

// fields are those that hold a child's caps.
func (d *Directory) fields(p caps.Pair) (fields, error) {
	if p.Write.IsZero() && p.Read.IsZero() {
		return fields{}, caps.ErrNoCap
	}
	write := ""
	if !p.Write.IsZero() {
		if d.o.Immutable {
			return fields{}, caps.ErrMustBeDeepImmutable
		}
		write = p.Write.Text()
		if p.Read.IsZero() {
			var err error
			if p.Read, err = p.Write.ReadOnly(); err != nil {
				return fields{}, err
			}
		}
	}
	f := fields{read: []byte(p.StoredRead(d.o.Immutable))}
	if !d.o.Immutable {
		if d.o.Write == nil {
			return fields{}, ErrReadOnly
		}
		f.sealed = sealWriteCap(*d.o.Write, write)
	} else if p.Read.Kind() == caps.KindUnknown && !strings.HasPrefix(p.Read.Text(), "imm.") {
		return fields{}, caps.ErrMustBeDeepImmutable
	}
	return f, nil
}

// Remove unlinks a child and reports whether there was one.
//
// Errors: ErrReadOnly.
func (d *Directory) Remove(name string) (bool, error) {
	if d.o.Write == nil && !d.o.Immutable {
		return false, ErrReadOnly
	}
	from, to := d.span(name)
	d.items = slices.Delete(d.items, from, to)
	return from < to, nil
}

// Pack is the directory's contents: every entry that was not set as it was read, in the order of their names. The caller
// owns the result.
//
// Errors: ErrTooLarge.
func (d *Directory) Pack() ([]byte, error) {
	size := 0
	for _, i := range d.items {
		size += netstringSize(len(i.raw))
	}
	if size > MaxContents {
		return nil, fmt.Errorf("%w: it would have %d bytes", ErrTooLarge, size)
	}
	if len(d.items) > MaxChildren {
		return nil, fmt.Errorf("%w: it would have %d children", ErrTooLarge, len(d.items))
	}
	contents := make([]byte, 0, size)
	for _, i := range d.items {
		contents = appendNetstring(contents, i.raw)
	}
	return contents, nil
}
