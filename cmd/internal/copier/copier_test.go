package copier_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"trunkline/caps"
	"trunkline/cmd/internal/copier"
	"trunkline/cmd/internal/names"
	"trunkline/grid/tree"
	"trunkline/grid/tree/treetest"
)

var now = time.Unix(1_700_000_000, 0)

// kit is a tree in memory.
type kit struct {
	*testing.T
	files *treetest.Memory
	tree  *tree.Tree
	cfg   copier.Config
}

func newKit(t *testing.T) *kit {
	m := treetest.NewMemory()
	tr := tree.New(tree.Config{Files: m, Now: func() time.Time { return now }})
	return &kit{t, m, tr, copier.Config{Tree: tr}}
}

func (k *kit) must(err error) {
	k.Helper()
	if err != nil {
		k.Fatal(err)
	}
}

func (k *kit) put(text string) caps.Cap {
	k.Helper()
	c, err := k.files.PutImmutable(k.Context(), strings.NewReader(text), uint64(len(text)))
	k.must(err)
	return c
}

func (k *kit) mkdir(children map[string]caps.Cap) caps.Cap {
	k.Helper()
	var list []tree.NewChild
	for _, name := range slices.Sorted(maps.Keys(children)) {
		list = append(list, tree.NewChild{Name: name, Pair: tree.NodeOf(children[name]).Pair})
	}
	c, err := k.tree.MkdirWithChildren(k.Context(), caps.KindUnknown, list)
	k.must(err)
	return c
}

func (k *kit) mutable(text string) caps.Cap {
	k.Helper()
	c, err := k.files.CreateMutable(k.Context(), caps.KindSDMF, nil, func(caps.WriteKey) (io.ReaderAt, uint64, error) {
		return strings.NewReader(text), uint64(len(text)), nil
	})
	k.must(err)
	return c
}

func (k *kit) read(c caps.Cap) string {
	k.Helper()
	var b bytes.Buffer
	k.must(k.files.Read(k.Context(), c, func(size uint64) (uint64, uint64, io.Writer, error) { return 0, size, &b, nil }))
	return b.String()
}

// grid is everything below a directory of the grid, path by path.
func (k *kit) grid(dir caps.Cap) map[string]string {
	k.Helper()
	all := map[string]string{}
	k.must(k.tree.Walk(k.Context(), dir, tree.Walker{Node: func(v tree.Visit) error {
		path := names.Path(v.Path)
		if v.Node.Type() == tree.TypeDirectory {
			all[path+"/"] = ""
		} else {
			all[path] = k.read(v.Node.Cap())
		}
		return nil
	}}))
	return all
}

// disk is everything below a folder.
func (k *kit) disk(dir string) map[string]string {
	k.Helper()
	all := map[string]string{}
	k.must(filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		below, err := filepath.Rel(dir, path)
		if err != nil || d.IsDir() {
			all[strings.TrimPrefix(below, ".")+"/"] = ""
			return err
		}
		raw, err := os.ReadFile(path)
		all[below] = string(raw)
		return err
	}))
	return all
}

func (k *kit) write(dir string, files map[string]string) {
	k.Helper()
	for name, text := range files {
		path := filepath.Join(dir, name)
		if strings.HasSuffix(name, "/") {
			k.must(os.MkdirAll(path, 0o700))
			continue
		}
		k.must(os.MkdirAll(filepath.Dir(path), 0o700))
		k.must(os.WriteFile(path, []byte(text), 0o600))
	}
}

func (k *kit) local(path string) copier.Source {
	k.Helper()
	s, err := copier.Local(path)
	k.must(err)
	return s
}

func (k *kit) same(got, want map[string]string) {
	k.Helper()
	if !maps.Equal(got, want) {
		k.Errorf("got  %q\nwant %q", got, want)
	}
}

func long(seed string) string { return strings.Repeat(seed+" ", 50) }

