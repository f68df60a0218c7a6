package tree

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"trunkline/caps"
	"trunkline/grid/dirnode"
)

// Config makes a Tree.
type Config struct {
	// Files is where directories are kept.
	Files Files
	// Format is the kind of file in which mutable directories are kept if nobody says: caps.KindSDMF, which is the default,
	// or caps.KindMDMF.
	Format caps.Kind
	// Ahead is how many directories a walk reads, and a deep check checks, at a time. Default 4.
	Ahead int
	// Logger gets what helps to find out what happened; nil discards.
	Logger *slog.Logger
	// Now is the clock. Default time.Now.
	Now func() time.Time
}

// Tree is safe for concurrent use. It keeps nothing between calls and starts nothing that outlives them.
type Tree struct{ c Config }

// defaultAhead is Config.Ahead's.
const defaultAhead = 4

// New makes a Tree.
func New(c Config) *Tree {
	c.Format = kindOf(c.Format, caps.KindSDMF)
	if c.Ahead < 1 {
		c.Ahead = defaultAhead
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Now == nil {
		c.Now = time.Now //nolint:forbidigo // the default of an injected clock
	}
	return &Tree{c}
}

// Files is where the directories are kept.
func (t *Tree) Files() Files { return t.c.Files }

// Resolve walks from root, name by name; an empty path is root itself. Names are compared in their normal form NFC.
//
// Errors: ErrNotFound, ErrNotDirectory (something on the way is a file), ErrNotReadable, ErrEntry, ErrMalformed, ErrTooLarge;
// those of Files.
func (t *Tree) Resolve(ctx context.Context, root caps.Cap, path []string) (Node, error) {
	n := NodeOf(root)
	for _, name := range path {
		d, _, err := t.read(ctx, n.Cap())
		if err != nil {
			return Node{}, err
		}
		if n, err = t.child(d, n.Cap(), name); err != nil {
			return Node{}, err
		}
	}
	return n, nil
}

// child is a child of a directory that was read with that cap.
func (t *Tree) child(d *dirnode.Directory, parent caps.Cap, name string) (Node, error) {
	e, err := d.Get(name)
	switch {
	case errors.Is(err, dirnode.ErrNotFound):
		return Node{}, named(name, ErrNotFound)
	case err != nil:
		return Node{}, named(name, err)
	}
	return nodeOf(e, parent), nil
}

func nodeOf(e dirnode.Entry, parent caps.Cap) Node {
	return Node{Pair: adopt(e.Pair, parent.Areas()), Linked: true, Metadata: e.Metadata}
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
func (t *Tree) List(ctx context.Context, dir caps.Cap) (Listing, error) {
	d, size, err := t.read(ctx, dir)
	if err != nil {
		return Listing{}, err
	}
	names := d.Names()
	l := Listing{Children: make([]Child, 0, len(names)), Size: size}
	for _, name := range names {
		e, err := d.Get(name)
		if err != nil {
			l.Malformed = append(l.Malformed, name)
			continue
		}
		l.Children = append(l.Children, Child{name, nodeOf(e, dir)})
	}
	if len(l.Malformed) > 0 {
		t.c.Logger.Debug("directory has malformed entries", "directory", dir, "entries", len(l.Malformed))
	}
	return l, nil
}

// read reads a directory, and tells how long its contents are.
func (t *Tree) read(ctx context.Context, dir caps.Cap) (*dirnode.Directory, uint64, error) {
	if err := readable(dir); err != nil {
		return nil, 0, err
	}
	var contents bytes.Buffer
	err := t.c.Files.Read(ctx, dir, func(size uint64) (uint64, uint64, io.Writer, error) {
		if size > dirnode.MaxContents {
			return 0, 0, nil, ErrTooLarge
		}
		return 0, size, &contents, nil
	})
	if err != nil {
		return nil, 0, fmt.Errorf("reading the directory: %w", err)
	}
	size := uint64(contents.Len())
	d, err := dirnode.Parse(contents.Bytes(), options(dir))
	return d, size, err
}

// readable says whether a cap opens a directory.
func readable(dir caps.Cap) error {
	switch {
	case dir.Kind() == caps.KindUnknown:
		return ErrNotReadable
	case !dir.IsDirectory():
		return ErrNotDirectory
	case !dir.Kind().CanRead():
		return ErrNotReadable
	}
	return nil
}

// options are what a directory's cap tells of it.
func options(dir caps.Cap) dirnode.Options {
	o := dirnode.Options{Immutable: !dir.Kind().IsMutable()}
	if key, ok := dir.WriteKey(); ok {
		o.Write = &key
	}
	return o
}

// kindOf is the kind of mutable file that is meant.
func kindOf(k, otherwise caps.Kind) caps.Kind {
	if k == caps.KindSDMF || k == caps.KindMDMF {
		return k
	}
	return otherwise
}
