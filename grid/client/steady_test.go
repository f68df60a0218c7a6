package client_test

import (
	"bytes"
	"context"
	"io"
	"sync"
	"testing"
	"time"

	"trunkline/caps"
	"trunkline/grid/client"
	"trunkline/grid/transfer/gridtest"
	"trunkline/grid/tree"
)

// keeping lets a client keep files open.
func keeping(t testing.TB, c *client.Client) *client.Client {
	t.Helper()
	t.Cleanup(func() { must(t, c.Close()) })
	return c
}

func (g *grid) asked() (n int) {
	for _, s := range g.servers {
		n += s.Counts().Asked
	}
	return n
}

// A file that was read a moment ago is open still: nobody is asked where its
// shares are, and who hung before is not asked for them.
func TestKeepsFilesOpen(t *testing.T) {
	t.Parallel()
	g := newGrid(t)
	data := random(t, 300_000)
	target := put(t, g, data)
	c := keeping(t, g.client(func(c *client.Config) { c.KeepFiles = 4 }))
	for i := range 3 {
		got, _, err := read(t, c, target, client.Range{Offset: 100_000, Length: 50_000})
		must(t, err)
		if !bytes.Equal(got, data[100_000:150_000]) {
			t.Error("wrong bytes")
		}
		if i == 0 {
			before := g.asked()
			defer func() {
				if n := g.asked() - before; n > 2 { // for a spare share
					t.Errorf("servers were asked %d times for a file that was open", n)
				}
			}()
		}
	}
}

// The same file put several times at once, by different processes, gets there
// each time.
func TestPutTheSameAtOnce(t *testing.T) {
	t.Parallel()
	g := newGrid(t)
	data := random(t, 2_000_000)
	var wg sync.WaitGroup
	results := make([]client.PutResult, 6)
	for i := range results {
		c := g.client()
		wg.Go(func() {
			var err error
			if results[i], err = c.Put(t.Context(), bytes.NewReader(data), uint64(len(data)), nil); err != nil {
				t.Errorf("put %d: %v", i, err)
			}
		})
	}
	wg.Wait()
	for _, r := range results {
		if !r.Cap.Equal(results[0].Cap) || r.Happiness < 7 {
			t.Errorf("%v on %d servers, want %v", r.Cap, r.Happiness, results[0].Cap)
		}
	}
	if got, _, err := read(t, g.client(), results[0].Cap, client.Range{}); err != nil || !bytes.Equal(got, data) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
}

// A server that hangs is not waited for: neither by puts nor by gets, of files of
// either kind. A second is a long time here, and thirty were what Tahoe takes.
func TestHungServer(t *testing.T) {
	t.Parallel()
	g := newGrid(t)
	c := g.client(g.mutables)
	data := random(t, 400_000)
	fixed := put(t, g, data)
	write := create(t, c, caps.KindMDMF, data)
	g.servers[3].Set(gridtest.Faults{Hang: true})
	defer g.servers[3].Set(gridtest.Faults{})
	ctx, cancel := context.WithTimeout(t.Context(), 12*time.Second)
	defer cancel()
	steps := map[string]func() error{
		"put":         func() error { _, err := c.Put(ctx, bytes.NewReader(data[1:]), uint64(len(data)-1), nil); return err },
		"get":         func() error { _, err := c.Get(ctx, fixed, client.GetOptions{}, io.Discard); return err },
		"get_mutable": func() error { _, err := c.Get(ctx, write, client.GetOptions{}, io.Discard); return err },
		"overwrite":   func() error { return c.Overwrite(ctx, write, bytes.NewReader(data), 1000) },
	}
	for _, name := range []string{"put", "get", "get_mutable", "overwrite"} {
		start := time.Now()
		must(t, steps[name]())
		t.Logf("%s took %v", name, time.Since(start))
	}
}

// A directory's cap opens the whole tree from another grid, and what is in it
// belongs to the grid that the directory belongs to.
func TestFarTree(t *testing.T) {
	t.Parallel()
	far, home := newGrid(t), newGrid(t)
	home.addGateway(resolver{far}, cheap)
	alice, bob := far.client(far.mutables), home.client(home.mutables)
	here := tree.New(tree.Config{Files: alice})
	root, err := here.Mkdir(t.Context(), caps.KindSDMF)
	must(t, err)
	deep, err := here.MkdirAll(t.Context(), root, []string{"a", "b", "c"}, caps.KindMDMF)
	must(t, err)
	file, err := alice.PutImmutable(t.Context(), bytes.NewReader([]byte("far away, and long enough for shares of its own to be made of it")), 64)
	must(t, err)
	must(t, here.LinkMany(t.Context(), deep.Cap(), []tree.NewChild{{Name: "file", Pair: tree.NodeOf(file).Pair}}, tree.ReplaceAlways))

	there := tree.New(tree.Config{Files: bob})
	root, err = root.WithAreas(far.area)
	must(t, err)
	readOnly, err := root.ReadOnly()
	must(t, err)
	node, err := there.Resolve(t.Context(), readOnly, []string{"a", "b", "c", "file"})
	must(t, err)
	if areas := node.Cap().Areas(); len(areas) != 1 || areas[0] != far.area {
		t.Errorf("the file belongs to %v", areas)
	}
	got, r, err := read(t, bob, node.Cap(), client.Range{Offset: 4, Length: 5})
	if err != nil || string(got) != "away," || r.Hop != client.HopGateway {
		t.Errorf("%q by %s, %v", got, r.Hop, err)
	}
	dir, err := there.Resolve(t.Context(), readOnly, []string{"a", "b"})
	must(t, err)
	if !dir.WriteCap().IsZero() {
		t.Error("a read cap gave a write cap")
	}
}
