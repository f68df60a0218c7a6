package tahoetest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
)

// Environment is the variable that names the stock tahoe command.
const Environment = "TRUNKLINE_TAHOE"

const (
	// startTimeout bounds the start of a whole grid; Python takes its time.
	startTimeout = 2 * time.Minute
	// stopTimeout is how long a node may take to end before it is killed.
	stopTimeout = 10 * time.Second
	pollEvery   = 100 * time.Millisecond
)

// ErrNoTahoe means that no tahoe command is named.
var ErrNoTahoe = errors.New(Environment + " does not name a tahoe command (pip install tahoe-lafs==1.20.0)")

// Options say what kind of grid to start. The zero value is five servers, 3-of-5, happy 3.
type Options struct {
	Servers              int
	Needed, Happy, Total int
	// Foolscap lets the client speak Tahoe's older protocol.
	Foolscap bool
}

// Grid is an introducer, storage servers and one client, all on loopback.
type Grid struct {
	Dir        string
	Introducer *Node
	Servers    []*Node
	Client     *Node

	command string
	options Options
	furl    string
}

// Start starts a grid in dir, which must be empty, and returns when its client is connected to all servers. Stop ends
// it.
//
// Errors: ErrNoTahoe; what the nodes said.
func Start(ctx context.Context, dir string, o Options) (*Grid, error) {
	if o.Servers == 0 {
		o.Servers = 5
	}
	if o.Total == 0 {
		o.Needed, o.Happy, o.Total = 3, 3, 5
	}
	g := &Grid{Dir: dir, command: os.Getenv(Environment), options: o}
	if g.command == "" {
		return nil, ErrNoTahoe
	}
	if _, err := exec.LookPath(g.command); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNoTahoe, err)
	}
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	if err := g.start(ctx); err != nil {
		return nil, errors.Join(err, g.Stop())
	}
	return g, nil
}

func (g *Grid) start(ctx context.Context) error {
	var err error
	if g.Introducer, err = g.create(ctx, "introducer", "create-introducer"); err != nil {
		return err
	}
	if err := g.Introducer.Start(ctx); err != nil {
		return err
	}
	furl := filepath.Join(g.Introducer.Dir, "private", "introducer.furl")
	err = g.Introducer.wait(ctx, "writing its FURL", func() bool {
		b, err := os.ReadFile(furl)
		g.furl = strings.TrimSpace(string(b))
		return err == nil && g.furl != ""
	})
	if err != nil {
		return err
	}
	g.Servers = make([]*Node, g.options.Servers)
	all, each := errgroup.WithContext(ctx)
	for i := range g.Servers {
		all.Go(func() (err error) {
			if g.Servers[i], err = g.create(each, fmt.Sprintf("server%d", i+1), "create-node", "--introducer", g.furl); err != nil {
				return err
			}
			return g.Servers[i].Start(ctx)
		})
	}
	all.Go(func() (err error) {
		g.Client, err = g.AddClient(ctx, "client", g.options.Needed, g.options.Happy, g.options.Total)
		return err
	})
	if err := all.Wait(); err != nil {
		return err
	}
	return g.Client.Connected(ctx, len(g.Servers))
}

// AddClient makes and starts another client, with an encoding of its own.
func (g *Grid) AddClient(ctx context.Context, name string, needed, happy, total int) (*Node, error) {
	n, err := g.create(ctx, name, "create-client", "--introducer", g.furl,
		fmt.Sprintf("--shares-needed=%d", needed), fmt.Sprintf("--shares-happy=%d", happy), fmt.Sprintf("--shares-total=%d", total))
	if err != nil {
		return nil, err
	}
	if g.options.Foolscap {
		path := filepath.Join(n.Dir, "tahoe.cfg")
		cfg, err := os.ReadFile(path)
		if err != nil {
			return nil, fmt.Errorf("configuring %s: %w", name, err)
		}
		cfg = bytes.Replace(cfg, []byte("[client]\n"), []byte("[client]\nforce_foolscap = true\n"), 1)
		if err := os.WriteFile(path, cfg, 0o600); err != nil {
			return nil, fmt.Errorf("configuring %s: %w", name, err)
		}
	}
	return n, n.Start(ctx)
}

// create makes a node's directory with the tahoe command.
func (g *Grid) create(ctx context.Context, name, how string, args ...string) (*Node, error) {
	n := &Node{Name: name, Dir: filepath.Join(g.Dir, name), grid: g}
	args = append([]string{how, "--nickname=" + name}, args...)
	if how != "create-client" {
		port, err := freePort()
		if err != nil {
			return nil, err
		}
		args = append(args, "--listen=tcp", fmt.Sprintf("--port=tcp:%d:interface=127.0.0.1", port), fmt.Sprintf("--location=tcp:127.0.0.1:%d", port))
	}
	if how == "create-introducer" {
		args = append(args[:1], args[2:]...) // it has no name
	} else {
		port, err := freePort()
		if err != nil {
			return nil, err
		}
		args = append(args, fmt.Sprintf("--webport=tcp:%d:interface=127.0.0.1", port))
		n.URL = fmt.Sprintf("http://127.0.0.1:%d/", port)
	}
	out, err := exec.CommandContext(ctx, g.command, append(args, n.Dir)...).CombinedOutput() //nolint:gosec // the command under test
	if err != nil {
		return nil, fmt.Errorf("making %s: %w: %s", name, err, out)
	}
	return n, nil
}

func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, fmt.Errorf("looking for a free port: %w", err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil //nolint:errcheck // a TCP listener has a TCP address
}

// Stop ends all nodes.
func (g *Grid) Stop() error {
	var errs []error
	for _, n := range append([]*Node{g.Client, g.Introducer}, g.Servers...) {
		if n != nil {
			errs = append(errs, n.Stop())
		}
	}
	return errors.Join(errs...)
}

// Tahoe runs the stock command as the grid's client does and returns what it printed. stdin may be nil.
func (g *Grid) Tahoe(ctx context.Context, stdin io.Reader, args ...string) (string, error) {
	return Tahoe(ctx, g.Client.Dir, stdin, args...)
}

// Tahoe runs the stock command with a node directory of anybody's.
func Tahoe(ctx context.Context, nodeDir string, stdin io.Reader, args ...string) (string, error) {
	var out, errOut bytes.Buffer
	cmd := exec.CommandContext(ctx, os.Getenv(Environment), append([]string{"-d", nodeDir}, args...)...) //nolint:gosec // the command under test
	cmd.Stdin, cmd.Stdout, cmd.Stderr = stdin, &out, &errOut
	if err := cmd.Run(); err != nil {
		return out.String(), fmt.Errorf("tahoe %s: %w: %s", args[0], err, errOut.String())
	}
	return out.String(), nil
}

// Connected returns when the node is connected to so many storage servers.
func (n *Node) Connected(ctx context.Context, servers int) error {
	return n.wait(ctx, fmt.Sprintf("connecting to %d servers", servers), func() bool {
		q, err := http.NewRequestWithContext(ctx, http.MethodGet, n.URL+"?t=json", nil)
		if err != nil {
			return false
		}
		resp, err := http.DefaultClient.Do(q)
		if err != nil {
			return false
		}
		defer resp.Body.Close()
		var welcome struct {
			Servers []struct {
				Status string `json:"connection_status"`
			}
		}
		if json.NewDecoder(io.LimitReader(resp.Body, 1<<20)).Decode(&welcome) != nil {
			return false
		}
		connected := 0
		for _, s := range welcome.Servers {
			if s.Status == "connected" || strings.HasPrefix(s.Status, "Connected to") {
				connected++
			}
		}
		return connected >= servers
	})
}
