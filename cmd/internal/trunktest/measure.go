package trunktest

import (
	"context"
	"errors"
	"io"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

// Measure is what one command cost.
type Measure struct {
	Wall, FirstByte time.Duration // from the start of the process
	Bytes           uint64        // on standard output
	Client          time.Duration // CPU of the command
	ClientRSS       uint64        // bytes, peak
	Role            map[string]time.Duration
}

// CPU is the sum over the command and all roles.
func (m Measure) CPU() time.Duration {
	sum := m.Client
	for _, d := range m.Role {
		sum += d
	}
	return sum
}

// Measure runs a command and accounts the CPU time of the nodes it works with, by role. The first 64 KiB of what it
// prints come back.
func (c *Cluster) Measure(ctx context.Context, nodes []*Node, home string, stdin io.Reader, args ...string) (Measure, string, error) {
	before := make([]Usage, len(nodes))
	for i, n := range nodes {
		before[i] = n.Usage()
	}
	cmd := exec.CommandContext(ctx, c.Bin, append([]string{"--home", c.Home(home)}, args...)...)
	cmd.Stdin = stdin
	var errs strings.Builder
	cmd.Stderr = &errs
	out, err := cmd.StdoutPipe()
	if err != nil {
		return Measure{}, "", err
	}
	m := Measure{Role: map[string]time.Duration{}}
	start := time.Now()
	if err := cmd.Start(); err != nil {
		return m, "", err
	}
	var head []byte
	buf := make([]byte, 1<<20)
	for {
		n, err := out.Read(buf)
		if n > 0 && m.Bytes == 0 {
			m.FirstByte = time.Since(start)
		}
		if room := 64<<10 - len(head); room > 0 {
			head = append(head, buf[:min(n, room)]...)
		}
		m.Bytes += uint64(n)
		if err != nil {
			break
		}
	}
	err = cmd.Wait()
	m.Wall = time.Since(start)
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return m, "", &ExitError{Args: args, Code: exit.ExitCode(), Stderr: errs.String()}
	}
	m.Client = cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
	if ru, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage); ok {
		m.ClientRSS = uint64(ru.Maxrss) << 10
	}
	for i, n := range nodes {
		kind := n.Name[strings.LastIndexByte(n.Name, '-')+1:]
		m.Role[strings.TrimRight(kind, "0123456789")] += n.Usage().CPU - before[i].CPU
	}
	return m, string(head), err
}
