package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"trunkline/cmd/internal/alias"
	"trunkline/cmd/internal/names"
	"trunkline/cmd/internal/node"
	"trunkline/grid/tree"
)

// healthInfo is what a check found, as people and scripts see it.
type healthInfo struct {
	Path        string `json:"path"`
	Type        string `json:"type"`
	Index       string `json:"storage_index,omitempty"`
	Literal     bool   `json:"literal,omitempty"` // the file is in its cap, or of an unknown kind
	Healthy     bool   `json:"healthy"`
	Recoverable bool   `json:"recoverable"`
	Needed      int    `json:"needed,omitempty"`
	Expected    int    `json:"expected,omitempty"`
	Good        int    `json:"good"`
	Servers     int    `json:"servers"`
	Versions    int    `json:"versions,omitempty"`
	// Corrupt are shares that are damaged or not of this file, with their servers.
	Corrupt []string `json:"corrupt,omitempty"`
	// Silent are servers that did not answer.
	Silent []string `json:"silent,omitempty"`
	// Repaired says that a repair was tried, Error what went wrong with it or with the check.
	Repaired bool   `json:"repair_attempted,omitempty"`
	Error    string `json:"error,omitempty"`
}

func healthOf(path string, n tree.Node, c tree.Checked, err error) healthInfo {
	i := healthInfo{Path: path, Type: string(n.Type()), Literal: c.Literal, Repaired: c.Attempted}
	if v, ok := n.VerifyCap(); ok {
		if si, ok := v.StorageIndex(); ok {
			i.Index = si.String()
		}
	}
	switch {
	case err != nil:
		i.Error = sentence(err.Error())
		return i
	case c.Literal:
		i.Healthy, i.Recoverable = true, true
		return i
	case c.RepairErr != nil:
		i.Error = sentence(c.RepairErr.Error())
	}
	h := c.After
	i.Healthy, i.Recoverable, i.Needed, i.Expected, i.Good = h.Healthy(), h.Recoverable(), h.Needed, h.Expected, len(h.Good)
	i.Versions = len(h.Versions)
	servers := map[string]bool{}
	for _, keys := range h.Good {
		for _, k := range keys {
			servers[k.String()] = true
		}
	}
	i.Servers = len(servers)
	for _, b := range h.Corrupt {
		text := fmt.Sprintf("share %d on %s", b.Num, b.Server)
		if b.Reason != nil {
			text += ": " + sentence(b.Reason.Error())
		}
		i.Corrupt = append(i.Corrupt, text)
	}
	for _, b := range h.Failed {
		i.Silent = append(i.Silent, sentence(b.String()))
	}
	return i
}

// line is the result in one line.
func (i healthInfo) line() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: ", strings.TrimSuffix(i.Path, ":"))
	shares := fmt.Sprintf("%d of %d shares on %d servers, any %d of them give it back", i.Good, i.Expected, i.Servers, i.Needed)
	switch {
	case i.Error != "" && !i.Repaired:
		fmt.Fprintf(&b, "not checked: %s", i.Error)
		return b.String()
	case i.Literal && i.Type == string(tree.TypeUnknown):
		b.WriteString("of an unknown kind, not checked")
		return b.String()
	case i.Literal:
		b.WriteString("healthy, it is in its cap")
		return b.String()
	case i.Healthy && i.Repaired:
		fmt.Fprintf(&b, "repaired, %s", shares)
	case i.Healthy:
		fmt.Fprintf(&b, "healthy, %s", shares)
	case i.Recoverable:
		fmt.Fprintf(&b, "not healthy, %s", shares)
	case i.Good == 0:
		b.WriteString("lost as far as can be seen, no server has a share of it")
	default:
		fmt.Fprintf(&b, "can't be read now, %d shares on %d servers where %d are needed", i.Good, i.Servers, i.Needed)
	}
	if i.Versions > 1 {
		fmt.Fprintf(&b, "; %d versions are there", i.Versions)
	}
	if len(i.Corrupt) > 0 {
		fmt.Fprintf(&b, "; %d shares are damaged", len(i.Corrupt))
	}
	if len(i.Silent) > 0 && !i.Healthy {
		fmt.Fprintf(&b, "; %d servers did not answer", len(i.Silent))
	}
	if i.Error != "" {
		fmt.Fprintf(&b, "; repair failed: %s", i.Error)
	}
	return b.String()
}

