package tree_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"trunkline/caps"
	"trunkline/grid/client"
	"trunkline/grid/mutable"
	"trunkline/grid/transfer"
	"trunkline/grid/transfer/gridtest"
	"trunkline/grid/tree"
	"trunkline/grid/tree/treetest"
)

// What follows has the client of a grid for its files, and servers in memory.

// gridMember is a client of the grid that these servers are.
func gridMember(t testing.TB, servers []*gridtest.Server, k, n, happy int) *tree.Tree {
	t.Helper()
	all := func() []transfer.Server {
		out := make([]transfer.Server, len(servers))
		for i, s := range servers {
			out[i] = s
		}
		return out
	}
	files, err := mutable.New(mutable.Config{Servers: all, K: k, N: n, Happy: happy, Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	c := client.New(client.Config{Home: home, Servers: all, Mutable: files, K: k, N: n, Happy: happy})
	return tree.New(tree.Config{Files: c, Now: func() time.Time { return now }})
}

// stored is a directory that Tahoe-LAFS stored.
type stored struct {
	ID       string
	Cap      string
	ReadOnly string `json:"readonly_cap"`
	Children map[string]struct {
		Read  *string `json:"read_cap"`
		Write *string `json:"write_cap"`
	}
	Shares map[int][]byte
}

func storedByTahoe(t testing.TB) []stored {
	t.Helper()
	raw, err := os.ReadFile("testdata/directories.json")
	if err != nil {
		t.Fatal(err)
	}
	var v struct{ Directories []stored }
	if err := json.Unmarshal(raw, &v); err != nil {
		t.Fatal(err)
	}
	if len(v.Directories) != 8 {
		t.Fatalf("%d directories", len(v.Directories))
	}
	return v.Directories
}

func parse(t testing.TB, text string) caps.Cap {
	t.Helper()
	c, err := caps.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// place puts each share on a server.
func (s stored) place(t testing.TB, servers []*gridtest.Server) {
	t.Helper()
	c := parse(t, s.Cap)
	si, _ := c.StorageIndex()
	for num, share := range s.Shares {
		server := servers[num%len(servers)]
		if key, ok := c.WriteKey(); ok {
			server.PutSlot(si, key.WriteEnabler(server.PeerID20()), map[int][]byte{num: bytes.Clone(share)})
		} else {
			server.Put(si, num, bytes.Clone(share))
		}
	}
}

// is says what is wrong with a listing of the directory, if anything.
func (s stored) is(l tree.Listing, writable bool) error {
	if len(l.Children) != len(s.Children) || len(l.Malformed) > 0 {
		return fmt.Errorf("%d children, %d malformed", len(l.Children), len(l.Malformed))
	}
	for _, c := range l.Children {
		want, ok := s.Children[c.Name]
		if !ok {
			return fmt.Errorf("there is %q", c.Name)
		}
		write := ""
		if writable && want.Write != nil {
			write = *want.Write
		}
		if c.ReadCap().Text() != *want.Read || c.WriteCap().Text() != write {
			return fmt.Errorf("%q has other caps", c.Name)
		}
	}
	return nil
}

// TestTahoeDirectories reads and changes directories that Tahoe wrote.
func TestTahoeDirectories(t *testing.T) {
	t.Parallel()
	for _, s := range storedByTahoe(t) {
		t.Run(s.ID, func(t *testing.T) {
			t.Parallel()
			servers := gridtest.New(3)
			s.place(t, servers)
			m := gridMember(t, servers, 2, 3, 3)
			for _, text := range []string{s.Cap, s.ReadOnly} {
				l, err := m.List(t.Context(), parse(t, text))
				if err != nil {
					t.Fatal(err)
				}
				if err := s.is(l, text == s.Cap); err != nil {
					t.Error(err)
				}
			}
			child := to("new child", parse(t, "URI:LIT:ey"))
			if _, err := m.Link(t.Context(), parse(t, s.ReadOnly), child, tree.ReplaceNever); !errors.Is(err, tree.ErrReadOnly) {
				t.Errorf("changed with the read cap: %v", err)
			}
			if !parse(t, s.Cap).Kind().CanWrite() {
				return
			}
			if _, err := m.Link(t.Context(), parse(t, s.Cap), child, tree.ReplaceNever); err != nil {
				t.Fatal(err)
			}
			l, err := gridMember(t, servers, 2, 3, 3).List(t.Context(), parse(t, s.Cap))
			if err != nil || len(l.Children) != len(s.Children)+1 {
				t.Fatalf("%d children: %v", len(l.Children), err)
			}
			l.Children = slices.DeleteFunc(l.Children, func(c tree.Child) bool { return c.Name == "new child" })
			if err := s.is(l, true); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestFlippedShares turns every byte of a directory's shares, one at a time: what is listed is right or nothing, and with
// the two good shares that are left it is listed.
func TestFlippedShares(t *testing.T) {
	t.Parallel()
	for _, s := range storedByTahoe(t) {
		if len(s.Shares) == 0 {
			continue
		}
		t.Run(s.ID, func(t *testing.T) {
			t.Parallel()
			c := parse(t, s.Cap)
			servers := gridtest.New(3)
			s.place(t, servers)
			m := gridMember(t, servers, 2, 3, 3)
			for num, share := range s.Shares {
				for at := range share {
					servers[num%3].Set(gridtest.Faults{Lie: func(_ caps.StorageIndex, _ int, offset uint64, data []byte) {
						if i := uint64(at) - offset; i < uint64(len(data)) {
							data[i] ^= 1 << (at % 8)
						}
					}})
					l, err := m.List(t.Context(), c)
					if err == nil {
						err = s.is(l, true)
					}
					if err != nil {
						t.Fatalf("byte %d of share %d: %v", at, num, err)
					}
				}
				servers[num%3].Set(gridtest.Faults{})
			}
		})
	}
}

// TestTwoGateways has two clients that know nothing of each other put ten names each into one directory at once. What was
// acknowledged is there.
func TestTwoGateways(t *testing.T) {
	t.Parallel()
	servers := gridtest.New(5)
	a, b := gridMember(t, servers, 3, 5, 4), gridMember(t, servers, 3, 5, 4)
	dir, err := a.Mkdir(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	var acknowledged []string
	var all sync.WaitGroup
	for who, m := range []*tree.Tree{a, b} {
		for i := range 10 {
			all.Go(func() {
				name := fmt.Sprintf("%d-%d", who, i)
				if _, err := m.Link(t.Context(), dir, to(name, parse(t, "URI:LIT:ey")), tree.ReplaceNever); err != nil {
					t.Logf("refused: %v", err)
					return
				}
				mu.Lock()
				defer mu.Unlock()
				acknowledged = append(acknowledged, name)
			})
		}
	}
	all.Wait()
	l, err := gridMember(t, servers, 3, 5, 4).List(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	there := map[string]bool{}
	for _, c := range l.Children {
		there[c.Name] = true
	}
	for _, name := range acknowledged {
		if !there[name] {
			t.Errorf("%s was acknowledged and is gone", name)
		}
	}
	if len(acknowledged) == 0 {
		t.Error("none was acknowledged")
	}
}

// TestGridTree walks through everything once.
func TestGridTree(t *testing.T) {
	t.Parallel()
	servers := gridtest.New(5)
	m := gridMember(t, servers, 3, 5, 4)
	ctx := t.Context()
	root, err := m.Mkdir(ctx, caps.KindMDMF)
	if err != nil {
		t.Fatal(err)
	}
	n, err := m.MkdirAll(ctx, root, []string{"a", "b", "c"}, 0)
	if err != nil {
		t.Fatal(err)
	}
	text := strings.Repeat("long ", 100)
	file, err := m.Files().PutImmutable(ctx, strings.NewReader(text), uint64(len(text)))
	if err != nil {
		t.Fatal(err)
	}
	fixed, err := m.MkdirImmutable(ctx, []tree.NewChild{to("file", file)})
	if err != nil {
		t.Fatal(err)
	}
	if err := m.LinkMany(ctx, n.Cap(), []tree.NewChild{to("file", file), to("fixed", fixed)}, tree.ReplaceNever); err != nil {
		t.Fatal(err)
	}
	if _, err := m.Move(ctx, root, "a", n.Cap(), "x", tree.ReplaceNever); err != nil {
		t.Fatal(err) // a cycle that hangs in the air
	}
	if _, err := m.Link(ctx, root, to("again", n.Cap()), tree.ReplaceNever); err != nil {
		t.Fatal(err)
	}
	var stats tree.Stats
	var paths []string
	err = m.DeepCheck(ctx, root, tree.CheckOptions{Verify: true}, func(v tree.Visit, c tree.Checked, err error) error {
		paths = append(paths, strings.Join(v.Path, "/"))
		if err != nil || !c.Literal && !c.Before.Healthy() {
			t.Errorf("%q: %s, %v", v.Path, c.Before.Summary(), err)
		}
		return nil
	}, stats.Walker())
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "walked", paths, []string{"", "again", "again/file", "again/fixed", "again/x", "again/x/b"})
	if stats.Directories != 5 || stats.ImmutableFiles != 1 || stats.ImmutableSize != uint64(len(text)) {
		t.Errorf("counted %d directories, %d files", stats.Directories, stats.ImmutableFiles)
	}
}

// BenchmarkLink adds an entry to a directory of a thousand on ten servers in memory.
func BenchmarkLink(b *testing.B) {
	servers := gridtest.New(10)
	m := gridMember(b, servers, 3, 10, 7)
	var children []tree.NewChild
	for i := range 1000 {
		children = append(children, to(fmt.Sprint(i), parse(b, "URI:LIT:ey")))
	}
	dir, err := m.MkdirWithChildren(b.Context(), 0, children)
	if err != nil {
		b.Fatal(err)
	}
	i := 0
	for b.Loop() {
		i++
		if _, err := m.Link(context.Background(), dir, to(fmt.Sprint("new", i%10), parse(b, "URI:LIT:ey")), tree.ReplaceAlways); err != nil {
			b.Fatal(err)
		}
	}
}

// TestClient: the client keeps to what Files promise.
func TestClient(t *testing.T) {
	t.Parallel()
	treetest.Run(t, func(t *testing.T) tree.Files {
		return gridMember(t, gridtest.New(5), 3, 5, 4).Files()
	})
}
