package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"trunkline/cmd/internal/alias"
	"trunkline/cmd/internal/names"
	"trunkline/grid/tree"
)

type manifestEntry struct {
	Path   []string `json:"path"`
	Type   string   `json:"type"`
	Index  string   `json:"storage_index,omitempty"`
	Cap    string   `json:"cap,omitempty"`
	Verify string   `json:"verify_cap,omitempty"`
}

type manifest struct {
	Entries    []manifestEntry `json:"entries"`
	Unreadable []string        `json:"unreadable,omitempty"`
	Stats      *tree.Stats     `json:"stats"`
}

// walk visits everything below a location. Directories that can't be read are told and left out.
func (s *session) walk(ctx context.Context, l alias.Location, w tree.Walker) (unreadable []string, err error) {
	root, err := s.resolve(ctx, l)
	if err != nil {
		return nil, err
	}
	w.Unreadable = func(v tree.Visit, err error) error {
		if ctx.Err() != nil {
			return err
		}
		text := sentence(fmt.Sprintf("%s: %v", shownPath(l, v.Path), err))
		unreadable = append(unreadable, text)
		s.warn(text)
		return nil
	}
	return unreadable, s.tree.Walk(ctx, root.Cap(), w)
}

func partly(unreadable []string) error {
	if len(unreadable) == 0 {
		return nil
	}
	return fmt.Errorf("%w: %d directories can't be read", errPartly, len(unreadable))
}

func (a *app) manifestCmd() *cobra.Command {
	var where whereFlags
	var show capsShown
	var verify bool
	cmd := &cobra.Command{
		Use:     "manifest [WHERE | -]",
		Short:   "List everything that is reached through a directory",
		GroupID: "keep",
		Long: `List a directory and everything that is reached through it, each once: the storage index, under which servers
keep it, and the path. --verify-caps lists what somebody needs who is to check and repair for you.

` + aboutPlaces,
		Example: "  trunkline manifest docs:\n  trunkline manifest --verify-caps docs: > for-the-caretaker.txt",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			s, l, err := where.open(a, cmd, args)
			if err != nil {
				return err
			}
			defer s.close()
			out := manifest{Entries: []manifestEntry{}, Stats: new(tree.Stats)}
			count := s.newCounter("list")
			w := out.Stats.Walker()
			node := w.Node
			w.Node = func(v tree.Visit) error {
				e := manifestEntry{Path: v.Path, Type: string(v.Node.Type()), Cap: s.shownCap(v.Node, show)}
				if e.Path == nil {
					e.Path = []string{}
				}
				if c, ok := v.Node.VerifyCap(); ok {
					if si, ok := c.StorageIndex(); ok {
						e.Index = si.String()
					}
					if verify {
						e.Verify = s.far(c).Text()
					}
				}
				out.Entries = append(out.Entries, e)
				count.add()
				if node == nil {
					return nil
				}
				return node(v)
			}
			out.Unreadable, err = s.walk(cmd.Context(), l, w)
			count.end()
			if err != nil {
				return err
			}
			err = a.print(out, func(w io.Writer) {
				for _, e := range out.Entries {
					first := e.Index
					switch {
					case verify:
						first = e.Verify
					case show != (capsShown{}):
						first = e.Cap
					}
					if first == "" {
						first = "-"
					}
					path := names.Path(e.Path)
					if path == "" {
						path = "."
					}
					fmt.Fprintf(w, "%s %s\n", first, path)
				}
			})
			if err != nil {
				return err
			}
			return partly(out.Unreadable)
		},
	}
	where.add(cmd.Flags())
	cmd.Flags().BoolVar(&show.caps, "caps", false, "list caps: whoever sees them has the files")
	cmd.Flags().BoolVar(&show.readOnly, "read-only-caps", false, "list caps that can't change anything")
	cmd.Flags().BoolVar(&verify, "verify-caps", false, "list caps that check and repair, and open nothing")
	return cmd
}

func (a *app) statsCmd() *cobra.Command {
	var where whereFlags
	cmd := &cobra.Command{
		Use:     "stats [WHERE | -]",
		Short:   "Count what is reached through a directory",
		GroupID: "keep",
		Long:    "Count files, directories and bytes that are reached through a directory.\n\n" + aboutPlaces,
		Example: "  trunkline stats docs:\n  trunkline stats --json docs:letters",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			s, l, err := where.open(a, cmd, args)
			if err != nil {
				return err
			}
			defer s.close()
			stats := new(tree.Stats)
			count := s.newCounter("count")
			w := stats.Walker()
			node := w.Node
			w.Node = func(v tree.Visit) error {
				count.add()
				if node == nil {
					return nil
				}
				return node(v)
			}
			unreadable, err := s.walk(cmd.Context(), l, w)
			count.end()
			if err != nil {
				return err
			}
			if err := a.print(stats, func(w io.Writer) { writeStats(w, stats) }); err != nil {
				return err
			}
			return partly(unreadable)
		},
	}
	where.add(cmd.Flags())
	return cmd
}

func writeStats(w io.Writer, s *tree.Stats) {
	row := func(what string, n uint64, more string) { fmt.Fprintf(w, "%-20s %d%s\n", what, n, more) }
	row("directories", s.Directories, fmt.Sprintf(", %d bytes", s.DirectorySize))
	row("files", s.Files(), "")
	row("  that never change", s.ImmutableFiles, fmt.Sprintf(", %d bytes, the largest %d", s.ImmutableSize, s.LargestImmutableFile))
	row("  in their caps", s.LiteralFiles, fmt.Sprintf(", %d bytes", s.LiteralSize))
	row("  that can change", s.MutableFiles, "")
	if s.Unknown > 0 {
		row("of unknown kinds", s.Unknown, "")
	}
	row("largest directory", s.LargestDirectoryChildren, fmt.Sprintf(" entries, %d bytes", s.LargestDirectory))
	var sizes struct {
		Histogram [][3]uint64 `json:"size-files-histogram"`
	}
	raw, err := json.Marshal(s)
	if err != nil || json.Unmarshal(raw, &sizes) != nil {
		return
	}
	for _, h := range sizes.Histogram {
		if h[2] > 0 {
			row(fmt.Sprintf("%d to %d bytes", h[0], h[1]), h[2], " files")
		}
	}
}
