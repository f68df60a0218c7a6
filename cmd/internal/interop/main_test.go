package interop_test

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"trunkline/cmd/internal/tahoetest"
	"trunkline/cmd/internal/trunktest"
)

var tests = &tahoetest.Main{}

func TestMain(m *testing.M) {
	tests.Tests = m
	code := tests.Run()
	shared.close()
	os.Exit(code)
}

// world is everything that runs: a grid of Tahoe servers with a Tahoe client, Trunkline's grid "attic", which has no
// servers of its own but stands in front of that grid, and "barn", an ordinary grid of five servers. The one
// clearinghouse knows both.
type world struct {
	tahoe *tahoetest.Grid
	c     *trunktest.Cluster
	attic *trunktest.Grid
	barn  *trunktest.Grid
	// bob's node in barn runs, and serves the web API; nodeDir is what the tahoe command uses it by.
	bob     *trunktest.Node
	nodeDir string

	once sync.Once
	err  error
}

var shared world

func (w *world) close() {
	if w.c != nil {
		w.c.Close()
		os.RemoveAll(w.c.Dir)
	}
}

// start returns the world, which the first test that asks waits for.
func start(t *testing.T) *world {
	t.Helper()
	grid := tests.Shared(t)
	shared.once.Do(func() { shared.err = shared.start(grid) })
	if shared.err != nil {
		t.Fatal(shared.err)
	}
	return &shared
}

func (w *world) start(grid *tahoetest.Grid) error {
	ctx := context.Background() // the processes end with it
	w.tahoe = grid
	dir, err := os.MkdirTemp("", "interop-")
	if err != nil {
		return err
	}
	back, err := os.Getwd()
	if err != nil {
		return err
	}
	if err := os.Chdir("../../.."); err != nil { // where the module is, for the build
		return err
	}
	w.c, err = trunktest.New(ctx, dir)
	if err := os.Chdir(back); err != nil {
		return err
	}
	if err != nil {
		return err
	}
	house, err := w.c.Clearinghouse(ctx, "house")
	if err != nil {
		return err
	}
	if w.attic, err = w.c.Grid(ctx, "attic", 0, house, "0.01"); err != nil {
		return err
	}
	if w.barn, err = w.c.Grid(ctx, "barn", 5, house, "0.01"); err != nil {
		return err
	}
	if err := w.attic.Client(ctx, "alice", "client"); err != nil {
		return err
	}
	if err := w.barn.Client(ctx, "bob", "client"); err != nil {
		return err
	}
	// In front of Tahoe's servers: the contact point for strangers, alice for herself.
	if err := w.attic.Contact.Stop(); err != nil {
		return err
	}
	for _, home := range []string{"attic-contact", "alice"} {
		if err := w.c.Configure(home, map[string]string{"node_dir": fmt.Sprintf("%q", grid.Client.Dir), "needed": "3", "happy": "3", "total": "5"}); err != nil {
			return err
		}
	}
	if w.attic.Contact, err = w.c.Start(ctx, "attic-contact"); err != nil {
		return err
	}
	web, err := freePort()
	if err != nil {
		return err
	}
	bob := map[string]string{"needed": "3", "happy": "3", "total": "5", "ceiling": `"1"`, "web.listen": fmt.Sprintf("%q", web)}
	if err := w.c.Configure("bob", bob); err != nil {
		return err
	}
	if w.bob, err = w.c.Start(ctx, "bob"); err != nil {
		return err
	}
	w.nodeDir = filepath.Join(dir, "tahoe-node")
	_, err = w.c.Run(ctx, "bob", "tahoe-dir", w.nodeDir)
	return err
}

func freePort() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	return l.Addr().String(), nil
}

// stock runs the stock tahoe command against bob's node and returns what it printed.
func (w *world) stock(t *testing.T, args ...string) string {
	t.Helper()
	out, err := w.try(t, args...)
	if err != nil {
		t.Fatalf("tahoe %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return out
}

func (w *world) try(t *testing.T, args ...string) (string, error) {
	t.Helper()
	return tahoetest.Tahoe(t.Context(), w.nodeDir, nil, args...)
}

// ours runs trunkline in a home and returns what it printed.
func (w *world) ours(t *testing.T, home string, args ...string) string {
	t.Helper()
	return w.oursIn(t, home, "", args...)
}

func (w *world) oursIn(t *testing.T, home, stdin string, args ...string) string {
	t.Helper()
	out, err := w.c.RunIn(t.Context(), home, strings.NewReader(stdin), args...)
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return strings.TrimSpace(string(out))
}

// theirs runs the stock command against Tahoe's own client.
func (w *world) theirs(t *testing.T, args ...string) string {
	t.Helper()
	out, err := w.tahoe.Tahoe(t.Context(), nil, args...)
	if err != nil {
		t.Fatalf("tahoe %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return strings.TrimSpace(out)
}

// write puts n bytes that follow from the seed into a new file.
func write(t *testing.T, n int, seed uint64) (path string, data []byte) {
	t.Helper()
	var key [32]byte
	for i := range 8 {
		key[i] = byte(seed >> (8 * i))
	}
	data = make([]byte, n)
	_, _ = rand.NewChaCha8(key).Read(data) // never fails
	path = filepath.Join(t.TempDir(), fmt.Sprintf("f%d-%d", n, seed))
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return path, data
}

// same fails unless the file has those bytes.
func same(t *testing.T, path string, want []byte) {
	t.Helper()
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Fatalf("%s has %d bytes that are not the %d written", filepath.Base(path), len(got), len(want))
	}
}
