package tahoe_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"trunkline/caps"
	"trunkline/grid/tahoe"
)

const (
	nurl = "pb://1WUX44xKjKdpGLohmFcBNuIRN-8rlv1Iij_7rQ7Z1oE@127.0.0.1:34399/jhjbc3bjbhk#v=1"
	furl = "pb://sokltj5wzvymhz6cb2mnqtpcnj5rknxz@tcp:127.0.0.1:34399/jhjbc3bjbhk"
)

func announcement(id, extra string) string {
	return fmt.Sprintf(`  %s:
    ann:
      nickname: "a server"
      anonymous-storage-FURL: %s
      anonymous-storage-NURLs: ["%s"]
      permutation-seed-base32: %s
%s`, id, furl, nurl, strings.Repeat("a", 32), extra)
}

func TestParseServers(t *testing.T) {
	t.Parallel()
	v, _ := readVectors(t)
	good := announcement(v.ServerID, "")
	servers, skipped, err := tahoe.ParseServers([]byte("storage:\n" + good))
	must(t, err)
	if len(servers) != 1 || len(skipped) != 0 {
		t.Fatalf("%d servers, %d skipped", len(servers), len(skipped))
	}
	s := servers[0]
	want, err := caps.DecodeBase32("sokltj5wzvymhz6cb2mnqtpcnj5rknxz")
	must(t, err)
	if s.ID != v.ServerID || string(s.PeerID20[:]) != string(want) || len(s.NURLs) != 1 || len(s.PermutationSeed) != 20 {
		t.Errorf("read as %+v", s)
	}
	if strings.Contains(fmt.Sprintf("%+v %v %s", s, s, s.NURLs), "jhjbc3bjbhk") {
		t.Error("the secret of a NURL is printed")
	}
	for name, text := range map[string]string{
		"no yaml":    "storage: [",
		"no map":     "storage: 7",
		"other file": "- a\n- b\n",
	} {
		if _, _, err := tahoe.ParseServers([]byte(text)); !errors.Is(err, tahoe.ErrAnnouncement) {
			t.Errorf("%s: %v", name, err)
		}
	}
	// One that can't be used does not keep the others out.
	foolscap := strings.Replace(announcement("v0-other", ""), `anonymous-storage-NURLs: ["`+nurl+`"]`, "other: 1", 1)
	servers, skipped, err = tahoe.ParseServers([]byte("storage:\n" + good + foolscap))
	must(t, err)
	if len(servers) != 1 || len(skipped) != 1 || !errors.Is(skipped[0].Err, tahoe.ErrFoolscap) {
		t.Errorf("%d servers, skipped %v", len(servers), skipped)
	}
}

// Only servers that a trusted manager certified are given shares; all are read from.
func TestUploads(t *testing.T) {
	t.Parallel()
	v, manager := readVectors(t)
	file := filepath.Join(t.TempDir(), "servers.yaml")
	certified := announcement(v.ServerID, fmt.Sprintf("      grid-manager-certificates: [%s]\n", v.Certificates[0]))
	must(t, os.WriteFile(file, []byte("storage:\n"+certified+announcement("an-older-server", "")), 0o600))
	for _, tt := range []struct {
		name     string
		managers []caps.PublicKey
		now      time.Time
		uploads  int
	}{
		{"no managers", nil, v.Checks[0].Now, 2},
		{"a manager", []caps.PublicKey{manager}, v.Checks[0].Now, 1},
		{"expired", []caps.PublicKey{manager}, v.Checks[0].Now.AddDate(1, 0, 0), 0},
		{"another manager", []caps.PublicKey{{9}}, v.Checks[0].Now, 0},
	} {
		servers, err := tahoe.Open(tahoe.Config{ServersFile: file, GridManagers: tt.managers, Now: func() time.Time { return tt.now }})
		must(t, err)
		if got := len(servers.Servers()); got != 2 {
			t.Errorf("%s: %d servers to read from", tt.name, got)
		}
		if got := len(servers.Uploads()); got != tt.uploads {
			t.Errorf("%s: %d servers to write to, want %d", tt.name, got, tt.uploads)
		}
		must(t, servers.Close())
	}
}
