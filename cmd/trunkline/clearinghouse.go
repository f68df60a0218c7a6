package main

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"trunkline/billing"
	"trunkline/clearinghouse"
	"trunkline/cmd/internal/node"
)

func (a *app) clearinghouseCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use: "clearinghouse", Short: "Run a clearinghouse: grids, credit, books", GroupID: "grids",
		Long: `Run a clearinghouse: it approves calls between grids up to their credit, books what payers signed,
and answers who owes what. It sees neither files nor caps, and is never on the data path.`,
	}
	cmd.AddCommand(a.houseCreateCmd())
	type verb struct{ name, op, short, done string }
	for _, v := range []verb{
		{"reject", "clearinghouse/reject", "Drop a grid's request; it may ask again", "rejected"},
		{"suspend", "clearinghouse/suspend", "Stop a grid's approvals", "suspended; what is approved runs out by itself"},
		{"resume", "clearinghouse/resume", "Let a suspended grid go on", "resumed"},
	} {
		cmd.AddCommand(&cobra.Command{
			Use: v.name + " AREA", Short: v.short, Args: cobra.ExactArgs(1),
			Example: "  trunkline clearinghouse " + v.name + " k51…",
			RunE: func(cmd *cobra.Command, args []string) error {
				return ask(a, cmd, v.op, node.AreaRequest{Area: args[0]}, func(w io.Writer, _ map[string]any) { fmt.Fprintln(w, v.done) })
			},
		})
	}
	cmd.AddCommand(a.houseAdmitCmd(), a.houseDepositCmd(), a.houseOpenCmd(), &cobra.Command{
		Use: "accounts", Short: "List the grids and their accounts", Args: cobra.NoArgs,
		Example: "  trunkline clearinghouse accounts",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return ask(a, cmd, "clearinghouse/accounts", struct{}{}, func(w io.Writer, as []clearinghouse.AccountInfo) {
				table(w, "NAME|BALANCE|RESERVED|AVAILABLE|DEPOSIT|CREDIT LINE|CURRENCY|SUSPENDED|AREA", func(row func(...any)) {
					for _, x := range as {
						row(x.Name, x.Balance, x.Reserved, x.Available, x.Deposit, x.CreditLine, x.Currency, yesNo(x.Suspended), x.Area)
					}
				})
			})
		},
	}, &cobra.Command{
		Use: "requests", Short: "List the grids that wait to be admitted", Args: cobra.NoArgs,
		Example: "  trunkline clearinghouse requests",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return ask(a, cmd, "clearinghouse/requests", struct{}{}, func(w io.Writer, rs []clearinghouse.RequestInfo) {
				table(w, "NAME|ASKED|AREA", func(row func(...any)) {
					for _, r := range rs {
						row(r.Name, when(r.At), r.Area)
					}
				})
			})
		},
	}, &cobra.Command{
		Use: "status", Short: "Show how the clearinghouse stands", Args: cobra.NoArgs,
		Example: "  trunkline clearinghouse status",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return ask(a, cmd, "clearinghouse/status", struct{}{}, func(w io.Writer, s clearinghouse.Status) {
				admission := "by the operator"
				if s.Open {
					admission = fmt.Sprintf("open, with a credit line of %s %s", s.CreditLine, s.Currency)
				}
				fmt.Fprintf(w, "name       %s\nkey        %s\nadmission  %s\n", s.Name, s.Key, admission)
				fmt.Fprintf(w, "grids      %d admitted, %d waiting\n", s.Grids, s.Requests)
				fmt.Fprintf(w, "currency   %s\nperiod     %d\n", s.Currency, s.Period)
			})
		},
	}, &cobra.Command{
		Use: "verify", Short: "Check the books against the signatures in them", Args: cobra.NoArgs,
		Long: `Recompute the books from the signed vouchers in them: every line has its payer's signature, debits
equal credits, nothing is over its cap or its credit.`,
		Example: "  trunkline clearinghouse verify",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return ask(a, cmd, "clearinghouse/check", struct{}{}, func(w io.Writer, _ struct{}) {
				fmt.Fprintln(w, "the books are in order")
			})
		},
	})
	return cmd
}

func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

