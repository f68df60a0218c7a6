package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"trunkline/caps"
	"trunkline/cmd/internal/alias"
	"trunkline/cmd/internal/names"
	"trunkline/cmd/internal/node"
	"trunkline/grid/tree"
)

// aboutPlaces explains, in the help of commands, what names a file or directory.
const aboutPlaces = `A file or directory of a grid is named by ALIAS:PATH, by a cap or CAP/PATH, or by "-", which reads
the cap from standard input. A path alone is below the alias "tahoe".`

// whereFlags are the flags of commands about one file or directory of a grid.
type whereFlags struct {
	capFile string
	escaped bool
}

func (w *whereFlags) add(f *pflag.FlagSet) {
	f.StringVar(&w.capFile, "cap-file", "", "read the cap from `FILE`; the argument is then a path below it")
	w.addEscaped(f)
}

func (w *whereFlags) addEscaped(f *pflag.FlagSet) {
	f.BoolVar(&w.escaped, "escaped", false, "read paths as ls shows odd names, with backslashes")
}

func (w *whereFlags) options() alias.Options { return alias.Options{Escaped: w.escaped} }

// locate reads the argument, if there is one. A cap from standard input has been read afterwards.
func (w *whereFlags) locate(a *app, args []string) (alias.Location, error) {
	text := ""
	if len(args) > 0 {
		text = args[0]
	}
	if w.capFile == "" {
		return a.locate(text, w.options())
	}
	if text == "-" || strings.HasPrefix(text, "-/") || strings.HasPrefix(text, "URI:") {
		return alias.Location{}, &usageError{err: errors.New("give the cap as an argument or in --cap-file, not both")}
	}
	c, err := a.readCap(nil, w.capFile)
	if err != nil {
		return alias.Location{}, err
	}
	return alias.Location{Cap: c}.Below(text, w.options())
}

// locate reads what names a file or directory, and a cap from standard input if that is what it names.
func (a *app) locate(text string, o alias.Options) (alias.Location, error) {
	l, err := alias.Locate(text, o)
	if err != nil || !l.Stdin {
		return l, err
	}
	line, err := capLine(a.stdin)
	if err != nil {
		return l, fmt.Errorf("reading the cap from standard input: %w", err)
	}
	l.Stdin = false
	l.Cap, err = caps.Parse(line)
	return l, err
}

// session is a client that is open, and what commands about directories need beside it.
type session struct {
	*app
	client  *node.Client
	tree    *tree.Tree
	aliases alias.File
}

// open opens a session at the place that a command names. The caller closes it.
func (w *whereFlags) open(a *app, cmd *cobra.Command, args []string) (*session, alias.Location, error) {
	l, err := w.locate(a, args)
	if err != nil {
		return nil, l, err
	}
	s, err := a.open(cmd, node.ClientOptions{})
	return s, l, err
}

// open opens the client of the home directory. It must be closed.
func (a *app) open(cmd *cobra.Command, o node.ClientOptions) (*session, error) {
	h, err := a.home()
	if err != nil {
		return nil, err
	}
	o.Logger = a.logger(false)
	c, err := node.OpenClient(cmd.Context(), h, o)
	if err != nil {
		return nil, err
	}
	return &session{a, c, c.Tree(), h.Aliases()}, nil
}

func (s *session) close() { s.client.Close() }

// root is the cap that a location starts at.
func (s *session) root(l alias.Location) (caps.Cap, error) {
	if l.Alias == "" {
		return l.Cap, nil
	}
	c, err := s.aliases.Get(l.Alias)
	if err == nil || !errors.Is(err, alias.ErrUnknown) {
		return c, err
	}
	// A local file's name in the place of a cap is a common slip.
	if len(l.Path) > 0 && l.Alias == alias.Default {
		if info, statErr := os.Stat(filepath.Join(l.Path...)); statErr == nil && info.Mode().IsRegular() {
			return c, &usageError{err: fmt.Errorf("%s is a file of this machine; --cap-file reads a cap from it", names.Path(l.Path))}
		}
	}
	return c, err
}

// resolve finds what a location names.
func (s *session) resolve(ctx context.Context, l alias.Location) (tree.Node, error) {
	root, err := s.root(l)
	if err != nil {
		return tree.Node{}, err
	}
	n, err := s.tree.Resolve(ctx, root, l.Path)
	if err != nil {
		return n, at(l, err)
	}
	if l.Slash && len(l.Path) > 0 && n.Type() != tree.TypeDirectory {
		return n, at(l, tree.ErrNotDirectory)
	}
	return n, nil
}

// find is resolve that says whether anything is there.
func (s *session) find(ctx context.Context, l alias.Location) (tree.Node, bool, error) {
	n, err := s.resolve(ctx, l)
	if errors.Is(err, tree.ErrNotFound) {
		return n, false, nil
	}
	return n, err == nil, err
}

// parent finds the directory that holds, or is to hold, what a location names. make makes it where it is missing.
func (s *session) parent(ctx context.Context, l alias.Location, make bool) (caps.Cap, error) {
	if len(l.Path) == 0 {
		return caps.Cap{}, &usageError{err: fmt.Errorf("%s names no entry of a directory; add a path", l)}
	}
	up := l
	up.Path = l.Path[:len(l.Path)-1]
	if !make {
		n, err := s.resolve(ctx, up)
		if err == nil && n.Type() != tree.TypeDirectory {
			err = at(up, tree.ErrNotDirectory)
		}
		return n.Cap(), err
	}
	root, err := s.root(up)
	if err != nil {
		return caps.Cap{}, err
	}
	n, err := s.tree.MkdirAll(ctx, root, up.Path, caps.KindUnknown)
	if err != nil {
		return caps.Cap{}, at(up, err)
	}
	return n.Cap(), nil
}

// inside is the entry of that name in the directory that a location names.
func inside(l alias.Location, name string) alias.Location {
	l.Path = append(append([]string(nil), l.Path...), name)
	l.Slash = false
	return l
}

// at says which file or directory an error is about.
func at(l alias.Location, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", l, err)
}

// parseFormat reads --format for something mutable.
func parseFormat(text string) (caps.Kind, error) {
	switch strings.ToLower(text) {
	case "":
		return caps.KindUnknown, nil
	case "sdmf":
		return caps.KindSDMF, nil
	case "mdmf":
		return caps.KindMDMF, nil
	}
	return caps.KindUnknown, &usageError{err: fmt.Errorf("--format %q: want sdmf or mdmf", text)}
}

// far is a cap as others are given it, and as it is kept: with the home grid's area, so that it opens from anywhere.
func (s *session) far(c caps.Cap) caps.Cap {
	home := s.tree.Files().Home()
	if _, literal := c.Literal(); c.IsZero() || c.IsLongDistance() || home.IsZero() || literal {
		return c
	}
	if far, err := c.WithAreas(home); err == nil {
		return far
	}
	return c // of an unknown kind
}
