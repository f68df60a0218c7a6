package tree_test

import (
	"bytes"
	"context"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"trunkline/caps"
	"trunkline/grid/dirnode"
	"trunkline/grid/tree"
	"trunkline/grid/tree/treetest"
)

var (
	_ tree.Files = (*treetest.Memory)(nil)

	home = treetest.Area(1)
	away = treetest.Area(2)
	now  = time.Unix(1795458809, 0)
)

// member is somebody with a tree.
type member struct {
	*tree.Tree
	files *treetest.Memory
	t     testing.TB
}

func newMember(t testing.TB) member {
	t.Helper()
	return memberOf(t, treetest.NewWorld(), home)
}

func memberOf(t testing.TB, w *treetest.World, area caps.AreaCode) member {
	t.Helper()
	files := w.Member(area)
	return member{tree.New(tree.Config{Files: files, Now: func() time.Time { return now }}), files, t}
}

func (m member) mkdir(children ...tree.NewChild) caps.Cap {
	m.t.Helper()
	dir, err := m.MkdirWithChildren(m.t.Context(), 0, children)
	if err != nil {
		m.t.Fatal(err)
	}
	return dir
}

func (m member) fixed(children ...tree.NewChild) caps.Cap {
	m.t.Helper()
	dir, err := m.MkdirImmutable(m.t.Context(), children)
	if err != nil {
		m.t.Fatal(err)
	}
	return dir
}

// put stores an immutable file.
func (m member) put(text string) caps.Cap {
	m.t.Helper()
	c, err := m.files.PutImmutable(m.t.Context(), strings.NewReader(text), uint64(len(text)))
	if err != nil {
		m.t.Fatal(err)
	}
	return c
}

// long stores an immutable file that is no literal.
func (m member) long(text string) caps.Cap { return m.put(text + strings.Repeat(".", 100)) }

func (m member) mutable(text string) caps.Cap {
	m.t.Helper()
	c, err := m.files.CreateMutable(m.t.Context(), caps.KindSDMF, nil, func(caps.WriteKey) (io.ReaderAt, uint64, error) {
		return strings.NewReader(text), uint64(len(text)), nil
	})
	if err != nil {
		m.t.Fatal(err)
	}
	return c
}

// raw makes a mutable directory of contents that are given.
func (m member) raw(contents string) caps.Cap {
	m.t.Helper()
	c, _ := m.mutable(contents).Directory()
	return c
}

func (m member) contents(c caps.Cap) string {
	m.t.Helper()
	var b bytes.Buffer
	if err := m.files.Read(m.t.Context(), c, func(size uint64) (uint64, uint64, io.Writer, error) { return 0, size, &b, nil }); err != nil {
		m.t.Fatal(err)
	}
	return b.String()
}

func (m member) link(dir caps.Cap, name string, child caps.Cap) {
	m.t.Helper()
	if _, err := m.Link(m.t.Context(), dir, to(name, child), tree.ReplaceAlways); err != nil {
		m.t.Fatal(err)
	}
}

// names lists a directory.
func (m member) names(dir caps.Cap) []string {
	m.t.Helper()
	l, err := m.List(m.t.Context(), dir)
	if err != nil {
		m.t.Fatal(err)
	}
	names := make([]string, len(l.Children))
	for i, c := range l.Children {
		names[i] = c.Name
	}
	return names
}

func (m member) resolve(root caps.Cap, path ...string) tree.Node {
	m.t.Helper()
	n, err := m.Resolve(m.t.Context(), root, path)
	if err != nil {
		m.t.Fatal(err)
	}
	return n
}

// walked is the paths that a walk comes to.
func (m member) walked(root caps.Cap) []string {
	m.t.Helper()
	var paths []string
	err := m.Walk(m.t.Context(), root, tree.Walker{Node: func(v tree.Visit) error {
		paths = append(paths, strings.Join(v.Path, "/"))
		return nil
	}})
	if err != nil {
		m.t.Fatal(err)
	}
	return paths
}

// to is a child with a known cap.
func to(name string, c caps.Cap) tree.NewChild {
	return tree.NewChild{Name: name, Pair: tree.NodeOf(c).Pair}
}

func far(t testing.TB, c caps.Cap, areas ...caps.AreaCode) caps.Cap {
	t.Helper()
	c, err := c.WithAreas(areas...)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func readOnly(t testing.TB, c caps.Cap) caps.Cap {
	t.Helper()
	c, err := c.ReadOnly()
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func verifier(t testing.TB, c caps.Cap) caps.Cap {
	t.Helper()
	c, ok := c.VerifyCap()
	if !ok {
		t.Fatal("no verify cap")
	}
	return c
}

func unknown(t testing.TB, write, read string) caps.Pair {
	t.Helper()
	p, err := caps.ParsePair(write, read, caps.Context{})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func metadata(t testing.TB, text string) *dirnode.Metadata {
	t.Helper()
	m, err := dirnode.ParseMetadata([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return &m
}

func equal(t testing.TB, what string, got, want []string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s: %q, want %q", what, got, want)
	}
}

// during runs fn between a Modify's reading and its writing, the next time.
func during(m member, fn func()) {
	done := false
	m.files.World().Fail(func(op string, _ caps.Cap) error {
		if op == "commit" && !done {
			done = true
			fn()
		}
		return nil
	})
}

// staleFiles always reads one directory as it was.
type staleFiles struct {
	tree.Files
	old string
	dir caps.Cap
}

func (s staleFiles) Read(ctx context.Context, c caps.Cap, begin func(uint64) (uint64, uint64, io.Writer, error)) error {
	if !c.Equal(s.dir) {
		return s.Files.Read(ctx, c, begin)
	}
	offset, length, w, err := begin(uint64(len(s.old)))
	if err != nil || length == 0 {
		return err
	}
	_, err = io.WriteString(w, s.old[offset:offset+length])
	return err
}

// namingFiles name the home grid in the caps of what they make.
type namingFiles struct{ tree.Files }

func (n namingFiles) PutImmutable(ctx context.Context, src io.ReaderAt, size uint64) (caps.Cap, error) {
	c, err := n.Files.PutImmutable(ctx, src, size)
	if err != nil {
		return caps.Cap{}, err
	}
	return c.WithAreas(n.Home())
}

func (n namingFiles) CreateMutable(ctx context.Context, kind caps.Kind, key []byte, contents func(caps.WriteKey) (io.ReaderAt, uint64, error)) (caps.Cap, error) {
	c, err := n.Files.CreateMutable(ctx, kind, key, contents)
	if err != nil {
		return caps.Cap{}, err
	}
	return c.WithAreas(n.Home())
}

// countingFiles count the bytes that are asked for.
type countingFiles struct {
	tree.Files
	bytes *uint64
}

func (f countingFiles) Read(ctx context.Context, c caps.Cap, begin func(uint64) (uint64, uint64, io.Writer, error)) error {
	return f.Files.Read(ctx, c, func(size uint64) (uint64, uint64, io.Writer, error) {
		offset, length, w, err := begin(size)
		*f.bytes += length
		return offset, length, w, err
	})
}
