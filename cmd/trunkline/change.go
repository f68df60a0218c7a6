package main

import (
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"trunkline/caps"
	"trunkline/cmd/internal/alias"
	"trunkline/cmd/internal/node"
	"trunkline/grid/tree"
)

func (a *app) mkdirCmd() *cobra.Command {
	var where whereFlags
	var format string
	cmd := &cobra.Command{
		Use:     "mkdir [WHERE]",
		Short:   "Make a directory on your grid",
		GroupID: "dirs",
		Long: `Make a directory, and those above it that are missing; one that is there already is left alone. Without
WHERE the new directory is linked nowhere and its cap is printed.

` + aboutPlaces,
		Example: "  trunkline mkdir docs:letters/2026\n  trunkline mkdir > shared.cap",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			kind, err := parseFormat(format)
			if err != nil {
				return err
			}
			unlinked := len(args) == 0 && where.capFile == ""
			var l alias.Location
			if !unlinked {
				if l, err = where.locate(a, args); err != nil {
					return err
				}
			}
			s, err := a.open(cmd, node.ClientOptions{})
			if err != nil {
				return err
			}
			defer s.close()
			if unlinked {
				c, err := s.tree.Mkdir(cmd.Context(), kind)
				if err != nil {
					return err
				}
				text := s.far(c).Text()
				return a.print(map[string]string{"cap": text}, func(w io.Writer) { fmt.Fprintln(w, text) })
			}
			root, err := s.root(l)
			if err != nil {
				return err
			}
			if _, err := s.tree.MkdirAll(cmd.Context(), root, l.Path, kind); err != nil {
				return at(l, err)
			}
			return a.print(map[string]string{"directory": l.String()}, func(io.Writer) {})
		},
	}
	where.add(cmd.Flags())
	cmd.Flags().StringVar(&format, "format", "", "keep it as sdmf or mdmf (default: client.mutable of the configuration)")
	return cmd
}

type removed struct {
	Path      string `json:"path"`
	Type      string `json:"type"`
	Entries   *int   `json:"entries,omitempty"`
	Malformed bool   `json:"malformed,omitempty"`
}

func (a *app) rmCmd() *cobra.Command {
	var where whereFlags
	var recursive, dryRun bool
	cmd := &cobra.Command{
		Use:     "rm WHERE...",
		Aliases: []string{"unlink"},
		Short:   "Take files or directories out of their directory",
		GroupID: "dirs",
		Long: `Take entries out of their directories. Whoever has the cap of what they named still has it: shares stay
on the servers until their leases end and are collected.

` + aboutPlaces,
		Example: "  trunkline rm docs:draft.txt\n  trunkline rm -r --dry-run docs:letters\n  trunkline rm --escaped 'docs:odd\\u202ename'",
		Args:    cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			var places []alias.Location
			for _, arg := range args {
				l, err := a.locate(arg, where.options())
				if err != nil {
					return err
				}
				places = append(places, l)
			}
			s, err := a.open(cmd, node.ClientOptions{})
			if err != nil {
				return err
			}
			defer s.close()
			done := []removed{}
			for _, l := range places {
				r, err := s.remove(cmd, l, recursive, dryRun)
				if err != nil {
					return err
				}
				done = append(done, r)
			}
			return a.print(done, func(w io.Writer) {
				if !dryRun {
					return
				}
				for _, r := range done {
					fmt.Fprintf(w, "would unlink %s (%s", r.Path, r.Type)
					if r.Entries != nil {
						fmt.Fprintf(w, " with %d entries", *r.Entries)
					}
					fmt.Fprintln(w, ")")
				}
			})
		},
	}
	where.addEscaped(cmd.Flags())
	cmd.Flags().BoolVarP(&recursive, "recursive", "r", false, "unlink directories too, with everything that is reached through them")
	cmd.Flags().BoolVar(&dryRun, "dry-run", false, "only say what would be unlinked")
	return cmd
}

var errNeedsRecursive = errors.New("this is a directory; -r unlinks it with everything that is reached through it")

func (s *session) remove(cmd *cobra.Command, l alias.Location, recursive, dryRun bool) (removed, error) {
	ctx := cmd.Context()
	dir, err := s.parent(ctx, l, false)
	if err != nil {
		return removed{}, err
	}
	r := removed{Path: l.String(), Malformed: true, Type: string(tree.TypeUnknown)}
	n, err := s.tree.Resolve(ctx, dir, []string{l.Name()})
	var want tree.Type
	switch {
	case err == nil:
		want = n.Type()
		r.Type, r.Malformed = string(want), false
	case !errors.Is(err, tree.ErrMalformed):
		return r, at(l, err)
	}
	if want == tree.TypeDirectory {
		if !recursive {
			return r, &usageError{cmd: cmd.CommandPath(), err: at(l, errNeedsRecursive)}
		}
		if dryRun {
			listing, err := s.tree.List(ctx, n.Cap())
			if err == nil {
				entries := len(listing.Children) + len(listing.Malformed)
				r.Entries = &entries
			}
		}
	}
	if dryRun {
		return r, nil
	}
	_, err = s.tree.Unlink(ctx, dir, l.Name(), want)
	return r, at(l, err)
}

