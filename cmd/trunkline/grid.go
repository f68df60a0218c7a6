package main

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"trunkline/billing"
	"trunkline/cmd/internal/node"
	"trunkline/grid/manager"
)

// ask runs an operation of the node in the home directory and prints what comes back.
func ask[Out any](a *app, cmd *cobra.Command, name string, in any, text func(w io.Writer, out Out)) error {
	h, err := a.home()
	if err != nil {
		return err
	}
	var out Out
	if err := node.Ask(cmd.Context(), h, name, in, &out); err != nil {
		return err
	}
	return a.print(out, func(w io.Writer) { text(w, out) })
}

// table writes rows with aligned columns.
func table(w io.Writer, head string, rows func(row func(cells ...any))) {
	tw := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	fmt.Fprintln(tw, strings.ReplaceAll(head, "|", "\t"))
	rows(func(cells ...any) {
		for i, c := range cells {
			if i > 0 {
				fmt.Fprint(tw, "\t")
			}
			fmt.Fprint(tw, c)
		}
		fmt.Fprintln(tw)
	})
	_ = tw.Flush()
}

// creditsFlag is an amount of money as a flag.
type creditsFlag struct {
	value billing.Credits
	set   bool
}

func (f *creditsFlag) String() string { return f.value.String() }
func (f *creditsFlag) Type() string   { return "amount" }

// Set takes amounts of nought and more: prices, credit lines and deposits are never negative.
func (f *creditsFlag) Set(s string) (err error) {
	f.value, err = billing.ParseCredits(s)
	f.set = true
	if err != nil || f.value < 0 {
		return billing.ErrCredits
	}
	return nil
}

func (f *creditsFlag) pointer() *billing.Credits {
	if !f.set {
		return nil
	}
	return &f.value
}

func (a *app) gridCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use: "grid", Short: "Run a grid: members, tickets, prices", GroupID: "grids",
		Long: "Run a grid. These commands work in the node directory of the grid's manager, most of them\nwhether or not it is running.",
	}
	cmd.AddCommand(
		a.gridCreateCmd(), a.gridStatusCmd(), a.gridInviteCmd(), a.gridTicketsCmd(), a.gridMembersCmd(),
		a.gridApproveCmd(), a.gridRevokeCmd(), a.gridCreditCmd(), a.gridTariffCmd(), a.gridSubscribeCmd(), a.gridRenewCmd(),
	)
	return cmd
}

func (a *app) gridCreateCmd() *cobra.Command {
	var place placeFlags
	var currency string
	var line creditsFlag
	cmd := &cobra.Command{
		Use:   "create NAME",
		Short: "Make a grid and its manager's node directory",
		Long: `Make a grid: its key, which is its area code for good, and the node directory of its manager.
The grid key signs only which online key speaks for the grid, about once a month. Keep a copy of its
file in a safe place; you may take it off this machine between renewals.`,
		Example: "  trunkline grid create attic-friends\n  trunkline run &\n  trunkline grid invite --role server --uses 10",
		Args:    cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			h, err := a.home()
			if err != nil {
				return err
			}
			c, err := place.config()
			if err != nil {
				return err
			}
			made, err := node.CreateGrid(h, c, args[0], currency, line.value)
			if err != nil {
				return err
			}
			return a.print(made, func(w io.Writer) {
				fmt.Fprintf(w, "made the grid %s\n", made.Name)
				fmt.Fprintf(w, "area code  %s\n", made.Area)
				fmt.Fprintf(w, "grid key   %s (keep a copy somewhere safe)\n", made.GridKey)
				fmt.Fprintln(w, "\nnext: trunkline run, and in another shell: trunkline grid invite --role server")
			})
		},
	}
	place.add(cmd.Flags())
	cmd.Flags().StringVar(&currency, "currency", "", "what prices and accounts are in (default CREDIT)")
	cmd.Flags().Var(&line, "credit-line", "what each new member may owe (default 100)")
	return cmd
}

