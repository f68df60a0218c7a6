package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"golang.org/x/term"

	"trunkline/cmd/internal/names"
	"trunkline/cmd/internal/node"
	"trunkline/p2p"
)

// app is one run of the command: where it reads and writes, and the flags that every command has.
type app struct {
	stdin          io.Reader
	stdout, stderr io.Writer
	homeFlag       string
	json           bool
	verbose        bool
}

const rootLong = `Trunkline is long distance for storage grids.

Files are encrypted, erasure-coded and kept on the servers of their home grid, as
Tahoe-LAFS does it. A long-distance cap names the grid too, so it opens from anywhere:
your gateway fetches ciphertext from a contact point of that grid, every byte is
verified on the way, and both grids sign the bill.`

func (a *app) root() *cobra.Command {
	root := &cobra.Command{
		Use:           "trunkline",
		Short:         "Store files on your grid, open them from any grid",
		Long:          rootLong,
		SilenceUsage:  true,
		SilenceErrors: true,
		// libp2p's own log is for those who look for a fault, not for every user.
		PersistentPreRun: func(*cobra.Command, []string) { p2p.LogTo(a.logger(false).Handler()) },
	}
	root.PersistentFlags().StringVar(&a.homeFlag, "home", "", "node `DIRECTORY` (TRUNKLINE_HOME, else the user's data directory)")
	root.PersistentFlags().BoolVar(&a.json, "json", false, "print results as JSON")
	root.PersistentFlags().BoolVarP(&a.verbose, "verbose", "v", false, "log what the node does to standard error")
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return &usageError{cmd: cmd.CommandPath(), err: flagError(err)}
	})
	root.SetHelpFunc(func(cmd *cobra.Command, _ []string) { a.help(cmd) })
	root.CompletionOptions.HiddenDefaultCmd = true
	root.AddGroup(
		&cobra.Group{ID: "start", Title: "Start"},
		&cobra.Group{ID: "files", Title: "Files"},
		&cobra.Group{ID: "dirs", Title: "Directories"},
		&cobra.Group{ID: "keep", Title: "Keep them safe"},
		&cobra.Group{ID: "grids", Title: "Grids and money"},
	)
	root.AddCommand(
		a.demoCmd(), a.initCmd(), a.joinCmd(), a.runCmd(),
		a.tahoeDirCmd(),
		a.putCmd(), a.getCmd(), a.lsCmd(), a.cpCmd(), a.capCmd(),
		a.mkdirCmd(), a.mvCmd(), a.lnCmd(), a.rmCmd(), a.createAliasCmd(), a.addAliasCmd(), a.listAliasesCmd(),
		a.checkCmd(), a.repairCmd(), a.deepCheckCmd(), a.manifestCmd(), a.statsCmd(), a.backupCmd(), a.leaseCmd(), a.gcCmd(),
		a.gridCmd(), a.areaCmd(), a.billCmd(), a.clearinghouseCmd(), a.exitCodesCmd(),
	)
	wrapArgs(root)
	return root
}

// wrapArgs turns every complaint about arguments into a usage error, which has its own exit code, and a command that
// only groups others into one that knows when a name is none of theirs.
func wrapArgs(cmd *cobra.Command) {
	group := cmd.HasSubCommands()
	if group {
		cmd.Args = cobra.NoArgs
		cmd.RunE = func(cmd *cobra.Command, _ []string) error { return cmd.Help() }
	}
	if check := cmd.Args; check != nil {
		cmd.Args = func(cmd *cobra.Command, args []string) error {
			err := check(cmd, args)
			switch {
			case err == nil:
				return nil
			case group:
				err = fmt.Errorf("%s has no command %q", cmd.CommandPath(), args[0])
			case len(args) == 0:
				err = fmt.Errorf("an argument is missing; it is used as %s", cmd.UseLine())
			default:
				err = fmt.Errorf("too many arguments; it is used as %s", cmd.UseLine())
			}
			return &usageError{cmd: cmd.CommandPath(), err: err}
		}
	}
	for _, sub := range cmd.Commands() {
		wrapArgs(sub)
	}
}