func (a *app) houseCreateCmd() *cobra.Command {
	var place placeFlags
	var currency string
	var open bool
	var line creditsFlag
	cmd := &cobra.Command{
		Use:   "create NAME",
		Short: "Make a clearinghouse's node directory",
		Long: `Make a clearinghouse. Grids ask it for an account with "trunkline grid subscribe"; with --open each is
admitted at once with the credit line given, otherwise the operator admits them.`,
		Example: "  trunkline clearinghouse create north --credit-line 50\n  trunkline run",
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
			made, err := node.CreateClearinghouse(h, c, args[0], currency, open, line.value)
			if err != nil {
				return err
			}
			return a.print(made, func(w io.Writer) {
				fmt.Fprintf(w, "made the clearinghouse %s, key %s\n\nnext: trunkline run\n", made.Name, made.Key)
			})
		},
	}
	place.add(cmd.Flags())
	f := cmd.Flags()
	f.StringVar(&currency, "currency", "", "what all accounts are in (default CREDIT)")
	f.BoolVar(&open, "open", false, "admit every grid that asks")
	f.Var(&line, "credit-line", "what a grid that is admitted at once may owe (default 10)")
	return cmd
}

func (a *app) houseAdmitCmd() *cobra.Command {
	var line, deposit creditsFlag
	var name string
	cmd := &cobra.Command{
		Use: "admit AREA", Short: "Give a grid an account, or change its terms", Args: cobra.ExactArgs(1),
		Long: `Give a grid an account, whether or not it has asked, or change the terms of the one it has: what is not
named here stays as it is. A new account without --credit-line or --deposit can earn but not yet owe.`,
		Example: "  trunkline clearinghouse admit k51… --credit-line 50",
		RunE: func(cmd *cobra.Command, args []string) error {
			in := node.AreaRequest{Area: args[0], Name: name, CreditLine: line.pointer(), Deposit: deposit.pointer()}
			return ask(a, cmd, "clearinghouse/admit", in, func(w io.Writer, x clearinghouse.AccountInfo) {
				fmt.Fprintf(w, "admitted %s, credit line %s %s, deposit %s %s\n", x.Area, x.CreditLine, x.Currency, x.Deposit, x.Currency)
			})
		},
	}
	cmd.Flags().Var(&line, "credit-line", "what the grid may owe")
	cmd.Flags().Var(&deposit, "deposit", "what the grid has deposited")
	cmd.Flags().StringVar(&name, "name", "", "name of the account (default: what the grid calls itself)")
	return cmd
}

func (a *app) houseDepositCmd() *cobra.Command {
	return &cobra.Command{
		Use: "deposit AREA AMOUNT", Short: "Book money that a grid paid in, or took out if negative", Args: cobra.ExactArgs(2),
		Example: "  trunkline clearinghouse deposit k51… 25\n  trunkline clearinghouse deposit -- k51… -25",
		RunE: func(cmd *cobra.Command, args []string) error {
			amount, err := billing.ParseCredits(args[1])
			if err != nil {
				return &usageError{cmd: cmd.CommandPath(), err: fmt.Errorf("%q is not an amount such as 25 or -0.5", args[1])}
			}
			return ask(a, cmd, "clearinghouse/deposit", node.AreaRequest{Area: args[0], Amount: amount}, func(w io.Writer, x clearinghouse.AccountInfo) {
				fmt.Fprintf(w, "the deposit of %s is %s %s\n", x.Area, x.Deposit, x.Currency)
			})
		},
	}
}

func (a *app) houseOpenCmd() *cobra.Command {
	var in node.OpenRequest
	var line creditsFlag
	cmd := &cobra.Command{
		Use: "admission open|closed", Short: "Say whether grids are admitted at once", Args: cobra.ExactArgs(1), ValidArgs: []string{"open", "closed"},
		Example: "  trunkline clearinghouse admission open --credit-line 5\n  trunkline clearinghouse admission closed",
		RunE: func(cmd *cobra.Command, args []string) error {
			if args[0] != "open" && args[0] != "closed" {
				return &usageError{cmd: cmd.CommandPath(), err: fmt.Errorf("%q is neither open nor closed", args[0])}
			}
			in.Open, in.CreditLine = args[0] == "open", line.pointer()
			return ask(a, cmd, "clearinghouse/open", in, func(w io.Writer, _ struct{}) { fmt.Fprintln(w, "admission is "+args[0]) })
		},
	}
	cmd.Flags().Var(&line, "credit-line", "what a grid that is admitted at once may owe")
	return cmd
}