// into is where something goes that is called name: into the directory that l names, or under that name itself.
func (s *session) into(cmd *cobra.Command, l alias.Location, name string) (alias.Location, error) {
	n, found, err := s.find(cmd.Context(), l)
	if err != nil {
		return l, err
	}
	if !l.Slash && (!found || n.Type() != tree.TypeDirectory) {
		return l, nil
	}
	if !found {
		return l, at(l, tree.ErrNotFound)
	}
	if name == "" {
		return l, &usageError{cmd: cmd.CommandPath(), err: fmt.Errorf("%s is a directory; say what the file is to be called there", l)}
	}
	return inside(l, name), nil
}

func (a *app) mvCmd() *cobra.Command {
	var where whereFlags
	cmd := &cobra.Command{
		Use:     "mv FROM TO",
		Short:   "Move or rename a file or directory",
		GroupID: "dirs",
		Long: `Move an entry to another name or into another directory. A file that has the name is replaced, a
directory never. Nothing is copied, and at no moment is the entry in neither place.

` + aboutPlaces,
		Example: "  trunkline mv docs:draft.txt docs:thesis.txt\n  trunkline mv docs:thesis.txt archive:",
		Args:    cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			from, err := a.locate(args[0], where.options())
			if err != nil {
				return err
			}
			to, err := a.locate(args[1], where.options())
			if err != nil {
				return err
			}
			s, err := a.open(cmd, node.ClientOptions{})
			if err != nil {
				return err
			}
			defer s.close()
			fromDir, err := s.parent(cmd.Context(), from, false)
			if err != nil {
				return err
			}
			if to, err = s.into(cmd, to, from.Name()); err != nil {
				return err
			}
			toDir, err := s.parent(cmd.Context(), to, false)
			if err != nil {
				return err
			}
			replaced, err := s.tree.Move(cmd.Context(), fromDir, from.Name(), toDir, to.Name(), tree.ReplaceOnlyFiles)
			if err != nil {
				return fmt.Errorf("moving %s to %s: %w", from, to, err)
			}
			return a.print(map[string]any{"from": from.String(), "to": to.String(), "replaced": replaced}, func(io.Writer) {})
		},
	}
	where.addEscaped(cmd.Flags())
	return cmd
}

func (a *app) lnCmd() *cobra.Command {
	var where whereFlags
	var readOnly, force bool
	cmd := &cobra.Command{
		Use:     "ln FROM TO",
		Short:   "Link a file or directory in another place too",
		GroupID: "dirs",
		Long: `Link a file or directory, which may be of another grid, in a directory of yours. Both places then lead to
the same thing. With --read-only the new place leads to it without the power to change it.

` + aboutPlaces,
		Example: "  trunkline ln docs:thesis.pdf public:\n  trunkline ln --read-only docs:letters public:letters\n  trunkline ln - friends:song < song.cap",
		Args:    cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			from, err := a.locate(args[0], where.options())
			if err != nil {
				return err
			}
			to, err := a.locate(args[1], where.options())
			if err != nil {
				return err
			}
			s, err := a.open(cmd, node.ClientOptions{})
			if err != nil {
				return err
			}
			defer s.close()
			n, err := s.resolve(cmd.Context(), from)
			if err != nil {
				return err
			}
			pair := n.Pair
			if readOnly {
				pair = caps.Pair{Read: n.ReadCap()}
			}
			if to, err = s.into(cmd, to, from.Name()); err != nil {
				return err
			}
			dir, err := s.parent(cmd.Context(), to, false)
			if err != nil {
				return err
			}
			replace := tree.ReplaceNever
			if force {
				replace = tree.ReplaceOnlyFiles
			}
			replaced, err := s.tree.Link(cmd.Context(), dir, tree.NewChild{Name: to.Name(), Pair: pair}, replace)
			if err != nil {
				return at(to, err)
			}
			return a.print(map[string]any{"to": to.String(), "replaced": replaced}, func(io.Writer) {})
		},
	}
	where.addEscaped(cmd.Flags())
	cmd.Flags().BoolVar(&readOnly, "read-only", false, "link without the power to change it")
	cmd.Flags().BoolVarP(&force, "force", "f", false, "replace a file that has the name")
	return cmd
}
