package main

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"trunkline/cmd/internal/node"
)

// placeFlags are the flags of every command that makes a node directory.
type placeFlags struct {
	name   string
	listen []string
	lan    bool
	web    string
}

func (p *placeFlags) add(f *pflag.FlagSet) {
	f.StringArrayVar(&p.listen, "listen", nil, "listen on `MULTIADDR` (repeatable; port 0: a free port is picked now and kept)")
	f.BoolVar(&p.lan, "lan", false, "dial private and loopback addresses too: one machine or one LAN (implied by a loopback --listen)")
}

// addWeb adds what only makes sense where a client may be.
func (p *placeFlags) addWeb(f *pflag.FlagSet) {
	f.StringVar(&p.web, "web", node.DefaultConfig().Web.Listen, "serve a client's web API on this loopback `ADDRESS` (port 0: a free one is picked now; empty: none)")
}

func (p *placeFlags) config() (node.Config, error) {
	c := node.DefaultConfig()
	c.Name = p.name
	if len(p.listen) > 0 {
		c.Listen = p.listen
	}
	c.AllowPrivateAddresses, c.Web.Listen = p.lan, p.web
	return c, node.PickPorts(&c)
}

func (a *app) initCmd() *cobra.Command {
	var place placeFlags
	var bootstrap []string
	var tahoeNode string
	cmd := &cobra.Command{
		Use:     "init",
		Short:   "Make a node directory without a home grid",
		GroupID: "start",
		Long: `Make a node directory that belongs to no grid: a stranger, who can read from toll-free
grids. To become a member of a grid, use "trunkline join TICKET" instead; to start a grid,
"trunkline grid create".

With --tahoe-node, files are kept on the servers of the grid that a Tahoe-LAFS client uses: its servers, its
encoding, its secrets, its aliases and what it backed up are taken over. That node is left as it is.`,
		Example: "  trunkline init --tahoe-node ~/.tahoe\n  trunkline init --bootstrap /ip4/192.0.2.7/tcp/4001/p2p/12D3KooW…\n" +
			"  trunkline get - < grandmas-recipes.cap > recipes.pdf",
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			h, err := a.home()
			if err != nil {
				return err
			}
			c, err := place.config()
			if err != nil {
				return err
			}
			c.Roles, c.Bootstrap = []node.Role{node.RoleClient}, bootstrap
			if tahoeNode != "" {
				return a.adopt(h, c, tahoeNode)
			}
			if err := h.Create(c); err != nil {
				return err
			}
			return a.print(map[string]any{"home": h.Dir}, func(w io.Writer) {
				fmt.Fprintf(w, "made a node without a home grid in %s\n\n", h.Dir)
				if len(bootstrap) == 0 {
					fmt.Fprintf(w, "next: name somebody to ask for area codes as \"bootstrap\" in %s\n", h.ConfigPath())
				} else {
					fmt.Fprintln(w, "next: trunkline get - -o FILE < FILE.cap")
				}
			})
		},
	}
	place.add(cmd.Flags())
	cmd.Flags().StringVar(&place.name, "name", "", "what other people see beside this node's key")
	place.addWeb(cmd.Flags())
	cmd.Flags().StringVar(&tahoeNode, "tahoe-node", "", "work with the grid of the Tahoe-LAFS client in `DIR`")
	cmd.Flags().StringArrayVar(&bootstrap, "bootstrap", nil, "`ADDRESS` of any gateway, contact point or clearinghouse (repeatable)")
	return cmd
}

// adopt makes a node directory for the grid of a Tahoe-LAFS client.
func (a *app) adopt(h node.Home, c node.Config, dir string) error {
	made, err := node.AdoptClient(h, c, dir, a.logger(false))
	if err != nil {
		return err
	}
	for _, w := range made.Warnings {
		a.warn(w)
	}
	return a.print(made, func(w io.Writer) {
		fmt.Fprintf(w, "made a node in %s for the Tahoe-LAFS grid of %s\n", made.Home, made.NodeDir)
		fmt.Fprintf(w, "servers  %d\naliases  %d\n", made.Servers, made.Aliases)
		if made.Backups {
			fmt.Fprintln(w, "backups  known")
		}
		fmt.Fprintln(w, "\nnext: trunkline list-aliases")
	})
}

