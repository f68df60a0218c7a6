package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"trunkline/caps"
	"trunkline/cmd/internal/alias"
	"trunkline/cmd/internal/node"
	"trunkline/grid/tree"
)

func (a *app) putCmd() *cobra.Command {
	var where whereFlags
	var random, mutable bool
	var format string
	cmd := &cobra.Command{
		Use:     "put FILE | - [TO]",
		Short:   "Store a file on your grid and print its cap",
		GroupID: "files",
		Long: `Store a file on the servers of your home grid and print its long-distance cap, which opens it
from any grid. Whoever has the cap can read the file; nobody else can.

With TO, ALIAS:PATH or CAP/PATH, it is linked there instead: in the directory that is there, or under that
name; directories that are missing on the way are made. A mutable file that is there, or the cap of
one, is overwritten in place. --mutable makes a file whose contents can be replaced later; "sdmf" is kept
whole, of "mdmf" parts can be changed.

The same file put twice by the same client gives the same cap and is stored once; --random-key makes
a fresh key instead. "-" stores standard input, which is kept in a temporary file meanwhile, because
a file's size must be known before it is encoded.`,
		Example: "  trunkline put thesis.pdf > thesis.cap\n  trunkline put thesis.pdf docs:\n  tar c photos | trunkline put - docs:photos.tar\n" +
			"  trunkline put --mutable notes.txt docs:notes.txt",
		Args: cobra.RangeArgs(1, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			kind, immutable, err := putFormat(format, mutable)
			if err != nil {
				return err
			}
			if !immutable && random {
				return &usageError{cmd: cmd.CommandPath(), err: errors.New("a mutable file has a key of its own in any case; leave --random-key out")}
			}
			h, err := a.home()
			if err != nil {
				return err
			}
			var to alias.Location
			if len(args) == 2 {
				if to, err = a.locate(args[1], where.options()); err != nil {
					return err
				}
				if args[0] == "-" && args[1] == "-" {
					return &usageError{cmd: cmd.CommandPath(), err: errors.New("standard input is either the file or the cap")}
				}
			}
			if _, err := h.Config(); err != nil {
				return err
			}
			src, size, done, err := openInput(a.stdin, args[0])
			if err != nil {
				return err
			}
			defer done()
			s, err := a.open(cmd, node.ClientOptions{RandomKeys: random})
			if err != nil {
				return err
			}
			defer s.close()
			p := putting{session: s, cmd: cmd, src: src, size: size, kind: kind, immutable: immutable}
			if len(args) == 1 {
				report, err := p.store()
				if err != nil {
					return err
				}
				return a.print(report, func(w io.Writer) { fmt.Fprintln(w, report.Cap) })
			}
			name := filepath.Base(args[0])
			if args[0] == "-" {
				name = ""
			}
			return p.link(to, name)
		},
	}
	cmd.Flags().BoolVar(&random, "random-key", false, "use a fresh random key, so that nobody can tell that two files are equal")
	cmd.Flags().BoolVar(&mutable, "mutable", false, "make a file whose contents can be replaced")
	cmd.Flags().StringVar(&format, "format", "", "chk (never changes), sdmf or mdmf (both mutable)")
	where.addEscaped(cmd.Flags())
	return cmd
}

// putFormat reads --format and --mutable.
func putFormat(format string, mutable bool) (kind caps.Kind, immutable bool, err error) {
	if strings.EqualFold(format, "chk") {
		if mutable {
			return kind, false, &usageError{err: errors.New("--format chk never changes; leave --mutable out")}
		}
		return kind, true, nil
	}
	if kind, err = parseFormat(format); err != nil {
		return kind, false, &usageError{err: fmt.Errorf("--format %q: want chk, sdmf or mdmf", format)}
	}
	return kind, kind == caps.KindUnknown && !mutable, nil
}

// putting is one file on its way to the grid.
type putting struct {
	*session
	cmd       *cobra.Command
	src       io.ReaderAt
	size      uint64
	kind      caps.Kind // of a mutable file; unknown for the configured one
	immutable bool
}

