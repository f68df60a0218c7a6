package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"github.com/spf13/cobra"

	"trunkline/cmd/internal/node"
)

func (a *app) putCmd() *cobra.Command {
	var random bool
	cmd := &cobra.Command{
		Use:     "put FILE | -",
		Short:   "Store a file on your grid and print its cap",
		GroupID: "files",
		Long: `Store a file on the servers of your home grid and print its long-distance cap, which opens it
from any grid. Whoever has the cap can read the file; nobody else can.

The same file put twice by the same client gives the same cap and is stored once; --random-key makes
a fresh key instead. "-" stores standard input, which is kept in a temporary file meanwhile, because
a file's size must be known before it is encoded.`,
		Example: "  trunkline put thesis.pdf > thesis.cap\n  tar c photos | trunkline put - > photos.cap",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			h, err := a.home()
			if err != nil {
				return err
			}
			src, size, done, err := openInput(a.stdin, args[0])
			if err != nil {
				return err
			}
			defer done()
			client, err := node.OpenClient(cmd.Context(), h, node.ClientOptions{RandomKeys: random, Logger: a.logger(false)})
			if err != nil {
				return err
			}
			defer client.Close()
			bar := a.newProgress("put", size)
			report, err := client.Put(cmd.Context(), src, size, bar.set)
			bar.end(err == nil)
			if err != nil {
				return err
			}
			for _, w := range report.Warnings {
				a.warn(w)
			}
			return a.print(report, func(w io.Writer) { fmt.Fprintln(w, report.Cap) })
		},
	}
	cmd.Flags().BoolVar(&random, "random-key", false, "use a fresh random key, so that nobody can tell that two files are equal")
	return cmd
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