func (a *app) gridStatusCmd() *cobra.Command {
	return &cobra.Command{
		Use: "status", Short: "Show how the grid stands", Args: cobra.NoArgs,
		Example: "  trunkline grid status",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return ask(a, cmd, "grid/status", struct{}{}, func(w io.Writer, s manager.Status) {
				fmt.Fprintf(w, "grid        %s\narea code   %s\nmanager     %s\nmembers     %d\n", s.Name, s.Area, s.Manager, s.Members)
				fmt.Fprintf(w, "roster      number %d, until %s\n", s.Roster, when(s.RosterEnd))
				fmt.Fprintf(w, "delegation  number %d, until %s (grid key here: %t)\n", s.Delegation, when(s.DelegationEnd), s.GridKey)
				fmt.Fprintf(w, "published   %s\n", when(s.Published))
				for _, warning := range s.Warnings {
					fmt.Fprintf(w, "warning     %s\n", warning)
				}
			})
		},
	}
}

func when(t time.Time) string {
	if t.IsZero() {
		return "not yet"
	}
	return t.Local().Format("2006-01-02 15:04")
}

func (a *app) gridInviteCmd() *cobra.Command {
	var in node.InviteRequest
	cmd := &cobra.Command{
		Use:   "invite",
		Short: "Print a ticket that lets a node join",
		Long: `Print a ticket: whoever shows it to this grid's manager becomes a member with its roles. It is a
password; send it as you would one. The manager must be running, or have run, for the ticket says where
it is.`,
		Example: "  trunkline grid invite --role server --uses 10 > servers.ticket\n  trunkline grid invite --role client --name bob",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return ask(a, cmd, "grid/invite", in, func(w io.Writer, t manager.TicketInfo) {
				fmt.Fprintln(w, t.Text)
				if terminal(a.stdout) {
					a.say("for %s, %d use(s), until %s; there: trunkline join TICKET", t.Roles, t.Uses, when(t.Expires))
				}
			})
		},
	}
	f := cmd.Flags()
	f.StringVar(&in.Roles, "role", "client", "`ROLES` of who joins: client, server, gateway, contact, or several with commas")
	f.IntVar(&in.Uses, "uses", 1, "how many nodes may join with it")
	f.DurationVar(&in.Life, "life", 24*time.Hour, "how long it is good for")
	f.StringVar(&in.Name, "name", "", "name of a member that brings none")
	return cmd
}

func (a *app) gridTicketsCmd() *cobra.Command {
	var revoke string
	cmd := &cobra.Command{
		Use: "tickets", Short: "List the tickets that are good, or revoke one", Args: cobra.NoArgs,
		Example: "  trunkline grid tickets\n  trunkline grid tickets --revoke 4kq7mzr2",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if revoke != "" {
				return ask(a, cmd, "grid/revoke-ticket", node.TicketRequest{ID: revoke}, func(w io.Writer, _ struct{}) {
					fmt.Fprintln(w, "revoked; members that joined with it stay")
				})
			}
			return ask(a, cmd, "grid/tickets", struct{}{}, func(w io.Writer, ts []manager.TicketInfo) {
				table(w, "TICKET|ROLES|LEFT|UNTIL", func(row func(...any)) {
					for _, t := range ts {
						row(t.ID, t.Roles, fmt.Sprintf("%d of %d", t.Left, t.Uses), when(t.Expires))
					}
				})
			})
		},
	}
	cmd.Flags().StringVar(&revoke, "revoke", "", "make the ticket `ID` worthless")
	return cmd
}

func (a *app) gridMembersCmd() *cobra.Command {
	return &cobra.Command{
		Use: "members", Short: "List the members", Args: cobra.NoArgs,
		Example: "  trunkline grid members\n  trunkline grid members --json",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return ask(a, cmd, "grid/members", struct{}{}, func(w io.Writer, ms []manager.MemberInfo) {
				table(w, "NAME|ROLES|SINCE|KEY", func(row func(...any)) {
					for _, m := range ms {
						row(m.Name, m.Roles, when(m.Since), m.Key)
					}
				})
			})
		},
	}
}

