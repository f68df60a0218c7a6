package main

import (
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"trunkline/cmd/internal/node"
	"trunkline/grid/account"
)

func (a *app) billCmd() *cobra.Command {
	var in node.BillRequest
	cmd := &cobra.Command{
		Use:     "bill",
		Short:   "Show signed statements of who owes what",
		GroupID: "grids",
		Long: `Show statements, each signed by who keeps the books. For a member: its account with its grid's
manager. In a manager's directory: the grid's account with each clearinghouse, or with --of that of one
member. In a clearinghouse's: that of the grid named with --of.

Every line stands for one signed voucher of the payer, over bytes it had verified. In a gateway's or
contact point's directory, --post brings what payers signed to its approver now rather than at the next
round.`,
		Example: "  trunkline bill\n  trunkline bill --of bob --json\n  trunkline bill --period 20410",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			h, err := a.home()
			if err != nil {
				return err
			}
			c, err := h.Config()
			if err != nil {
				return err
			}
			if in.Post {
				if !c.Has(node.RoleGateway) && !c.Has(node.RoleContact) {
					return &usageError{cmd: cmd.CommandPath(), err: errors.New("--post is for the node directory of a gateway or contact point")}
				}
				return ask(a, cmd, "bill", in, func(w io.Writer, r account.Round) {
					fmt.Fprintf(w, "posted %d, refused %d, left %d\n", r.Posted, r.Refused, r.Left)
				})
			}
			if c.Daemon() && !c.Has(node.RoleClient) {
				return ask(a, cmd, "bill", in, writeBill)
			}
			client, err := node.OpenClient(cmd.Context(), h, node.ClientOptions{Logger: a.logger(false)})
			if err != nil {
				return err
			}
			defer client.Close()
			bill, err := client.Bill(cmd.Context(), in.Period)
			if err != nil {
				return err
			}
			return a.print(bill, func(w io.Writer) { writeBill(w, bill) })
		},
	}
	f := cmd.Flags()
	f.StringVar(&in.Who, "of", "", "`WHOSE` account: a member's name or key, or a grid's area code")
	f.Uint64Var(&in.Period, "period", 0, "`NUMBER` of the period (default: the present one)")
	f.BoolVar(&in.Post, "post", false, "bring vouchers to their approver now")
	return cmd
}

func writeBill(w io.Writer, b node.Bill) {
	if len(b.Statements) == 0 {
		fmt.Fprintln(w, "no clearinghouse keeps books on this grid; \"trunkline grid subscribe ADDRESS\" joins one")
	}
	for _, s := range b.Statements {
		state := "signature verified"
		if !s.Verified {
			state = "SIGNATURE DOES NOT VERIFY"
		}
		fmt.Fprintf(w, "period %d, signed by %s at %s, %s\n", s.Period, s.Approver, when(s.IssuedAt), state)
		table(w, "ENTRY|WITH|BYTES|LOOK-UPS|"+s.Currency+"|VOUCHER", func(row func(...any)) {
			for _, l := range s.Lines {
				row(l.Entry, l.Counterparty, l.Bytes, l.Lookups, l.Credits, l.Voucher[:16])
			}
		})
		fmt.Fprintf(w, "earned %s, owes %s\n", s.Credit, s.Debit)
	}
}
