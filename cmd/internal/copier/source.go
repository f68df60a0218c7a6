package copier

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"unicode/utf8"

	"trunkline/caps"
	"trunkline/grid/tree"
)

// Source is what is copied into a grid: a local file or folder, or one of a grid.
type Source interface {
	// isDir tells directories.
	isDir() bool
	// shown is where it is.
	shown() string
	// children lists a directory. Errors are sourceErrors; problems are told one by one.
	children(ctx context.Context, c *copying) ([]named, error)
	// put makes the file one of the home grid and returns its cap; linked says that
	// nothing had to be copied.
	put(ctx context.Context, t *tree.Tree) (c caps.Cap, size uint64, linked bool, err error)
	// open gives the file's contents, to be closed. Errors are sourceErrors.
	open(ctx context.Context, t *tree.Tree) (content, error)
	// id names a directory where one can lead back to itself.
	id() string
}

type named struct {
	name string
	Source
}

// content is a file's contents while they are copied.
type content struct {
	io.ReaderAt
	size  uint64
	close func()
}

// readerAt marks what goes wrong in reading.
type readerAt struct{ io.ReaderAt }

func (r readerAt) ReadAt(p []byte, off int64) (int, error) {
	n, err := r.ReaderAt.ReadAt(p, off)
	if err != nil && err != io.EOF { //nolint:errorlint // ReaderAt returns it bare
		err = &sourceError{err}
	}
	return n, err
}

type localSource struct {
	path string
	info fs.FileInfo
}

// Local is a file or folder of this machine.
func Local(path string) (Source, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.IsDir() && !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s: %w", path, ErrType)
	}
	return localSource{path, info}, nil
}

func (s localSource) isDir() bool   { return s.info.IsDir() }
func (s localSource) shown() string { return s.path }
func (s localSource) id() string    { return "" } // links to folders are not followed

func (s localSource) children(_ context.Context, c *copying) ([]named, error) {
	entries, err := os.ReadDir(s.path)
	if err != nil {
		return nil, &sourceError{err}
	}
	var list []named
	for _, e := range entries {
		path := filepath.Join(s.path, e.Name())
		// Links to files are followed; one to a folder could lead anywhere, and back.
		info, err := os.Stat(path)
		switch {
		case err != nil:
			c.problem(path, err)
		case !utf8.ValidString(e.Name()):
			c.problem(join(s.path, e.Name()), ErrEncoding)
		case info.IsDir() && e.Type()&fs.ModeSymlink != 0:
			c.problem(path, fmt.Errorf("%w: a link to a folder is not followed", ErrType))
		case !info.IsDir() && !info.Mode().IsRegular():
			c.problem(path, ErrType)
		default:
			list = append(list, named{e.Name(), localSource{path, info}})
		}
	}
	return list, nil
}

func (s localSource) open(context.Context, *tree.Tree) (content, error) {
	f, err := os.Open(s.path)
	if err != nil {
		return content{}, &sourceError{err}
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = ErrType
	}
	if err != nil {
		f.Close()
		return content{}, &sourceError{err}
	}
	return content{readerAt{f}, uint64(info.Size()), func() { f.Close() }}, nil
}

func (s localSource) put(ctx context.Context, t *tree.Tree) (caps.Cap, uint64, bool, error) {
	return store(ctx, t, s)
}

func store(ctx context.Context, t *tree.Tree, s Source) (caps.Cap, uint64, bool, error) {
	in, err := s.open(ctx, t)
	if err != nil {
		return caps.Cap{}, 0, false, err
	}
	defer in.close()
	c, err := t.Files().PutImmutable(ctx, in, in.size)
	return c, in.size, false, err
}

type gridSource struct {
	node tree.Node
	path string
}

// Grid is a file or directory of a grid; path is how it is shown.
func Grid(n tree.Node, path string) Source { return gridSource{n, path} }

func (s gridSource) isDir() bool   { return s.node.Type() == tree.TypeDirectory }
func (s gridSource) shown() string { return s.path }

func (s gridSource) id() string {
	if v, ok := s.node.VerifyCap(); ok {
		return v.Text()
	}
	return ""
}

func (s gridSource) children(ctx context.Context, c *copying) ([]named, error) {
	listing, err := c.Tree.List(ctx, s.node.Cap())
	if err != nil {
		return nil, &sourceError{err}
	}
	for _, name := range listing.Malformed {
		c.problem(join(s.path, name), ErrUnreadable)
	}
	list := make([]named, 0, len(listing.Children))
	for _, child := range listing.Children {
		path := join(s.path, child.Name)
		if child.Cap().IsZero() {
			c.problem(path, ErrUnreadable)
			continue
		}
		list = append(list, named{child.Name, gridSource{child.Node, path}})
	}
	return list, nil
}

// put links what cannot change and is of the home grid; what can change is copied as it
// is now, and what is of another grid is brought home.
func (s gridSource) put(ctx context.Context, t *tree.Tree) (caps.Cap, uint64, bool, error) {
	mutable, known := s.node.Mutable()
	areas := s.node.Cap().Areas()
	home := len(areas) == 0 || slices.Contains(areas, t.Files().Home())
	if home && (!known || !mutable) {
		size, _ := s.node.Size()
		return s.node.Cap(), size, true, nil
	}
	return store(ctx, t, s)
}

// open keeps the contents in a temporary file: they must be read twice, and come once.
func (s gridSource) open(ctx context.Context, t *tree.Tree) (content, error) {
	f, err := os.CreateTemp("", "trunkline-cp-*")
	if err != nil {
		return content{}, fmt.Errorf("keeping a file that is copied: %w", err)
	}
	// Unlinked at once: nothing is left behind however this process ends.
	if err := os.Remove(f.Name()); err != nil {
		f.Close()
		return content{}, fmt.Errorf("keeping a file that is copied: %w", err)
	}
	size, err := read(ctx, t, s.node, f)
	if err != nil {
		f.Close()
		return content{}, err
	}
	return content{f, size, func() { f.Close() }}, nil
}

// read writes a file's contents to w. A failure of w is told from one of the source.
func read(ctx context.Context, t *tree.Tree, n tree.Node, w io.Writer) (size uint64, err error) {
	if n.Type() == tree.TypeUnknown || n.Cap().IsZero() {
		return 0, &sourceError{ErrUnreadable}
	}
	out := &sink{w: w}
	err = t.Files().Read(ctx, n.Cap(), func(all uint64) (uint64, uint64, io.Writer, error) {
		size = all
		return 0, all, out, nil
	})
	switch {
	case out.err != nil:
		return 0, out.err
	case err != nil:
		return 0, &sourceError{err}
	}
	return size, nil
}

// sink remembers that it could not be written to.
type sink struct {
	w   io.Writer
	err error
}

func (s *sink) Write(p []byte) (int, error) {
	n, err := s.w.Write(p)
	if err != nil {
		s.err = err
	}
	return n, err
}
