// Package trunktest runs real trunkline processes on loopback, for the end-to-end test and the benchmarks: only the
// binary, its command line and its exit codes, as a user has them.
package trunktest

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Cluster is a set of nodes under one directory.
type Cluster struct {
	Dir string
	Bin string
	mu  sync.Mutex
	all []*Node
}

// New builds the binary from the module in the working directory.
func New(ctx context.Context, dir string) (*Cluster, error) {
	c := &Cluster{Dir: dir, Bin: filepath.Join(dir, "trunkline")}
	build := exec.CommandContext(ctx, "go", "build", "-o", c.Bin, "./cmd/trunkline")
	build.Stderr = os.Stderr
	if err := build.Run(); err != nil {
		return nil, fmt.Errorf("building trunkline: %w", err)
	}
	return c, nil
}

// ExitError is a command that ended with another code than 0.
type ExitError struct {
	Args   []string
	Code   int
	Stderr string
}

func (e *ExitError) Error() string {
	return fmt.Sprintf("trunkline %s: exit code %d: %s", strings.Join(e.Args, " "), e.Code, strings.TrimSpace(e.Stderr))
}

// Home is a node directory by name.
func (c *Cluster) Home(name string) string { return filepath.Join(c.Dir, name) }

// Run runs one command against a node directory and returns its standard output.
func (c *Cluster) Run(ctx context.Context, home string, args ...string) ([]byte, error) {
	return c.RunIn(ctx, home, nil, args...)
}

// RunIn is Run with standard input.
func (c *Cluster) RunIn(ctx context.Context, home string, stdin io.Reader, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, c.Bin, append([]string{"--home", c.Home(home)}, args...)...)
	cmd.Stdin = stdin
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return out.Bytes(), &ExitError{Args: args, Code: exit.ExitCode(), Stderr: errs.String()}
	}
	return out.Bytes(), err
}

// Configure sets lines of a node's trunkline.toml, by "section.key", or by "key" alone where it stands in one section
// or before all. Values are TOML.
func (c *Cluster) Configure(home string, lines map[string]string) error {
	path := filepath.Join(c.Home(home), "trunkline.toml")
	raw, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	section, done := "", map[string]bool{}
	var out strings.Builder
	for line := range strings.Lines(string(raw)) {
		if strings.HasPrefix(line, "[") {
			section = strings.Trim(strings.TrimSpace(line), "[]") + "."
		}
		name, _, isValue := strings.Cut(line, " = ")
		for _, key := range []string{name, section + name} {
			if value, ok := lines[key]; ok && isValue {
				line, done[key] = name+" = "+value+"\n", true
			}
		}
		out.WriteString(line)
	}
	for key := range lines {
		if !done[key] {
			return fmt.Errorf("%s has no line %q", path, key)
		}
	}
	return os.WriteFile(path, []byte(out.String()), 0o600)
}

// JSON runs a command with --json and decodes what it prints.
func (c *Cluster) JSON(ctx context.Context, out any, home string, args ...string) error {
	raw, err := c.Run(ctx, home, append([]string{"--json"}, args...)...)
	if err != nil {
		return err
	}
	return json.Unmarshal(raw, out)
}

// Node is one running process.
type Node struct {
	Name    string
	Address string // what it printed: its peer address
	cmd     *exec.Cmd
	log     *os.File
	done    chan struct{}
	err     error
}

// Start runs `trunkline run` and waits until it says that it is ready.
func (c *Cluster) Start(ctx context.Context, name string) (*Node, error) {
	logFile, err := os.Create(filepath.Join(c.Dir, name+".log"))
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, c.Bin, "--home", c.Home(name), "run")
	cmd.Stderr = logFile
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	n := &Node{Name: name, cmd: cmd, log: logFile, done: make(chan struct{})}
	ready := make(chan string, 1)
	go func() {
		sc := bufio.NewScanner(out)
		for sc.Scan() {
			if addr, ok := strings.CutPrefix(sc.Text(), "ready "); ok {
				ready <- addr
			}
		}
		n.err = cmd.Wait()
		close(n.done)
	}()
	c.mu.Lock()
	c.all = append(c.all, n)
	c.mu.Unlock()
	select {
	case n.Address = <-ready:
		return n, nil
	case <-n.done:
		return nil, fmt.Errorf("%s did not start: %w\n%s", name, n.err, n.Log())
	case <-time.After(30 * time.Second):
		return nil, fmt.Errorf("%s is not ready after 30 s\n%s", name, n.Log())
	}
}

// Log is what the process wrote to standard error so far.
func (n *Node) Log() string {
	raw, _ := os.ReadFile(n.log.Name())
	return string(raw)
}

// Kill ends the process as a power cut would.
func (n *Node) Kill() {
	_ = n.cmd.Process.Kill()
	<-n.done
}

// Stop asks the process to end and reports how it did.
func (n *Node) Stop() error {
	_ = n.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-n.done:
		return n.err
	case <-time.After(20 * time.Second):
		n.Kill()
		return fmt.Errorf("%s did not end within 20 s of SIGTERM", n.Name)
	}
}

// Close kills whatever still runs.
func (c *Cluster) Close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, n := range c.all {
		select {
		case <-n.done:
		default:
			n.Kill()
		}
		n.log.Close()
	}
}

// Usage is what a process took so far.
type Usage struct {
	CPU     time.Duration // user and system
	PeakRSS uint64        // bytes, the high-water mark
}

// Usage reads the process's CPU time and peak resident memory from /proc.
func (n *Node) Usage() Usage { return usageOf(n.cmd.Process.Pid) }

// ResetPeak starts a new high-water mark for resident memory.
func (n *Node) ResetPeak() {
	_ = os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", n.cmd.Process.Pid), []byte("5"), 0)
}

func usageOf(pid int) Usage {
	var u Usage
	stat, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if i := bytes.LastIndexByte(stat, ')'); i >= 0 {
		f := strings.Fields(string(stat[i+1:]))
		if len(f) > 12 {
			user, _ := strconv.ParseInt(f[11], 10, 64)
			sys, _ := strconv.ParseInt(f[12], 10, 64)
			u.CPU = time.Duration(user+sys) * (time.Second / 100)
		}
	}
	status, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	for line := range strings.Lines(string(status)) {
		if rest, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			f := strings.Fields(rest)
			if len(f) > 0 {
				kib, _ := strconv.ParseUint(f[0], 10, 64)
				u.PeakRSS = kib << 10
			}
		}
	}
	return u
}