// A folder goes into the grid and comes back as it was.
func TestThereAndBack(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	folder := t.TempDir()
	want := map[string]string{
		"/": "", "a": "short", "b": long("b"), "empty/": "", "sub/": "", "sub/deep/": "", "sub/deep/c": long("c"), "sub/ü ä": long("u"), "zero": "",
	}
	k.write(folder, want)
	top := k.mkdir(nil)
	r, err := copier.Into(t.Context(), k.cfg, k.local(folder), top, "copy", now)
	k.must(err)
	if r.Files != 5 || r.Directories != 4 || r.Bytes != uint64(5+3*100) || len(r.Problems) != 0 {
		t.Errorf("%+v", r)
	}
	n, err := k.tree.Resolve(t.Context(), top, []string{"copy"})
	k.must(err)
	k.same(k.grid(n.Cap()), want)
	back := filepath.Join(t.TempDir(), "new")
	r, err = copier.ToLocal(t.Context(), k.cfg, n, "docs:copy", back, 0o640)
	k.must(err)
	k.same(k.disk(back), want)
	if info, err := os.Stat(filepath.Join(back, "b")); err != nil || info.Mode().Perm() != 0o640 || r.Files != 5 {
		t.Errorf("mode %v, %v, %+v", info.Mode(), err, r)
	}
	// One directory was written once, whatever is in it: the new ones, and the one that got a link.
	if got := k.files.World().Count("Modify"); got != 1 {
		t.Errorf("%d directories were changed", got)
	}
	if got := k.files.World().Count("CreateMutable"); got != 5 {
		t.Errorf("%d directories were made", got)
	}
}

// A second copy goes into the first: same names are replaced, mutable files in place, others stay.
func TestMerge(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	changing := k.mutable("old")
	sub := k.mkdir(map[string]caps.Cap{"stays": k.put("stays"), "m": changing, "f": k.put("old")})
	top := k.mkdir(map[string]caps.Cap{"d": k.mkdir(map[string]caps.Cap{"sub": sub, "file": k.put("file"), "dir": k.mkdir(nil)})})
	folder := t.TempDir()
	k.write(folder, map[string]string{"sub/m": "new m", "sub/f": "new f", "sub/n": "new n", "file/x": "no", "dir": "no"})
	r, err := copier.Into(t.Context(), k.cfg, k.local(folder), top, "d", now)
	k.must(err)
	k.same(k.grid(top), map[string]string{
		"/": "", "d/": "", "d/dir/": "", "d/file": "file", "d/sub/": "", "d/sub/f": "new f", "d/sub/m": "new m", "d/sub/n": "new n", "d/sub/stays": "stays",
	})
	if k.read(changing) != "new m" {
		t.Error("the mutable file was not overwritten in place")
	}
	if len(r.Problems) != 2 || !errors.Is(r.Problems[0].Err, copier.ErrInTheWay) || !errors.Is(r.Problems[1].Err, copier.ErrInTheWay) {
		t.Errorf("problems %v", r.Problems)
	}

	// And the other way.
	n, err := k.tree.Resolve(t.Context(), top, []string{"d"})
	k.must(err)
	out := t.TempDir()
	k.write(out, map[string]string{"sub/stays here": "x", "sub/f": "old", "file/": "", "dir": "a file"})
	r, err = copier.ToLocal(t.Context(), k.cfg, n, "d", out, 0o600)
	k.must(err)
	k.same(k.disk(out), map[string]string{
		"/": "", "dir": "a file", "file/": "", "sub/": "", "sub/f": "new f", "sub/m": "new m", "sub/n": "new n", "sub/stays": "stays", "sub/stays here": "x",
	})
	if len(r.Problems) != 2 {
		t.Errorf("problems %v", r.Problems)
	}
}

// What cannot be copied from this machine is told, and the rest is.
func TestLocalProblems(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	folder := t.TempDir()
	k.write(folder, map[string]string{"good": "good", "sub/x": "x"})
	for link, to := range map[string]string{"dangling": "nowhere", "up": "..", "to sub": "sub", "to good": "good"} {
		k.must(os.Symlink(to, filepath.Join(folder, link)))
	}
	k.must(os.WriteFile(filepath.Join(folder, "bad\xff"), nil, 0o600))
	top := k.mkdir(nil)
	r, err := copier.IntoAs(t.Context(), k.cfg, k.local(folder), top, now)
	k.must(err)
	k.same(k.grid(top), map[string]string{"/": "", "good": "good", "sub/": "", "sub/x": "x", "to good": "good"})
	var bad []string
	for _, p := range r.Problems {
		bad = append(bad, filepath.Base(p.Path))
	}
	slices.Sort(bad)
	if want := []string{`bad\xff`, "dangling", "to sub", "up"}; !slices.Equal(bad, want) {
		t.Errorf("problems with %q, want %q", bad, want)
	}
	if _, err := copier.Local(filepath.Join(folder, "nothing")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%v", err)
	}
}