// store puts the file somewhere new.
func (p putting) store() (report node.PutReport, err error) {
	bar := p.newProgress("put", p.size)
	if p.immutable {
		report, err = p.client.Put(p.cmd.Context(), p.src, p.size, bar.set)
	} else {
		report, err = p.client.PutMutable(p.cmd.Context(), p.src, p.size, p.kind)
	}
	bar.end(err == nil)
	for _, w := range report.Warnings {
		p.warn(w)
	}
	return report, err
}

type putLinked struct {
	Path   string `json:"path"`
	Bytes  uint64 `json:"bytes"`
	Result string `json:"result"` // created, replaced or overwritten
}

// link puts the file where to says. name is what it is called in a directory.
func (p putting) link(to alias.Location, name string) error {
	ctx := p.cmd.Context()
	out := putLinked{Bytes: p.size, Result: "created"}
	n, found, err := p.find(ctx, to)
	if err != nil {
		return err
	}
	// The cap of a file by itself ends in nothing, and means the file.
	if found && n.Type() == tree.TypeDirectory || to.Slash && (len(to.Path) > 0 || !found) {
		if name == "" {
			return &usageError{cmd: p.cmd.CommandPath(), err: fmt.Errorf("%s is a directory; say what the file is to be called there", to)}
		}
		to = inside(to, name)
		if n, found, err = p.find(ctx, to); err != nil {
			return err
		}
		if found && n.Type() == tree.TypeDirectory {
			return at(to, tree.ErrExists)
		}
	}
	out.Path = to.String()
	switch {
	case found && !n.WriteCap().IsZero() && p.immutable:
		out.Result = "overwritten"
		err = p.tree.Files().Overwrite(ctx, n.WriteCap(), p.src, p.size)
	case len(to.Path) == 0:
		err = errNotWritable
	default:
		// First of all, so that nothing is stored for a place that can't be written to.
		var dir caps.Cap
		if dir, err = p.parent(ctx, to, true); err != nil {
			return err
		}
		var report node.PutReport
		if report, err = p.store(); err != nil {
			return err
		}
		var c caps.Cap
		if c, err = caps.Parse(report.Cap); err != nil {
			return err
		}
		var replaced bool
		replaced, err = p.tree.Link(ctx, dir, tree.NewChild{Name: to.Name(), Pair: tree.NodeOf(c).Pair}, tree.ReplaceOnlyFiles)
		if replaced {
			out.Result = "replaced"
		}
	}
	if err != nil {
		return at(to, err)
	}
	return p.print(out, func(io.Writer) {})
}

// what names a file that is not a regular one.
func what(m fs.FileMode) string {
	if m.IsDir() {
		return "directory"
	}
	return "device or pipe"
}

// openInput opens a file to be read twice, once for its key and once for its shares.
func openInput(stdin io.Reader, name string) (src io.ReaderAt, size uint64, done func(), err error) {
	if name != "-" {
		f, err := os.Open(name)
		if err != nil {
			return nil, 0, nil, fmt.Errorf("reading the file: %w", err)
		}
		info, err := f.Stat()
		if err == nil && !info.Mode().IsRegular() {
			err = &usageError{err: fmt.Errorf("%s is a %s, and put stores one file; pipe it: tar c %s | trunkline put -", name, what(info.Mode()), name)}
		}
		if err != nil {
			f.Close()
			return nil, 0, nil, err
		}
		return f, uint64(info.Size()), func() { f.Close() }, nil
	}
	f, err := os.CreateTemp("", "trunkline-put-*")
	if err != nil {
		return nil, 0, nil, fmt.Errorf("keeping standard input: %w", err)
	}
	// Unlinked at once: nothing is left behind however this process ends.
	err = os.Remove(f.Name())
	n, copyErr := io.Copy(f, stdin)
	if err = errors.Join(err, copyErr); err != nil {
		f.Close()
		return nil, 0, nil, fmt.Errorf("keeping standard input: %w", err)
	}
	return f, uint64(n), func() { f.Close() }, nil
}
