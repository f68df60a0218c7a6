package main

import (
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// backgroundVar marks a process that a script does not wait for at once.
const backgroundVar = "TRUNKLINE_TEST_BACKGROUND"

// world is the processes of one script.
type world struct {
	dir   string
	vars  []string
	mu    sync.Mutex
	procs map[string]*process
}

// process is one that a script started under a name. Its output is in the files NAME.out and NAME.err.
type process struct {
	cmd   *exec.Cmd
	stdin io.Writer
	out   *os.File      // where its output comes from, if the script reads it by hand
	done  chan struct{} // closed when it has ended
}

type worldKey struct{}

func worldOf(ts *testscript.TestScript) *world { return ts.Value(worldKey{}).(*world) }

func (w *world) command(args ...string) *exec.Cmd {
	cmd := exec.Command("trunkline", args...) //nolint:noctx // ended by the world
	cmd.Dir = w.dir
	cmd.Env = append(append([]string{}, w.vars...), backgroundVar+"=1")
	return cmd
}

// start runs a command in the background. What it writes goes to NAME.out and NAME.err, or with byHand waits in a pipe
// until somebody reads it.
func (w *world) start(ts *testscript.TestScript, byHand bool, name string, args ...string) {
	cmd := w.command(args...)
	// Appending: what a node said before it was restarted is still of interest.
	mode := os.O_CREATE | os.O_APPEND | os.O_WRONLY
	out, err := os.OpenFile(filepath.Join(w.dir, name+".out"), mode|os.O_TRUNC, 0o600)
	ts.Check(err)
	defer out.Close()
	errs, err := os.OpenFile(filepath.Join(w.dir, name+".err"), mode, 0o600)
	ts.Check(err)
	defer errs.Close()
	cmd.Stdout, cmd.Stderr = out, errs
	var read *os.File
	if byHand {
		var write *os.File
		read, write, err = os.Pipe()
		ts.Check(err)
		defer write.Close()
		cmd.Stdout = write
	}
	// A pipe that nobody writes to: like a terminal where nothing is typed.
	stdin, err := cmd.StdinPipe()
	ts.Check(err)
	ts.Check(cmd.Start())
	p := &process{cmd: cmd, stdin: stdin, out: read, done: make(chan struct{})}
	go func() {
		_ = cmd.Wait()
		stdin.Close()
		close(p.done)
	}()
	w.mu.Lock()
	defer w.mu.Unlock()
	w.procs[name] = p
}

func (w *world) find(ts *testscript.TestScript, name string) *process {
	w.mu.Lock()
	defer w.mu.Unlock()
	p := w.procs[name]
	if p == nil {
		ts.Fatalf("no process was started as %s", name)
	}
	return p
}

// end kills what still runs.
func (w *world) end() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, p := range w.procs {
		_ = p.cmd.Process.Kill()
		<-p.done
		if p.out != nil {
			p.out.Close()
		}
	}
}

// wait waits until the process has ended and returns its exit code.
func (p *process) wait(ts *testscript.TestScript, name string) int {
	select {
	case <-p.done:
	case <-time.After(patience):
		ts.Fatalf("%s still runs\n%s", name, ts.ReadFile(name+".err"))
	}
	return p.cmd.ProcessState.ExitCode()
}

// await polls until the file holds the text, or the process that writes it has ended without.
func (w *world) await(ts *testscript.TestScript, file, text string) string {
	w.mu.Lock()
	p := w.procs[strings.TrimSuffix(file, filepath.Ext(file))]
	w.mu.Unlock()
	for end := time.Now().Add(patience); ; time.Sleep(5 * time.Millisecond) {
		ended := false
		if p != nil {
			select {
			case <-p.done:
				ended = true
			default:
			}
		}
		raw, err := os.ReadFile(filepath.Join(w.dir, file))
		switch {
		case err == nil && strings.Contains(string(raw), text):
			return string(raw)
		case err != nil && !errors.Is(err, os.ErrNotExist):
			ts.Fatalf("%v", err)
		case ended:
			ts.Fatalf("the process ended and %s has no %q:\n%s", file, text, raw)
		case time.Now().After(end):
			ts.Fatalf("%s still has no %q:\n%s", file, text, raw)
		}
	}
}

// startnode NAME...: runs the nodes in these directories; the address of each is then in $NAME.
func cmdStartNode(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) == 0 {
		ts.Fatalf("usage: startnode NAME...")
	}
	w := worldOf(ts)
	for _, name := range args {
		// With --verbose, so that the search for secrets sees all that a log can say.
		w.start(ts, false, name, "--verbose", "--home", name, "run")
	}
	for _, name := range args {
		out := w.await(ts, name+".out", "\n")
		addr, ok := strings.CutPrefix(strings.TrimSpace(out), "ready ")
		if !ok {
			ts.Fatalf("%s said %q", name, out)
		}
		ts.Setenv(name, addr)
	}
}

