package tree

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"

	"trunkline/caps"
	"trunkline/grid/dirnode"
)

// Mkdir makes an empty directory that is linked nowhere, and returns its write cap, without an area. format is
// caps.KindSDMF or caps.KindMDMF; anything else is the tree's own.
func (t *Tree) Mkdir(ctx context.Context, format caps.Kind) (caps.Cap, error) {
	return t.MkdirWithChildren(ctx, format, nil)
}

// MkdirWithChildren makes a mutable directory with these children, whose metadata are stored as they are.
//
// Errors: ErrName, ErrMetadata, ErrChild, ErrTooLarge; those of Files.
func (t *Tree) MkdirWithChildren(ctx context.Context, format caps.Kind, children []NewChild) (caps.Cap, error) {
	return t.create(ctx, format, func(d *dirnode.Directory) error { return t.fill(d, children) })
}

// MkdirImmutable makes an immutable directory. The same children give the same cap.
//
// Errors: ErrMutableChild, ErrName, ErrMetadata, ErrChild, ErrTooLarge; those of Files.
func (t *Tree) MkdirImmutable(ctx context.Context, children []NewChild) (caps.Cap, error) {
	d := dirnode.New(dirnode.Options{Immutable: true})
	if err := t.fill(d, children); err != nil {
		return caps.Cap{}, err
	}
	contents, err := d.Pack()
	if err != nil {
		return caps.Cap{}, err
	}
	file, err := t.c.Files.PutImmutable(ctx, bytes.NewReader(contents), uint64(len(contents)))
	if err != nil {
		return caps.Cap{}, fmt.Errorf("storing the directory: %w", err)
	}
	return t.directory(file)
}

// fill puts children into a directory in the making.
func (t *Tree) fill(d *dirnode.Directory, children []NewChild) error {
	for _, child := range children {
		e := dirnode.Entry{Pair: t.release(child.Pair, nil)}
		if child.Metadata != nil {
			e.Metadata = *child.Metadata
		}
		if err := d.Add(child.Name, e); err != nil {
			return unlinkable(child.Name, err)
		}
	}
	return nil
}

// create makes a mutable directory that fn fills.
func (t *Tree) create(ctx context.Context, format caps.Kind, fn func(*dirnode.Directory) error) (caps.Cap, error) {
	var refused error
	file, err := t.c.Files.CreateMutable(ctx, kindOf(format, t.c.Format), nil, func(key caps.WriteKey) (io.ReaderAt, uint64, error) {
		d := dirnode.New(dirnode.Options{Write: &key})
		if refused = fn(d); refused != nil {
			return nil, 0, refused
		}
		var contents []byte
		if contents, refused = d.Pack(); refused != nil {
			return nil, 0, refused
		}
		return bytes.NewReader(contents), uint64(len(contents)), nil
	})
	switch {
	case refused != nil:
		return caps.Cap{}, refused
	case err != nil:
		return caps.Cap{}, fmt.Errorf("making the directory: %w", err)
	}
	return t.directory(file)
}

// directory is the cap of the directory that is kept in a file that was made. As a directory of the home grid it names no
// area.
func (t *Tree) directory(file caps.Cap) (caps.Cap, error) {
	dir, ok := releaseCap(file, []caps.AreaCode{t.c.Files.Home()}).Directory()
	if !ok {
		return caps.Cap{}, fmt.Errorf("%w: stored as a %v", ErrNotDirectory, file.Kind())
	}
	return dir, nil
}

// MkdirAll makes the directory at a path, and all that are missing on the way, which are in the tree's own format; one
// that is there already is left alone. An empty path is root itself. All that is missing appears at once.
//
// Errors: ErrInTheWay; those of Resolve and Link.
func (t *Tree) MkdirAll(ctx context.Context, root caps.Cap, path []string, format caps.Kind) (Node, error) {
	n := NodeOf(root)
	if err := readable(root); err != nil {
		return Node{}, err
	}
	for i, lost := 0, 0; i < len(path); {
		d, _, err := t.read(ctx, n.Cap())
		if err != nil {
			return Node{}, err
		}
		next, err := t.child(d, n.Cap(), path[i])
		switch {
		case err == nil && next.Type() != TypeDirectory:
			return Node{}, named(path[i], ErrInTheWay)
		case err == nil:
			n = next
			i++
			continue
		case !errors.Is(err, ErrNotFound):
			return Node{}, err
		}
		// If somebody else makes it first, that one is taken. Whoever reads stale directories does not see it ever.
		made, err := t.makeMissing(ctx, n.Cap(), path[i:], format)
		if lost++; !errors.Is(err, ErrExists) || lost == maxLost {
			return made, err
		}
	}
	return n, nil
}

// maxLost is how often somebody else may be faster in making a directory.
const maxLost = 8

// makeMissing makes a chain of directories, from below, and links the first. It returns the last.
func (t *Tree) makeMissing(ctx context.Context, dir caps.Cap, names []string, format caps.Kind) (Node, error) {
	if err := t.changeable(dir); err != nil {
		return Node{}, err
	}
	bottom, err := t.Mkdir(ctx, format)
	if err != nil {
		return Node{}, err
	}
	top := bottom
	for i := len(names) - 1; i > 0; i-- {
		below := NewChild{Name: names[i], Pair: caps.Pair{Write: top}}
		top, err = t.create(ctx, t.c.Format, func(d *dirnode.Directory) error { return t.link(d, caps.Cap{}, below, ReplaceNever) })
		if err != nil {
			return Node{}, err
		}
	}
	if _, err := t.Link(ctx, dir, NewChild{Name: names[0], Pair: caps.Pair{Write: top}}, ReplaceNever); err != nil {
		return Node{}, err
	}
	pair := adopt(t.release(caps.Pair{Write: bottom}, dir.Areas()), dir.Areas())
	return Node{Pair: pair, Linked: true}, nil
}
