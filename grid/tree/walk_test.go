package tree_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"trunkline/caps"
	"trunkline/grid/tree"
	"trunkline/grid/tree/treetest"
)

func TestWalkOrder(t *testing.T) {
	t.Parallel()
	m := newMember(t)
	file := m.long("file")
	inner := m.mkdir(to("z", file), to("y", m.mutable("y")))
	root := m.mkdir(
		to("dir b", m.mkdir(to("inner", inner), to("f", m.long("f")))),
		to("dir a", inner), // first met beside dir b, before it is gone into
		to("file b", file), to("file a", file),
		to("lit b", m.put("x")), to("lit a", m.put("x")),
		to("empty b", m.fixed()), to("empty a", m.fixed()),
		tree.NewChild{Name: "unknown b", Pair: unknown(t, "", "future://x")}, tree.NewChild{Name: "unknown a", Pair: unknown(t, "", "future://x")},
	)
	m.link(inner, "root", root)
	m.link(root, "self", root)
	equal(t, "walk", m.walked(root), []string{
		"", "unknown a", "unknown b", "file a", "lit a", "lit b",
		"dir a", "dir a/y", "dir b", "dir b/f", "empty a", "empty b",
	})
	equal(t, "with a read cap", m.walked(readOnly(t, root)), m.walked(root))
	equal(t, "a file", m.walked(file), []string{""})
	equal(t, "an unknown", m.walked(unknown(t, "", "future://x").Read), []string{""})
}

// TestWalkDeep goes down a thousand levels, which end where they began.
func TestWalkDeep(t *testing.T) {
	t.Parallel()
	m := newMember(t)
	bottom := m.mkdir()
	top := bottom
	for range 1000 {
		top = m.mkdir(to("d", top))
	}
	m.link(bottom, "up", top)
	if got := m.walked(top); len(got) != 1001 {
		t.Errorf("%d nodes", len(got))
	}
	if m.files.World().Count("Read") != 1001 {
		t.Errorf("%d reads", m.files.World().Count("Read"))
	}
}

func TestWalkUnreadable(t *testing.T) {
	t.Parallel()
	m := newMember(t)
	lost, bad := m.mkdir(to("x", m.put("x"))), m.raw("nonsense")
	m.files.World().Lose(lost, 0, 1, 2, 3, 4, 5, 6, 7)
	root := m.mkdir(to("bad", bad), to("lost", lost), to("\x1b[2J", bad), to("last", m.mkdir(to("y", m.put("y")))), to("sealed", verifier(t, bad)))
	err := m.Walk(t.Context(), root, tree.Walker{})
	if !errors.Is(err, tree.ErrMalformed) || !strings.Contains(err.Error(), "x1b[2J") || strings.Contains(err.Error(), "\x1b") {
		t.Errorf("it ends with %q", err)
	}
	var paths, unreadable []string
	err = m.Walk(t.Context(), root, tree.Walker{
		Node: func(v tree.Visit) error { paths = append(paths, strings.Join(v.Path, "/")); return nil },
		Unreadable: func(v tree.Visit, _ error) error {
			unreadable = append(unreadable, strings.Join(v.Path, "/"))
			return nil
		},
	})
	if err != nil {
		t.Errorf("going on: %v", err)
	}
	equal(t, "walk", paths, []string{"", "\x1b[2J", "last", "last/y", "lost"})
	equal(t, "unreadable", unreadable, []string{"\x1b[2J", "lost"})

	stop := errors.New("stop")
	for name, w := range map[string]tree.Walker{
		"node":       {Node: func(v tree.Visit) error { return stop }},
		"directory":  {Directory: func(tree.Visit, tree.Listing) error { return stop }},
		"unreadable": {Unreadable: func(tree.Visit, error) error { return stop }},
		"last":       {Node: func(v tree.Visit) error { return map[bool]error{true: stop}[len(v.Path) == 2] }, Unreadable: func(tree.Visit, error) error { return nil }},
	} {
		if err := m.Walk(t.Context(), root, w); !errors.Is(err, stop) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestWalkFar walks another grid's tree.
func TestWalkFar(t *testing.T) {
	t.Parallel()
	w := treetest.NewWorld()
	alice, bob := memberOf(t, w, home), memberOf(t, w, away)
	root := alice.mkdir(to("a", alice.mkdir(to("b", alice.long("b")))))
	equal(t, "walk", bob.walked(far(t, root, home)), []string{"", "a", "a/b"})
}

func TestStats(t *testing.T) {
	t.Parallel()
	m := newMember(t)
	sub := m.mkdir(to("lit", m.put("hi")), to("empty", m.put("")), to("mutable", m.mutable("xx")))
	chk := m.put(strings.Repeat("x", 1000))
	root := m.mkdir(to("sub", sub), to("chk", chk), to("again", chk), to("small", m.put(strings.Repeat("y", 317))), to("fixed", m.fixed()),
		tree.NewChild{Name: "unknown", Pair: unknown(t, "", "future://x")})
	var s tree.Stats
	if err := m.Walk(t.Context(), root, s.Walker()); err != nil {
		t.Fatal(err)
	}
	got, err := json.Marshal(&s)
	if err != nil {
		t.Fatal(err)
	}
	large, little := len(m.contents(root)), len(m.contents(sub))
	want := fmt.Sprintf(`{"api-version":1,"count-immutable-files":2,"count-mutable-files":1,"count-literal-files":2,"count-files":5,`+
		`"count-directories":3,"count-unknown":1,"size-immutable-files":1317,"size-literal-files":2,"size-directories":%d,`+
		`"largest-directory":%d,"largest-directory-children":6,"largest-immutable-file":1000,"size-files-histogram":[[0,0,1],[1,3,1],[317,1000,2]]}`, large+little, large)
	if !bytes.Equal(got, []byte(want)) {
		t.Errorf("%s, want %s", got, want)
	}
	var none tree.Stats
	if got, err := json.Marshal(&none); err != nil || !bytes.Contains(got, []byte(`"size-files-histogram":[]`)) {
		t.Errorf("nothing: %s, %v", got, err)
	}
}

// TestHistogram has the bounds that Tahoe 1.20 computes.
func TestHistogram(t *testing.T) {
	t.Parallel()
	for size, want := range map[uint64]tree.Bucket{
		0: {Min: 0, Max: 0}, 1: {Min: 1, Max: 3}, 3: {Min: 1, Max: 3}, 4: {Min: 4, Max: 10}, 10: {Min: 4, Max: 10}, 11: {Min: 11, Max: 31},
		32: {Min: 32, Max: 100}, 316: {Min: 101, Max: 316}, 317: {Min: 317, Max: 1000}, 1000: {Min: 317, Max: 1000},
		3163: {Min: 3163, Max: 10000}, 1000000: {Min: 316228, Max: 1000000}, 1000001: {Min: 1000001, Max: 3162277},
		10000000001: {Min: 10000000001, Max: 31622776601}, 1<<63 - 1: {Min: 1000000000000000001, Max: 3162277660168379331},
	} {
		var s tree.Stats
		c := caps.CHKVerify{StorageIndex: caps.StorageIndex{1}, K: 3, N: 10, Size: max(size, 1)}.Cap()
		if size == 0 {
			c, _ = caps.NewLiteral(nil)
		}
		if err := s.Walker().Node(tree.Visit{Node: tree.NodeOf(c)}); err != nil {
			t.Fatal(err)
		}
		want.Count = 1
		if got := s.Histogram(); len(got) != 1 || got[0] != want {
			t.Errorf("%d bytes are counted as %v, want %v", size, got, want)
		}
	}
}
