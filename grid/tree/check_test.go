package tree_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"trunkline/caps"
	"trunkline/grid/transfer"
	"trunkline/grid/tree"
	"trunkline/grid/tree/treetest"
)

func TestCheck(t *testing.T) {
	t.Parallel()
	m := newMember(t)
	repair := tree.CheckOptions{Repair: true}
	abroad := far(t, memberOf(t, m.files.World(), away).long("theirs"), away)
	hurt := func(c caps.Cap, shares ...int) caps.Cap {
		m.files.World().Lose(c, shares...)
		return c
	}
	for name, c := range map[string]struct {
		cap            caps.Cap
		o              tree.CheckOptions
		want           error // of the check
		literal        bool
		healthy, after bool
		attempted      bool
		repair         error
	}{
		"literal":                       {cap: m.put("x"), literal: true},
		"literal, repair":               {cap: m.put("x"), o: repair, literal: true},
		"unknown":                       {cap: unknown(t, "", "future://x").Read, literal: true},
		"another grid's":                {cap: abroad, want: tree.ErrForeign},
		"good":                          {cap: m.long("1"), healthy: true, after: true},
		"good, repair":                  {cap: m.long("2"), o: repair, healthy: true, after: true},
		"hurt":                          {cap: hurt(m.long("3"), 1, 2)},
		"hurt, repair":                  {cap: hurt(m.long("4"), 1, 2), o: repair, attempted: true, after: true},
		"hurt, repair with verify cap":  {cap: verifier(t, hurt(m.long("5"), 1, 2)), o: repair, attempted: true, after: true},
		"lost, repair":                  {cap: hurt(m.long("6"), 0, 1, 2, 3, 4, 5, 6, 7), o: repair, attempted: true, repair: transfer.ErrNotEnoughShares},
		"mutable, read cap":             {cap: readOnly(t, hurt(m.mutable("7"), 3))},
		"mutable, repair with read cap": {cap: readOnly(t, hurt(m.mutable("8"), 3)), o: repair, attempted: true, repair: tree.ErrReadOnly},
		"mutable, repair":               {cap: hurt(m.mutable("9"), 3), o: repair, attempted: true, after: true},
		"directory, repair":             {cap: hurt(m.mkdir(), 3), o: repair, attempted: true, after: true},
		"good, repair with read cap":    {cap: readOnly(t, m.mutable("10")), o: repair, healthy: true, after: true},
	} {
		got, err := m.Check(t.Context(), tree.NodeOf(c.cap), c.o)
		if !errors.Is(err, c.want) {
			t.Errorf("%s: %v", name, err)
		}
		if err != nil {
			continue
		}
		if got.Literal != c.literal || got.Attempted != c.attempted || !errors.Is(got.RepairErr, c.repair) {
			t.Errorf("%s: literal %v, attempted %v: %v", name, got.Literal, got.Attempted, got.RepairErr)
		}
		if !c.literal && (got.Before.Healthy() != c.healthy || got.After.Healthy() != c.after) {
			t.Errorf("%s: before %s, after %s", name, got.Before.Summary(), got.After.Summary())
		}
	}
}

func TestDeepCheck(t *testing.T) {
	t.Parallel()
	m := newMember(t)
	var children []tree.NewChild
	for i := range 20 {
		children = append(children, to(fmt.Sprintf("%02d", i), m.long(fmt.Sprint(i))))
	}
	hurt := m.resolve(m.mkdir(children...), "07").Cap()
	m.files.World().Lose(hurt, 1)
	root := m.mkdir(to("sub", m.mkdir(children...)), to("lit", m.put("x")))
	var stats tree.Stats
	var paths, unhealthy []string
	err := m.DeepCheck(t.Context(), root, tree.CheckOptions{AddLease: true}, func(v tree.Visit, c tree.Checked, err error) error {
		if err != nil {
			t.Error(err)
		}
		path := strings.Join(v.Path, "/")
		paths = append(paths, path)
		if !c.Literal && !c.Before.Healthy() {
			unhealthy = append(unhealthy, path)
		}
		return nil
	}, stats.Walker())
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "checked", paths, m.walked(root))
	equal(t, "unhealthy", unhealthy, []string{"sub/07"})
	if stats.Files() != 21 || stats.Directories != 2 {
		t.Errorf("counted %d files, %d directories", stats.Files(), stats.Directories)
	}
	if m.files.World().Count("lease") != 22 {
		t.Errorf("%d leases", m.files.World().Count("lease"))
	}

	repaired := 0
	count := func(_ tree.Visit, c tree.Checked, err error) error {
		if err == nil && c.Attempted && c.After.Healthy() {
			repaired++
		}
		return err
	}
	for range 2 {
		if err := m.DeepCheck(t.Context(), root, tree.CheckOptions{Repair: true}, count, tree.Walker{}); err != nil {
			t.Fatal(err)
		}
	}
	if repaired != 1 {
		t.Errorf("%d were repaired", repaired)
	}
}

// TestDeepCheckStops: a check that fails is told; a directory that cannot be read ends it, after what came before.
func TestDeepCheckStops(t *testing.T) {
	t.Parallel()
	m := newMember(t)
	bad, first := m.raw("nonsense"), m.long("a")
	root := m.mkdir(to("a", first), to("b", m.long("b")), to("bad", bad), to("c", m.mkdir(to("d", m.long("d")))))
	broken := errors.New("broken")
	m.files.World().Fail(func(op string, c caps.Cap) error {
		if op == "Check" && c.Equal(first) {
			return broken
		}
		return nil
	})
	var told, failed []string
	tell := func(v tree.Visit, _ tree.Checked, err error) error {
		told = append(told, strings.Join(v.Path, "/"))
		if err != nil {
			failed = append(failed, strings.Join(v.Path, "/"))
		}
		return nil
	}
	if err := m.DeepCheck(t.Context(), root, tree.CheckOptions{}, tell, tree.Walker{}); !errors.Is(err, tree.ErrMalformed) {
		t.Errorf("it ends with %v", err)
	}
	equal(t, "told", told, []string{"", "a", "b", "bad"})
	equal(t, "failed", failed, []string{"a"})

	told = nil
	err := m.DeepCheck(t.Context(), root, tree.CheckOptions{}, tell, tree.Walker{Unreadable: func(tree.Visit, error) error {
		told = append(told, "unreadable")
		return nil
	}})
	if err != nil {
		t.Errorf("going on: %v", err)
	}
	equal(t, "told", told, []string{"", "a", "b", "bad", "unreadable", "c", "c/d"})

	stop := errors.New("stop")
	if err := m.DeepCheck(t.Context(), root, tree.CheckOptions{}, func(tree.Visit, tree.Checked, error) error { return stop }, tree.Walker{}); !errors.Is(err, stop) {
		t.Errorf("stopped: %v", err)
	}
}

// TestDeepCheckFar: nobody checks another grid's files, and what is said of each is that.
func TestDeepCheckFar(t *testing.T) {
	t.Parallel()
	w := treetest.NewWorld()
	alice, bob := memberOf(t, w, home), memberOf(t, w, away)
	theirs := far(t, alice.mkdir(to("x", alice.long("x"))), home)
	root := bob.mkdir(to("mine", bob.long("mine")), to("theirs", theirs))
	refused := 0
	err := bob.DeepCheck(t.Context(), root, tree.CheckOptions{}, func(_ tree.Visit, _ tree.Checked, err error) error {
		if errors.Is(err, tree.ErrForeign) {
			refused++
			return nil
		}
		return err
	}, tree.Walker{})
	if err != nil || refused != 2 {
		t.Errorf("%d were refused: %v", refused, err)
	}
}