func (a *app) gridApproveCmd() *cobra.Command {
	in := node.MemberRequest{}
	cmd := &cobra.Command{
		Use: "approve KEY", Short: "Make a key a member, or change its roles", Args: cobra.ExactArgs(1),
		Long: `Make a key a member, or change its roles. A server that goes on with the shares of a Tahoe-LAFS node keeps
that node's id, which "join --tahoe-node" prints: with --node-id, clients can go on changing mutable files.`,
		Example: "  trunkline grid approve 12D3KooW… --role server --name attic",
		RunE: func(cmd *cobra.Command, args []string) error {
			in.Who = args[0]
			return ask(a, cmd, "grid/approve", in, func(w io.Writer, m manager.MemberInfo) {
				fmt.Fprintf(w, "%s is a member as %s\n", m.Key, m.Roles)
			})
		},
	}
	cmd.Flags().StringVar(&in.Roles, "role", "client", "`ROLES`: client, server, gateway, contact, or several with commas")
	cmd.Flags().StringVar(&in.Name, "name", "", "what other members see beside the key")
	cmd.Flags().StringVar(&in.NodeID, "node-id", "", "`ID` of the Tahoe-LAFS node whose shares the server goes on with")
	return cmd
}

func (a *app) gridRevokeCmd() *cobra.Command {
	return &cobra.Command{
		Use: "revoke MEMBER", Short: "Take a member off the roster for good", Args: cobra.ExactArgs(1),
		Long: `Take a member off the roster for good, by its key or its name. Nodes that are connected know within a
minute; those that are cut off, when their roster ends. What the member stored stays.`,
		Example: "  trunkline grid revoke bob\n  trunkline grid revoke 12D3KooW…",
		RunE: func(cmd *cobra.Command, args []string) error {
			return ask(a, cmd, "grid/revoke", node.MemberRequest{Who: args[0]}, func(w io.Writer, _ map[string]any) {
				fmt.Fprintf(w, "revoked %s\n", args[0])
			})
		},
	}
}

func (a *app) gridCreditCmd() *cobra.Command {
	var line, deposit creditsFlag
	cmd := &cobra.Command{
		Use: "credit [MEMBER]", Short: "Show the members' accounts, or set what one may owe", Args: cobra.MaximumNArgs(1),
		Example: "  trunkline grid credit\n  trunkline grid credit bob --credit-line 5 --deposit 20",
		RunE: func(cmd *cobra.Command, args []string) error {
			if !line.set && !deposit.set && len(args) == 1 {
				return &usageError{cmd: cmd.CommandPath(), err: errors.New("say what to set: --credit-line, --deposit or both")}
			}
			if len(args) == 1 {
				in := node.MemberRequest{Who: args[0], CreditLine: line.pointer(), Deposit: deposit.pointer()}
				return ask(a, cmd, "grid/credit", in, func(w io.Writer, _ struct{}) { fmt.Fprintln(w, "set") })
			}
			return ask(a, cmd, "grid/accounts", struct{}{}, func(w io.Writer, as []manager.AccountInfo) {
				table(w, "NAME|BALANCE|RESERVED|AVAILABLE|CREDIT LINE|KEY", func(row func(...any)) {
					for _, x := range as {
						row(x.Name, x.Balance, x.Reserved, x.Available, x.CreditLine, x.Key)
					}
				})
			})
		},
	}
	cmd.Flags().Var(&line, "credit-line", "what the member may owe")
	cmd.Flags().Var(&deposit, "deposit", "what the member has deposited")
	return cmd
}

