package backup_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/goleak"

	"trunkline/caps"
	"trunkline/cmd/internal/backup"
	"trunkline/cmd/internal/backupdb"
	"trunkline/grid/tree"
	"trunkline/grid/tree/treetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// Snapshots of a folder: only what changed is sent, each snapshot stays as it was, and what is forgotten is sent again.
func TestSnapshots(t *testing.T) {
	t.Parallel()
	tr := tree.New(tree.Config{Files: treetest.NewMemory(), Now: time.Now})
	root, err := tr.Mkdir(t.Context(), caps.KindDirSDMF)
	must(t, err)
	db, err := backupdb.Open(t.Context(), filepath.Join(t.TempDir(), "db"))
	must(t, err)
	t.Cleanup(func() { must(t, db.Close()) })
	folder := t.TempDir()
	write := func(name, content string, age time.Duration) {
		t.Helper()
		path := filepath.Join(folder, name)
		must(t, os.MkdirAll(filepath.Dir(path), 0o700))
		must(t, os.WriteFile(path, []byte(content), 0o600))
		when := time.Unix(1_700_000_000, 0).Add(-age)
		must(t, os.Chtimes(path, when, when))
	}
	exclude, err := backup.Excludes([]string{"*.o"})
	must(t, err)
	now := time.Unix(1_800_000_000, 0)
	run := func(edit ...func(*backup.Config)) backup.Report {
		t.Helper()
		now = now.Add(time.Second)
		cfg := backup.Config{
			Tree: tr, DB: db, Exclude: exclude, Now: func() time.Time { return now }, Roll: func() float64 { return 1 },
		}
		for _, e := range edit {
			e(&cfg)
		}
		r, err := backup.Run(t.Context(), cfg, folder, root, []string{"backups"})
		must(t, err)
		return r
	}
	write("a", "first", time.Hour)
	write("sub/b", "second", time.Hour)
	write("sub/c.o", "left out", time.Hour)

	if r := run(func(c *backup.Config) { c.DryRun = true }); r.Files.Sent != 2 || r.Archive != "" {
		t.Errorf("dry run: %+v", r)
	}
	if _, err := tr.Resolve(t.Context(), root, []string{"backups"}); err == nil {
		t.Error("a dry run made the target")
	}
	first := run()
	if first.Files.Sent != 2 || first.Files.Reused != 0 || first.Files.Left != 1 {
		t.Errorf("first: %+v", first)
	}
	if r := run(); r.Files.Sent != 0 || r.Files.Reused != 2 || r.Directories.Sent != 0 {
		t.Errorf("nothing changed: %+v", r)
	}
	write("a", "changed", 0)
	last := run()
	if last.Files.Sent != 1 || last.Files.Reused != 1 {
		t.Errorf("one changed: %+v", last)
	}
	for _, s := range []struct{ path, want string }{
		{first.Archive, "URI:LIT:mzuxe43u"}, {last.Archive, "URI:LIT:mnugc3thmvsa"},
	} {
		n, err := tr.Resolve(t.Context(), root, []string{"backups", "Archives", s.path, "a"})
		must(t, err)
		if n.Cap().Text() != s.want {
			t.Errorf("snapshot %s holds another file", s.path)
		}
	}
	n, err := tr.Resolve(t.Context(), root, []string{"backups", "Latest", "sub", "b"})
	must(t, err)
	if n.Type() != tree.TypeFile {
		t.Errorf("Latest holds a %s", n.Type())
	}
}

func TestExcludes(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		pattern, path, name string
		want                bool
	}{
		{"*.o", "deep/x.o", "x.o", true},
		{"*.o", "x.oo", "x.oo", false},
		{"a/b", "a/b", "b", true},
		{"a/b", "c/a/b", "b", false},
		{"[ab]", "q/b", "b", true},
	} {
		exclude, err := backup.Excludes([]string{tt.pattern})
		must(t, err)
		if got := exclude(tt.path, tt.name); got != tt.want {
			t.Errorf("%s leaves %s out: %v", tt.pattern, tt.path, got)
		}
	}
	if _, err := backup.Excludes([]string{"["}); err == nil {
		t.Error("a bad pattern was taken")
	}
}
