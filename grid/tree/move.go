package tree

import (
	"context"
	"errors"
	"fmt"

	"trunkline/caps"
	"trunkline/grid/dirnode"
)

// Move links a child under another name, in the same directory or another, and then unlinks the old one; in one directory
// that is one change. Metadata move along. It reports whether it replaced another child.
//
// Errors: those of Link and Unlink; ErrIntoItself; after the child was linked, ErrChanged and ErrLeftBehind.
func (t *Tree) Move(ctx context.Context, from caps.Cap, name string, to caps.Cap, newName string, r Replace) (replaced bool, err error) {
	for _, dir := range []caps.Cap{from, to} {
		if err := t.changeable(dir); err != nil {
			return false, err
		}
	}
	if sameObject(from, to) {
		return t.rename(ctx, from, name, newName, r)
	}
	d, _, err := t.read(ctx, from)
	if err != nil {
		return false, err
	}
	moved, err := t.child(d, from, name)
	if err != nil {
		return false, err
	}
	if sameObject(moved.Cap(), to) {
		return false, named(name, ErrIntoItself)
	}
	replaced, err = t.Link(ctx, to, NewChild{newName, moved.Pair, &moved.Metadata}, r)
	if err != nil {
		return false, err
	}
	err = t.change(ctx, from, func(d *dirnode.Directory) error {
		now, err := t.child(d, from, name)
		switch {
		case errors.Is(err, ErrNotFound):
			return nil // as was wanted
		case err != nil || !now.Pair.Write.Equal(moved.Pair.Write) || !now.Pair.Read.Equal(moved.Pair.Read):
			return named(name, ErrChanged)
		}
		_, err = d.Remove(name)
		return err
	})
	if err != nil && !errors.Is(err, ErrChanged) {
		err = fmt.Errorf("%w: %w", ErrLeftBehind, err)
	}
	return replaced, err
}

// rename moves a child within one directory, at once.
func (t *Tree) rename(ctx context.Context, dir caps.Cap, name, newName string, r Replace) (replaced bool, err error) {
	err = t.change(ctx, dir, func(d *dirnode.Directory) error {
		moved, err := t.child(d, dir, name)
		if err != nil {
			return err
		}
		if dirnode.SameName(name, newName) {
			replaced = false
			return nil
		}
		replaced = d.Has(newName)
		if err := t.link(d, dir, NewChild{newName, moved.Pair, &moved.Metadata}, r); err != nil {
			return err
		}
		_, err = d.Remove(name)
		return err
	})
	return replaced && err == nil, err
}
