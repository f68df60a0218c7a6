package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"trunkline/caps"
	"trunkline/cmd/internal/names"
	"trunkline/grid/tree"
)

// entryInfo is a file or directory as ls shows it.
type entryInfo struct {
	Name     string     `json:"name"`
	Type     string     `json:"type"`
	Size     *uint64    `json:"size,omitempty"`
	Mutable  *bool      `json:"mutable,omitempty"`
	Writable bool       `json:"writable"`
	Created  *time.Time `json:"created,omitempty"`
	Modified *time.Time `json:"modified,omitempty"`
	Cap      string     `json:"cap,omitempty"`
}

type listing struct {
	entryInfo
	Children  []entryInfo `json:"children,omitempty"`
	Malformed []string    `json:"malformed,omitempty"`
}

// capsShown says which caps a listing has.
type capsShown struct{ caps, readOnly bool }

func (s *session) shownCap(n tree.Node, show capsShown) string {
	switch {
	case show.readOnly:
		return s.far(n.ReadCap()).Text()
	case show.caps:
		return s.far(n.Cap()).Text()
	}
	return ""
}

func (s *session) entry(name string, n tree.Node, show capsShown) entryInfo {
	e := entryInfo{Name: name, Type: string(n.Type()), Writable: !n.WriteCap().IsZero(), Cap: s.shownCap(n, show)}
	if size, ok := n.Size(); ok && n.Type() == tree.TypeFile {
		e.Size = &size
	}
	if mutable, known := n.Mutable(); known {
		e.Mutable = &mutable
	}
	if t, ok := n.Metadata.Created(); ok {
		e.Created = &t
	}
	if t, ok := n.Metadata.Modified(); ok {
		e.Modified = &t
	} else if t, ok := backedUp(n); ok {
		e.Modified = &t
	}
	return e
}

// backedUp is when a file of a snapshot was changed, which backups note in place of when it was linked.
func backedUp(n tree.Node) (t time.Time, ok bool) {
	raw, ok := n.Metadata.Get("mtime")
	if !ok {
		return t, false
	}
	var seconds float64
	if json.Unmarshal(raw, &seconds) != nil || seconds < 0 || seconds > 1<<40 {
		return t, false
	}
	return time.Unix(int64(seconds), 0), true
}

func (e entryInfo) shown() string {
	name := names.Show(e.Name)
	if e.Type == string(tree.TypeDirectory) {
		name += "/"
	}
	return name
}

func (e entryInfo) mode() string {
	mode := []byte("?--")
	switch tree.Type(e.Type) {
	case tree.TypeDirectory:
		mode[0], mode[1] = 'd', 'r'
	case tree.TypeFile:
		mode[0], mode[1] = '-', 'r'
	}
	if e.Writable {
		mode[2] = 'w'
	}
	return string(mode)
}

func (a *app) lsCmd() *cobra.Command {
	var where whereFlags
	var long bool
	var show capsShown
	cmd := &cobra.Command{
		Use:     "ls [WHERE | -]",
		Short:   "List a directory of your grid, or of any other",
		GroupID: "files",
		Long: "List what is in a directory, or show one file.\n\n" + aboutPlaces + `

Names that would do something to a terminal, or hold "/", are shown with backslashes; the other
commands take them so with --escaped. With -l: whether it is a directory, may be read and written, its
size in bytes, and since when it is linked there. Caps are passwords and are shown with --caps alone.`,
		Example: "  trunkline ls docs:\n  trunkline ls -l docs:letters\n  trunkline ls - < friends.cap\n  trunkline ls --caps --json docs:thesis.pdf",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			s, l, err := where.open(a, cmd, args)
			if err != nil {
				return err
			}
			defer s.close()
			n, err := s.resolve(cmd.Context(), l)
			if err != nil {
				return err
			}
			out := listing{entryInfo: s.entry(l.Name(), n, show)}
			if n.Type() != tree.TypeDirectory {
				if out.Name == "" { // a cap by itself
					out.Name = n.Cap().String()
				}
				return a.print(out, func(w io.Writer) { writeEntries(w, []entryInfo{out.entryInfo}, long, show) })
			}
			dir, err := s.tree.List(cmd.Context(), n.Cap())
			if err != nil {
				return at(l, err)
			}
			out.Children, out.Malformed = make([]entryInfo, len(dir.Children)), dir.Malformed
			for i, c := range dir.Children {
				out.Children[i] = s.entry(c.Name, c.Node, show)
			}
			for _, name := range dir.Malformed {
				a.warn(fmt.Sprintf("the entry %s can't be used and is left as it is", names.Show(name)))
			}
			return a.print(out, func(w io.Writer) { writeEntries(w, out.Children, long, show) })
		},
	}
	where.add(cmd.Flags())
	cmd.Flags().BoolVarP(&long, "long", "l", false, "show what it is, its size, and when it was linked")
	cmd.Flags().BoolVar(&show.caps, "caps", false, "show caps too: whoever sees them has the files")
	cmd.Flags().BoolVar(&show.readOnly, "read-only-caps", false, "show caps that can't change anything")
	return cmd
}

func writeEntries(w io.Writer, entries []entryInfo, long bool, show capsShown) {
	width := 0
	size := func(e entryInfo) string {
		if e.Size == nil {
			return "-"
		}
		return strconv.FormatUint(*e.Size, 10)
	}
	for _, e := range entries {
		width = max(width, len(size(e)))
	}
	for _, e := range entries {
		if long {
			date := "-"
			if e.Modified != nil {
				date = when(*e.Modified)
			}
			fmt.Fprintf(w, "%s  %*s  %-16s  ", e.mode(), width, size(e), date)
		}
		if show != (capsShown{}) {
			text := e.Cap
			if text == "" {
				text = "-"
			}
			fmt.Fprintf(w, "%s  ", text)
		}
		fmt.Fprintln(w, e.shown())
	}
}

// capOfCmd prints a cap for whoever is to have it.
func (a *app) capOfCmd() *cobra.Command {
	var where whereFlags
	var readOnly, verify bool
	cmd := &cobra.Command{
		Use:   "of WHERE",
		Short: "Print the cap of a file or directory",
		Long: aboutPlaces + `

The cap is the strongest that you have: mailing it shares the file, and whoever has a directory's can
change what is in it, unless it is weakened with --read-only. A verify cap only lets its holder check
and repair.`,
		Example: "  trunkline cap of docs:thesis.pdf\n  trunkline cap of --read-only docs: > docs.cap",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			s, l, err := where.open(a, cmd, args)
			if err != nil {
				return err
			}
			defer s.close()
			n, err := s.resolve(cmd.Context(), l)
			if err != nil {
				return err
			}
			c := n.Cap()
			switch {
			case verify:
				c, _ = n.VerifyCap()
			case readOnly:
				c = n.ReadCap()
			}
			if c.IsZero() {
				return at(l, caps.ErrNoCap)
			}
			text := s.far(c).Text()
			return a.print(map[string]string{"cap": text}, func(w io.Writer) { fmt.Fprintln(w, text) })
		},
	}
	where.add(cmd.Flags())
	cmd.Flags().BoolVar(&readOnly, "read-only", false, "print the cap that can't change it")
	cmd.Flags().BoolVar(&verify, "verify", false, "print the cap that only checks it")
	return cmd
}
