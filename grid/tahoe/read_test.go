package tahoe_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"trunkline/caps"
	"trunkline/grid/tahoe"
)

// The id of a node is what its TubID says: testdata/node.pem is a real node's certificate, of X.509 version 1.
func TestNodeID(t *testing.T) {
	t.Parallel()
	pem, err := os.ReadFile("testdata/node.pem")
	must(t, err)
	other := "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"
	for name, text := range map[string]string{"alone": string(pem), "behind its key": other + string(pem)} {
		id, err := tahoe.NodeID([]byte(text))
		if err != nil || caps.EncodeBase32(id[:]) != "eyf6jzxkvv5pgcz2xduylihbwnqdkhmk" {
			t.Errorf("%s: %x, %v", name, id, err)
		}
	}
	for name, text := range map[string]string{"nothing": "", "a key alone": other, "cut": string(pem[:100])} {
		if _, err := tahoe.NodeID([]byte(text)); !errors.Is(err, tahoe.ErrNode) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// tahoe.cfg is read as Python reads it.
func TestConfiguration(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		text string
		want string // nickname|needed|storage directory|read-only|reserved
		ok   bool
	}{
		"defaults":          {"[node]\n", "|3|none", true},
		"byte order mark":   {"\ufeff[node]\nnickname = a\n", "a|3|none", true},
		"colon":             {"[node]\nnickname: b = c\n", "b = c|3|none", true},
		"comments":          {"# x\n[node]\n; y\nnickname = a # b\n", "a # b|3|none", true},
		"several lines":     {"[node]\nnickname = a\n  b\n\tc\n", "a\nb\nc|3|none", true},
		"per cent":          {"[node]\nnickname = 5%% of 2%%\n", "5% of 2%|3|none", true},
		"Windows":           {"[node]\r\nnickname = a\r\n[client]\r\nshares.needed = 2\r\n", "a|2|none", true},
		"upper-case key":    {"[client]\nShares.Needed = 2\n", "|2|none", true},
		"section twice":     {"[node]\nnickname = a\n[client]\nshares.needed = 4\n[node]\nx = y\n", "a|4|none", true},
		"key twice":         {"[node]\nnickname = a\nnickname = b\n", "b|3|none", true},
		"storage":           {"[storage]\nenabled = True\nreserved_space = 5G\n", "|3|storage false 5000000000", true},
		"storage elsewhere": {"[storage]\nenabled = yes\nstorage_dir = /srv/x\nreadonly = on\nreserved_space = 100MiB\n", "|3|/srv/x true 104857600", true},
		"no storage":        {"[storage]\nenabled = false\nreserved_space = 1 parsec\n", "|3|none", true},
		"bytes":             {"[storage]\nenabled = 1\nreserved_space = 17\n", "|3|storage false 17", true},
		"parsecs":           {"[storage]\nenabled = 1\nreserved_space = 1 parsec\n", "", false},
		"too much":          {"[storage]\nenabled = 1\nreserved_space = 99999999999999EiB\n", "", false},
		"only a unit":       {"[storage]\nenabled = 1\nreserved_space = B\n", "", false},
		"neither":           {"[storage]\nenabled = perhaps\n", "", false},
		"no section":        {"nickname = a\n", "", false},
		"open section":      {"[node\nnickname = a\n", "", false},
		"no setting":        {"[node]\nnickname\n", "", false},
		"zero shares":       {"[client]\nshares.needed = 0\n", "", false},
		"257 shares":        {"[client]\nshares.total = 257\n", "", false},
		"not a manager":     {"[grid_managers]\nx = pub-v0-aaaa\n", "", false},
		"private manager":   {"[grid_managers]\nx = priv-v0-6buyjkkl4inliuqjadhzbtamxsbz3jgvd5pib6hqcztszv2drejq\n", "", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			must(t, os.WriteFile(filepath.Join(dir, "tahoe.cfg"), []byte(test.text), 0o600))
			n, err := tahoe.ReadNode(dir)
			if (err == nil) != test.ok || err != nil && !errors.Is(err, tahoe.ErrNode) {
				t.Fatal(err)
			}
			if err != nil {
				if strings.Contains(err.Error(), "6buyjkkl4inli") {
					t.Error("a private key is in the error")
				}
				return
			}
			storage := "none"
			if s := n.Storage; s != nil {
				storage = fmt.Sprintf("%s %v %d", strings.TrimPrefix(s.Dir, dir+"/"), s.ReadOnly, s.Reserved)
			}
			if got := fmt.Sprintf("%s|%d|%s", n.Nickname, n.Needed, storage); got != test.want {
				t.Errorf("%q, want %q", got, test.want)
			}
		})
	}
}

// Secrets that cannot be used are told, and not shown.
func TestBadSecrets(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{"private/secret": strings.Repeat("a", 51), "private/convergence": "NOT BASE32", "private/node.pem": "rubbish"} {
		dir := t.TempDir()
		must(t, os.Mkdir(filepath.Join(dir, "private"), 0o700))
		must(t, os.WriteFile(filepath.Join(dir, "tahoe.cfg"), []byte("[node]\n"), 0o600))
		must(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600))
		if _, err := tahoe.ReadNode(dir); !errors.Is(err, tahoe.ErrNode) || strings.Contains(err.Error(), text) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestParseAliases(t *testing.T) {
	t.Parallel()
	text := "# comment\n\nwork: URI:LIT:krugkidfnzsc4\r\nhome:URI:LIT:krugkidfnzsc4\nno cap here\nwork : x\nwork: URI:LIT:aa\n\u00fc: future\n"
	var got []string
	for _, a := range tahoe.ParseAliases(text) {
		got = append(got, fmt.Sprintf("%s=%s %v", a.Name, a.Text, a.Cap.IsZero()))
	}
	want := []string{"home=URI:LIT:krugkidfnzsc4 false", "work=URI:LIT:aa false", "work =x true", "\u00fc=future true"}
	if !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}
