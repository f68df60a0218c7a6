package main

import (
	"fmt"
	"hash/fnv"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"trunkline/grid/roster"
)

// TestScripts runs testdata/script, each script a network of its own made of processes of this test binary, in
// parallel. TRUNKLINE_UPDATE_SCRIPTS=1 rewrites what "cmp" compares with.
func TestScripts(t *testing.T) {
	t.Parallel()
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		UpdateScripts:       os.Getenv("TRUNKLINE_UPDATE_SCRIPTS") != "",
		Setup:               setUp,
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){
			"code":      cmdCode,
			"config":    cmdConfig,
			"flip":      cmdFlip,
			"random":    cmdRandom,
			"setvar":    cmdSetvar,
			"json":      cmdJSON,
			"cmppart":   cmdCmpPart,
			"cmpsize":   cmdCmpSize,
			"onlyfiles": cmdOnlyFiles,
			"lines":     cmdLines,
			"startnode": cmdStartNode,
			"stopnode":  cmdStopNode,
			"signal":    cmdSignal,
			"spawn":     cmdSpawn,
			"sip":       cmdSip,
			"drain":     cmdDrain,
			"begins":    cmdBegins,
			"ended":     cmdEnded,
			"waitfor":   cmdWaitFor,
			"waitfile":  cmdWaitFile,
			"feed":      cmdFeed,
			"append":    cmdAppend,
			"ticket":    cmdTicket,
			"stale":     cmdStale,
			"join":      cmdJoin,
			"makegrid":  cmdMakeGrid,
			"makehouse": cmdMakeHouse,
		},
	})
}

// patience bounds every wait for a process. Nothing takes nearly so long unless it hangs.
const patience = time.Minute

func setUp(env *testscript.Env) error {
	record := filepath.Join(env.WorkDir, ".record")
	if err := os.Mkdir(record, 0o700); err != nil {
		return err
	}
	env.Vars = append(env.Vars,
		recordVar+"="+record,
		// By default every process would sleep a second at its end.
		"GORACE=atexit_sleep_ms=0 log_path="+filepath.Join(record, "race"),
		"listen=/ip4/"+loopback(env.WorkDir)+"/tcp/0",
	)
	w := &world{dir: env.WorkDir, vars: env.Vars, procs: map[string]*process{}}
	env.Values[worldKey{}] = w
	env.Defer(func() {
		w.end()
		for _, complaint := range append(findSecrets(env.WorkDir), readLog(filepath.Join(record))...) {
			env.T().Log(complaint)
			defer env.T().FailNow()
		}
	})
	return nil
}

// loopback is an address for one script alone, where the system has more than one, so that a port that a node picked
// and has yet to listen on is not taken by a node of another script.
func loopback(dir string) string {
	if runtime.GOOS != "linux" {
		return "127.0.0.1"
	}
	h := fnv.New32a()
	h.Write([]byte(dir))
	sum := h.Sum32()
	return fmt.Sprintf("127.%d.%d.%d", 1+sum%250, sum>>8%250, 1+sum>>16%250)
}

// code N: the foreground command before this line ended with exit code N.
func cmdCode(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: code N")
	}
	path := filepath.Join(ts.Getenv(recordVar), "code")
	raw, err := os.ReadFile(path)
	if err != nil {
		ts.Fatalf("no command has ended by itself since the last \"code\"")
	}
	ts.Check(os.Remove(path))
	if string(raw) != args[0] {
		ts.Fatalf("exit code %s, want %s", raw, args[0])
	}
}

// config HOME KEY VALUE: sets a line of HOME/trunkline.toml. The value is TOML. KEY must be there; SECTION.KEY is that
// of a section.
func cmdConfig(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: config HOME KEY VALUE")
	}
	path := filepath.Join(args[0], "trunkline.toml")
	text, head := ts.ReadFile(path), ""
	section, key, ok := strings.Cut(args[1], ".")
	if ok {
		before, after, found := strings.Cut(text, "\n["+section+"]\n")
		if !found {
			ts.Fatalf("%s has no section %q", path, section)
		}
		head, text = before+"\n["+section+"]\n", after
	} else {
		key = section
	}
	line := regexp.MustCompile(`(?m)^` + regexp.QuoteMeta(key) + ` = .*$`)
	at := line.FindStringIndex(text)
	if at == nil {
		ts.Fatalf("%s has no line %q", path, args[1])
	}
	text = head + text[:at[0]] + key + " = " + args[2] + text[at[1]:]
	ts.Check(os.WriteFile(ts.MkAbs(path), []byte(text), 0o600))
}

// append FILE LINE: adds a line to a file.
func cmdAppend(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: append FILE LINE")
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte(ts.ReadFile(args[0])+args[1]+"\n"), 0o600))
}

// flip FILE OFFSET: changes one byte. A negative offset counts from the end. FILE may be a pattern.
func cmdFlip(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: flip FILE OFFSET")
	}
	at, err := strconv.Atoi(args[1])
	ts.Check(err)
	files, err := filepath.Glob(ts.MkAbs(args[0]))
	ts.Check(err)
	if len(files) == 0 {
		ts.Fatalf("no file matches %s", args[0])
	}
	for _, f := range files {
		raw, err := os.ReadFile(f)
		ts.Check(err)
		if at < 0 {
			raw[len(raw)+at] ^= 0x40
		} else {
			raw[at] ^= 0x40
		}
		ts.Check(os.WriteFile(f, raw, 0o600))
	}
}

// random FILE SIZE: bytes that look random, the same in every run, other ones in every file.
func cmdRandom(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: random FILE SIZE")
	}
	size, err := strconv.Atoi(args[1])
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), noise(args[0], size), 0o600))
}

