package backup_test

import (
	"bytes"
	"errors"
	"io"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"trunkline/caps"
	"trunkline/cmd/internal/backup"
	"trunkline/cmd/internal/backupdb"
	"trunkline/cmd/internal/names"
	"trunkline/grid/tree"
	"trunkline/grid/tree/treetest"
)

// kit is a folder, a grid in memory and a database.
type kit struct {
	*testing.T
	folder string
	files  *treetest.Memory
	tree   *tree.Tree
	root   caps.Cap
	now    time.Time
	cfg    backup.Config

	mu     sync.Mutex
	events []backup.Event
}

func newKit(t *testing.T) *kit {
	t.Helper()
	k := &kit{T: t, folder: t.TempDir(), files: treetest.NewMemory(), now: time.Now()}
	clock := func() time.Time { return k.now }
	k.tree = tree.New(tree.Config{Files: k.files, Now: clock})
	db, err := backupdb.Open(t.Context(), filepath.Join(t.TempDir(), "db"))
	k.must(err)
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	k.root, err = k.tree.Mkdir(t.Context(), caps.KindUnknown)
	k.must(err)
	k.cfg = backup.Config{
		Tree: k.tree, DB: db, Now: clock, Roll: func() float64 { return 0.5 },
		Event: func(e backup.Event) {
			k.mu.Lock()
			defer k.mu.Unlock()
			k.events = append(k.events, e)
		},
	}
	return k
}

func (k *kit) must(err error) {
	k.Helper()
	if err != nil {
		k.Fatal(err)
	}
}

func (k *kit) write(files map[string]string) {
	k.Helper()
	for name, text := range files {
		at := filepath.Join(k.folder, name)
		k.must(os.MkdirAll(filepath.Dir(at), 0o700))
		k.must(os.WriteFile(at, []byte(text), 0o600))
	}
}

// run backs the folder up to "my/backups".
func (k *kit) run() backup.Report {
	k.Helper()
	k.events = nil
	k.now = k.now.Add(time.Second) // a name of its own for each snapshot
	r, err := backup.Run(k.Context(), k.cfg, k.folder, k.root, []string{"my", "backups"})
	k.must(err)
	return r
}

// stored is everything below a path of the grid.
func (k *kit) stored(at ...string) map[string]string {
	k.Helper()
	n, err := k.tree.Resolve(k.Context(), k.root, at)
	k.must(err)
	all := map[string]string{}
	k.must(k.tree.Walk(k.Context(), n.Cap(), tree.Walker{Node: func(v tree.Visit) error {
		if mutable, _ := v.Node.Mutable(); mutable {
			k.Errorf("%s can change", names.Path(v.Path))
		}
		if v.Node.Type() == tree.TypeDirectory {
			all[names.Path(v.Path)+"/"] = ""
			return nil
		}
		var b bytes.Buffer
		err := k.files.Read(k.Context(), v.Node.Cap(), func(size uint64) (uint64, uint64, io.Writer, error) { return 0, size, &b, nil })
		all[names.Path(v.Path)] = b.String()
		return err
	}}))
	return all
}

func (k *kit) latest() map[string]string { return k.stored("my", "backups", "Latest") }

func (k *kit) same(got, want map[string]string) {
	k.Helper()
	if !maps.Equal(got, want) {
		k.Errorf("got  %q\nwant %q", got, want)
	}
}

func long(seed string) string { return strings.Repeat(seed+" ", 50) }

