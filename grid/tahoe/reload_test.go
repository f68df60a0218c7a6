package tahoe_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"trunkline/caps"
	"trunkline/grid/tahoe"
	"trunkline/grid/transfer"
)

// cached is an introducer's cache of servers with those ids.
func cached(entries ...string) string { return strings.Join(entries, "") }

func entry(id, nurls, seed string) string {
	return "- ann:\n    anonymous-storage-FURL: " + furl + "\n    anonymous-storage-NURLs: " + nurls +
		"\n    permutation-seed-base32: " + seed + "\n    service-name: storage\n  key_s: " + id + "\n"
}

// A cache is a list, its NURLs a list or a set, and of what is said twice of a server the later counts.
func TestParseCache(t *testing.T) {
	t.Parallel()
	v, _ := readVectors(t)
	other := "v0-grivg4nz3ohcj7pcgp4stghorfb7fau5vidzn4yrkrwysbkogqva"
	servers, skipped, err := tahoe.ParseCache([]byte(cached(
		entry(v.ServerID, `["`+nurl+`"]`, "aaaa"),
		entry(other, "!!set {\n      ? '"+nurl+"' : null }", "bbba"),
		entry(v.ServerID, `["`+nurl+`", "`+furl+`"]`, "ccca"),
		strings.Replace(entry("v0-stub", `["`+nurl+`"]`, "aaaa"), "service-name: storage", "service-name: stub_client", 1),
		entry("v0-"+strings.Repeat("a", 52), `["`+nurl+`"]`, "aaaa"), // a key of small order
		entry("bad seed", `["`+nurl+`"]`, "a"),
		entry("bad nurl", `["`+furl+`"]`, "aaaa"),
		entry("no nurls", `[]`, "aaaa"),
		entry("text", `nurl`, "aaaa"),
		strings.Replace(entry("bad furl", `["`+nurl+`"]`, "aaaa"), furl, "pb://abc@x:1/y", 1),
		strings.Replace(entry("no furl", `["`+nurl+`"]`, "aaaa"), furl, "''", 1),
	)))
	must(t, err)
	if len(servers) != 2 || servers[0].ID != other || servers[1].ID != v.ServerID || caps.EncodeBase32(servers[1].PermutationSeed) != "ccca" {
		t.Errorf("servers %v", ids(servers))
	}
	if len(skipped) != 7 {
		t.Errorf("skipped %v", skipped)
	}
	for _, s := range skipped {
		if !errors.Is(s.Err, tahoe.ErrAnnouncement) && !errors.Is(s.Err, tahoe.ErrFoolscap) || strings.Contains(s.Err.Error(), "jhjbc3bjbhk") {
			t.Errorf("%s: %v", s.ID, s.Err)
		}
	}
}

func ids(list []tahoe.Announcement) (ids []string) {
	for _, a := range list {
		ids = append(ids, a.ID)
	}
	return ids
}

// What people wrote down comes before what introducers say, files that change are read again, servers that stay keep
// their connections, and a file that cannot be read leaves everything as it was.
func TestReload(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	must(t, os.Mkdir(filepath.Join(dir, "private"), 0o700))
	now := time.Unix(1_000_000, 0)
	write := func(name, text string) {
		t.Helper()
		path := filepath.Join(dir, name)
		must(t, os.WriteFile(path, []byte(text), 0o600))
		must(t, os.Chtimes(path, now, now))
	}
	const one, two, three = "server one", "server two", "server three"
	write("tahoe.cfg", "[node]\n")
	write("private/introducer_default_cache.yaml", cached(entry(one, `["`+nurl+`"]`, "aaaa"), entry(two, `["`+nurl+`"]`, "aaaa")))
	write("private/introducer_more_cache.yaml", cached(entry(three, `["`+nurl+`"]`, "aaaa")))
	write("private/servers.yaml", "storage:\n"+announcement("'"+two+"'", ""))
	servers, err := tahoe.Open(tahoe.Config{NodeDir: dir, Now: func() time.Time { return now }})
	must(t, err)
	t.Cleanup(func() { must(t, servers.Close()) })
	named := func() map[string]transfer.Server {
		t.Helper()
		list := servers.Servers()
		status, _ := servers.Status()
		if len(status) != len(list) {
			t.Fatalf("%d servers, status of %d", len(list), len(status))
		}
		all := make(map[string]transfer.Server)
		for i, s := range list {
			all[status[i].ID] = s
		}
		return all
	}
	before := named()
	if len(before) != 3 || len(before[two].PermutationSeed()) != 20 || len(before[one].PermutationSeed()) == 20 {
		t.Fatalf("servers %v", before)
	}

	now = now.Add(time.Second)
	write("private/introducer_default_cache.yaml", cached(entry(one, `["`+nurl+`"]`, "aaaa")))
	write("private/introducer_more_cache.yaml", cached(entry(three, `["`+nurl+`"]`, "ccca")))
	write("private/servers.yaml", "storage: {}\n")
	if after := named(); len(after) != 3 {
		t.Errorf("looked at the files again after a second: %v", after)
	}
	now = now.Add(time.Minute)
	after := named()
	if len(after) != 2 || after[one] != before[one] || after[three] == before[three] || after[two] != nil {
		t.Errorf("servers %v, before %v", after, before)
	}

	now = now.Add(time.Minute)
	write("private/introducer_more_cache.yaml", "- [")
	if broken := named(); len(broken) != 2 || broken[three] != after[three] {
		t.Errorf("with a broken file: %v", broken)
	}
	must(t, servers.Close())
	if list := servers.Servers(); len(list) != 0 {
		t.Errorf("after Close: %v", list)
	}
}

func TestOpenFails(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for name, config := range map[string]tahoe.Config{
		"nothing":         {},
		"no node":         {NodeDir: dir},
		"no servers file": {ServersFile: filepath.Join(dir, "servers.yaml")},
	} {
		if s, err := tahoe.Open(config); err == nil {
			t.Errorf("%s: %v", name, s)
		}
	}
}