// Whatever a directory's entries are called, nothing is written outside of the folder.
func TestHostileNames(t *testing.T) {
	t.Parallel()
	evil := []string{
		"", ".", "..", "/etc/passwd", "../outside", "a/b", "a\x00b", "a\x1b[2J", "\u202egpj.exe", "n\nl", strings.Repeat("x", 300), strings.Repeat("ü", 200),
	}
	k := newKit(t)
	file, dir := k.put(long("evil")), k.mkdir(map[string]caps.Cap{"inner": k.put("inner")})
	for _, what := range []caps.Cap{file, dir} {
		for _, name := range evil {
			top := tree.NodeOf(k.mkdir(map[string]caps.Cap{name: what, "good": k.put("good")}))
			outer := t.TempDir()
			folder := filepath.Join(outer, "in")
			r, err := copier.ToLocal(t.Context(), k.cfg, top, "docs:", folder, 0o600)
			k.must(err)
			k.same(k.disk(outer), map[string]string{"/": "", "in/": "", "in/good": "good"})
			if len(r.Problems) != 1 || !errors.Is(r.Problems[0].Err, names.ErrLocal) || strings.ContainsFunc(r.Problems[0].Error(), func(r rune) bool { return r < ' ' || r == '\u202e' }) {
				t.Errorf("%q: problems %q", name, r.Problems)
			}

			cfg := k.cfg
			cfg.EscapeNames = true
			r, err = copier.ToLocal(t.Context(), cfg, top, "docs:", folder, 0o600)
			k.must(err)
			if entries, err := os.ReadDir(folder); err != nil || len(entries) != 2 || len(r.Problems) != 0 {
				t.Errorf("%q escaped: %v, %v, %v", name, entries, err, r.Problems)
			}
			if entries, err := os.ReadDir(outer); err != nil || len(entries) != 1 {
				t.Errorf("%q escaped: %v, %v", name, entries, err)
			}
		}
	}
}

// Of an escaped name and one that looks like it both are there.
func TestEscapedNamesStayApart(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	top := tree.NodeOf(k.mkdir(map[string]caps.Cap{"..": k.put("up"), `\x2e\x2e`: k.put("looks like it")}))
	folder := t.TempDir()
	cfg := k.cfg
	cfg.EscapeNames = true
	_, err := copier.ToLocal(t.Context(), cfg, top, "docs:", folder, 0o600)
	k.must(err)
	k.same(k.disk(folder), map[string]string{"/": "", `\x2e\x2e`: "up", `\\x2e\\x2e`: "looks like it"})
}

// Links that are in the folder already lead nothing outside of it.
func TestLinksLeadNowhere(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	top := tree.NodeOf(k.mkdir(map[string]caps.Cap{
		"out": k.mkdir(map[string]caps.Cap{"f": k.put("f")}), "link": k.put("new"), "in": k.mkdir(map[string]caps.Cap{"f": k.put("f")}),
	}))
	outside, folder := t.TempDir(), t.TempDir()
	k.write(outside, map[string]string{"target": "untouched"})
	k.write(folder, map[string]string{"real/": ""})
	k.must(os.Symlink(outside, filepath.Join(folder, "out")))
	k.must(os.Symlink(filepath.Join(outside, "target"), filepath.Join(folder, "link")))
	k.must(os.Symlink("real", filepath.Join(folder, "in")))
	r, err := copier.ToLocal(t.Context(), k.cfg, top, "docs:", folder, 0o600)
	k.must(err)
	k.same(k.disk(outside), map[string]string{"/": "", "target": "untouched"})
	if raw, err := os.ReadFile(filepath.Join(folder, "link")); err != nil || string(raw) != "new" {
		t.Errorf("link is %q, %v", raw, err)
	}
	if raw, err := os.ReadFile(filepath.Join(folder, "real", "f")); err != nil || string(raw) != "f" {
		t.Errorf("real/f is %q, %v", raw, err)
	}
	if len(r.Problems) != 1 || !errors.Is(r.Problems[0].Err, copier.ErrInTheWay) {
		t.Errorf("problems %v", r.Problems)
	}
}

// A directory that leads to itself is copied as far as it is new.
func TestInsideItself(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	loop := k.mkdir(map[string]caps.Cap{"f": k.put("f")})
	_, err := k.tree.Link(t.Context(), loop, tree.NewChild{Name: "again", Pair: tree.NodeOf(loop).Pair}, tree.ReplaceNever)
	k.must(err)
	folder := t.TempDir()
	r, err := copier.ToLocal(t.Context(), k.cfg, tree.NodeOf(loop), "docs:", folder, 0o600)
	k.must(err)
	k.same(k.disk(folder), map[string]string{"/": "", "f": "f", "again/": ""})
	if len(r.Problems) != 1 || !errors.Is(r.Problems[0].Err, copier.ErrInsideItself) || r.Problems[0].Path != "docs:again" {
		t.Errorf("problems %v", r.Problems)
	}
	top := k.mkdir(nil)
	r, err = copier.Into(t.Context(), k.cfg, copier.Grid(tree.NodeOf(loop), "docs:"), top, "copy", now)
	k.must(err)
	k.same(k.grid(top), map[string]string{"/": "", "copy/": "", "copy/f": "f"})
	if len(r.Problems) != 1 || !errors.Is(r.Problems[0].Err, copier.ErrInsideItself) {
		t.Errorf("problems %v", r.Problems)
	}
}

