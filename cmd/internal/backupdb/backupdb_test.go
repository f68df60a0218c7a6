package backupdb_test

import (
	"database/sql"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"trunkline/caps"
	"trunkline/cmd/internal/backupdb"
)

func open(t *testing.T, path string) *backupdb.DB {
	t.Helper()
	d, err := backupdb.Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
	return d
}

func literal(t *testing.T, text string) caps.Cap {
	t.Helper()
	c, err := caps.NewLiteral([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

var noon = time.Unix(1_700_000_000, 123_456_789)

func TestFile(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "a b?c", "backupdb.sqlite")
	d := open(t, path)
	stat := backupdb.Stat{Size: 7, Mtime: noon, Ctime: noon.Add(time.Hour)}
	c := literal(t, "one")
	find := func(p string, s backupdb.Stat) (backupdb.Known, bool) {
		t.Helper()
		k, ok, err := d.File(t.Context(), p, s)
		if err != nil {
			t.Fatal(err)
		}
		return k, ok
	}
	if _, ok := find("/a", stat); ok {
		t.Error("found before it was sent")
	}
	for range 2 {
		if err := d.KeepFile(t.Context(), "/a", stat, c, noon); err != nil {
			t.Fatal(err)
		}
	}
	if k, ok := find("/a", stat); !ok || !k.Cap.Equal(c) || !k.Checked.Equal(noon.Truncate(time.Second)) {
		t.Errorf("found %v, %v", k, ok)
	}
	for name, s := range map[string]backupdb.Stat{
		"size":  {Size: 8, Mtime: stat.Mtime, Ctime: stat.Ctime},
		"mtime": {Size: 7, Mtime: stat.Mtime.Add(time.Microsecond), Ctime: stat.Ctime},
		"ctime": {Size: 7, Mtime: stat.Mtime, Ctime: stat.Ctime.Add(-time.Microsecond)},
	} {
		if _, ok := find("/a", s); ok {
			t.Errorf("found with another %s", name)
		}
	}
	if _, ok := find("/b", stat); ok {
		t.Error("found under another path")
	}
	later := noon.Add(100 * time.Hour)
	if err := d.KeepChecked(t.Context(), c, later); err != nil {
		t.Fatal(err)
	}
	if k, _ := find("/a", stat); k.Checked.Unix() != later.Unix() {
		t.Errorf("checked %v", k.Checked)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	// A second process, or the next run.
	again := open(t, path)
	if _, ok, err := again.File(t.Context(), "/a", stat); !ok || err != nil {
		t.Errorf("opened again: %v, %v", ok, err)
	}
}

func TestDirectory(t *testing.T) {
	t.Parallel()
	d := open(t, filepath.Join(t.TempDir(), "db"))
	one, two := literal(t, "one"), literal(t, "two")
	contents := backupdb.ContentsOf([]backupdb.Entry{{Name: "b", Cap: two}, {Name: "a", Cap: one}})
	if contents != backupdb.ContentsOf([]backupdb.Entry{{Name: "a", Cap: one}, {Name: "b", Cap: two}}) {
		t.Error("the order matters")
	}
	for name, other := range map[string][]backupdb.Entry{
		"fewer": {{Name: "a", Cap: one}}, "swapped": {{Name: "a", Cap: two}, {Name: "b", Cap: one}}, "none": nil,
	} {
		if backupdb.ContentsOf(other) == contents {
			t.Errorf("%s: the same", name)
		}
	}
	// As Tahoe-LAFS 1.20 computes it.
	if got := backupdb.ContentsOf([]backupdb.Entry{{Name: "a", Cap: one}}); got != "ud3yu6brfeezbkn62on353nkmdj3h2wahfwjvmnkkgtfn3oqxyya" {
		t.Errorf("contents %q", got)
	}
	if _, ok, err := d.Directory(t.Context(), contents); ok || err != nil {
		t.Errorf("found before it was made: %v, %v", ok, err)
	}
	if err := d.KeepDirectory(t.Context(), contents, one, noon); err != nil {
		t.Fatal(err)
	}
	if err := d.KeepDirectory(t.Context(), contents, two, noon); err != nil {
		t.Fatal(err)
	}
	later := noon.Add(time.Hour)
	if err := d.KeepChecked(t.Context(), two, later); err != nil {
		t.Fatal(err)
	}
	if k, ok, err := d.Directory(t.Context(), contents); !ok || err != nil || !k.Cap.Equal(two) || k.Checked.Unix() != later.Unix() {
		t.Errorf("found %v, %v, %v", k, ok, err)
	}
}

func TestDue(t *testing.T) {
	t.Parallel()
	const day = 24 * time.Hour
	for name, tt := range map[string]struct {
		age  time.Duration
		roll float64
		want bool
	}{
		"new":           {0, 0, false},
		"new_lucky":     {9 * day, 0, false},
		"half_unlucky":  {17 * day, 0.4, true},
		"half_lucky":    {17 * day, 0.6, false},
		"old":           {25 * day, 0.9999, true},
		"clock_is_back": {-100 * day, 0, false},
	} {
		if got := (backupdb.Known{Checked: noon}).Due(noon.Add(tt.age), tt.roll); got != tt.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

// A database that Tahoe-LAFS made: whole seconds, caps as blobs.
func TestTahoesDatabase(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "backupdb.sqlite")
	c := literal(t, "one")
	raw, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	for _, q := range []string{
		`CREATE TABLE version (version INTEGER)`, `INSERT INTO version VALUES (2)`,
		`CREATE TABLE local_files (path VARCHAR(1024) PRIMARY KEY, size INTEGER, mtime NUMBER, ctime NUMBER, fileid INTEGER)`,
		`CREATE TABLE caps (fileid INTEGER PRIMARY KEY AUTOINCREMENT, filecap VARCHAR(256) UNIQUE)`,
		`CREATE TABLE last_upload (fileid INTEGER PRIMARY KEY, last_uploaded TIMESTAMP, last_checked TIMESTAMP)`,
		`CREATE TABLE directories (dirhash varchar(256) PRIMARY KEY, dircap varchar(256), last_uploaded TIMESTAMP, last_checked TIMESTAMP)`,
		`INSERT INTO caps VALUES (1, CAST('` + c.Text() + `' AS BLOB))`,
		`INSERT INTO last_upload VALUES (1, 1699999999.5, 1699999999.5)`,
		`INSERT INTO local_files VALUES ('/a', 7, 1700000000, 1700003600, 1)`,
	} {
		if _, err := raw.Exec(q); err != nil {
			t.Fatal(err)
		}
	}
	if err := raw.Close(); err != nil {
		t.Fatal(err)
	}
	d := open(t, path)
	k, ok, err := d.File(t.Context(), "/a", backupdb.Stat{Size: 7, Mtime: noon, Ctime: noon.Add(time.Hour)})
	if !ok || err != nil || !k.Cap.Equal(c) || k.Checked.Unix() != 1699999999 {
		t.Fatalf("found %v, %v, %v", k, ok, err)
	}
	if err := d.KeepChecked(t.Context(), c, noon); err != nil {
		t.Fatal(err)
	}
	if k, _, _ := d.File(t.Context(), "/a", backupdb.Stat{Size: 7, Mtime: noon, Ctime: noon.Add(time.Hour)}); k.Checked.Unix() != noon.Unix() {
		t.Errorf("checked %v", k.Checked)
	}
}

func TestOpenRefuses(t *testing.T) {
	t.Parallel()
	garbage := filepath.Join(t.TempDir(), "garbage")
	if err := os.WriteFile(garbage, []byte("this is not a database, it is a long line of text without any meaning at all"), 0o600); err != nil {
		t.Fatal(err)
	}
	newer := filepath.Join(t.TempDir(), "newer")
	raw, err := sql.Open("sqlite", newer)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := raw.Exec(`CREATE TABLE version (version INTEGER); INSERT INTO version VALUES (3)`); err != nil {
		t.Fatal(err)
	}
	if err := raw.Close(); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{garbage, newer} {
		if _, err := backupdb.Open(t.Context(), path); !errors.Is(err, backupdb.ErrDatabase) {
			t.Errorf("%s: %v", filepath.Base(path), err)
		}
	}
}
