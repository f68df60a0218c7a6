package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"

	"trunkline/cmd/internal/alias"
	"trunkline/cmd/internal/copier"
	"trunkline/cmd/internal/names"
	"trunkline/cmd/internal/node"
	"trunkline/grid/tree"
)

// errPartly: some of what was asked for was done. What was not has been told.
var errPartly = errors.New("not everything was done")

type copied struct {
	Files       int      `json:"files"`
	Directories int      `json:"directories"`
	Bytes       uint64   `json:"bytes"`
	Linked      int      `json:"linked"`
	Problems    []string `json:"problems,omitempty"`
}

func (c *copied) add(r copier.Result) {
	c.Files += r.Files
	c.Directories += r.Directories
	c.Bytes += r.Bytes
	c.Linked += r.Linked
	for _, p := range r.Problems {
		c.Problems = append(c.Problems, sentence(p.Error()))
	}
}

// place is one argument of cp: a path of this machine or of a grid.
type place struct {
	alias.Location
	source copier.Source // of this machine
	node   tree.Node     // of a grid
	dir    bool
	found  bool
	name   string // what it is called where it is copied to; empty for the top of an alias or cap
}

func (a *app) cpCmd() *cobra.Command {
	var where whereFlags
	var recursive, escapeNames bool
	cmd := &cobra.Command{
		Use:     "cp FROM... TO",
		Short:   "Copy files and directories to, from and between grids",
		GroupID: "files",
		Long: `Copy, as the system's cp does: into TO if that is a directory, else to that name. Each FROM, and TO, is a
path of this machine, or ALIAS:PATH, or a cap, or CAP/PATH; a path of this machine with a colon in it is
written ./a:b. With -r, directories with everything below them: what is in the top of an alias or cap goes
into TO itself.

Files of the same names are replaced, mutable ones in place. Within your grid a file that never changes is
linked, not copied. What can't be copied is told, the rest is copied, and the exit code is 4. Names that no
file of this machine can have safely ("..", control characters) are refused; --escape-names writes them
with backslashes.`,
		Example: "  trunkline cp -r photos docs:\n  trunkline cp -r docs:photos ./restored\n  trunkline cp docs:a.pdf docs:b.pdf /tmp",
		Args:    cobra.MinimumNArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			o := alias.Options{Local: true, Escaped: where.escaped}
			all := make([]place, len(args))
			grid := false
			for i, arg := range args {
				l, err := alias.Locate(arg, o)
				if err != nil {
					return err
				}
				all[i].Location = l
				grid = grid || !l.IsLocal()
			}
			if !grid {
				return &usageError{cmd: cmd.CommandPath(), err: errors.New("none of these is in a grid; write ALIAS:PATH or a cap")}
			}
			s, err := a.open(cmd, node.ClientOptions{})
			if err != nil {
				return err
			}
			defer s.close()
			return s.copy(cmd, all[:len(all)-1], all[len(all)-1], recursive, escapeNames)
		},
	}
	where.addEscaped(cmd.Flags())
	cmd.Flags().BoolVarP(&recursive, "recursive", "r", false, "copy directories with everything below them")
	cmd.Flags().BoolVar(&escapeNames, "escape-names", false, "write files under the names that ls shows")
	return cmd
}

func (s *session) copy(cmd *cobra.Command, from []place, to place, recursive, escapeNames bool) error {
	ctx := cmd.Context()
	var total uint64
	for i := range from {
		if err := s.look(ctx, &from[i]); err != nil {
			return err
		}
		if !from[i].found {
			if from[i].IsLocal() {
				return &fs.PathError{Op: "open", Path: from[i].Local, Err: fs.ErrNotExist}
			}
			return at(from[i].Location, tree.ErrNotFound)
		}
		if from[i].dir && !recursive {
			return &usageError{cmd: cmd.CommandPath(), err: fmt.Errorf("%s is a directory; -r copies it with everything below it", from[i].Location)}
		}
		if from[i].IsLocal() && to.IsLocal() {
			return &usageError{cmd: cmd.CommandPath(), err: fmt.Errorf("%s and %s are both of this machine; the system's cp copies those", from[i].Local, to.Local)}
		}
		total += sizeOf(from[i])
	}
	if err := s.look(ctx, &to); err != nil {
		return err
	}
	if to.found && !to.dir && (len(from) > 1 || from[0].dir || to.Slash) {
		return &usageError{cmd: cmd.CommandPath(), err: fmt.Errorf("%s is not a directory", to.Location)}
	}
	if !to.found && (len(from) > 1 || to.Slash && !from[0].dir) {
		if to.IsLocal() {
			return &fs.PathError{Op: "open", Path: to.Local, Err: fs.ErrNotExist}
		}
		return at(to.Location, fmt.Errorf("%w; make it with mkdir", tree.ErrNotFound))
	}
	bar := s.newProgress("cp", total)
	var done atomic.Uint64
	cfg := copier.Config{Tree: s.tree, EscapeNames: escapeNames, Done: func(n uint64) { bar.set(done.Add(n)) }}
	var out copied
	for _, f := range from {
		var r copier.Result
		var err error
		if to.IsLocal() {
			r, err = s.copyOut(ctx, cfg, f, to)
		} else {
			r, err = s.copyIn(ctx, cmd, cfg, f, to)
		}
		out.add(r)
		if err != nil {
			bar.end(false)
			s.tellProblems(out.Problems)
			return err
		}
	}
	bar.end(true)
	s.tellProblems(out.Problems)
	if err := s.print(out, func(io.Writer) {}); err != nil {
		return err
	}
	if len(out.Problems) > 0 {
		return fmt.Errorf("%w: %d files and directories were copied, %d were not", errPartly, out.Files+out.Directories, len(out.Problems))
	}
	return nil
}

