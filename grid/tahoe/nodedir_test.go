package tahoe_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"trunkline/caps"
	"trunkline/grid/tahoe"
)

// What the tahoe command wants is written privately, brought up to date, and never over a real node.
func TestWriteNodeDir(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "node")
	cap, err := caps.Parse("URI:LIT:krugkidfnzsc4")
	must(t, err)
	n := tahoe.NodeDir{URL: "http://127.0.0.1:3456/", Token: "token", Needed: 3, Happy: 3, Total: 5, Aliases: []tahoe.Alias{{Name: "x", Cap: cap, Text: cap.Text()}}}
	must(t, tahoe.WriteNodeDir(dir, n))
	for name, want := range map[string]string{
		"node.url": "http://127.0.0.1:3456/", "private/aliases": "x: URI:LIT:krugkidfnzsc4", "private/api_auth_token": "token",
	} {
		raw, err := os.ReadFile(filepath.Join(dir, name))
		must(t, err)
		if !strings.Contains(string(raw), want) {
			t.Errorf("%s holds %q", name, raw)
		}
		info, err := os.Stat(filepath.Join(dir, name))
		must(t, err)
		if strings.HasPrefix(name, "private/") && info.Mode().Perm() != 0o600 {
			t.Errorf("%s can be read by others: %v", name, info.Mode())
		}
	}
	n.URL = "http://127.0.0.1:4567/"
	must(t, tahoe.WriteNodeDir(dir, n))
	raw, err := os.ReadFile(filepath.Join(dir, "node.url"))
	must(t, err)
	if strings.TrimSpace(string(raw)) != n.URL {
		t.Errorf("after another start node.url is %q", raw)
	}
	read, err := tahoe.ReadNode(dir)
	must(t, err)
	if read.WebURL != n.URL || read.Needed != 3 || read.Total != 5 || len(read.Aliases) != 1 || read.Aliases[0].Name != "x" {
		t.Errorf("read back as %s with %d-of-%d", read, read.Needed, read.Total)
	}
	if text := fmt.Sprintf("%v %+v %#v %s", read.Aliases, read, read, read.Aliases[0]); strings.Contains(text, "krugkidfnzsc4") {
		t.Error("a cap is printed")
	}

	other := t.TempDir()
	must(t, os.WriteFile(filepath.Join(other, "tahoe.cfg"), []byte("[node]\nnickname = real\n"), 0o600))
	if err := tahoe.WriteNodeDir(other, n); !errors.Is(err, tahoe.ErrExists) {
		t.Errorf("over a real node: %v", err)
	}
	n.URL = "http://192.0.2.1:3456/"
	if err := tahoe.WriteNodeDir(filepath.Join(t.TempDir(), "n"), n); !errors.Is(err, tahoe.ErrNode) {
		t.Errorf("an address of another machine: %v", err)
	}
}

func TestReadNode(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if _, err := tahoe.ReadNode(dir); !errors.Is(err, tahoe.ErrNode) || !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("an empty directory: %v", err)
	}
	v, _ := readVectors(t)
	write := func(name, text string) {
		t.Helper()
		must(t, os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o700))
		must(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600))
	}
	write("tahoe.cfg", "# of a node\n[node]\nnickname = someone\n\n[client]\nshares.needed = 2\nshares.happy = 3\nshares.total = 4\n"+
		"mutable.format = mdmf\n[storage]\nenabled = true\nreadonly = true\n[grid_managers]\nfriends = "+v.Manager+"\n")
	secret := strings.Repeat("a", 52)
	write("private/secret", secret+"\n")
	write("private/convergence", secret+"\n")
	write("private/aliases", "# names\nhome: URI:LIT:krugkidfnzsc4\nfuture: future-cap-of-a-later-version\n")
	n, err := tahoe.ReadNode(dir)
	must(t, err)
	if n.Nickname != "someone" || n.Needed != 2 || n.Happy != 3 || n.Total != 4 || !n.MDMF || len(n.GridManagers) != 1 || n.Lease == nil || len(n.Convergence) != 32 {
		t.Errorf("read as %s: %d-%d-%d, MDMF %v, %d managers", n.Nickname, n.Needed, n.Happy, n.Total, n.MDMF, len(n.GridManagers))
	}
	if n.Storage == nil || !n.Storage.ReadOnly || len(n.Aliases) != 2 {
		t.Errorf("storage %+v, %d aliases", n.Storage, len(n.Aliases))
	}
	write("tahoe.cfg", "[client]\nshares.needed = many\n")
	if _, err := tahoe.ReadNode(dir); !errors.Is(err, tahoe.ErrNode) {
		t.Errorf("needed = many: %v", err)
	}
}
