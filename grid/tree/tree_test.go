package tree_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"trunkline/caps"
	"trunkline/grid/dirnode"
	"trunkline/grid/transfer"
	"trunkline/grid/tree"
)

func TestResolve(t *testing.T) {
	t.Parallel()
	m := newMember(t)
	file := m.long("file")
	deep := m.mkdir(to("é", file))
	middle := m.mkdir(to("deep", deep), to("read only", readOnly(t, deep)), to("", deep))
	root := m.mkdir(to("middle", middle), to("fixed", m.fixed(to("x", file))))

	if n := m.resolve(root); !n.Cap().Equal(root) || n.Linked {
		t.Error("an empty path is not the root")
	}
	if n := m.resolve(root, "middle", "deep", "e\u0301"); !n.Cap().Equal(file) || !n.Linked || n.Type() != tree.TypeFile {
		t.Error("a deep path does not lead to the file")
	}
	if n := m.resolve(root, "middle", "", "é"); !n.Cap().Equal(file) {
		t.Error("an empty name is not followed")
	}
	if n := m.resolve(root, "fixed", "x"); !n.Cap().Equal(file) {
		t.Error("an immutable directory is not followed")
	}
	// A read cap at any place on the way gives read caps from there on.
	for _, n := range []tree.Node{m.resolve(readOnly(t, root), "middle", "deep"), m.resolve(root, "middle", "read only")} {
		if !n.WriteCap().IsZero() || !n.Cap().Equal(readOnly(t, deep)) || !n.ReadCap().Equal(n.Cap()) {
			t.Errorf("through a read cap comes a %v", n.Cap())
		}
	}

	for name, c := range map[string]struct {
		root caps.Cap
		path []string
		want error
	}{
		"missing":          {root, []string{"middle", "nobody", "x"}, tree.ErrNotFound},
		"below a file":     {root, []string{"middle", "deep", "é", "x"}, tree.ErrNotDirectory},
		"file as root":     {file, []string{"x"}, tree.ErrNotDirectory},
		"verify cap":       {verifier(t, root), []string{"middle"}, tree.ErrNotReadable},
		"unknown as root":  {unknown(t, "", "imm.future://x").Read, []string{"x"}, tree.ErrNotReadable},
		"no cap as root":   {caps.Cap{}, []string{"x"}, tree.ErrNotReadable},
		"not a directory":  {m.raw("nonsense"), []string{"x"}, tree.ErrMalformed},
		"malformed entry":  {m.raw(netstrings(netstrings("x", "URI:CHK:bad", string(make([]byte, 48)), "{}"))), []string{"x"}, tree.ErrEntry},
		"gone":             {far(t, root, away), []string{"x"}, transfer.ErrNotEnoughShares},
		"hostile long one": {root, []string{strings.Repeat("\x1b[2J\u202e", 1000)}, tree.ErrNotFound},
	} {
		_, err := m.Resolve(t.Context(), c.root, c.path)
		if !errors.Is(err, c.want) {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if text := err.Error(); len(text) > 2000 || strings.ContainsAny(text, "\x1b\u202e") || strings.Contains(text, "URI:") {
			t.Errorf("%s: the error is not fit to be shown: %q", name, text)
		}
	}
}

func TestList(t *testing.T) {
	t.Parallel()
	m := newMember(t)
	file := m.long("file")
	dir := m.mkdir(to("b", file), tree.NewChild{Name: "a", Pair: unknown(t, "future://w", "future://r"), Metadata: metadata(t, `{"x": 1}`)})
	contents := m.contents(dir)
	l, err := m.List(t.Context(), dir)
	if err != nil || len(l.Children) != 2 || l.Size != uint64(len(contents)) {
		t.Fatalf("%d children in %d bytes: %v", len(l.Children), l.Size, err)
	}
	if a := l.Children[0]; a.Name != "a" || a.Type() != tree.TypeUnknown || a.Metadata.Text() != `{"x": 1}` || a.WriteCap().Text() != "future://w" || a.ReadCap().Text() != "ro.future://r" {
		t.Errorf("an unknown child is %+v", a.Metadata)
	}
	bad := m.raw(netstrings(netstrings("x", "URI:CHK:bad", string(make([]byte, 48)), "{}")) + netstrings(netstrings("y", "URI:LIT:ey", string(make([]byte, 48)), "{}")))
	l, err = m.List(t.Context(), bad)
	if err != nil || len(l.Children) != 1 || !slices.Equal(l.Malformed, []string{"x"}) {
		t.Errorf("beside a malformed entry: %d children, malformed %q, %v", len(l.Children), l.Malformed, err)
	}
}

// TestTooLarge: a directory that says it is too large is not even read.
func TestTooLarge(t *testing.T) {
	t.Parallel()
	m := newMember(t)
	dir := m.raw(strings.Repeat("x", dirnode.MaxContents+1))
	read := uint64(0)
	counting := tree.New(tree.Config{Files: countingFiles{m.files, &read}})
	if _, err := counting.List(t.Context(), dir); !errors.Is(err, tree.ErrTooLarge) || read != 0 {
		t.Errorf("listing: %d bytes were asked for, %v", read, err)
	}
	if _, err := m.Link(t.Context(), dir, to("x", m.put("x")), tree.ReplaceAlways); !errors.Is(err, tree.ErrTooLarge) {
		t.Errorf("linking: %v", err)
	}
}

func TestLink(t *testing.T) {
	t.Parallel()
	m := newMember(t)
	ctx := t.Context()
	file, other, sub := m.long("file"), m.long("other"), m.mkdir()
	bad := netstrings(netstrings("bad", "URI:CHK:bad", string(make([]byte, 48)), "{}"))
	for name, c := range map[string]struct {
		name     string
		r        tree.Replace
		want     error
		replaced bool
	}{
		"new":                    {"new", tree.ReplaceNever, nil, false},
		"new, always":            {"new", tree.ReplaceAlways, nil, false},
		"file, always":           {"file", tree.ReplaceAlways, nil, true},
		"file, never":            {"file", tree.ReplaceNever, tree.ErrExists, false},
		"file, only files":       {"file", tree.ReplaceOnlyFiles, nil, true},
		"directory, always":      {"sub", tree.ReplaceAlways, nil, true},
		"directory, never":       {"sub", tree.ReplaceNever, tree.ErrExists, false},
		"directory, only files":  {"sub", tree.ReplaceOnlyFiles, tree.ErrExists, false},
		"malformed, only files":  {"bad", tree.ReplaceOnlyFiles, tree.ErrExists, false},
		"malformed, always":      {"bad", tree.ReplaceAlways, nil, true},
		"not a name":             {"\xff", tree.ReplaceAlways, tree.ErrName, false},
		"in another spelling":    {"e\u0301", tree.ReplaceNever, tree.ErrExists, false},
		"a name too long":        {strings.Repeat("x", dirnode.MaxName+1), tree.ReplaceAlways, tree.ErrName, false},
		"as long as it can be":   {strings.Repeat("x", dirnode.MaxName), tree.ReplaceAlways, nil, false},
		"dots are names to us":   {"..", tree.ReplaceAlways, nil, false},
		"so is nothing":          {"", tree.ReplaceAlways, nil, false},
		"slashes, too":           {"a/b", tree.ReplaceAlways, nil, false},
		"and what deceives eyes": {"\u202egpj", tree.ReplaceAlways, nil, false},
	} {
		dir := m.raw(bad)
		for _, child := range []tree.NewChild{to("file", file), to("sub", sub), to("é", file)} {
			m.link(dir, child.Name, tree.Node{Pair: child.Pair}.Cap())
		}
		before := m.contents(dir)
		replaced, err := m.Link(ctx, dir, to(c.name, other), c.r)
		if !errors.Is(err, c.want) || replaced != c.replaced {
			t.Errorf("%s: replaced %v, %v", name, replaced, err)
		}
		if c.want != nil && m.contents(dir) != before {
			t.Errorf("%s: refused, and changed nevertheless", name)
		}
		if c.want == nil && !m.resolve(dir, c.name).Cap().Equal(other) {
			t.Errorf("%s: it is not there", name)
		}
	}
}

func TestLinkRefused(t *testing.T) {
	t.Parallel()
	m := newMember(t)
	dir, file := m.mkdir(), m.long("file")
	abroad := memberOf(t, m.files.World(), away)
	theirs := far(t, abroad.mkdir(), away)
	for name, c := range map[string]struct {
		dir  caps.Cap
		pair caps.Pair
		want error
	}{
		"read cap":            {readOnly(t, dir), tree.NodeOf(file).Pair, tree.ErrReadOnly},
		"immutable":           {m.fixed(), tree.NodeOf(file).Pair, tree.ErrReadOnly},
		"verify cap":          {verifier(t, dir), tree.NodeOf(file).Pair, tree.ErrNotReadable},
		"a file":              {m.mutable(""), tree.NodeOf(file).Pair, tree.ErrNotDirectory},
		"another grid's":      {theirs, tree.NodeOf(file).Pair, tree.ErrForeign},
		"another's, read cap": {readOnly(t, theirs), tree.NodeOf(file).Pair, tree.ErrReadOnly},
		"no cap to link":      {dir, caps.Pair{}, tree.ErrChild},
		"unknown, alone":      {dir, caps.Pair{Write: unknown(t, "future://w", "future://r").Write}, tree.ErrChild},
		"malformed":           {m.raw("nonsense"), tree.NodeOf(file).Pair, tree.ErrMalformed},
	} {
		if _, err := m.Link(t.Context(), c.dir, tree.NewChild{Name: "x", Pair: c.pair}, tree.ReplaceAlways); !errors.Is(err, c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if m.files.World().Count("commit") != 0 {
		t.Error("something was written")
	}
}

// TestLinkRace has somebody else change the directory between reading and writing.
func TestLinkRace(t *testing.T) {
	t.Parallel()
	m := newMember(t)
	dir, mine, theirs := m.mkdir(), m.long("mine"), m.long("theirs")
	during(m, func() { m.link(dir, "theirs", theirs) })
	m.link(dir, "mine", mine)
	equal(t, "both are there", m.names(dir), []string{"mine", "theirs"})

	during(m, func() { m.link(dir, "x", theirs) })
	if _, err := m.Link(t.Context(), dir, to("x", mine), tree.ReplaceNever); !errors.Is(err, tree.ErrExists) {
		t.Errorf("what came in between was replaced: %v", err)
	}
	during(m, func() { m.link(dir, "y", theirs) })
	if replaced, err := m.Link(t.Context(), dir, to("y", mine), tree.ReplaceAlways); err != nil || !replaced {
		t.Errorf("what came in between is not told to be replaced: %v", err)
	}
	during(m, func() {
		if _, err := m.Unlink(t.Context(), dir, "y", ""); err != nil {
			t.Error(err)
		}
	})
	if _, err := m.Unlink(t.Context(), dir, "y", ""); !errors.Is(err, tree.ErrNotFound) {
		t.Errorf("unlinked twice: %v", err)
	}
}

func TestLinkMany(t *testing.T) {
	t.Parallel()
	m := newMember(t)
	dir, file := m.mkdir(), m.long("file")
	var children []tree.NewChild
	for i := range 1000 {
		children = append(children, to(fmt.Sprint(i), file))
	}
	if err := m.LinkMany(t.Context(), dir, children, tree.ReplaceNever); err != nil || len(m.names(dir)) != 1000 {
		t.Fatalf("%d are there: %v", len(m.names(dir)), err)
	}
	if m.files.World().Count("Modify") != 1 {
		t.Error("it took more than one change")
	}
	before := m.contents(dir)
	if err := m.LinkMany(t.Context(), dir, []tree.NewChild{to("fresh", file), to("7", file)}, tree.ReplaceNever); !errors.Is(err, tree.ErrExists) {
		t.Errorf("one is there already: %v", err)
	}
	if m.contents(dir) != before {
		t.Error("refused, and changed nevertheless")
	}
}

func TestUnlink(t *testing.T) {
	t.Parallel()
	m := newMember(t)
	file, sub := m.long("file"), m.mkdir()
	dir := m.raw(netstrings(netstrings("bad", "URI:CHK:bad", string(make([]byte, 48)), "{}")))
	m.link(dir, "file", file)
	m.link(dir, "sub", sub)
	for name, c := range map[string]struct {
		name string
		want tree.Type
		err  error
	}{
		"nobody":         {"nobody", "", tree.ErrNotFound},
		"not a file":     {"sub", tree.TypeFile, tree.ErrWrongType},
		"no directory":   {"file", tree.TypeDirectory, tree.ErrWrongType},
		"not a bad file": {"bad", tree.TypeFile, tree.ErrWrongType},
	} {
		if _, err := m.Unlink(t.Context(), dir, c.name, c.want); !errors.Is(err, c.err) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if n, err := m.Unlink(t.Context(), dir, "file", tree.TypeFile); err != nil || !n.Cap().Equal(file) {
		t.Errorf("file: %v", err)
	}
	if n, err := m.Unlink(t.Context(), dir, "sub", ""); err != nil || !n.Cap().Equal(sub) {
		t.Errorf("directory: %v", err)
	}
	if n, err := m.Unlink(t.Context(), dir, "bad", ""); err != nil || n.Type() != tree.TypeUnknown {
		t.Errorf("malformed: %v", err)
	}
	if m.contents(dir) != "" {
		t.Error("something is left")
	}
	if _, err := m.Unlink(t.Context(), readOnly(t, dir), "file", ""); !errors.Is(err, tree.ErrReadOnly) {
		t.Errorf("with a read cap: %v", err)
	}
}

func TestCancelled(t *testing.T) {
	t.Parallel()
	m := newMember(t)
	dir := m.mkdir(to("x", m.mkdir()))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := m.Resolve(ctx, dir, []string{"x"}); !errors.Is(err, context.Canceled) {
		t.Errorf("resolve: %v", err)
	}
	if err := m.Walk(ctx, dir, tree.Walker{}); !errors.Is(err, context.Canceled) {
		t.Errorf("walk: %v", err)
	}
}

// TestTenThousand: so many children are listed, extended and walked.
func TestTenThousand(t *testing.T) {
	t.Parallel()
	m := newMember(t)
	file := m.mutable("x")
	var children []tree.NewChild
	for i := range 10000 {
		children = append(children, to(fmt.Sprintf("%05d", i), file))
	}
	dir := m.mkdir(children...)
	m.link(dir, "one more", file)
	l, err := m.List(t.Context(), dir)
	if err != nil || len(l.Children) != 10001 {
		t.Fatalf("%d children: %v", len(l.Children), err)
	}
	if got := m.walked(dir); len(got) != 2 {
		t.Errorf("ten thousand links to one file are %d nodes", len(got)-1)
	}
}

func netstrings(fields ...string) string {
	s := ""
	for _, f := range fields {
		s += fmt.Sprint(len(f)) + ":" + f + ","
	}
	return s
}
