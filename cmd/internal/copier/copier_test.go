package copier_test

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"trunkline/caps"
	"trunkline/cmd/internal/copier"
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

func fresh(t *testing.T) (*tree.Tree, caps.Cap) {
	t.Helper()
	tr := tree.New(tree.Config{Files: treetest.NewMemory(), Now: time.Now})
	root, err := tr.Mkdir(t.Context(), caps.KindDirSDMF)
	must(t, err)
	return tr, root
}

// files is what lies below a folder, by path.
func files(t *testing.T, dir string) map[string]string {
	t.Helper()
	found := map[string]string{}
	must(t, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		raw, err := os.ReadFile(path)
		rel, _ := filepath.Rel(dir, path)
		found[rel] = string(raw)
		return err
	}))
	return found
}

// A folder goes into a grid and comes back as it was.
func TestBothWays(t *testing.T) {
	t.Parallel()
	tr, root := fresh(t)
	local := t.TempDir()
	want := map[string]string{"a": "top", "d/b": strings.Repeat("x", 1000), "d/e/\u00fcml\u00e4ut": "", "d/e/.hidden": "h"}
	for name, content := range want {
		must(t, os.MkdirAll(filepath.Dir(filepath.Join(local, name)), 0o700))
		must(t, os.WriteFile(filepath.Join(local, name), []byte(content), 0o600))
	}
	must(t, os.Mkdir(filepath.Join(local, "empty"), 0o700))
	source, err := copier.Local(local)
	must(t, err)
	cfg := copier.Config{Tree: tr}
	r, err := copier.Into(t.Context(), cfg, source, root, "copy", time.Now())
	must(t, err)
	if r.Files != 4 || len(r.Problems) != 0 {
		t.Errorf("went in: %+v", r)
	}
	n, err := tr.Resolve(t.Context(), root, []string{"copy"})
	must(t, err)
	back := filepath.Join(t.TempDir(), "back")
	r, err = copier.ToLocal(t.Context(), cfg, n, "copy", back, 0o600)
	must(t, err)
	got := files(t, back)
	if len(got) != len(want) || len(r.Problems) != 0 {
		t.Errorf("came back: %q, %+v", got, r)
	}
	for name, content := range want {
		if got[name] != content {
			t.Errorf("%s came back as %q", name, got[name])
		}
	}
	if _, err := os.Stat(filepath.Join(back, "empty")); err != nil {
		t.Errorf("an empty folder: %v", err)
	}
	// Within the grid nothing is sent again.
	r, err = copier.Into(t.Context(), cfg, copier.Grid(n, "copy"), root, "again", time.Now())
	must(t, err)
	if r.Linked != 4 {
		t.Errorf("within the grid: %+v", r)
	}
}

// Whatever a directory calls its children, nothing is written outside of the folder that it is copied to; what has no
// name there is told, and the rest comes.
func TestHostileNames(t *testing.T) {
	t.Parallel()
	tr, root := fresh(t)
	content, err := caps.NewLiteral([]byte("content"))
	must(t, err)
	hostile := []string{"..", ".", "", "../../escaped", "/etc/escaped", "a/b", "nul\x00byte", strings.Repeat("n", 64<<10), "good"}
	var children []tree.NewChild
	for _, name := range hostile {
		children = append(children, tree.NewChild{Name: name, Pair: tree.NodeOf(content).Pair})
	}
	must(t, tr.LinkMany(t.Context(), root, children, tree.ReplaceAlways))
	for _, escape := range []bool{false, true} {
		top := t.TempDir()
		target := filepath.Join(top, "in", "here")
		must(t, os.MkdirAll(target, 0o700))
		r, err := copier.ToLocal(t.Context(), copier.Config{Tree: tr, EscapeNames: escape}, tree.NodeOf(root), "hostile", target, 0o600)
		if err != nil {
			t.Errorf("the copy ended: %v", err)
		}
		for path, got := range files(t, top) {
			if !strings.HasPrefix(path, "in/here/") || got != "content" {
				t.Errorf("%q was written, with %q", path, got)
			}
		}
		if got := files(t, target); got["good"] != "content" {
			t.Errorf("the good one did not come: %d others did", len(got))
		}
		if !escape && (r.Files != 1 || len(r.Problems) != len(hostile)-1) || escape && r.Files+len(r.Problems) != len(hostile) {
			t.Errorf("escaped %v: %d files, problems %v", escape, r.Files, len(r.Problems))
		}
		for _, p := range r.Problems {
			if strings.ContainsAny(p.Path, "\x00\n") {
				t.Errorf("a path that is not fit to be shown: %q", p.Path)
			}
		}
	}
}

// A link in the folder does not lead a copy out of it.
func TestLinksAreNotFollowed(t *testing.T) {
	t.Parallel()
	tr, root := fresh(t)
	content, err := caps.NewLiteral([]byte("content"))
	must(t, err)
	sub, err := tr.MkdirWithChildren(t.Context(), caps.KindDirSDMF, []tree.NewChild{{Name: "f", Pair: tree.NodeOf(content).Pair}})
	must(t, err)
	_, err = tr.Link(t.Context(), root, tree.NewChild{Name: "d", Pair: tree.NodeOf(sub).Pair}, tree.ReplaceNever)
	must(t, err)
	outside, inside := t.TempDir(), t.TempDir()
	must(t, os.Symlink(outside, filepath.Join(inside, "d")))
	_, _ = copier.ToLocal(t.Context(), copier.Config{Tree: tr}, tree.NodeOf(root), "x", inside, 0o600)
	if got := files(t, outside); len(got) != 0 {
		t.Errorf("written through the link: %q", got)
	}
}

// A directory that leads to itself is told, and ends.
func TestInsideItself(t *testing.T) {
	t.Parallel()
	tr, root := fresh(t)
	_, err := tr.Link(t.Context(), root, tree.NewChild{Name: "self", Pair: tree.NodeOf(root).Pair}, tree.ReplaceNever)
	must(t, err)
	r, err := copier.ToLocal(t.Context(), copier.Config{Tree: tr}, tree.NodeOf(root), "x", filepath.Join(t.TempDir(), "to"), 0o600)
	if !errors.Is(err, copier.ErrInsideItself) && !slices.ContainsFunc(r.Problems, func(p copier.Problem) bool {
		return errors.Is(p, copier.ErrInsideItself) || errors.Is(p.Err, copier.ErrInsideItself)
	}) {
		t.Errorf("got %+v, %v", r, err)
	}
}

// A file that breaks off leaves nothing behind.
func TestBrokenOff(t *testing.T) {
	t.Parallel()
	memory := treetest.NewMemory()
	tr := tree.New(tree.Config{Files: memory, Now: time.Now})
	root, err := tr.Mkdir(t.Context(), caps.KindDirSDMF)
	must(t, err)
	data := bytes.Repeat([]byte("d"), 1<<20)
	file, err := memory.PutImmutable(t.Context(), bytes.NewReader(data), uint64(len(data)))
	must(t, err)
	_, err = tr.Link(t.Context(), root, tree.NewChild{Name: "f", Pair: tree.NodeOf(file).Pair}, tree.ReplaceNever)
	must(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	n, err := tr.Resolve(t.Context(), root, []string{"f"})
	must(t, err)
	to := t.TempDir()
	if _, err := copier.ToLocal(ctx, copier.Config{Tree: tr}, n, "f", filepath.Join(to, "f"), 0o600); err == nil {
		t.Error("a copy that was given up succeeded")
	}
	if got := files(t, to); len(got) != 0 {
		t.Errorf("left behind: %d files", len(got))
	}
}
