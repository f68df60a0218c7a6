package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"trunkline/caps"
)

const maxCapText = 64 << 10

// readCap takes a cap from the argument, from a file with --cap-file, or from standard input with "-": a cap is a
// password, and what stands on a command line can be read by every user of the machine.
func (a *app) readCap(args []string, file string) (caps.Cap, error) {
	var text string
	switch {
	case file != "" && len(args) > 0:
		return caps.Cap{}, &usageError{err: errors.New("give the cap as an argument or in --cap-file, not both")}
	case file != "":
		f, err := os.Open(file)
		if err != nil {
			return caps.Cap{}, fmt.Errorf("reading the cap: %w", err)
		}
		defer f.Close()
		if text, err = capLine(f); err != nil {
			return caps.Cap{}, fmt.Errorf("reading the cap from %s: %w", file, err)
		}
	case len(args) == 0 || args[0] == "-":
		var err error
		if text, err = capLine(a.stdin); err != nil {
			return caps.Cap{}, fmt.Errorf("reading the cap from standard input: %w", err)
		}
	default:
		text = args[0]
	}
	c, err := caps.Parse(text)
	if err != nil && len(args) == 1 && args[0] != "-" {
		if info, statErr := os.Stat(args[0]); statErr == nil && info.Mode().IsRegular() {
			return c, &usageError{err: fmt.Errorf("%s is a file; --cap-file reads a cap from it", args[0])}
		}
	}
	return c, err
}

var errEmpty = &usageError{err: errors.New("it is empty")}

// capLine is the first line that is neither empty nor a # comment.
func capLine(r io.Reader) (string, error) {
	sc := bufio.NewScanner(io.LimitReader(r, maxCapText))
	for sc.Scan() {
		if line := strings.TrimSpace(sc.Text()); line != "" && !strings.HasPrefix(line, "#") {
			return line, nil
		}
	}
	if err := sc.Err(); err != nil {
		return "", err
	}
	return "", errEmpty
}

type capInfo struct {
	Kind         string   `json:"kind"`
	Directory    bool     `json:"directory"`
	Areas        []string `json:"areas,omitempty"`
	StorageIndex string   `json:"storage_index,omitempty"`
	Needed       int      `json:"needed,omitempty"`
	Total        int      `json:"total,omitempty"`
	Size         *uint64  `json:"size,omitempty"`
	ReadOnly     string   `json:"read_only_cap,omitempty"`
	Verify       string   `json:"verify_cap,omitempty"`
	Plain        string   `json:"plain_cap,omitempty"`
}

func (a *app) capCmd() *cobra.Command {
	cmd := &cobra.Command{Use: "cap", Short: "Look at a cap, weaken it", GroupID: "files"}
	var file string
	show := &cobra.Command{
		Use:   "show [CAP | -]",
		Short: "Say what a cap is and print its weaker forms",
		Long: `Say what a cap is: its kind, the grid it names, its storage index and encoding, and
the weaker caps that follow from it. Nothing is fetched.

A cap is a password. Give it on standard input or with --cap-file so that it does not
stand in the list of processes.`,
		Example: "  trunkline cap show - < thesis.cap\n  trunkline cap show --cap-file thesis.cap --json",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			c, err := a.readCap(args, file)
			if err != nil {
				return err
			}
			info := describeCap(c)
			return a.print(info, func(w io.Writer) { info.write(w) })
		},
	}
	show.Flags().StringVar(&file, "cap-file", "", "read the cap from `FILE`")
	cmd.AddCommand(show, a.capOfCmd())
	return cmd
}

func describeCap(c caps.Cap) capInfo {
	info := capInfo{Kind: c.Kind().String(), Directory: c.IsDirectory()}
	for _, area := range c.Areas() {
		info.Areas = append(info.Areas, area.String())
	}
	if si, ok := c.StorageIndex(); ok {
		info.StorageIndex = si.String()
	}
	if v, ok := c.CHKVerify(); ok {
		info.Needed, info.Total, info.Size = v.K, v.N, &v.Size
	} else if data, ok := c.Literal(); ok {
		n := uint64(len(data))
		info.Size = &n
	}
	if ro, err := c.ReadOnly(); err == nil && ro.Text() != c.Text() {
		info.ReadOnly = ro.Text()
	}
	if v, ok := c.VerifyCap(); ok && v.Text() != c.Text() {
		info.Verify = v.Text()
	}
	if len(info.Areas) > 0 {
		info.Plain = c.Local().Text()
	}
	return info
}

func (i capInfo) write(w io.Writer) {
	row := func(name, value string) {
		if value != "" {
			fmt.Fprintf(w, "%-14s %s\n", name, value)
		}
	}
	kind := i.Kind
	if i.Directory {
		kind += " (a directory)"
	}
	row("kind", kind)
	for _, area := range i.Areas {
		row("area", area)
	}
	row("storage index", i.StorageIndex)
	if i.Total > 0 {
		row("encoding", fmt.Sprintf("%d-of-%d", i.Needed, i.Total))
	}
	if i.Size != nil {
		row("size", fmt.Sprintf("%d bytes", *i.Size))
	}
	row("read-only cap", i.ReadOnly)
	row("verify cap", i.Verify)
	row("plain cap", i.Plain)
}