func (a *app) gridTariffCmd() *cobra.Command {
	var local, export, tollFree bool
	var perGiB, perLookup creditsFlag
	var free uint64
	cmd := &cobra.Command{
		Use:   "tariff",
		Short: "Show the grid's prices, or set one",
		Long: `Show or set prices. The export tariff is what other grids pay for fetching from this one; it is
published with the area record. The local tariff is what this grid's clients pay their gateway for
fetching from others. A tariff is set whole: a price that is not named is nought. Toll-free means that
nothing is metered and that strangers are served too, at a limited rate.`,
		Example: "  trunkline grid tariff\n  trunkline grid tariff --export --per-gib 0.01 --per-lookup 0.00001\n  trunkline grid tariff --export --toll-free",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			in := node.TariffRequest{Market: manager.Export}
			if local {
				in.Market = manager.Local
			}
			switch {
			case local && export:
				return &usageError{cmd: cmd.CommandPath(), err: fmt.Errorf("set one tariff at a time: --local or --export")}
			case (local || export) && !perGiB.set && !perLookup.set && free == 0 && !tollFree:
				return &usageError{cmd: cmd.CommandPath(), err: errors.New("say the prices: --per-gib and --per-lookup, or --toll-free")}
			case local || export:
				in.Terms = &manager.Terms{PerGiB: perGiB.value, PerLookup: perLookup.value, FreeBytes: free, TollFree: tollFree}
			case perGiB.set || perLookup.set || free > 0 || tollFree:
				return &usageError{cmd: cmd.CommandPath(), err: fmt.Errorf("say which tariff to set: --local or --export")}
			}
			return ask(a, cmd, "grid/tariff", in, func(w io.Writer, ts []manager.TariffInfo) {
				table(w, "TARIFF|NUMBER|PER GIB|PER LOOK-UP|FREE BYTES|CURRENCY|UNTIL", func(row func(...any)) {
					for _, t := range ts {
						price := t.Terms.PerGiB.String()
						if t.Terms.TollFree {
							price = "toll-free"
						}
						row(t.Market, t.Sequence, price, t.Terms.PerLookup, t.Terms.FreeBytes, t.Currency, when(t.Until))
					}
				})
			})
		},
	}
	f := cmd.Flags()
	f.BoolVar(&export, "export", false, "set what other grids pay this one")
	f.BoolVar(&local, "local", false, "set what clients pay their gateway")
	f.Var(&perGiB, "per-gib", "price of a GiB")
	f.Var(&perLookup, "per-lookup", "price of a look-up")
	f.Uint64Var(&free, "free-bytes", 0, "`BYTES` that are free on each channel and period")
	f.BoolVar(&tollFree, "toll-free", false, "charge nothing and serve strangers")
	return cmd
}

func (a *app) gridSubscribeCmd() *cobra.Command {
	var leave bool
	cmd := &cobra.Command{
		Use:   "subscribe [ADDRESS]",
		Short: "Join a clearinghouse, or list those joined",
		Long: `Ask a clearinghouse for an account and, from then on, settle calls to and from other grids through
it. Asking again tells how the request stands. The manager must be running. Without an address: list
the clearinghouses that the grid settles with.`,
		Example: "  trunkline grid subscribe /ip4/192.0.2.9/tcp/4001/p2p/12D3KooW…\n  trunkline grid subscribe",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			switch {
			case len(args) == 0:
				return ask(a, cmd, "grid/clearinghouses", struct{}{}, func(w io.Writer, ss []manager.SubscriptionInfo) {
					for _, s := range ss {
						fmt.Fprintln(w, s.Key)
					}
				})
			case leave:
				return ask(a, cmd, "grid/unsubscribe", node.PeerRequest{Peer: args[0]}, func(w io.Writer, _ struct{}) {
					fmt.Fprintln(w, "left; the account there, and what is owed, stay")
				})
			}
			return ask(a, cmd, "grid/subscribe", node.PeerRequest{Peer: args[0]}, func(w io.Writer, s manager.SubscriptionInfo) {
				switch {
				case s.State == nil || !s.State.Admitted:
					fmt.Fprintln(w, "asked; the clearinghouse's operator has yet to admit this grid")
				default:
					fmt.Fprintf(w, "admitted, with a credit line of %s %s\n", s.State.CreditLine, s.State.Currency)
				}
			})
		},
	}
	cmd.Flags().BoolVar(&leave, "leave", false, "take the clearinghouse with this key out of the area record")
	return cmd
}

func (a *app) gridRenewCmd() *cobra.Command {
	return &cobra.Command{
		Use: "renew", Short: "Sign a new delegation with the grid key", Args: cobra.NoArgs,
		Long: `Sign again, with the grid key, which online key speaks for this grid. The manager does it by itself
while grid.key lies in its directory; put the file back for a moment if you keep it elsewhere.`,
		Example: "  trunkline grid renew",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return ask(a, cmd, "grid/renew-delegation", struct{}{}, func(w io.Writer, s manager.Status) {
				fmt.Fprintf(w, "delegation %d is good until %s\n", s.Delegation, when(s.DelegationEnd))
			})
		},
	}
}
