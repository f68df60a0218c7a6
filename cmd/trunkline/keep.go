package main

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"trunkline/caps"
	"trunkline/cmd/internal/alias"
	"trunkline/cmd/internal/node"
	"trunkline/grid/tree"
)

func (a *app) leaseCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use: "lease", Short: "Look after leases", GroupID: "keep",
		Long: "A share has a lease for each client that wants it kept. A lease lasts 31 days from when it was last renewed.",
	}
	cmd.AddCommand(a.leaseRenewCmd())
	return cmd
}

type renewed struct {
	Path string `json:"path"`
	deepInfo
}

func (a *app) leaseRenewCmd() *cobra.Command {
	var where whereFlags
	cmd := &cobra.Command{
		Use:   "renew [WHERE...]",
		Short: "Renew the leases of everything below directories",
		Long: `Renew this client's leases on directories of your grid and everything that is reached through them; without
WHERE, through all aliases that are of your grid. Run it every two weeks or so, from cron or a timer, if
servers of your grid collect what nobody has a lease on.

` + aboutPlaces,
		Example: "  trunkline lease renew\n  trunkline lease renew docs: photos:",
		RunE: func(cmd *cobra.Command, args []string) error {
			s, err := a.open(cmd, node.ClientOptions{})
			if err != nil {
				return err
			}
			defer s.close()
			var places []alias.Location
			for _, arg := range args {
				l, err := a.locate(arg, where.options())
				if err != nil {
					return err
				}
				places = append(places, l)
			}
			if where.capFile != "" {
				l, err := where.locate(a, nil)
				if err != nil {
					return err
				}
				places = append(places, l)
			}
			if len(places) == 0 {
				if places, err = s.homeAliases(); err != nil {
					return err
				}
			}
			out, bad, total := []renewed{}, []healthInfo{}, 0
			for _, l := range places {
				info, more, err := s.deepCheck(cmd.Context(), l, tree.CheckOptions{AddLease: true}, "renew "+l.String())
				if err != nil {
					return err
				}
				out, bad = append(out, renewed{l.String(), info}), append(bad, more...)
				total += info.Checked + len(info.Unreadable)
			}
			if err := a.print(out, func(w io.Writer) {
				for _, r := range out {
					for _, i := range r.Unhealthy {
						i.write(w)
					}
					for _, text := range r.Unreadable {
						fmt.Fprintln(w, text)
					}
					fmt.Fprintf(w, "%s: leases of %d files and directories renewed, %d of them healthy\n", strings.TrimSuffix(r.Path, ":"), r.Checked, r.Healthy)
				}
			}); err != nil {
				return err
			}
			return verdict(bad, total)
		},
	}
	where.add(cmd.Flags())
	return cmd
}

var errNoAliases = errors.New("there are no aliases of this grid; name what is to be kept")

// homeAliases are the tops of all aliases of the home grid.
func (s *session) homeAliases() ([]alias.Location, error) {
	list, err := s.aliases.List()
	if err != nil {
		return nil, err
	}
	var places []alias.Location
	for _, x := range list {
		if s.atHome(x.Cap) {
			places = append(places, alias.Location{Alias: x.Name, Slash: true})
		}
	}
	if len(places) == 0 {
		return nil, &usageError{err: errNoAliases}
	}
	return places, nil
}

// atHome says whether a cap is of the home grid.
func (s *session) atHome(c caps.Cap) bool {
	areas := c.Areas()
	for _, x := range areas {
		if x == s.tree.Files().Home() {
			return true
		}
	}
	return len(areas) == 0
}

func (a *app) gcCmd() *cobra.Command {
	var in node.CollectRequest
	cmd := &cobra.Command{
		Use:     "gc",
		Short:   "Remove shares whose leases have all ended",
		GroupID: "keep",
		Long: `Remove from this storage server the shares all of whose leases ended before the grace time: that nobody has
renewed for 31 days and the grace. Nothing is ever removed by itself; run it by hand or from a timer. It
works in a server's directory, whether the server runs or not. Tell the grid's members to run
"trunkline lease renew" now and then before you begin with it.`,
		Example: "  trunkline gc --dry-run\n  trunkline gc --grace 1440h",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return ask(a, cmd, "gc", in, func(w io.Writer, out node.Collected) {
				verb := "removed"
				if in.DryRun {
					verb = "would remove"
					for _, s := range out.Shares {
						fmt.Fprintf(w, "%s %d: %d bytes, no lease since %s\n", s.Index, s.Share, s.Bytes, when(s.Ended))
					}
				}
				fmt.Fprintf(w, "%s %d shares of %d bytes\n", verb, len(out.Shares)+out.More, out.Bytes)
			})
		},
	}
	cmd.Flags().BoolVar(&in.DryRun, "dry-run", false, "only list what would be removed")
	cmd.Flags().DurationVar(&in.Grace, "grace", 30*24*time.Hour, "keep shares for so long after their last lease ended")
	return cmd
}

func (a *app) tahoeDirCmd() *cobra.Command {
	return &cobra.Command{
		Use:     "tahoe-dir DIR",
		Short:   "Write the node directory that the tahoe command wants",
		GroupID: "start",
		Long: `Write a directory with which the stock tahoe command of Tahoe-LAFS works on this node: where its web API is,
a token, and your aliases. The web API is served while "trunkline run" runs in this node's directory. A
directory of a real Tahoe-LAFS node is left alone; run it again to bring new aliases over.`,
		Example: "  trunkline tahoe-dir ~/.trunkline-tahoe\n  trunkline run",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			h, err := a.home()
			if err != nil {
				return err
			}
			made, err := node.WriteTahoeDir(cmd.Context(), h, args[0])
			if err != nil {
				return err
			}
			for _, name := range made.Far {
				a.warn(fmt.Sprintf("the alias %s is of another grid; the tahoe command takes its cap alone", name))
			}
			return a.print(made, func(w io.Writer) {
				fmt.Fprintf(w, "wrote %s for %s; aliases: %d\n", made.Dir, made.URL, made.Aliases)
				fmt.Fprintf(w, "\nnext: trunkline run, and in another shell: tahoe -d %s list-aliases\n", made.Dir)
			})
		},
	}
}