// Nesting has an end.
func TestDeep(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	dir := k.mkdir(nil)
	for range 250 {
		dir = k.mkdir(map[string]caps.Cap{"d": dir})
	}
	r, err := copier.ToLocal(t.Context(), k.cfg, tree.NodeOf(dir), "docs:", t.TempDir(), 0o600)
	k.must(err)
	if len(r.Problems) != 1 || !errors.Is(r.Problems[0].Err, copier.ErrDeep) {
		t.Errorf("problems %v", r.Problems)
	}
}

// Within a grid what never changes is linked, what can change is copied, and another grid's files are brought home.
func TestWithinAndBetweenGrids(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	fixed, changing := k.put(long("fixed")), k.mutable("as it is now")
	far, err := k.files.World().Member(treetest.Area(9)).PutImmutable(t.Context(), strings.NewReader(long("far")), 200)
	k.must(err)
	if !far.IsLongDistance() {
		if far, err = far.WithAreas(treetest.Area(9)); err != nil {
			t.Fatal(err)
		}
	}
	from := k.mkdir(map[string]caps.Cap{"fixed": fixed, "changing": changing, "far": far})
	top := k.mkdir(nil)
	r, err := copier.Into(t.Context(), k.cfg, copier.Grid(tree.NodeOf(from), "docs:"), top, "copy", now)
	k.must(err)
	if r.Files != 3 || r.Linked != 1 || len(r.Problems) != 0 {
		t.Errorf("%+v", r)
	}
	k.must(k.files.Overwrite(t.Context(), changing, strings.NewReader("changed"), 7))
	for name, want := range map[string]string{"fixed": long("fixed"), "changing": "as it is now", "far": long("far")[:200]} {
		n, err := k.tree.Resolve(t.Context(), top, []string{"copy", name})
		k.must(err)
		if k.read(n.Cap()) != want || n.Cap().IsLongDistance() && !slices.Contains(n.Cap().Areas(), k.files.Home()) || !n.WriteCap().IsZero() {
			t.Errorf("%s is %v", name, n.Cap())
		}
	}
}

// A file that can't be read does not keep the others back; a grid that takes nothing ends the copy.
func TestFailures(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	lost := k.put(long("lost"))
	top := k.mkdir(map[string]caps.Cap{"lost": lost, "good": k.put(long("good")), "bad dir": k.mkdir(map[string]caps.Cap{"x": k.put("x")})})
	bad, err := k.tree.Resolve(t.Context(), top, []string{"bad dir"})
	k.must(err)
	gone := errors.New("gone")
	k.files.World().Fail(func(op string, c caps.Cap) error {
		if op == "Read" && (c.Equal(lost) || sameFile(c, bad.Cap())) {
			return gone
		}
		return nil
	})
	folder := t.TempDir()
	r, err := copier.ToLocal(t.Context(), k.cfg, tree.NodeOf(top), "docs:", folder, 0o600)
	k.must(err)
	k.same(k.disk(folder), map[string]string{"/": "", "good": long("good"), "bad dir/": ""})
	if len(r.Problems) != 2 || !errors.Is(r.Problems[0].Err, gone) || !errors.Is(r.Problems[1].Err, gone) {
		t.Errorf("problems %v", r.Problems)
	}
	full := errors.New("full")
	k.files.World().Fail(func(op string, _ caps.Cap) error {
		if op == "PutImmutable" {
			return full
		}
		return nil
	})
	from := t.TempDir()
	for i := range 20 {
		k.write(from, map[string]string{fmt.Sprint(i): "x"})
	}
	if _, err := copier.Into(t.Context(), k.cfg, k.local(from), top, "new", now); !errors.Is(err, full) {
		t.Errorf("%v", err)
	}
	if n := k.files.World().Count("PutImmutable"); n > 12 {
		t.Errorf("it was tried %d times", n)
	}
}

func sameFile(a, b caps.Cap) bool {
	x, ok := a.StorageIndex()
	y, _ := b.StorageIndex()
	return ok && x == y
}

func TestOver(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	c := k.mutable("old")
	path := filepath.Join(t.TempDir(), "f")
	k.must(os.WriteFile(path, []byte("new"), 0o600))
	if r, err := copier.Over(t.Context(), k.cfg, k.local(path), c); err != nil || r.Files != 1 || k.read(c) != "new" {
		t.Errorf("%+v, %v", r, err)
	}
}