func (i healthInfo) write(w io.Writer) {
	fmt.Fprintln(w, i.line())
	for _, c := range slices.Concat(i.Corrupt, i.Silent) {
		fmt.Fprintf(w, "  %s\n", c)
	}
}

// Sentinels for the exit codes of checks. What is wrong has been printed by then.
var (
	errUnhealthy     = errors.New("not healthy")
	errUnrecoverable = errors.New("can't be read now")
)

// verdict is the error for what total checks found, the worst of them. list has at least all that is not well.
func verdict(list []healthInfo, total int) error {
	bad, lost := 0, 0
	for _, i := range list {
		switch {
		case i.Healthy && i.Error == "":
		case i.Recoverable:
			bad++
		default:
			lost++
		}
	}
	switch {
	case lost > 0:
		return fmt.Errorf("%w: %d of %d", errUnrecoverable, lost, total)
	case bad > 0:
		return fmt.Errorf("%w: %d of %d", errUnhealthy, bad, total)
	}
	return nil
}

// checkFlags are the flags of every check.
type checkFlags struct{ verify, repair, addLease bool }

func (c *checkFlags) add(f *pflag.FlagSet) {
	f.BoolVar(&c.verify, "verify", false, "fetch and check every byte of every share, where servers are believed otherwise")
	f.BoolVar(&c.addLease, "add-lease", false, "renew this client's leases, so that shares are kept")
}

func (c checkFlags) options() tree.CheckOptions {
	return tree.CheckOptions{Verify: c.verify, Repair: c.repair, AddLease: c.addLease}
}

func (a *app) checkCmd() *cobra.Command {
	return a.healthCmd(&cobra.Command{
		Use:     "check [WHERE... | -]",
		Short:   "Ask the servers whether files are safe",
		GroupID: "keep",
		Long: `Ask the servers of your grid which shares of a file or directory they have. A verify cap is enough. The exit
code is 0 if everything is there, 4 if something is missing or damaged, 5 if it can't be read now.

` + aboutPlaces,
		Example: "  trunkline check docs:thesis.pdf\n  trunkline check --verify - < thesis.verify.cap",
	}, false)
}

func (a *app) repairCmd() *cobra.Command {
	return a.healthCmd(&cobra.Command{
		Use:     "repair [WHERE... | -]",
		Short:   "Put back the shares that are missing or damaged",
		GroupID: "keep",
		Long: `Check files or directories of your grid, and where shares are missing or damaged make new ones. For what never
changes a verify cap is enough, so that somebody can look after files that they can't read; what can
change needs its write cap. The exit code is that of a check afterwards.

` + aboutPlaces,
		Example: "  trunkline repair docs:thesis.pdf\n  trunkline repair --verify - < thesis.verify.cap",
	}, true)
}

func (a *app) healthCmd(cmd *cobra.Command, repair bool) *cobra.Command {
	var where whereFlags
	flags := checkFlags{repair: repair}
	cmd.Args = cobra.ArbitraryArgs
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 {
			args = []string{""}
		}
		var places []alias.Location
		for _, arg := range args {
			l, err := where.locate(a, []string{arg})
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
		list := []healthInfo{}
		for _, l := range places {
			n, err := s.resolve(cmd.Context(), l)
			if err != nil {
				return err
			}
			found, err := s.tree.Check(cmd.Context(), n, flags.options())
			if err != nil {
				return at(l, err)
			}
			list = append(list, healthOf(l.String(), n, found, nil))
		}
		if err := a.print(list, func(w io.Writer) {
			for _, i := range list {
				i.write(w)
			}
		}); err != nil {
			return err
		}
		return verdict(list, len(list))
	}
	where.add(cmd.Flags())
	flags.add(cmd.Flags())
	return cmd
}

