package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"trunkline/caps"
	"trunkline/cmd/internal/alias"
	"trunkline/cmd/internal/node"
	"trunkline/grid/transfer"
	"trunkline/grid/tree"
)

func (a *app) getCmd() *cobra.Command {
	var where whereFlags
	var output, byteRange string
	cmd := &cobra.Command{
		Use:     "get [WHERE | -] [FILE]",
		Short:   "Fetch a file, from your grid or any other",
		GroupID: "files",
		Long: `Fetch a file. A plain cap, or one of your own area, is read from your grid's servers; a
long-distance cap of another area through your grid's gateway. Without a home grid only toll-free
grids can be read. Every byte is verified before it is written.

The file goes to standard output, or to FILE, which appears only when it is whole.
` + aboutPlaces + `

A cap is a password: give it on standard input or with --cap-file. Without WHERE it is read from
standard input.`,
		Example: "  trunkline get - -o thesis.pdf < thesis.cap\n" +
			"  trunkline get docs:thesis.pdf thesis.pdf\n" +
			"  trunkline get --cap-file talk.cap | mpv -\n" +
			"  trunkline get --cap-file disk.cap --range 1048576-2097151 > part",
		Args: cobra.MaximumNArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 2 {
				if output != "" {
					return &usageError{cmd: cmd.CommandPath(), err: errors.New("name the file to write once, as an argument or with -o")}
				}
				output = args[1]
			}
			if len(args) == 0 && where.capFile == "" {
				args = []string{"-"}
			}
			l, err := where.locate(a, args)
			if err != nil {
				return err
			}
			want, err := parseRange(byteRange)
			if err != nil {
				return &usageError{cmd: cmd.CommandPath(), err: err}
			}
			if output == "" && terminal(a.stdout) {
				return &usageError{cmd: cmd.CommandPath(), err: errors.New("not writing a file to the terminal; use -o FILE or a pipe")}
			}
			s, err := a.open(cmd, node.ClientOptions{})
			if err != nil {
				return err
			}
			defer s.close()
			c, err := s.file(cmd.Context(), l)
			if err != nil {
				return err
			}
			dst, err := openOutput(a.stdout, output)
			if err != nil {
				return err
			}
			defer dst.discard()
			var bar *progress
			report, err := s.client.Get(cmd.Context(), c, want, dst, func(done, total uint64) {
				if bar == nil {
					bar = a.newProgress("get", total)
				}
				bar.set(done)
			})
			if bar != nil {
				bar.end(err == nil)
			}
			if err != nil {
				a.warnOfLiars(err)
				if report.Bytes > 0 {
					err = fmt.Errorf("the transfer broke off after %d bytes: %w", report.Bytes, err)
				}
				return err
			}
			if err := dst.keep(); err != nil {
				return err
			}
			for _, b := range report.Blamed {
				a.warn(b)
			}
			if a.json && output != "" {
				return a.print(report, nil)
			}
			return nil
		},
	}
	f := cmd.Flags()
	f.StringVarP(&output, "output", "o", "", "write to `FILE`, which appears only when it is whole")
	where.add(f)
	f.StringVar(&byteRange, "range", "", "fetch only bytes `FIRST-LAST` (also FIRST- and -COUNT, the last COUNT bytes)")
	return cmd
}

// file is the cap of the file that a location names.
func (s *session) file(ctx context.Context, l alias.Location) (caps.Cap, error) {
	n, err := s.resolve(ctx, l)
	if err != nil {
		return caps.Cap{}, err
	}
	if n.Type() == tree.TypeDirectory {
		return n.Cap(), fmt.Errorf("%w: %s is a directory (%s); cp -r copies it, ls lists it", node.ErrNotFile, l, n.Cap().Kind())
	}
	return n.Cap(), nil
}

// warnOfLiars names the servers whose shares were damaged; the error itself only counts them.
func (a *app) warnOfLiars(err error) {
	var few *transfer.NotEnoughSharesError
	if !errors.As(err, &few) {
		return
	}
	for _, b := range few.Blamed {
		if b.Corrupt() {
			a.warn(b.String())
		}
	}
}

// parseRange reads what curl's and HTTP's ranges look like. The empty text is the whole file.
func parseRange(text string) (node.Range, error) {
	if text == "" {
		return node.Range{Whole: true}, nil
	}
	bad := fmt.Errorf("--range %q: want FIRST-LAST, FIRST- or -COUNT", text)
	first, last, ok := strings.Cut(text, "-")
	if !ok || (first == "" && last == "") {
		return node.Range{}, bad
	}
	number := func(s string) (uint64, error) {
		n, err := strconv.ParseUint(s, 10, 63)
		if err != nil {
			return 0, bad
		}
		return n, nil
	}
	var r node.Range
	var err error
	switch {
	case first == "":
		if r.Suffix, err = number(last); err == nil && r.Suffix == 0 {
			err = bad
		}
		return r, err
	case last == "":
		r.First, err = number(first)
		r.ToEnd = true
		return r, err
	}
	if r.First, err = number(first); err != nil {
		return r, err
	}
	if r.Last, err = number(last); err == nil && r.Last < r.First {
		err = bad
	}
	return r, err
}

// outputFile is standard output, or a file that takes its name only when it is whole.
type outputFile struct {
	io.Writer
	temp *os.File
	name string
}

func openOutput(stdout io.Writer, name string) (*outputFile, error) {
	if name == "" || name == "-" {
		return &outputFile{Writer: stdout}, nil
	}
	if info, err := os.Stat(name); err == nil && info.IsDir() {
		return nil, &usageError{err: fmt.Errorf("%s is a directory; name the file to write", name)}
	}
	f, err := os.CreateTemp(filepath.Dir(name), "."+filepath.Base(name)+".part-*")
	if err != nil {
		return nil, fmt.Errorf("writing %s: %w", name, err)
	}
	return &outputFile{Writer: f, temp: f, name: name}, nil
}

func (o *outputFile) keep() error {
	if o.temp == nil {
		return nil
	}
	// CreateTemp makes files private; the finished one gets the mode that the user's umask gives new files.
	err := errors.Join(o.temp.Chmod(node.NewFileMode()), o.temp.Close())
	if err == nil {
		err = os.Rename(o.temp.Name(), o.name)
	}
	if err != nil {
		return fmt.Errorf("writing %s: %w", o.name, err)
	}
	o.temp = nil
	return nil
}

func (o *outputFile) discard() {
	if o.temp != nil {
		o.temp.Close()
		os.Remove(o.temp.Name())
	}
}
