package tahoe_test

import (
	"os"
	"path/filepath"
	"testing"

	"trunkline/grid/tahoe"
)

// Whatever stands in the files of servers, those that are taken can be spoken to.
func FuzzAnnouncements(f *testing.F) {
	f.Add([]byte(entry("server", `["`+nurl+`"]`, "aaaa")))
	f.Add([]byte("storage:\n" + announcement("server", "")))
	f.Add([]byte("a: &a [x, x, x]\nb: &b [*a, *a, *a]\nstorage: {s: {ann: {anonymous-storage-NURLs: [*b, *b]}}}\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, parse := range []func([]byte) ([]tahoe.Announcement, []tahoe.Skipped, error){tahoe.ParseCache, tahoe.ParseServers} {
			servers, _, err := parse(b)
			for _, s := range servers {
				if err != nil || s.ID == "" || s.Key.IsZero() || len(s.NURLs) == 0 || len(s.PermutationSeed) == 0 {
					t.Errorf("%q: %v", s.ID, err)
				}
			}
		}
	})
}

// Whatever stands in a tahoe.cfg, it is read within its bounds or refused.
func FuzzConfiguration(f *testing.F) {
	f.Add("[node]\nnickname = a\n  b\n[client]\nshares.needed = 3\n[storage]\nenabled = true\nreserved_space = 5GiB\n")
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, text string) {
		if err := os.WriteFile(filepath.Join(dir, "tahoe.cfg"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		n, err := tahoe.ReadNode(dir)
		if err == nil && (n.Needed < 1 || n.Needed > 256 || n.Happy < 1 || n.Total > 256) {
			t.Errorf("%d, %d, %d of %q", n.Needed, n.Happy, n.Total, text)
		}
	})
}

// Whatever claims to be a certificate, it is written as one that says the same.
func FuzzCertificate(f *testing.F) {
	b, err := os.ReadFile("testdata/gridmanager.json")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := tahoe.ParseCertificate(b)
		if err != nil {
			return
		}
		if again, err := tahoe.ParseCertificate(c.JSON()); err != nil || again != c {
			t.Errorf("%q: %v", b, err)
		}
	})
}