// deepInfo is what deep-check found.
type deepInfo struct {
	Checked    int          `json:"checked"`
	Healthy    int          `json:"healthy"`
	Repaired   int          `json:"repaired,omitempty"`
	Unhealthy  []healthInfo `json:"unhealthy"`
	Unreadable []string     `json:"unreadable,omitempty"`
	Stats      *tree.Stats  `json:"stats"`
}

func (a *app) deepCheckCmd() *cobra.Command {
	var where whereFlags
	var flags checkFlags
	cmd := &cobra.Command{
		Use:     "deep-check [WHERE | -]",
		Short:   "Check a directory and everything below it",
		GroupID: "keep",
		Long: `Check a directory and everything that is reached through it, and tell of what is not healthy. With --repair
it is repaired as far as the caps allow. The exit code is 0 if everything is there, 4 if something is
missing or damaged, 5 if something can't be read now.

` + aboutPlaces,
		Example: "  trunkline deep-check docs:\n  trunkline deep-check --verify --repair --add-lease docs:",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			s, l, err := where.open(a, cmd, args)
			if err != nil {
				return err
			}
			defer s.close()
			out, bad, err := s.deepCheck(cmd.Context(), l, flags.options(), "check")
			if err != nil {
				return err
			}
			if err := a.print(out, func(w io.Writer) { out.write(w) }); err != nil {
				return err
			}
			return verdict(bad, out.Checked+len(out.Unreadable))
		},
	}
	where.add(cmd.Flags())
	flags.add(cmd.Flags())
	cmd.Flags().BoolVar(&flags.repair, "repair", false, "repair what is not healthy")
	return cmd
}

// deepCheck checks everything below a location. bad is what is not as it should be, directories that can't be read
// included.
func (s *session) deepCheck(ctx context.Context, l alias.Location, o tree.CheckOptions, what string) (out deepInfo, bad []healthInfo, err error) {
	root, err := s.resolve(ctx, l)
	if err != nil {
		return out, nil, err
	}
	out.Unhealthy, out.Stats = []healthInfo{}, new(tree.Stats)
	count := s.newCounter(what)
	defer count.end()
	w := out.Stats.Walker()
	w.Unreadable = func(v tree.Visit, err error) error {
		if ctx.Err() != nil {
			return err
		}
		text := sentence(fmt.Sprintf("%s: %v", shownPath(l, v.Path), err))
		out.Unreadable = append(out.Unreadable, text)
		bad = append(bad, healthInfo{Error: text})
		return nil
	}
	err = s.tree.DeepCheck(ctx, root.Cap(), o, func(v tree.Visit, c tree.Checked, err error) error {
		if err != nil && ctx.Err() != nil {
			return err
		}
		i := healthOf(shownPath(l, v.Path), v.Node, c, err)
		out.Checked++
		count.add()
		if i.Healthy && i.Error == "" {
			out.Healthy++
			if i.Repaired {
				out.Repaired++
			}
			return nil
		}
		out.Unhealthy = append(out.Unhealthy, i)
		bad = append(bad, i)
		return nil
	}, w)
	return out, bad, err
}

func (d deepInfo) write(w io.Writer) {
	for _, i := range d.Unhealthy {
		i.write(w)
	}
	for _, text := range d.Unreadable {
		fmt.Fprintf(w, "%s\n", names.Text(text))
	}
	fmt.Fprintf(w, "checked %d: %d healthy, %d not", d.Checked, d.Healthy, len(d.Unhealthy))
	if d.Repaired > 0 {
		fmt.Fprintf(w, "; %d were repaired", d.Repaired)
	}
	if len(d.Unreadable) > 0 {
		fmt.Fprintf(w, "; %d directories can't be read", len(d.Unreadable))
	}
	fmt.Fprintln(w)
}

// shownPath is a path below a location.
func shownPath(l alias.Location, path []string) string {
	l.Path = slices.Concat(l.Path, path)
	return l.String()
}
