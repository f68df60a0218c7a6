package tree_test

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"

	"trunkline/caps"
	"trunkline/grid/dirnode"
	"trunkline/grid/tree"
)

func TestMkdir(t *testing.T) {
	t.Parallel()
	m := newMember(t)
	for want, format := range map[caps.Kind]caps.Kind{caps.KindDirSDMF: caps.KindUnknown, caps.KindDirMDMF: caps.KindMDMF} {
		dir, err := m.Mkdir(t.Context(), format)
		if err != nil || dir.Kind() != want || m.contents(dir) != "" {
			t.Errorf("%v: made as %v, %v", format, dir.Kind(), err)
		}
		m.link(dir, "x", m.long("x"))
		equal(t, "linked", m.names(dir), []string{"x"})
	}
	other := tree.New(tree.Config{Files: m.files, Format: caps.KindMDMF})
	if dir, err := other.Mkdir(t.Context(), 0); err != nil || dir.Kind() != caps.KindDirMDMF {
		t.Errorf("the tree's own format: %v, %v", dir.Kind(), err)
	}
}

func TestMkdirWithChildren(t *testing.T) {
	t.Parallel()
	m := newMember(t)
	file := m.mutable("x")
	dir := m.mkdir(to("b", file), tree.NewChild{Name: "a", Pair: tree.NodeOf(file).Pair, Metadata: metadata(t, `{"tahoe": 1, "ctime": 2}`)})
	if n := m.resolve(dir, "b"); !n.WriteCap().Equal(file) || n.Metadata.Text() != "{}" {
		t.Errorf("b has metadata %s", n.Metadata.Text())
	}
	if n := m.resolve(dir, "a"); n.Metadata.Text() != `{"tahoe": 1, "ctime": 2}` {
		t.Errorf("a has metadata %s", n.Metadata.Text())
	}
	if _, err := m.MkdirWithChildren(t.Context(), 0, []tree.NewChild{{Name: "x"}}); !errors.Is(err, tree.ErrChild) {
		t.Errorf("a child without cap: %v", err)
	}
	if _, err := m.MkdirWithChildren(t.Context(), 0, []tree.NewChild{to("\xff", file)}); !errors.Is(err, tree.ErrName) {
		t.Errorf("a child with a bad name: %v", err)
	}
	broken := errors.New("broken")
	m.files.World().Fail(func(string, caps.Cap) error { return broken })
	if _, err := m.Mkdir(t.Context(), 0); !errors.Is(err, broken) {
		t.Errorf("broken: %v", err)
	}
	if _, err := m.MkdirImmutable(t.Context(), nil); !errors.Is(err, broken) {
		t.Errorf("broken: %v", err)
	}
}

