package main

import (
	"bytes"
	"io"
	"regexp"
	"strings"
	"testing"
	"unicode"

	"github.com/spf13/cobra"
)

// walk calls f with every command that a user can see.
func walk(cmd *cobra.Command, f func(*cobra.Command)) {
	f(cmd)
	for _, sub := range cmd.Commands() {
		if sub.IsAvailableCommand() {
			walk(sub, f)
		}
	}
}

// TestHelp holds every command to one form: a short help that begins with a verb, a long one that ends like prose,
// and, where there is something to do, examples that the command itself accepts.
func TestHelp(t *testing.T) {
	t.Parallel()
	root := (&app{stdin: strings.NewReader(""), stdout: io.Discard, stderr: io.Discard}).root()
	seen := 0
	walk(root, func(cmd *cobra.Command) {
		seen++
		t.Run(strings.ReplaceAll(cmd.CommandPath(), " ", "_"), func(t *testing.T) {
			checkShort(t, cmd.Short)
			if long := strings.TrimSpace(cmd.Long); long != "" && !strings.HasSuffix(long, ".") {
				t.Errorf("the long help does not end with a full stop: %q", long)
			}
			for line := range strings.Lines(cmd.Long) {
				if n := len([]rune(strings.TrimRight(line, "\n"))); n > 110 {
					t.Errorf("a line of the long help has %d characters: %q", n, line)
				}
			}
			var out bytes.Buffer
			cmd.SetOut(&out)
			(&app{}).help(cmd)
			if !strings.Contains(out.String(), cmd.CommandPath()) {
				t.Errorf("the help does not say how to call it:\n%s", &out)
			}
			if cmd.HasSubCommands() {
				return
			}
			if cmd.Example == "" {
				t.Error("it has no example")
			}
			own := false
			for _, line := range exampleCommands(cmd.Example) {
				own = checkExample(t, root, cmd, line) || own
			}
			if !own {
				t.Errorf("no example calls the command itself:\n%s", cmd.Example)
			}
		})
	})
	if seen < 30 {
		t.Errorf("only %d commands were walked", seen)
	}
}

func checkShort(t *testing.T, short string) {
	t.Helper()
	first, _, _ := strings.Cut(short, " ")
	switch {
	case short == "":
		t.Error("it has no short help")
	case !unicode.IsUpper([]rune(short)[0]):
		t.Errorf("the short help %q does not begin with a capital", short)
	case strings.HasSuffix(short, "."):
		t.Errorf("the short help %q ends with a full stop", short)
	case len(short) > 70:
		t.Errorf("the short help %q is %d characters long", short, len(short))
	case regexp.MustCompile(`^(A|An|The|This|It)$|(ing|ed|s)$`).MatchString(first):
		t.Errorf("the short help %q does not begin with a verb that tells one to do it", short)
	}
}

// exampleCommands are the calls of trunkline in an example, with what the shell makes of the line taken off.
func exampleCommands(example string) []string {
	var calls []string
	for line := range strings.Lines(example) {
		for part := range strings.SplitSeq(line, "|") {
			part = regexp.MustCompile(`[<>&].*`).ReplaceAllString(part, "")
			if part = strings.TrimSpace(part); strings.HasPrefix(part, "trunkline") {
				calls = append(calls, part)
			}
		}
	}
	return calls
}

// checkExample parses a call as the program would, without running it, and says whether it is a call of cmd.
func checkExample(t *testing.T, root, cmd *cobra.Command, line string) bool {
	t.Helper()
	args := strings.Fields(line)[1:]
	found, rest, err := root.Find(args)
	if err != nil || found == root && len(args) > 0 {
		t.Errorf("%q: no such command: %v", line, err)
		return false
	}
	if err := found.ParseFlags(rest); err != nil {
		t.Errorf("%q: %v", line, err)
		return false
	}
	if err := found.ValidateArgs(found.Flags().Args()); err != nil {
		t.Errorf("%q: %v", line, err)
	}
	return found == cmd
}

// Flags say what they take, in the words of the commands, and none has a secret as its value.
func TestFlags(t *testing.T) {
	t.Parallel()
	root := (&app{}).root()
	walk(root, func(cmd *cobra.Command) {
		for line := range strings.Lines(cmd.LocalFlags().FlagUsages()) {
			fields := regexp.MustCompile(`^ +(?:-\w, )?--([a-z-]+)(?: ([\w-]+))? {2,}(.*)\n$`).FindStringSubmatch(line)
			if fields == nil {
				t.Errorf("%s: %q is not a flag and its meaning", cmd.CommandPath(), line)
				continue
			}
			if name, meaning := fields[1], fields[3]; name != "help" && (regexp.MustCompile(`^[A-Z][a-z]`).MatchString(meaning) || strings.HasSuffix(meaning, ".")) {
				t.Errorf("%s --%s: %q begins with a capital or ends with a full stop", cmd.CommandPath(), name, meaning)
			}
			if strings.Contains(fields[1], "secret") || fields[1] == "cap" || fields[1] == "ticket" {
				t.Errorf("%s --%s takes a secret on the command line", cmd.CommandPath(), fields[1])
			}
		}
	})
}