// What did not change is not sent again, what did is, and old snapshots stay.
func TestSnapshots(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	k.write(map[string]string{"a": long("a"), "sub/b": long("b"), "sub/deep/c": long("c"), "other/d": long("d")})
	first := k.run()
	want := map[string]string{
		"/": "", "a": long("a"), "other/": "", "other/d": long("d"), "sub/": "", "sub/b": long("b"), "sub/deep/": "", "sub/deep/c": long("c"),
	}
	k.same(k.latest(), want)
	if first.Files.Sent != 4 || first.Directories.Sent != 4 || first.BytesSent != 400 || first.Files.Reused != 0 {
		t.Errorf("first %+v", first)
	}
	puts := k.files.World().Count("PutImmutable")
	second := k.run()
	if second.Files != (backup.Counts{Reused: 4}) || second.Directories != (backup.Counts{Reused: 4}) || second.BytesReused != 400 {
		t.Errorf("second %+v", second)
	}
	if n := k.files.World().Count("PutImmutable") - puts; n != 0 {
		t.Errorf("%d files were stored though nothing changed", n)
	}
	k.write(map[string]string{"sub/b": long("B, which is longer"), "sub/new": "new"})
	third := k.run()
	if third.Files != (backup.Counts{Sent: 2, Reused: 3}) || third.Directories != (backup.Counts{Sent: 2, Reused: 2}) {
		t.Errorf("third %+v", third)
	}
	k.same(k.stored("my", "backups", "Archives", first.Archive), want)
	want["sub/b"], want["sub/new"] = long("B, which is longer"), "new"
	k.same(k.latest(), want)
	if first.Archive != k.now.Add(-2*time.Second).UTC().Format("2006-01-02_15:04:05Z") {
		t.Errorf("the snapshot is called %s", first.Archive)
	}
}

// A touched file is sent again and gets the same cap, so that its directory stays the same.
func TestTouched(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	k.write(map[string]string{"a": long("a")})
	k.run()
	k.must(os.Chtimes(filepath.Join(k.folder, "a"), time.Time{}, k.now.Add(-time.Hour)))
	if r := k.run(); r.Files.Sent != 1 || r.Directories.Sent != 0 {
		t.Errorf("%+v", r)
	}
	k.cfg.IgnoreTimestamps = true
	if r := k.run(); r.Files.Sent != 1 || r.Directories.Sent != 0 {
		t.Errorf("all files: %+v", r)
	}
}

func TestDryRun(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	k.write(map[string]string{"a": long("a"), "sub/b": long("b"), "other/c": "c"})
	k.run()
	k.write(map[string]string{"sub/b": long("changed")})
	before := map[string]int{}
	for _, op := range []string{"PutImmutable", "CreateMutable", "Modify", "Check"} {
		before[op] = k.files.World().Count(op)
	}
	k.cfg.DryRun = true
	for range 2 {
		r := k.run()
		if r.Files != (backup.Counts{Sent: 1, Reused: 2}) || r.Directories != (backup.Counts{Sent: 2, Reused: 1}) || r.Archive != "" {
			t.Errorf("%+v", r)
		}
	}
	for op, n := range before {
		if got := k.files.World().Count(op); got != n {
			t.Errorf("%s was called %d times by a dry run", op, got-n)
		}
	}
	// On a folder and a target that nobody knows.
	k.folder, k.events = t.TempDir(), nil
	k.write(map[string]string{"x": "x"})
	if r, err := backup.Run(t.Context(), k.cfg, k.folder, k.root, []string{"nowhere"}); err != nil || r.Files.Sent != 1 || r.Directories.Sent != 1 {
		t.Errorf("%+v, %v", r, err)
	}
}

// What an upload was long ago is checked, and its lease renewed, before it is relied on; what is gone is sent again.
func TestChecks(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	k.write(map[string]string{"a": long("a"), "b": long("b"), "small": "in its cap"})
	k.run()
	k.now = k.now.Add(5 * 24 * time.Hour)
	if r := k.run(); r.Checked != 0 || k.files.World().Count("Check") != 0 {
		t.Errorf("after five days %+v", r)
	}
	k.now = k.now.Add(25 * 24 * time.Hour)
	if r := k.run(); r.Checked != 4 || r.Files.Sent != 0 || r.Directories.Sent != 0 {
		t.Errorf("after a month %+v", r)
	}
	if r := k.run(); r.Checked != 0 {
		t.Errorf("right after that %+v", r)
	}
	n, err := k.tree.Resolve(t.Context(), k.root, []string{"my", "backups", "Latest", "a"})
	k.must(err)
	k.files.World().Lose(n.Cap(), 0)
	k.now = k.now.Add(30 * 24 * time.Hour)
	if r := k.run(); r.Files.Sent != 1 || r.Files.Reused != 2 {
		t.Errorf("with a share lost %+v", r)
	}
}