// stopnode NAME...: asks the nodes to end, as a service manager does; each must end with exit code 0.
func cmdStopNode(ts *testscript.TestScript, neg bool, args []string) {
	w := worldOf(ts)
	for _, name := range args {
		ts.Check(w.find(ts, name).cmd.Process.Signal(syscall.SIGTERM))
	}
	for _, name := range args {
		if code := w.find(ts, name).wait(ts, name); code != 0 {
			ts.Fatalf("%s ended with exit code %d\n%s", name, code, ts.ReadFile(name+".err"))
		}
	}
}

var signals = map[string]syscall.Signal{
	"INT": syscall.SIGINT, "KILL": syscall.SIGKILL, "STOP": syscall.SIGSTOP, "CONT": syscall.SIGCONT,
}

// signal INT|KILL|STOP|CONT NAME...: sends a signal. KILL waits for the end.
func cmdSignal(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 || signals[args[0]] == 0 {
		ts.Fatalf("usage: signal INT|KILL|STOP|CONT NAME...")
	}
	for _, name := range args[1:] {
		p := worldOf(ts).find(ts, name)
		ts.Check(p.cmd.Process.Signal(signals[args[0]]))
		if args[0] == "KILL" {
			p.wait(ts, name)
		}
	}
}

// spawn NAME trunkline ARG...: runs a command in the background.
func cmdSpawn(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 || args[1] != "trunkline" {
		ts.Fatalf("usage: spawn NAME trunkline ARG...")
	}
	worldOf(ts).start(ts, false, args[0], args[2:]...)
}

// sip NAME SIZE trunkline ARG...: runs a command in the background, reads so many bytes of what it prints and then no
// more, so that it is stuck in the middle. "drain" reads on.
func cmdSip(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 3 || args[2] != "trunkline" {
		ts.Fatalf("usage: sip NAME SIZE trunkline ARG...")
	}
	size, err := strconv.Atoi(args[1])
	ts.Check(err)
	w := worldOf(ts)
	w.start(ts, true, args[0], args[3:]...)
	head := make([]byte, size)
	if _, err := io.ReadFull(w.find(ts, args[0]).out, head); err != nil {
		ts.Fatalf("%s printed less than %d bytes: %v\n%s", args[0], size, err, ts.ReadFile(args[0]+".err"))
	}
	ts.Check(os.WriteFile(filepath.Join(w.dir, args[0]+".out"), head, 0o600))
}

// drain NAME: reads what the command of "sip" prints to its end, into NAME.out.
func cmdDrain(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: drain NAME")
	}
	w := worldOf(ts)
	out, err := os.OpenFile(filepath.Join(w.dir, args[0]+".out"), os.O_APPEND|os.O_WRONLY, 0o600)
	ts.Check(err)
	defer out.Close()
	_, err = io.Copy(out, w.find(ts, args[0]).out)
	ts.Check(err)
}

// begins FILE WHOLE: FILE is a beginning of WHOLE and not all of it.
func cmdBegins(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: begins FILE WHOLE")
	}
	part, whole := ts.ReadFile(args[0]), ts.ReadFile(args[1])
	if len(part) >= len(whole) || !strings.HasPrefix(whole, part) {
		ts.Fatalf("%s (%d bytes) is not the beginning of %s (%d bytes)", args[0], len(part), args[1], len(whole))
	}
}

// feed NAME SIZE: types so many bytes, which is more than a pipe holds, and so waits until the process reads them.
func cmdFeed(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: feed NAME SIZE")
	}
	size, err := strconv.Atoi(args[1])
	ts.Check(err)
	_, err = worldOf(ts).find(ts, args[0]).stdin.Write(noise(args[0], size))
	ts.Check(err)
}

// waitfile PATTERN: waits until there is such a file.
func cmdWaitFile(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: waitfile PATTERN")
	}
	for end := time.Now().Add(patience); ; time.Sleep(5 * time.Millisecond) {
		found, err := filepath.Glob(ts.MkAbs(args[0]))
		ts.Check(err)
		if len(found) > 0 {
			return
		}
		if time.Now().After(end) {
			ts.Fatalf("there still is no %s", args[0])
		}
	}
}

// ended NAME CODE: waits until the process has ended, with this exit code.
func cmdEnded(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: ended NAME CODE")
	}
	code := worldOf(ts).find(ts, args[0]).wait(ts, args[0])
	if strconv.Itoa(code) != args[1] {
		ts.Fatalf("%s ended with exit code %d, want %s\n%s", args[0], code, args[1], ts.ReadFile(args[0]+".err"))
	}
}

// waitfor FILE TEXT: waits until the file holds the text.
func cmdWaitFor(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: waitfor FILE TEXT")
	}
	worldOf(ts).await(ts, args[0], args[1])
}
