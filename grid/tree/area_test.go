package tree_test

import (
	"errors"
	"testing"

	"trunkline/caps"
	"trunkline/grid/tree"
	"trunkline/grid/tree/treetest"
)

// TestFarTree opens a directory of another grid with one long-distance cap, and with that everything below.
func TestFarTree(t *testing.T) {
	t.Parallel()
	w := treetest.NewWorld()
	alice, bob := memberOf(t, w, home), memberOf(t, w, away)
	file, third := alice.long("file"), far(t, alice.long("elsewhere"), treetest.Area(3))
	sub := alice.mkdir(to("file", file))
	root := alice.mkdir(
		to("sub", sub), to("fixed", alice.fixed(to("file", file))), to("small", alice.fixed(to("lit", alice.put("x")))),
		to("literal", alice.put("x")), to("third", third),
		tree.NewChild{Name: "future", Pair: unknown(t, "", "URI:FUTURE:x")}, tree.NewChild{Name: "other", Pair: unknown(t, "", "future://x")},
	)
	// Bob has a file of the same name and text. Nothing of Alice's may be taken for it.
	theirs := far(t, root, home)
	for path, want := range map[string]caps.Cap{
		"sub":     far(t, sub, home),
		"literal": alice.put("x"), // a literal is where its cap is
		"third":   third,
	} {
		if n := bob.resolve(theirs, path); !n.Cap().Equal(want) {
			t.Errorf("%s is %v", path, n.Cap())
		}
	}
	for _, path := range [][]string{{"sub", "file"}, {"fixed", "file"}} {
		n := bob.resolve(theirs, path...)
		if !n.Cap().Equal(far(t, file, home)) {
			t.Fatalf("%q is %v", path, n.Cap())
		}
		if bob.contents(n.Cap()) != alice.contents(file) {
			t.Errorf("%q cannot be read", path)
		}
	}
	if n := bob.resolve(theirs, "small"); n.Cap().Areas()[0] != home {
		t.Error("a literal directory does not say where its children are")
	}
	if n := bob.resolve(theirs, "future"); n.ReadCap().Text() != "ro.URI:LD:"+home.String()+":FUTURE:x" {
		t.Error("an unknown cap in the form of a URI does not say where it is")
	}
	if n := bob.resolve(theirs, "other"); n.ReadCap().Text() != "ro.future://x" {
		t.Error("an unknown cap in another form was changed")
	}
	if n := bob.resolve(far(t, readOnly(t, root), home), "sub"); !n.WriteCap().IsZero() || !n.Cap().Equal(far(t, readOnly(t, sub), home)) {
		t.Error("a read cap from far gives more")
	}

	// Writing is refused in one sentence, wherever.
	if _, err := bob.Link(t.Context(), bob.resolve(theirs, "sub").Cap(), to("x", file), tree.ReplaceAlways); !errors.Is(err, tree.ErrForeign) {
		t.Errorf("linking there: %v", err)
	}
	if _, err := bob.Unlink(t.Context(), theirs, "sub", ""); !errors.Is(err, tree.ErrForeign) {
		t.Errorf("unlinking there: %v", err)
	}
	if _, err := bob.MkdirAll(t.Context(), theirs, []string{"sub", "new"}, 0); !errors.Is(err, tree.ErrForeign) {
		t.Errorf("making there: %v", err)
	}
	// For Alice it is home, by whatever cap.
	if n, err := alice.MkdirAll(t.Context(), theirs, []string{"sub", "new"}, 0); err != nil || !n.Cap().IsLongDistance() {
		t.Errorf("making at home by a long-distance cap: %v", err)
	}
}

// TestStoredAreas looks at what a directory says of its children.
func TestStoredAreas(t *testing.T) {
	t.Parallel()
	w := treetest.NewWorld()
	m := memberOf(t, w, home)
	file := m.long("file")
	third := treetest.Area(3)
	for name, c := range map[string]struct {
		areas  []caps.AreaCode // of the directory
		child  []caps.AreaCode
		stored []caps.AreaCode
	}{
		"home in home":                 {nil, nil, nil},
		"home by name in home":         {nil, []caps.AreaCode{home}, nil},
		"home in home by name":         {[]caps.AreaCode{home}, nil, nil},
		"both by name":                 {[]caps.AreaCode{home}, []caps.AreaCode{home}, nil},
		"far in home":                  {nil, []caps.AreaCode{away}, []caps.AreaCode{away}},
		"far and home in home":         {nil, []caps.AreaCode{away, home}, []caps.AreaCode{away, home}},
		"two in the same two":          {[]caps.AreaCode{home, away}, []caps.AreaCode{away, home}, nil},
		"one of two":                   {[]caps.AreaCode{home, away}, []caps.AreaCode{away}, nil},
		"a third in two":               {[]caps.AreaCode{home, away}, []caps.AreaCode{third}, []caps.AreaCode{third}},
		"a third and one of the two":   {[]caps.AreaCode{home, away}, []caps.AreaCode{third, away}, []caps.AreaCode{third, away}},
		"home, in home and far places": {[]caps.AreaCode{away, home}, nil, nil},
	} {
		dir, child := m.mkdir(), file
		if c.areas != nil {
			dir = far(t, dir, c.areas...)
		}
		if c.child != nil {
			child = far(t, child, c.child...)
		}
		m.link(dir, "x", child)
		want := file
		if c.stored != nil {
			want = far(t, file, c.stored...)
		}
		if n := m.resolve(dir.Local(), "x"); !n.Cap().Equal(want) {
			t.Errorf("%s: stored as %v", name, n.Cap())
		}
	}
	// Directories in the making, too.
	for _, dir := range []caps.Cap{m.mkdir(to("x", far(t, file, home))), m.fixed(to("x", far(t, file, home)))} {
		if n := m.resolve(dir, "x"); !n.Cap().Equal(file) {
			t.Errorf("stored in a new one as %v", n.Cap())
		}
	}
	// Out of a far directory into one of ours: what is there stays there.
	sub := memberOf(t, w, away).mkdir()
	parent := memberOf(t, w, away).mkdir(to("sub", sub), to("small", m.fixed(to("x", file))))
	dir := m.mkdir()
	for _, name := range []string{"sub", "small"} {
		n := m.resolve(far(t, parent, away), name)
		m.link(dir, name, n.Cap())
		if again := m.resolve(dir, name); !again.Cap().Equal(n.Cap()) || again.Cap().Areas()[0] != away {
			t.Errorf("%s, linked at home, is %v", name, again.Cap())
		}
	}
}

// TestStranger belongs to no grid.
func TestStranger(t *testing.T) {
	t.Parallel()
	w := treetest.NewWorld()
	alice, nobody := memberOf(t, w, home), memberOf(t, w, caps.AreaCode{})
	root := alice.mkdir(to("x", alice.long("x")))
	if n := nobody.resolve(far(t, root, home), "x"); !n.Cap().IsLongDistance() {
		t.Error("it does not say where it is")
	}
	if _, err := nobody.Link(t.Context(), far(t, root, home), to("y", alice.put("y")), tree.ReplaceAlways); !errors.Is(err, tree.ErrForeign) {
		t.Errorf("linking: %v", err)
	}
}
