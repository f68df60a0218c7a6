package node

import (
	"bytes"
	"encoding/base64"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"trunkline/grid/client"
	"trunkline/p2p"
	"trunkline/p2p/keyfile"
)

func TestFindHome(t *testing.T) {
	t.Setenv("TRUNKLINE_HOME", "/by/environment")
	if h, err := FindHome("/by/flag"); err != nil || h.Dir != "/by/flag" {
		t.Errorf("with the flag: %v, %v", h, err)
	}
	if h, err := FindHome(""); err != nil || h.Dir != "/by/environment" {
		t.Errorf("with the variable: %v, %v", h, err)
	}
	t.Setenv("TRUNKLINE_HOME", "")
	if h, err := FindHome(""); err != nil || filepath.Base(h.Dir) != "trunkline" || !filepath.IsAbs(h.Dir) {
		t.Errorf("with neither: %v, %v", h, err)
	}
	if h, err := FindHome("relative"); err != nil || !filepath.IsAbs(h.Dir) {
		t.Errorf("relative: %v, %v", h, err)
	}
}

func TestHomeCreate(t *testing.T) {
	t.Parallel()
	h := Home{Dir: filepath.Join(t.TempDir(), "a", "b")}
	if _, err := h.Config(); !errors.Is(err, ErrNoHome) || h.Exists() {
		t.Errorf("before: %v", err)
	}
	bad := DefaultConfig()
	bad.Client.Needed = 0
	if err := h.Create(bad); !errors.Is(err, ErrConfig) || h.Exists() {
		t.Errorf("a bad configuration: %v", err)
	}
	if err := h.Create(DefaultConfig()); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(h.Dir); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("the directory: %v, %v", info.Mode(), err)
	}
	if err := h.Create(DefaultConfig()); !errors.Is(err, ErrHomeTaken) {
		t.Errorf("again: %v", err)
	}
	// One that can't be read is there all the same.
	if err := os.WriteFile(h.ConfigPath(), []byte("nonsense"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := h.Create(DefaultConfig()); !errors.Is(err, ErrHomeTaken) {
		t.Errorf("over a damaged one: %v", err)
	}
}

func TestHomeKey(t *testing.T) {
	t.Parallel()
	h := Home{Dir: t.TempDir()}
	first, err := h.Key("node.key")
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(h.path("node.key"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	if again, err := h.Key("node.key"); err != nil || !again.Equals(first) {
		t.Errorf("the second time: %v", err)
	}
	if other, err := h.Key("client.key"); err != nil || other.Equals(first) {
		t.Errorf("another name: %v", err)
	}
	for _, mode := range []os.FileMode{0o604, 0o640, 0o644, 0o660, 0o777} {
		if err := os.Chmod(h.path("node.key"), mode); err != nil {
			t.Fatal(err)
		}
		if _, err := h.Key("node.key"); !errors.Is(err, keyfile.ErrKey) || !strings.Contains(err.Error(), "chmod 600") {
			t.Errorf("mode %o: %v", mode, err)
		}
	}
	if err := os.Chmod(h.path("node.key"), 0o600); err != nil {
		t.Fatal(err)
	}
	// A damaged key is not replaced by a new one, and not shown.
	raw, err := os.ReadFile(h.path("node.key"))
	if err != nil {
		t.Fatal(err)
	}
	damaged := bytes.Clone(raw)
	damaged[len(damaged)/2] ^= 1
	for _, text := range [][]byte{nil, damaged, raw[:len(raw)/2], []byte(base64.StdEncoding.EncodeToString(make([]byte, 68)))} {
		if err := os.WriteFile(h.path("node.key"), text, 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := h.Key("node.key")
		if !errors.Is(err, keyfile.ErrKey) {
			t.Errorf("%d bytes: %v", len(text), err)
		} else if len(text) > 8 && strings.Contains(err.Error(), string(text[:8])) {
			t.Errorf("the error shows the key: %v", err)
		}
		if kept, err := os.ReadFile(h.path("node.key")); err != nil || !bytes.Equal(kept, text) {
			t.Errorf("the damaged file was changed: %v", err)
		}
	}
}

func TestHomeSecret(t *testing.T) {
	t.Parallel()
	h := Home{Dir: t.TempDir()}
	first, err := h.secret("lease")
	if err != nil || len(first) != 32 {
		t.Fatal(first, err)
	}
	if again, err := h.secret("lease"); err != nil || !bytes.Equal(again, first) {
		t.Errorf("the second time: %v", err)
	}
	if other, err := h.secret("convergence"); err != nil || bytes.Equal(other, first) {
		t.Errorf("another name: %v", err)
	}
	path := h.path("lease.secret")
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := h.secret("lease"); err == nil {
		t.Error("one that others can read was used")
	}
	for _, text := range []string{"", "short", strings.Repeat("a", 51) + "1", strings.Repeat("a", 53)} {
		if err := errors.Join(os.WriteFile(path, []byte(text), 0o600), os.Chmod(path, 0o600)); err != nil {
			t.Fatal(err)
		}
		if _, err := h.secret("lease"); err == nil {
			t.Errorf("%q was taken for a secret", text)
		}
	}
}

func TestHomeLock(t *testing.T) {
	t.Parallel()
	h := Home{Dir: t.TempDir()}
	unlock, err := h.Lock()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := h.Lock(); !errors.Is(err, ErrLocked) || !strings.Contains(err.Error(), "process "+strconv.Itoa(os.Getpid())) {
		t.Errorf("while locked: %v", err)
	}
	unlock()
	// The file that is left behind does not matter.
	unlock, err = h.Lock()
	if err != nil {
		t.Fatal(err)
	}
	unlock()
}

func TestRangeOf(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		r              Range
		size           uint64
		offset, length uint64
		fails          bool
	}{
		"whole":               {Range{Whole: true}, 100, 0, 100, false},
		"whole_of_nothing":    {Range{Whole: true}, 0, 0, 0, false},
		"first_byte":          {Range{}, 100, 0, 1, false},
		"middle":              {Range{First: 10, Last: 19}, 100, 10, 10, false},
		"clipped":             {Range{First: 90, Last: 1000}, 100, 90, 10, false},
		"last_at_the_limit":   {Range{First: 0, Last: 1<<64 - 1}, 100, 0, 100, false},
		"last_byte":           {Range{First: 99, Last: 99}, 100, 99, 1, false},
		"behind_the_end":      {Range{First: 100, Last: 200}, 100, 0, 0, true},
		"of_nothing":          {Range{}, 0, 0, 0, true},
		"open":                {Range{First: 10, ToEnd: true}, 100, 10, 90, false},
		"open_behind_the_end": {Range{First: 100, ToEnd: true}, 100, 0, 0, true},
		"suffix":              {Range{Suffix: 10}, 100, 90, 10, false},
		"suffix_too_long":     {Range{Suffix: 1000}, 100, 0, 100, false},
		"suffix_of_nothing":   {Range{Suffix: 10}, 0, 0, 0, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			offset, length, err := tt.r.of(tt.size)
			switch {
			case tt.fails:
				if !errors.Is(err, client.ErrRange) {
					t.Errorf("got %d bytes from %d, %v", length, offset, err)
				}
			case err != nil || offset != tt.offset || length != tt.length:
				t.Errorf("got %d bytes from %d, %v", length, offset, err)
			}
		})
	}
}

func TestPickPorts(t *testing.T) {
	t.Parallel()
	c := Config{Listen: []string{"/ip4/127.0.0.1/tcp/0", "/ip4/127.0.0.1/udp/0/quic-v1", "/ip4/127.0.0.1/tcp/4001"}}
	if err := PickPorts(&c); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(c.Listen[0], "/tcp/0") || strings.Contains(c.Listen[1], "/udp/0/") || !strings.HasSuffix(c.Listen[1], "/quic-v1") ||
		c.Listen[2] != "/ip4/127.0.0.1/tcp/4001" {
		t.Errorf("got %v", c.Listen)
	}
	if !c.AllowPrivateAddresses {
		t.Error("a node on loopback may not dial loopback")
	}
	open := Config{Listen: []string{"/ip4/127.0.0.1/tcp/0", "/ip4/0.0.0.0/tcp/0"}}
	if err := PickPorts(&open); err != nil || open.AllowPrivateAddresses {
		t.Errorf("a node on all addresses dials loopback: %v", err)
	}
}

// Two libp2p nodes can listen on one port and each get half of the connections; ours refuses.
func TestPortsFree(t *testing.T) {
	t.Parallel()
	c := Config{Listen: []string{"/ip4/127.0.0.1/tcp/0", "/ip4/127.0.0.1/udp/0/quic-v1"}}
	if err := PickPorts(&c); err != nil {
		t.Fatal(err)
	}
	if err := portsFree(c.Listen); err != nil {
		t.Fatal(err)
	}
	key, err := p2p.GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	host, err := p2p.New(t.Context(), p2p.Config{Key: key, Listen: c.Listen, AllowPrivateAddrs: true, Profile: p2p.Server})
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range c.Listen {
		if err := portsFree([]string{a}); !errors.Is(err, ErrPortTaken) {
			t.Errorf("%s: %v", a, err)
		}
	}
	if err := host.Close(); err != nil {
		t.Fatal(err)
	}
	if err := portsFree(c.Listen); err != nil {
		t.Errorf("after the host closed: %v", err)
	}
	if err := portsFree([]string{"/ip4/192.0.2.77/tcp/4001"}); !errors.Is(err, ErrConfig) {
		t.Errorf("an address of another machine: %v", err)
	}
}

func TestPrivateAddress(t *testing.T) {
	t.Parallel()
	for a, want := range map[string]bool{
		"/ip4/127.0.0.1/tcp/1": true, "/ip4/10.1.2.3/tcp/1": true, "/ip6/::1/tcp/1": true, "/ip6/fe80::1/tcp/1": true, "/ip4/192.168.1.1/udp/1": true,
		"/ip4/192.0.2.1/tcp/1": false, "/ip6/2001:db8::1/tcp/1": false, "/dns4/example.org/tcp/1": false, "": false, "/ip4": false,
	} {
		if privateAddress(a) != want {
			t.Errorf("%s: %v", a, !want)
		}
	}
}