// flagError says what a flag takes, in place of how reading it failed.
func flagError(err error) error {
	var bad *pflag.InvalidValueError
	if !errors.As(err, &bad) {
		return err
	}
	want := map[string]string{
		"bool": "true or false", "int": "a whole number", "uint64": "a whole number", "duration": "a time such as 90m or 24h",
		"amount": "an amount such as 20 or 0.05, with at most six decimals",
	}[bad.GetFlag().Value.Type()]
	if want == "" {
		return err
	}
	return fmt.Errorf("--%s takes %s, not %q", bad.GetFlag().Name, want, bad.GetValue())
}

// usageError is a command line that can't be understood.
type usageError struct {
	cmd string
	err error
}

func (e *usageError) Error() string { return e.err.Error() }
func (e *usageError) Unwrap() error { return e.err }

func (a *app) home() (node.Home, error) { return node.FindHome(a.homeFlag) }

// print writes a result: as JSON with --json, else by calling text. A result that can't be written is a failure: a cap
// that went nowhere is a file lost.
func (a *app) print(v any, text func(w io.Writer)) error {
	var b bytes.Buffer
	if a.json {
		enc := json.NewEncoder(&b)
		enc.SetIndent("", "  ")
		if err := enc.Encode(v); err != nil {
			return err
		}
	} else {
		text(&b)
	}
	if _, err := a.stdout.Write(b.Bytes()); err != nil {
		return fmt.Errorf("writing the result: %w", err)
	}
	return nil
}

// say writes words for a person to standard error.
func (a *app) say(format string, args ...any) {
	fmt.Fprintf(a.stderr, format+"\n", args...)
}

// warn tells of what went wrong on the way to a good end.
func (a *app) warn(text string) {
	if a.json {
		_ = json.NewEncoder(a.stderr).Encode(map[string]any{"message_type": "warning", "message": sentence(text)})
		return
	}
	a.say("trunkline: warning: %s", names.Text(sentence(text)))
}

// terminal tells whether w is a terminal, where progress is drawn.
func terminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// help prints a command's help. Written out by hand: cobra's own goes through text/template, which keeps the linker
// from dropping dead code.
func (a *app) help(cmd *cobra.Command) {
	w := cmd.OutOrStdout()
	long := cmd.Long
	if long == "" {
		long = cmd.Short + "."
	}
	fmt.Fprintf(w, "%s\n\nUsage:\n", strings.TrimSpace(long))
	if cmd.Runnable() && !cmd.HasSubCommands() {
		fmt.Fprintf(w, "  %s\n", cmd.UseLine())
	}
	if cmd.HasAvailableSubCommands() {
		fmt.Fprintf(w, "  %s COMMAND\n", cmd.CommandPath())
		groups := cmd.Groups()
		if len(groups) == 0 {
			groups = []*cobra.Group{{Title: "Commands"}}
		}
		for _, g := range groups {
			fmt.Fprintf(w, "\n%s:\n", g.Title)
			for _, sub := range cmd.Commands() {
				if sub.IsAvailableCommand() && sub.GroupID == g.ID {
					fmt.Fprintf(w, "  %-14s %s\n", sub.Name(), sub.Short)
				}
			}
		}
	}
	if cmd.Example != "" {
		fmt.Fprintf(w, "\nExamples:\n%s\n", strings.TrimRight(cmd.Example, "\n"))
	}
	if flags := cmd.LocalFlags(); flags.HasAvailableFlags() {
		fmt.Fprintf(w, "\nFlags:\n%s", flags.FlagUsages())
	}
	if cmd.HasParent() {
		if flags := cmd.InheritedFlags(); flags.HasAvailableFlags() {
			fmt.Fprintf(w, "\nFlags of every command:\n%s", flags.FlagUsages())
		}
	}
	if cmd.HasAvailableSubCommands() {
		fmt.Fprintf(w, "\n\"%s COMMAND --help\" says more, with examples. \"trunkline exit-codes\" lists what exit codes mean.\n", cmd.CommandPath())
	}
}

// report prints an error the way every command does, and returns the exit code.
func (a *app) report(err error) int {
	code := exitCode(err)
	if err == nil || errors.Is(err, errSilent) {
		return code
	}
	text, hint := describe(err)
	text = names.Text(text)
	if a.json {
		_ = json.NewEncoder(a.stderr).Encode(map[string]any{
			"message_type": "error", "exit_code": code, "message": text, "hint": hint,
		})
		return code
	}
	fmt.Fprintf(a.stderr, "trunkline: error: %s\n", text)
	if hint != "" {
		fmt.Fprintf(a.stderr, "trunkline: hint: %s\n", hint)
	}
	return code
}