// setvar NAME FILE [REGEXP]: puts the file's text, or the regexp's first group in it, into an environment variable.
func cmdSetvar(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 || len(args) > 3 {
		ts.Fatalf("usage: setvar NAME FILE [REGEXP]")
	}
	text := strings.TrimSpace(ts.ReadFile(args[1]))
	if len(args) == 3 {
		m := regexp.MustCompile(`(?m)` + args[2]).FindStringSubmatch(text)
		if m == nil {
			ts.Fatalf("%s has nothing like %s", args[1], args[2])
		}
		text = m[1]
	}
	ts.Setenv(args[0], text)
}

// cmppart PART WHOLE OFFSET LENGTH: PART is that part of WHOLE.
func cmdCmpPart(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 4 {
		ts.Fatalf("usage: cmppart PART WHOLE OFFSET LENGTH")
	}
	offset, err := strconv.Atoi(args[2])
	ts.Check(err)
	length, err := strconv.Atoi(args[3])
	ts.Check(err)
	if got, want := ts.ReadFile(args[0]), ts.ReadFile(args[1])[offset:offset+length]; got != want {
		ts.Fatalf("%s has %d bytes and is not that part of %s", args[0], len(got), args[1])
	}
}

// cmpsize FILE SIZE: the file has so many bytes.
func cmdCmpSize(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: cmpsize FILE SIZE")
	}
	if n := len(ts.ReadFile(args[0])); strconv.Itoa(n) != args[1] {
		ts.Fatalf("%s has %d bytes, want %s", args[0], n, args[1])
	}
}

// onlyfiles DIR NAME...: the directory holds these and nothing else, hidden files included.
func cmdOnlyFiles(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) == 0 {
		ts.Fatalf("usage: onlyfiles DIR NAME...")
	}
	entries, err := os.ReadDir(ts.MkAbs(args[0]))
	ts.Check(err)
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	want := slices.Sorted(slices.Values(args[1:]))
	if slices.Equal(names, want) == neg {
		ts.Fatalf("%s holds %q, want %q", args[0], names, want)
	}
}

// lines FILE N: the file has so many lines.
func cmdLines(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: lines FILE N")
	}
	if n := strings.Count(ts.ReadFile(args[0]), "\n"); strconv.Itoa(n) != args[1] {
		ts.Fatalf("%s has %d lines, want %s", args[0], n, args[1])
	}
}

// ticket FILE MANAGER [FLAG...]: writes a join ticket of the manager to FILE.
func cmdTicket(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: ticket FILE MANAGER [FLAG...]")
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), trunkline(ts, nil, args[1], append([]string{"grid", "invite"}, args[2:]...)...), 0o600))
}

// stale FILE: makes the ticket in FILE one that has ended.
func cmdStale(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: stale FILE")
	}
	t, err := roster.ParseTicket(ts.ReadFile(args[0]))
	ts.Check(err)
	t.Expires = time.Now().Add(-time.Hour).Unix()
	text, err := t.Text()
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte(text), 0o600))
}

// join HOME MANAGER ROLES [FLAG...]: a member of the manager's grid. A client gets a small encoding, 1 of 2; a
// server may fill the disk.
func cmdJoin(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 3 {
		ts.Fatalf("usage: join HOME MANAGER ROLES [FLAG...]")
	}
	home, manager, roles := args[0], args[1], args[2]
	ticket := trunkline(ts, nil, manager, "grid", "invite", "--role", roles)
	flags := append([]string{"join", "-", "--name", home, "--listen", ts.Getenv("listen"), "--reserve", "0"}, args[3:]...)
	trunkline(ts, ticket, home, flags...)
	for _, set := range [][2]string{{"needed", "1"}, {"happy", "1"}, {"total", "2"}} {
		cmdConfig(ts, false, []string{home, set[0], set[1]})
	}
}

// makegrid NAME: a grid whose manager runs in NAMEm; its area code is in $NAME, its manager's address in $NAMEm.
func cmdMakeGrid(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 1 {
		ts.Fatalf("usage: makegrid NAME [FLAG...]")
	}
	name, home := args[0], args[0]+"m"
	out := trunkline(ts, nil, home, append([]string{"grid", "create", name, "--listen", ts.Getenv("listen")}, args[1:]...)...)
	area := regexp.MustCompile(`k51\w+`).Find(out)
	ts.Setenv(name, string(area))
	cmdStartNode(ts, false, []string{home})
}

// makehouse NAME [FLAG...]: a clearinghouse that runs; its address is in $NAME.
func cmdMakeHouse(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 1 {
		ts.Fatalf("usage: makehouse NAME [FLAG...]")
	}
	trunkline(ts, nil, args[0], append([]string{"clearinghouse", "create", args[0], "--listen", ts.Getenv("listen")}, args[1:]...)...)
	cmdStartNode(ts, false, args[:1])
}

// trunkline runs a command that is not the point of the script and must succeed.
func trunkline(ts *testscript.TestScript, stdin []byte, home string, args ...string) []byte {
	w := worldOf(ts)
	cmd := w.command(append([]string{"--home", home}, args...)...)
	cmd.Stdin = strings.NewReader(string(stdin))
	out, err := cmd.Output()
	if err != nil {
		var text []byte
		if exit, ok := err.(*exec.ExitError); ok { //nolint:errorlint // Output returns it bare
			text = exit.Stderr
		}
		ts.Fatalf("trunkline --home %s %s: %v\n%s", home, strings.Join(args, " "), err, text)
	}
	return out
}