func (a *app) joinCmd() *cobra.Command {
	var place placeFlags
	var storage node.StorageConfig
	var tahoeNode string
	defaults := node.DefaultConfig().Storage
	cmd := &cobra.Command{
		Use:     "join TICKET | -",
		Short:   "Join a grid with a ticket from its manager",
		GroupID: "start",
		Long: `Join a grid: make a node directory, show the ticket to the grid's manager, and keep what
comes back, the signed roster and this node's certificate. The ticket says with which roles.
Its secret works as often as the manager said; "-" reads it from standard input.

With --tahoe-node, a server goes on with the shares of a Tahoe-LAFS storage node, which must not run any more;
with --read-only it serves them and touches nothing.`,
		Example: "  trunkline join - < ticket.txt\n  trunkline join --name attic --storage-dir /srv/shares - < ticket.txt\n  trunkline run",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			h, err := a.home()
			if err != nil {
				return err
			}
			text := args[0]
			if text == "-" {
				if text, err = capLine(a.stdin); err != nil {
					return fmt.Errorf("reading the ticket from standard input: %w", err)
				}
			}
			c, err := place.config()
			if err != nil {
				return err
			}
			if tahoeNode != "" {
				if err := node.AdoptServer(&storage, tahoeNode); err != nil {
					return err
				}
			}
			c.Storage = storage
			got, err := node.Join(cmd.Context(), h, c, text, a.logger(false))
			if err != nil {
				return err
			}
			return a.print(got, func(w io.Writer) {
				fmt.Fprintf(w, "joined %s as %s\n", got.Grid, got.Roles)
				fmt.Fprintf(w, "area       %s\n", got.Area)
				fmt.Fprintf(w, "directory  %s\n", h.Dir)
				if got.NodeID != "" {
					fmt.Fprintf(w, "node id    %s\n", got.NodeID)
					fmt.Fprintf(w, "\nthe grid's manager has to know it: trunkline grid approve %s --role server --node-id %s\n", got.Key, got.NodeID)
				}
				if got.Run {
					fmt.Fprintln(w, "\nnext: trunkline run")
				} else {
					fmt.Fprintln(w, "\nnext: trunkline put FILE, or for directories: trunkline create-alias NAME")
				}
			})
		},
	}
	place.add(cmd.Flags())
	f := cmd.Flags()
	f.StringVar(&place.name, "name", "", "what other members see beside this node's key")
	f.StringVar(&storage.Dir, "storage-dir", defaults.Dir, "where a server keeps shares, in Tahoe-LAFS's layout")
	place.addWeb(f)
	f.StringVar(&tahoeNode, "tahoe-node", "", "go on with the shares of the Tahoe-LAFS storage node in `DIR`")
	f.BoolVar(&storage.ReadOnly, "read-only", false, "serve the shares that are there and touch nothing")
	f.Uint64Var(&storage.ReservedBytes, "reserve", defaults.ReservedBytes, "keep so many `BYTES` of the disk free")
	f.Uint64Var(&storage.MaxBytes, "max", 0, "bound all shares together to `BYTES` (0: no bound)")
	f.BoolVar(&storage.NoSync, "no-sync", false, "leave out fsync; for benchmarks only")
	_ = f.MarkHidden("no-sync")
	return cmd
}

func (a *app) runCmd() *cobra.Command {
	return &cobra.Command{
		Use:     "run",
		Short:   "Run the roles that the node's configuration names",
		GroupID: "start",
		Long: `Run this node's roles (server, gateway, contact point, manager, clearinghouse) until
interrupted, and in a client's directory the web API and pages for a browser. One line "ready ADDRESS"
goes to standard output when they answer; the log goes to standard error.`,
		Example: "  trunkline run\n  trunkline --home /srv/trunkline/attic run",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			h, err := a.home()
			if err != nil {
				return err
			}
			err = node.Run(cmd.Context(), h, node.RunOptions{
				Logger:   a.logger(true),
				ExitCode: exitCode,
				Hint: func(err error) string {
					_, hint := describe(err)
					return hint
				},
				Ready: func(address string) { fmt.Fprintln(a.stdout, "ready", address) },
			})
			if cmd.Context().Err() != nil && err == nil {
				return nil
			}
			return err
		},
	}
}
