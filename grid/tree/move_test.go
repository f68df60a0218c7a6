package tree_test

import (
	"errors"
	"strings"
	"testing"

	"trunkline/caps"
	"trunkline/grid/tree"
)

func TestMove(t *testing.T) {
	t.Parallel()
	m := newMember(t)
	a, b := m.long("a"), m.mutable("b")
	from := m.mkdir(tree.NewChild{Name: "a", Pair: tree.NodeOf(a).Pair, Metadata: metadata(t, `{"x": 1, "tahoe": {"linkcrtime": 7}}`)}, to("b", b))
	there := m.mkdir(to("b", a))

	if replaced, err := m.Move(t.Context(), from, "a", there, "new", tree.ReplaceNever); err != nil || replaced {
		t.Fatalf("replaced %v, %v", replaced, err)
	}
	n := m.resolve(there, "new")
	if !n.Cap().Equal(a) || n.Metadata.Text() != `{"x": 1, "tahoe": {"linkcrtime": 1795458809.0, "linkmotime": 1795458809.0}}` {
		t.Errorf("moved with metadata %s", n.Metadata.Text())
	}
	equal(t, "the old directory", m.names(from), []string{"b"})

	if _, err := m.Move(t.Context(), from, "b", there, "b", tree.ReplaceNever); !errors.Is(err, tree.ErrExists) {
		t.Errorf("onto another: %v", err)
	}
	equal(t, "refused, the old directory", m.names(from), []string{"b"})
	if replaced, err := m.Move(t.Context(), from, "b", there, "b", tree.ReplaceOnlyFiles); err != nil || !replaced {
		t.Errorf("onto another: replaced %v, %v", replaced, err)
	}
	if !m.resolve(there, "b").Cap().Equal(b) || len(m.names(from)) != 0 {
		t.Error("it is not where it was moved to")
	}
	if _, err := m.Move(t.Context(), from, "nobody", there, "x", tree.ReplaceAlways); !errors.Is(err, tree.ErrNotFound) {
		t.Errorf("nobody: %v", err)
	}
}

// TestMoveRefused: nothing is changed in either directory.
func TestMoveRefused(t *testing.T) {
	t.Parallel()
	m := newMember(t)
	sub := m.mkdir()
	dir, there := m.mkdir(to("sub", sub)), m.mkdir()
	theirs := far(t, memberOf(t, m.files.World(), away).mkdir(), away)
	for name, c := range map[string]struct {
		from, to caps.Cap
		want     error
	}{
		"from a read cap": {readOnly(t, dir), there, tree.ErrReadOnly},
		"to a read cap":   {dir, readOnly(t, there), tree.ErrReadOnly},
		"to another grid": {dir, theirs, tree.ErrForeign},
		"into itself":     {dir, sub, tree.ErrIntoItself},
		"to a file":       {dir, m.mutable(""), tree.ErrNotDirectory},
	} {
		if _, err := m.Move(t.Context(), c.from, "sub", c.to, "x", tree.ReplaceAlways); !errors.Is(err, c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if m.files.World().Count("commit") != 0 {
		t.Error("something was written")
	}
}

func TestRename(t *testing.T) {
	t.Parallel()
	m := newMember(t)
	a, b := m.long("a"), m.mkdir()
	dir := m.mkdir(to("a", a), to("b", b), to("é", a))
	if replaced, err := m.Move(t.Context(), dir, "a", far(t, dir, home), "c", tree.ReplaceNever); err != nil || replaced {
		t.Fatalf("replaced %v, %v", replaced, err)
	}
	equal(t, "renamed", m.names(dir), []string{"b", "c", "é"})
	if m.files.World().Count("Modify") != 1 {
		t.Error("it took more than one change, between which somebody may see two of it or none")
	}
	if _, err := m.Move(t.Context(), dir, "c", dir, "b", tree.ReplaceOnlyFiles); !errors.Is(err, tree.ErrExists) {
		t.Errorf("onto a directory: %v", err)
	}
	equal(t, "refused", m.names(dir), []string{"b", "c", "é"})
	for _, name := range []string{"é", "e\u0301"} {
		if replaced, err := m.Move(t.Context(), dir, "é", dir, name, tree.ReplaceNever); err != nil || replaced {
			t.Errorf("to itself: replaced %v, %v", replaced, err)
		}
	}
	equal(t, "to itself", m.names(dir), []string{"b", "c", "é"})
	if replaced, err := m.Move(t.Context(), dir, "c", dir, "b", tree.ReplaceAlways); err != nil || !replaced || !m.resolve(dir, "b").Cap().Equal(a) {
		t.Errorf("onto a directory: replaced %v, %v", replaced, err)
	}
}

// TestMoveRaces has somebody else change the old directory while a child is on its way to the new one.
func TestMoveRaces(t *testing.T) {
	t.Parallel()
	m := newMember(t)
	mine, theirs := m.long("mine"), m.long("theirs")

	from, there := m.mkdir(to("x", mine)), m.mkdir()
	during(m, func() { m.link(from, "x", theirs) })
	if _, err := m.Move(t.Context(), from, "x", there, "x", tree.ReplaceNever); !errors.Is(err, tree.ErrChanged) {
		t.Errorf("replaced meanwhile: %v", err)
	}
	if !m.resolve(from, "x").Cap().Equal(theirs) || !m.resolve(there, "x").Cap().Equal(mine) {
		t.Error("replaced meanwhile: one of the two is lost")
	}

	from, there = m.mkdir(to("x", mine)), m.mkdir()
	during(m, func() {
		if _, err := m.Unlink(t.Context(), from, "x", ""); err != nil {
			t.Error(err)
		}
	})
	if _, err := m.Move(t.Context(), from, "x", there, "x", tree.ReplaceNever); err != nil {
		t.Errorf("unlinked meanwhile: %v", err)
	}

	// The old directory cannot be written.
	from, there = m.mkdir(to("x", mine)), m.mkdir()
	commits, broken := 0, errors.New("broken")
	m.files.World().Fail(func(op string, _ caps.Cap) error {
		if op == "commit" {
			if commits++; commits == 2 {
				return broken
			}
		}
		return nil
	})
	_, err := m.Move(t.Context(), from, "x", there, "x", tree.ReplaceNever)
	if !errors.Is(err, tree.ErrLeftBehind) || !errors.Is(err, broken) {
		t.Errorf("the old one stays: %v", err)
	}
	if !m.resolve(from, "x").Cap().Equal(mine) || !m.resolve(there, "x").Cap().Equal(mine) {
		t.Error("the old one stays: it is lost")
	}
}

// TestMoveMalformed: what nobody understands stays where it is.
func TestMoveMalformed(t *testing.T) {
	t.Parallel()
	m := newMember(t)
	contents := netstrings(netstrings("x", "URI:CHK:bad", string(make([]byte, 48)), "{}"))
	dir := m.raw(contents)
	for _, there := range []caps.Cap{dir, m.mkdir()} {
		if _, err := m.Move(t.Context(), dir, "x", there, "y", tree.ReplaceAlways); !errors.Is(err, tree.ErrEntry) {
			t.Errorf("%v", err)
		}
	}
	if m.contents(dir) != contents {
		t.Error("it was changed")
	}
	if _, err := m.Move(t.Context(), dir, strings.Repeat("z", 1000), dir, "y", tree.ReplaceAlways); !errors.Is(err, tree.ErrNotFound) {
		t.Errorf("%v", err)
	}
}
