package main

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"trunkline/caps"
	"trunkline/cmd/internal/alias"
	"trunkline/cmd/internal/node"
)

// aliasName takes an alias with or without its colon.
func aliasName(text string) (string, error) {
	name := strings.TrimSuffix(text, ":")
	return name, alias.CheckName(name)
}

// freeAlias refuses the name of an alias that is there.
func freeAlias(f alias.File, name string) error {
	_, err := f.Get(name)
	switch {
	case err == nil:
		return fmt.Errorf("%w: %s", alias.ErrTaken, name)
	case errors.Is(err, alias.ErrUnknown):
		return nil
	}
	return err
}

func (a *app) createAliasCmd() *cobra.Command {
	var format string
	cmd := &cobra.Command{
		Use:     "create-alias NAME",
		Short:   "Make an empty directory and give it a short name",
		GroupID: "dirs",
		Long: `Make an empty directory on your grid and remember its cap under a short name, so that NAME:path works
where a file or directory is meant. Aliases are kept in private/aliases of the node directory. Keep a
copy of that file: without its cap nobody finds a directory again.`,
		Example: "  trunkline create-alias docs\n  trunkline put thesis.pdf docs:",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			name, err := aliasName(args[0])
			if err != nil {
				return err
			}
			kind, err := parseFormat(format)
			if err != nil {
				return err
			}
			s, err := a.open(cmd, node.ClientOptions{})
			if err != nil {
				return err
			}
			defer s.close()
			if err := freeAlias(s.aliases, name); err != nil {
				return err
			}
			c, err := s.tree.Mkdir(cmd.Context(), kind)
			if err != nil {
				return err
			}
			if err := s.aliases.Add(name, s.far(c)); err != nil {
				return err
			}
			return a.print(map[string]string{"alias": name}, func(w io.Writer) {
				fmt.Fprintf(w, "made the directory %s:\n", name)
			})
		},
	}
	cmd.Flags().StringVar(&format, "format", "", "keep the directory as sdmf or mdmf (default: client.mutable of the configuration)")
	return cmd
}

func (a *app) addAliasCmd() *cobra.Command {
	var where whereFlags
	cmd := &cobra.Command{
		Use:     "add-alias NAME [CAP | -]",
		Short:   "Give a short name to a cap",
		GroupID: "dirs",
		Long: `Remember a cap, of a directory or a file, of your grid or any other, under a short name. A cap is a
password: give it on standard input or with --cap-file. ALIAS:PATH gives a name to what is there now.`,
		Example: "  trunkline add-alias friends - < friends.cap\n  trunkline add-alias letters docs:letters",
		Args:    cobra.RangeArgs(1, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			name, err := aliasName(args[0])
			if err != nil {
				return err
			}
			if len(args) == 1 && where.capFile == "" {
				args = append(args, "-")
			}
			l, err := where.locate(a, args[1:])
			if err != nil {
				return err
			}
			h, err := a.home()
			if err != nil {
				return err
			}
			if _, err := h.Config(); err != nil {
				return err
			}
			if err := freeAlias(h.Aliases(), name); err != nil {
				return err
			}
			c := l.Cap
			if len(l.Path) > 0 || l.Alias != "" {
				s, err := a.open(cmd, node.ClientOptions{})
				if err != nil {
					return err
				}
				defer s.close()
				n, err := s.resolve(cmd.Context(), l)
				if err != nil {
					return err
				}
				c = s.far(n.Cap())
			}
			if c.IsZero() {
				return caps.ErrNoCap
			}
			if err := h.Aliases().Add(name, c); err != nil {
				return err
			}
			return a.print(map[string]string{"alias": name}, func(w io.Writer) {
				fmt.Fprintf(w, "%s: is %s\n", name, describeKind(c))
			})
		},
	}
	where.add(cmd.Flags())
	return cmd
}

// describeKind says in words what a cap is for.
func describeKind(c caps.Cap) string {
	k := c.Kind()
	what := "a file"
	if k.IsDirectory() {
		what = "a directory"
	}
	switch {
	case k.IsVerify():
		what += " to check"
	case k.CanWrite():
		what += " to read and change"
	case k.IsMutable():
		what += " to read"
	case k.CanRead():
		what += " that never changes"
	default:
		return "a cap of a later version"
	}
	if areas := c.Areas(); len(areas) > 0 {
		what += " of " + areas[0].Short()
	}
	return what
}

type aliasInfo struct {
	Name string `json:"name"`
	Kind string `json:"kind"`
	What string `json:"what"`
	Cap  string `json:"cap,omitempty"`
}

func (a *app) listAliasesCmd() *cobra.Command {
	var show capsShown
	cmd := &cobra.Command{
		Use:     "list-aliases",
		Short:   "List the short names and what they are for",
		GroupID: "dirs",
		Long:    "List the short names and what they are for. Caps are passwords and are shown with --caps alone.",
		Example: "  trunkline list-aliases\n  trunkline list-aliases --caps",
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			h, err := a.home()
			if err != nil {
				return err
			}
			if _, err := h.Config(); err != nil {
				return err
			}
			list, err := h.Aliases().List()
			if err != nil {
				return err
			}
			out := make([]aliasInfo, len(list))
			for i, x := range list {
				out[i] = aliasInfo{Name: x.Name, Kind: x.Cap.Kind().String(), What: describeKind(x.Cap)}
				switch {
				case show.readOnly:
					if ro, err := x.Cap.ReadOnly(); err == nil {
						out[i].Cap = ro.Text()
					}
				case show.caps:
					out[i].Cap = x.Cap.Text()
				}
			}
			return a.print(out, func(w io.Writer) {
				head := "ALIAS|WHAT"
				if show != (capsShown{}) {
					head += "|CAP"
				}
				table(w, head, func(row func(...any)) {
					for _, x := range out {
						cells := []any{x.Name + ":", x.What}
						if show != (capsShown{}) {
							cells = append(cells, x.Cap)
						}
						row(cells...)
					}
				})
			})
		},
	}
	cmd.Flags().BoolVar(&show.caps, "caps", false, "show caps too: whoever sees them has the files")
	cmd.Flags().BoolVar(&show.readOnly, "read-only-caps", false, "show caps that can't change anything")
	return cmd
}