// What can't be backed up is told, and the rest is.
func TestSkipped(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	k.write(map[string]string{"good": "good", "sub/x": "x", "build/x.o": "x", "build/keep": "keep", "sub/x.o": "o"})
	k.must(os.Symlink("good", filepath.Join(k.folder, "link")))
	k.must(os.WriteFile(filepath.Join(k.folder, "bad\xff"), nil, 0o600))
	exclude, err := backup.Excludes([]string{"*.o", "sub/x"})
	k.must(err)
	k.cfg.Exclude = exclude
	r := k.run()
	k.same(k.latest(), map[string]string{"/": "", "build/": "", "build/keep": "keep", "good": "good", "sub/": ""})
	if r.Files.Skipped != 2 || r.Files.Left != 3 {
		t.Errorf("%+v", r)
	}
	for _, e := range k.events {
		if e.What == backup.Skipped && !errors.Is(e.Err, backup.ErrSkipped) {
			t.Errorf("%s: %v", e.Path, e.Err)
		}
	}
}

// A grid that takes nothing ends the backup, before anything is sent if it is the target that can't be written to.
func TestGridFails(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	k.write(map[string]string{"a": long("a")})
	full := errors.New("full")
	k.files.World().Fail(func(op string, _ caps.Cap) error {
		if op == "PutImmutable" {
			return full
		}
		return nil
	})
	if _, err := backup.Run(t.Context(), k.cfg, k.folder, k.root, nil); !errors.Is(err, full) {
		t.Errorf("%v", err)
	}
	k.files.World().Fail(nil)
	puts := k.files.World().Count("PutImmutable")
	readOnly, err := k.root.ReadOnly()
	k.must(err)
	if _, err := backup.Run(t.Context(), k.cfg, k.folder, readOnly, []string{"new"}); !errors.Is(err, tree.ErrReadOnly) {
		t.Errorf("%v", err)
	}
	if k.files.World().Count("PutImmutable") != puts {
		t.Error("files were sent for a target that can't be written to")
	}
	if _, err := backup.Run(t.Context(), k.cfg, filepath.Join(k.folder, "a"), k.root, nil); err == nil {
		t.Error("a file was backed up as a folder")
	}
}

// Modes and times come along as Tahoe-LAFS keeps them.
func TestMetadata(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	k.write(map[string]string{"a": "a"})
	k.must(os.Chtimes(filepath.Join(k.folder, "a"), time.Time{}, time.Unix(1_600_000_000, 250_000_000)))
	k.run()
	n, err := k.tree.Resolve(t.Context(), k.root, []string{"my", "backups", "Latest", "a"})
	k.must(err)
	if mtime, ok := n.Metadata.Get("mtime"); !ok || !strings.HasPrefix(string(mtime), "1600000000.25") {
		t.Errorf("metadata %s", n.Metadata.Text())
	}
}

func TestExcludes(t *testing.T) {
	t.Parallel()
	f, err := backup.Excludes([]string{"*.o", "build/tmp", ".git"})
	if err != nil {
		t.Fatal(err)
	}
	for at, want := range map[string]bool{
		"a.o": true, "x/y/a.o": true, "a.c": false, "build/tmp": true, "x/build/tmp": false, "tmp": false, ".git": true, "x/.git": true,
	} {
		if got := f(at, path.Base(at)); got != want {
			t.Errorf("%s: %v", at, got)
		}
	}
	if _, err := backup.Excludes([]string{"["}); !errors.Is(err, path.ErrBadPattern) {
		t.Errorf("%v", err)
	}
	list, err := backup.ReadPatterns(strings.NewReader("# mine\n\n *.o \n.git"))
	if err != nil || !slices.Equal(list, []string{"*.o", ".git"}) {
		t.Errorf("%q, %v", list, err)
	}
}