func TestMkdirImmutable(t *testing.T) {
	t.Parallel()
	m := newMember(t)
	if dir := m.fixed(); dir.Text() != "URI:DIR2-LIT:" {
		t.Error("without children it is not the empty literal")
	}
	if dir := m.fixed(to("e", m.put(""))); dir.Text() != "URI:DIR2-LIT:giztumj2muwdqosvkjetutcjkq5cymb2fqzdu635fqwa" {
		t.Error("a small one is not the literal that Tahoe makes of it")
	}
	file := m.long("file")
	dir := m.fixed(to("b", file), to("a", m.fixed()), tree.NewChild{Name: "c", Pair: unknown(t, "", "imm.future://x")})
	if dir.Kind() != caps.KindDirCHK {
		t.Fatalf("it is a %v", dir.Kind())
	}
	if again := m.fixed(tree.NewChild{Name: "c", Pair: unknown(t, "", "imm.future://x")}, to("a", m.fixed()), to("b", far(t, file, home))); !again.Equal(dir) {
		t.Error("the same children give another directory")
	}
	if n := m.resolve(dir, "c"); n.ReadCap().Text() != "imm.future://x" {
		t.Error("an unknown child is another")
	}
	for name, pair := range map[string]caps.Pair{
		"mutable file":      tree.NodeOf(m.mutable("")).Pair,
		"mutable, read cap": tree.NodeOf(readOnly(t, m.mutable(""))).Pair,
		"mutable directory": tree.NodeOf(m.mkdir()).Pair,
		"unknown":           unknown(t, "", "future://x"),
	} {
		if _, err := m.MkdirImmutable(t.Context(), []tree.NewChild{{Name: "x", Pair: pair}}); !errors.Is(err, tree.ErrMutableChild) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestMkdirAll(t *testing.T) {
	t.Parallel()
	m := newMember(t)
	root := m.mkdir(to("file", m.long("file")), tree.NewChild{Name: "unknown", Pair: unknown(t, "", "future://x")})
	n, err := m.MkdirAll(t.Context(), root, []string{"a", "b", "c"}, caps.KindMDMF)
	if err != nil || n.Cap().Kind() != caps.KindDirMDMF || !n.Linked {
		t.Fatalf("made as %v, %v", n.Cap().Kind(), err)
	}
	if m.files.World().Count("Modify") != 1 {
		t.Error("it took more than one change")
	}
	if b := m.resolve(root, "a", "b"); b.Cap().Kind() != caps.KindDirSDMF {
		t.Errorf("on the way it is a %v", b.Cap().Kind())
	}
	if created, ok := m.resolve(root, "a", "b").Metadata.Created(); !ok || !created.Equal(now) {
		t.Errorf("b was made at %v, %v", created, ok)
	}
	again, err := m.MkdirAll(t.Context(), root, []string{"a", "b", "c"}, 0)
	if err != nil || !again.Cap().Equal(n.Cap()) || m.files.World().Count("Modify") != 1 {
		t.Errorf("what is there is made again: %v", err)
	}
	if again, err := m.MkdirAll(t.Context(), root, nil, 0); err != nil || !again.Cap().Equal(root) {
		t.Errorf("no path: %v", err)
	}
	for name, c := range map[string]struct {
		root caps.Cap
		path []string
		want error
	}{
		"a file is there":         {root, []string{"file"}, tree.ErrInTheWay},
		"a file on the way":       {root, []string{"file", "x"}, tree.ErrInTheWay},
		"something unknown":       {root, []string{"unknown", "x"}, tree.ErrInTheWay},
		"with a read cap":         {readOnly(t, root), []string{"a", "b", "c", "d"}, tree.ErrReadOnly},
		"in an immutable one":     {m.fixed(), []string{"x"}, tree.ErrReadOnly},
		"a name that is none":     {root, []string{"x", "\xff"}, tree.ErrName},
		"a file as root":          {m.put("x"), []string{"x"}, tree.ErrNotDirectory},
		"in another grid":         {far(t, memberOf(t, m.files.World(), away).mkdir(), away), []string{"x"}, tree.ErrForeign},
		"a file as root, no path": {m.put("x"), nil, tree.ErrNotDirectory},
	} {
		if _, err := m.MkdirAll(t.Context(), c.root, c.path, 0); !errors.Is(err, c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if there, err := m.MkdirAll(t.Context(), readOnly(t, root), []string{"a", "b"}, 0); err != nil || !there.WriteCap().IsZero() {
		t.Errorf("what is there, with a read cap: %v", err)
	}
}

// TestMkdirAllRace has ten make the same path at once: all are told of the same directory.
func TestMkdirAllRace(t *testing.T) {
	t.Parallel()
	m := newMember(t)
	root := m.mkdir()
	made := make([]caps.Cap, 10)
	var all sync.WaitGroup
	for i := range made {
		all.Go(func() {
			path := []string{"a", "b", fmt.Sprint(i)}
			if _, err := m.MkdirAll(t.Context(), root, path, 0); err != nil {
				t.Error(err)
			}
			n, err := m.MkdirAll(t.Context(), root, path[:2], 0)
			if err != nil {
				t.Error(err)
			}
			made[i] = n.Cap()
		})
	}
	all.Wait()
	for _, c := range made {
		if !c.Equal(made[0]) {
			t.Fatal("two were made")
		}
	}
	if got := m.names(made[0]); len(got) != len(made) {
		t.Errorf("acknowledged, and only %q are there", got)
	}
}

// TestMkdirAllStale reads a directory that is older than the one it writes to, again and again.
func TestMkdirAllStale(t *testing.T) {
	t.Parallel()
	m := newMember(t)
	root := m.mkdir()
	stale := staleFiles{m.files, m.contents(root), root}
	m.link(root, "a", m.mkdir())
	old := tree.New(tree.Config{Files: stale})
	if _, err := old.MkdirAll(t.Context(), root, []string{"a"}, 0); !errors.Is(err, tree.ErrExists) {
		t.Errorf("%v", err)
	}
}

func TestSameDirectoryTwice(t *testing.T) {
	t.Parallel()
	m := newMember(t)
	root := m.mkdir()
	m.link(root, "self", root)
	n := m.resolve(root, slices.Repeat([]string{"self"}, 100)...)
	if !n.Cap().Equal(root) {
		t.Error("a directory in itself is not itself")
	}
	m.link(n.Cap(), "x", m.put("x"))
	equal(t, "linked a hundred levels down", m.names(root), []string{"self", "x"})
	if _, err := m.Move(t.Context(), root, "self", root, "me", tree.ReplaceNever); err != nil {
		t.Errorf("renaming it: %v", err)
	}
	if d, err := dirnode.Parse([]byte(m.contents(root)), dirnode.Options{}); err != nil || d.Len() != 2 {
		t.Errorf("%v", err)
	}
}

// TestMadeAtHome: a new directory's cap names no area, whoever made the file.
func TestMadeAtHome(t *testing.T) {
	t.Parallel()
	m := newMember(t)
	naming := member{tree.New(tree.Config{Files: namingFiles{m.files}}), m.files, t}
	for _, dir := range []caps.Cap{naming.mkdir(), naming.fixed(), naming.fixed(to("x", m.long("x"))), naming.mkdir(to("x", naming.mkdir()))} {
		if dir.IsLongDistance() {
			t.Errorf("made as %v", dir)
		}
	}
	n, err := naming.MkdirAll(t.Context(), naming.mkdir(), []string{"a", "b"}, 0)
	if err != nil || n.Cap().IsLongDistance() {
		t.Errorf("made as %v, %v", n.Cap(), err)
	}
}
