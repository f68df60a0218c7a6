package copier

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"trunkline/cmd/internal/names"
	"trunkline/grid/tree"
)

// ToLocal copies a file or directory of a grid to a path of this machine. A directory
// goes into a folder that is there, and replaces files of the same names in it. Files
// take their names when they are whole, and nothing is written outside of path,
// whatever names the directory holds and whatever links the folder does.
//
// mode is what new files get. Errors: the disk's; ErrInTheWay.
func ToLocal(ctx context.Context, cfg Config, n tree.Node, shown, path string, mode fs.FileMode) (Result, error) {
	c := start(cfg)
	d := &download{copying: c, mode: mode}
	path = filepath.Clean(path)
	if n.Type() != tree.TypeDirectory {
		root, err := os.OpenRoot(filepath.Dir(path))
		if err != nil {
			return c.result, err
		}
		defer root.Close()
		err = d.write(ctx, root, filepath.Base(path), n, shown)
		return c.result, c.settle(ctx, shown, err)
	}
	if err := os.MkdirAll(path, 0o777); err != nil {
		return c.result, err
	}
	root, err := os.OpenRoot(path)
	if err != nil {
		return c.result, err
	}
	defer root.Close()
	err = d.fill(ctx, root, n, shown, nil)
	return c.result, c.settle(ctx, shown, err)
}

type download struct {
	*copying
	mode fs.FileMode
}

// fill copies a directory's children into a folder.
func (d *download) fill(ctx context.Context, folder *os.Root, n tree.Node, shown string, above []string) error {
	s := gridSource{n, shown}
	id := s.id()
	switch {
	case id != "" && slices.Contains(above, id):
		return &sourceError{ErrInsideItself}
	case len(above) >= maxDepth:
		return &sourceError{ErrDeep}
	}
	above = append(slices.Clone(above), id)
	children, err := s.children(ctx, d.copying)
	if err != nil {
		return err
	}
	d.directory()
	var files, folders []named
	for _, child := range children {
		// All names, so that no two become one.
		if d.EscapeNames {
			child.name = names.Escaped(child.name)
		}
		if err := names.Local(child.name); err != nil {
			d.problem(child.shown(), err)
			continue
		}
		if child.isDir() {
			folders = append(folders, child)
		} else {
			files = append(files, child)
		}
	}
	err = parallel(ctx, d.Workers, files, func(ctx context.Context, child named) error {
		err := d.write(ctx, folder, child.name, child.Source.(gridSource).node, child.shown())
		return d.settle(ctx, child.shown(), err)
	})
	if err != nil {
		return err
	}
	for _, child := range folders {
		if err := d.settle(ctx, child.shown(), d.enter(ctx, folder, child, above)); err != nil {
			return err
		}
	}
	return nil
}

// enter makes a folder, or takes the one that is there, and fills it.
func (d *download) enter(ctx context.Context, folder *os.Root, child named, above []string) error {
	if err := folder.Mkdir(child.name, 0o777); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	sub, err := folder.OpenRoot(child.name)
	if err != nil {
		// A file, or a link that leads out.
		return &sourceError{fmt.Errorf("%w: %w", ErrInTheWay, err)}
	}
	defer sub.Close()
	return d.fill(ctx, sub, child.Source.(gridSource).node, child.shown(), above)
}

// write copies a file under another name first.
func (d *download) write(ctx context.Context, folder *os.Root, name string, n tree.Node, shown string) (err error) {
	if info, err := folder.Lstat(name); err == nil && info.IsDir() {
		return &sourceError{fmt.Errorf("%w: %s is a folder here", ErrInTheWay, names.Show(name))}
	}
	temp := ".part-" + rand.Text()
	f, err := folder.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, folder.Remove(temp))
		}
	}()
	size, err := read(ctx, d.Tree, n, f)
	if err == nil {
		err = f.Chmod(d.mode)
	}
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		return err
	}
	if err := folder.Rename(temp, name); err != nil {
		return err
	}
	d.file(size, false)
	return nil
}
