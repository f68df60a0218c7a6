package tree

import (
	"context"
	"errors"
	"fmt"

	"trunkline/caps"
	"trunkline/grid/dirnode"
)

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
// Errors: ErrExists, ErrNotDirectory, ErrReadOnly, ErrForeign, ErrName, ErrMetadata, ErrChild, ErrMalformed, ErrTooLarge; those of
// Files.
func (t *Tree) Link(ctx context.Context, dir caps.Cap, child NewChild, r Replace) (replaced bool, err error) {
	err = t.change(ctx, dir, func(d *dirnode.Directory) error {
		replaced = d.Has(child.Name)
		return t.link(d, dir, child, r)
	})
	return replaced && err == nil, err
}

// LinkMany is Link for many, all or none.
func (t *Tree) LinkMany(ctx context.Context, dir caps.Cap, children []NewChild, r Replace) error {
	return t.change(ctx, dir, func(d *dirnode.Directory) error {
		for _, child := range children {
			if err := t.link(d, dir, child, r); err != nil {
				return err
			}
		}
		return nil
	})
}

// link puts a child into a directory that was read with that cap.
func (t *Tree) link(d *dirnode.Directory, dir caps.Cap, child NewChild, r Replace) error {
	if err := replaceable(d, child.Name, r); err != nil {
		return err
	}
	if err := d.Set(child.Name, t.release(child.Pair, dir.Areas()), child.Metadata, t.c.Now()); err != nil {
		return unlinkable(child.Name, err)
	}
	return nil
}

func replaceable(d *dirnode.Directory, name string, r Replace) error {
	if r == ReplaceAlways || !d.Has(name) {
		return nil
	}
	// What cannot be read is not known to be a file.
	if e, err := d.Get(name); r == ReplaceNever || err != nil || (Node{Pair: e.Pair}).Type() == TypeDirectory {
		return named(name, ErrExists)
	}
	return nil
}

// Unlink takes a child out of a directory of the home grid and returns what it was. want is the type that it must have;
// empty for any. A child whose entry is malformed goes too, if want is empty, and is returned as an unknown one.
//
// Errors: ErrNotFound, ErrWrongType, ErrNotDirectory, ErrReadOnly, ErrForeign, ErrMalformed; those of Files.
func (t *Tree) Unlink(ctx context.Context, dir caps.Cap, name string, want Type) (Node, error) {
	var gone Node
	err := t.change(ctx, dir, func(d *dirnode.Directory) error {
		var err error
		gone, err = t.child(d, dir, name)
		switch {
		case errors.Is(err, ErrEntry):
			gone = Node{Linked: true}
		case err != nil:
			return err
		}
		if want != "" && gone.Type() != want {
			return named(name, fmt.Errorf("%w: it is a %s", ErrWrongType, gone.Type()))
		}
		_, err = d.Remove(name)
		return err
	})
	if err != nil {
		return Node{}, err
	}
	return gone, nil
}

// change has fn change a directory of the home grid. fn may be called again, with newer contents.
func (t *Tree) change(ctx context.Context, dir caps.Cap, fn func(*dirnode.Directory) error) error {
	if err := t.changeable(dir); err != nil {
		return err
	}
	return t.c.Files.Modify(ctx, dir, func(old []byte) ([]byte, error) {
		d, err := dirnode.Parse(old, options(dir))
		if err != nil {
			return nil, err
		}
		if err := fn(d); err != nil {
			return nil, err
		}
		return d.Pack()
	})
}

// changeable says whether we may change a directory with that cap.
func (t *Tree) changeable(dir caps.Cap) error {
	if err := readable(dir); err != nil {
		return err
	}
	if !dir.Kind().CanWrite() {
		return ErrReadOnly
	}
	if !t.athome(dir) {
		return ErrForeign
	}
	return nil
}