func (s *session) tellProblems(list []string) {
	for _, p := range list {
		s.warn(p)
	}
}

// look finds out what is at a place.
func (s *session) look(ctx context.Context, p *place) error {
	if !p.IsLocal() {
		n, found, err := s.find(ctx, p.Location)
		p.node, p.found, p.dir, p.name = n, found, found && n.Type() == tree.TypeDirectory, p.Name()
		return err
	}
	info, err := os.Stat(p.Local)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	}
	p.found, p.dir = true, info.IsDir()
	// "." and ".." and what links lead to have the name of the folder they are.
	full, err := filepath.Abs(p.Local)
	if err != nil {
		return err
	}
	p.name = filepath.Base(full)
	p.source, err = copier.Local(p.Local)
	return err
}

// sizeOf is how much there is to copy, as far as that is known beforehand.
func sizeOf(p place) (total uint64) {
	if !p.IsLocal() {
		size, _ := p.node.Size()
		return size
	}
	_ = filepath.WalkDir(p.Local, func(_ string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			if info, err := d.Info(); err == nil {
				total += uint64(info.Size())
			}
		}
		return nil
	})
	return total
}

// copyIn copies into a grid.
func (s *session) copyIn(ctx context.Context, cmd *cobra.Command, cfg copier.Config, from, to place) (copier.Result, error) {
	source := from.source
	if source == nil {
		source = copier.Grid(from.node, from.String())
	}
	now := time.Now()
	switch {
	case from.dir && from.name == "" && to.found:
		return copier.IntoAs(ctx, cfg, source, to.node.Cap(), now)
	case to.found && to.dir:
		if from.name == "" {
			return copier.Result{}, &usageError{cmd: cmd.CommandPath(), err: fmt.Errorf("%s is a directory; say what the file is to be called there", to.Location)}
		}
		return copier.Into(ctx, cfg, source, to.node.Cap(), from.name, now)
	case len(to.Path) == 0:
		return s.overCap(ctx, cfg, source, from, to)
	}
	dir, err := s.parent(ctx, to.Location, true)
	if err != nil {
		return copier.Result{}, err
	}
	return copier.Into(ctx, cfg, source, dir, to.Name(), now)
}

// overCap overwrites the file that a cap or alias is.
func (s *session) overCap(ctx context.Context, cfg copier.Config, source copier.Source, from, to place) (copier.Result, error) {
	if from.dir {
		return copier.Result{}, at(to.Location, tree.ErrNotDirectory)
	}
	write := to.node.WriteCap()
	if write.IsZero() {
		return copier.Result{}, at(to.Location, errNotWritable)
	}
	return copier.Over(ctx, cfg, source, write)
}

var errNotWritable = errors.New("this cap changes no file")

// copyOut copies to this machine.
func (s *session) copyOut(ctx context.Context, cfg copier.Config, from, to place) (copier.Result, error) {
	target := to.Local
	if to.found && to.dir && from.name != "" {
		name := from.name
		if cfg.EscapeNames {
			name = names.Escaped(name)
		}
		if err := names.Local(name); err != nil {
			return copier.Result{}, fmt.Errorf("%s: %w", from.Location, err)
		}
		target = filepath.Join(target, name)
	}
	if to.found && to.dir && from.name == "" && !from.dir {
		return copier.Result{}, &usageError{err: fmt.Errorf("%s is a directory; name the file to write", strings.TrimSuffix(to.Local, "/"))}
	}
	return copier.ToLocal(ctx, cfg, from.node, from.String(), target, node.NewFileMode())
}
