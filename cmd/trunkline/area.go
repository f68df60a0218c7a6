package main

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"trunkline/caps"
	"trunkline/cmd/internal/node"
)

func (a *app) areaCmd() *cobra.Command {
	cmd := &cobra.Command{Use: "area", Short: "Look up area codes", GroupID: "grids"}
	var quiet bool
	show := &cobra.Command{
		Use:   "show [AREA]",
		Short: "Look an area code up and show each step",
		Long: `Look an area code up, in the cache, the directory of hashes and the directories of clearinghouses, and
show each step, who answered what, and the newest valid record: contact points, prices, clearinghouses.
Without an argument: the home grid's.`,
		Example: "  trunkline area show k51…\n  trunkline area show --json",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			h, err := a.home()
			if err != nil {
				return err
			}
			c, err := h.Config()
			if err != nil {
				return err
			}
			code, err := c.HomeArea()
			if err != nil {
				return err
			}
			if len(args) == 1 {
				if code, err = caps.ParseAreaCode(args[0]); err != nil {
					return &usageError{cmd: cmd.CommandPath(), err: err}
				}
			}
			if code.IsZero() {
				return &usageError{cmd: cmd.CommandPath(), err: fmt.Errorf("this node has no home grid; name an area code")}
			}
			info, err := node.LookUp(cmd.Context(), h, code, a.logger(false), func(s node.LookupStep) {
				if !quiet && !a.json {
					a.say("%s", s.Text)
				}
			})
			if err != nil {
				return err
			}
			return a.print(info, func(w io.Writer) {
				fmt.Fprintf(w, "grid           %s\narea code      %s\ndelegate       %s\n", info.Name, info.Area, info.Delegate)
				fmt.Fprintf(w, "record         delegation %d, contact sheet %d, until %s\n", info.DelegationSeq, info.SheetSeq, when(info.NotAfter))
				fmt.Fprintf(w, "price          %s\n", info.Price)
				for _, p := range info.Contacts {
					fmt.Fprintf(w, "contact point  %s\n", p)
				}
				for _, p := range info.Clearinghouses {
					fmt.Fprintf(w, "clearinghouse  %s\n", p)
				}
			})
		},
	}
	show.Flags().BoolVarP(&quiet, "quiet", "q", false, "only the result, not the steps")
	cmd.AddCommand(show)
	return cmd
}
