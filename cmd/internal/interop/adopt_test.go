package interop_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"trunkline/cmd/internal/tahoetest"
)

// A Tahoe client's directory is taken over, and everything goes on: its aliases, its grid, its convergence secret, its
// database of backups. The grid has no area, so that caps are plain.
func TestTakeOverClient(t *testing.T) {
	w := start(t)
	folder := t.TempDir()
	path, data := write(t, 100_000, 7001)
	inFolder := filepath.Join(folder, "file")
	if err := os.WriteFile(inFolder, data, 0o600); err != nil {
		t.Fatal(err)
	}
	w.theirs(t, "create-alias", "adopted")
	w.theirs(t, "put", path, "adopted:before")
	w.theirs(t, "backup", folder, "adopted:backups")
	theirs := w.theirs(t, "put", path)

	made := w.ours(t, "carol", "init", "--tahoe-node", w.tahoe.Client.Dir, "--web", "")
	if !strings.Contains(made, "servers  5") || !strings.Contains(made, "backups  known") {
		t.Errorf("init says\n%s", made)
	}
	out := filepath.Join(t.TempDir(), "out")
	w.ours(t, "carol", "get", "adopted:before", out)
	same(t, out, data)
	if ours := w.ours(t, "carol", "put", path); ours != theirs {
		t.Error("the same file has another cap than from the Tahoe node")
	}
	w.ours(t, "carol", "put", path, "adopted:after")
	w.theirs(t, "get", "adopted:after", out)
	same(t, out, data)
	w.ours(t, "carol", "mkdir", "adopted:made/deep")
	w.ours(t, "carol", "mv", "adopted:before", "adopted:made/deep/moved")
	if got := w.theirs(t, "ls", "adopted:made/deep"); got != "moved" {
		t.Errorf("Tahoe lists %q", got)
	}
	var backup struct {
		Files struct{ Sent, Reused int }
	}
	if err := json.Unmarshal([]byte(w.ours(t, "carol", "--json", "backup", folder, "adopted:backups")), &backup); err != nil {
		t.Fatal(err)
	}
	if backup.Files.Sent != 0 || backup.Files.Reused != 1 {
		t.Errorf("what Tahoe had backed up was sent again: %+v", backup)
	}
	w.theirs(t, "get", "adopted:backups/Latest/file", out)
	same(t, out, data)
	w.ours(t, "carol", "deep-check", "--verify", "--add-lease", "adopted:")
	if _, err := w.c.Run(t.Context(), "carol", "init", "--tahoe-node", w.tahoe.Client.Dir); err == nil {
		t.Error("a home was made twice")
	}
}

// A Trunkline server goes on with the shares of a Tahoe storage node, as their new owner: what was stored is read, what
// can change is changed, under the id that the node had.
func TestTakeOverServer(t *testing.T) {
	w := start(t)
	old, err := tahoetest.Start(t.Context(), t.TempDir(), tahoetest.Options{Servers: 1, Needed: 1, Happy: 1, Total: 1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := old.Stop(); err != nil {
			t.Error(err)
		}
	})
	path, data := write(t, 200_000, 8001)
	stored := func(args ...string) string {
		t.Helper()
		out, err := old.Tahoe(t.Context(), nil, append([]string{"put"}, args...)...)
		if err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		return strings.TrimSpace(out)
	}
	fixed, sdmf, mdmf := stored(path), stored("--format=SDMF", path), stored("--format=MDMF", path)
	if err := old.Servers[0].Stop(); err != nil {
		t.Fatal(err)
	}

	if _, err := w.c.Grid(t.Context(), "loft", 0, nil, ""); err != nil {
		t.Fatal(err)
	}
	ticket := w.ours(t, "loft-manager", "grid", "invite", "--role", "server")
	var joined struct {
		Key    string
		NodeID string `json:"node_id"`
	}
	out := w.oursIn(t, "loft-server", ticket, "--json", "join", "-", "--tahoe-node", old.Servers[0].Dir, "--listen", "/ip4/127.0.0.1/tcp/0", "--reserve", "0")
	if err := json.Unmarshal([]byte(out), &joined); err != nil || joined.NodeID == "" {
		t.Fatalf("join says %s, %v", out, err)
	}
	w.ours(t, "loft-manager", "grid", "approve", joined.Key, "--role", "server", "--node-id", joined.NodeID)
	if _, err := w.c.Start(t.Context(), "loft-server"); err != nil {
		t.Fatal(err)
	}
	w.oursIn(t, "dave", w.ours(t, "loft-manager", "grid", "invite", "--role", "client"), "join", "-", "--listen", "/ip4/127.0.0.1/tcp/0")
	if err := w.c.Configure("dave", map[string]string{"needed": "1", "happy": "1", "total": "1"}); err != nil {
		t.Fatal(err)
	}
	got := filepath.Join(t.TempDir(), "out")
	for name, cap := range map[string]string{"CHK": fixed, "SDMF": sdmf, "MDMF": mdmf} {
		w.oursIn(t, "dave", cap, "get", "-", "-o", got)
		same(t, got, data)
		w.oursIn(t, "dave", cap, "check", "--verify", "--add-lease", "-")
		if name == "CHK" {
			continue
		}
		path, changed := write(t, 150_000, 8002)
		w.oursIn(t, "dave", cap, "put", path, "-")
		w.oursIn(t, "dave", cap, "get", "-", "-o", got)
		same(t, got, changed)
	}
	if out := w.ours(t, "loft-server", "gc", "--dry-run", "--grace", "0s"); out != "would remove 0 shares of 0 bytes" {
		t.Errorf("gc says %q", out)
	}
}
