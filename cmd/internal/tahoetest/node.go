package tahoetest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"
)

// Node is one Tahoe node: a process that can be stopped and started again.
type Node struct {
	Name, Dir string
	// URL is its web API, ending in a slash; empty for an introducer.
	URL string

	grid  *Grid
	cmd   *exec.Cmd
	ended chan struct{}
}

// Start runs the node, without waiting until it answers.
func (n *Node) Start(ctx context.Context) error {
	log, err := os.OpenFile(filepath.Join(n.Dir, "run.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("starting %s: %w", n.Name, err)
	}
	defer log.Close()
	cmd := exec.CommandContext(context.WithoutCancel(ctx), n.grid.command, "run", "--allow-stdin-close", n.Dir) //nolint:gosec // the command under test
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = attached()
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("starting %s: %w", n.Name, err)
	}
	ended := make(chan struct{})
	n.cmd, n.ended = cmd, ended
	go func() {
		_ = cmd.Wait() // how it ended is in its log
		close(ended)
	}()
	return nil
}

// Stop ends the node's process and waits for it.
func (n *Node) Stop() error {
	if n.cmd == nil {
		return nil
	}
	_ = n.cmd.Process.Signal(syscall.SIGCONT)
	_ = n.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-n.ended:
	case <-time.After(stopTimeout):
		_ = n.cmd.Process.Kill()
		<-n.ended
	}
	n.cmd = nil
	return nil
}

// Kill ends the node's process as a crash would.
func (n *Node) Kill() {
	if n.cmd != nil {
		_ = n.cmd.Process.Kill()
		<-n.ended
		n.cmd = nil
	}
}

// Pause hangs the node: it answers nothing, and its connections stay open.
func (n *Node) Pause() error { return n.signal(syscall.SIGSTOP) }

// Resume lets it go on.
func (n *Node) Resume() error { return n.signal(syscall.SIGCONT) }

func (n *Node) signal(s os.Signal) error {
	if n.cmd == nil {
		return errors.New(n.Name + " is not running")
	}
	return n.cmd.Process.Signal(s)
}

// wait polls until the condition holds.
func (n *Node) wait(ctx context.Context, what string, done func() bool) error {
	for !done() {
		select {
		case <-n.ended:
			return fmt.Errorf("%s ended while %s: see %s", n.Name, what, filepath.Join(n.Dir, "run.log"))
		case <-ctx.Done():
			return fmt.Errorf("%s took too long %s: %w", n.Name, what, ctx.Err())
		case <-time.After(pollEvery):
		}
	}
	return nil
}
