package client_test

import (
	"bytes"
	"errors"
	"io"
	"testing"

	"trunkline/caps"
	"trunkline/grid/client"
	"trunkline/grid/mutable"
	"trunkline/grid/tree"
)

var _ tree.Files = (*client.Client)(nil)

// mutables lets a client change the files of its home grid.
func (g *grid) mutables(c *client.Config) {
	g.t.Helper()
	files, err := mutable.New(mutable.Config{Servers: g.transferServers, LeaseSecret: c.LeaseSecret})
	must(g.t, err)
	c.Mutable = files
}

func create(t testing.TB, c *client.Client, kind caps.Kind, data []byte) caps.Cap {
	t.Helper()
	made, err := c.CreateMutable(t.Context(), kind, nil, func(caps.WriteKey) (io.ReaderAt, uint64, error) {
		return bytes.NewReader(data), uint64(len(data)), nil
	})
	must(t, err)
	return made
}

func read(t testing.TB, c *client.Client, target caps.Cap, r client.Range) ([]byte, client.GetResult, error) {
	t.Helper()
	var out bytes.Buffer
	result, err := c.Get(t.Context(), target, client.GetOptions{Range: r}, &out)
	return out.Bytes(), result, err
}

// A mutable file is read at home and from another grid, whole and in part, and what was written last is what comes.
func TestMutable(t *testing.T) {
	t.Parallel()
	for _, kind := range []caps.Kind{caps.KindSDMF, caps.KindMDMF} {
		t.Run(kind.String(), func(t *testing.T) {
			t.Parallel()
			far, home := newGrid(t), newGrid(t)
			alice, bob := far.client(far.mutables), home.client(home.mutables)
			home.addGateway(resolver{far}, cheap)
			data := random(t, 300_000)
			write := create(t, alice, kind, data)
			readOnly, err := write.ReadOnly()
			must(t, err)
			for i := range 3 {
				for name, c := range map[string]*client.Client{"home": alice, "far": bob} {
					for _, r := range []client.Range{{}, {Offset: 140_000, Length: 10}, {Offset: 299_999}} {
						got, result, err := read(t, c, readOnly, r)
						must(t, err)
						end := len(data)
						if r.Length > 0 {
							end = int(r.Offset + r.Length)
						}
						if !bytes.Equal(got, data[r.Offset:end]) {
							t.Errorf("%s, write %d: %d wrong bytes of %+v", name, i, len(got), r)
						}
						if want := map[string]client.Hop{"home": client.HopLocal, "far": client.HopGateway}[name]; result.Hop != want {
							t.Errorf("%s came by %s", name, result.Hop)
						}
					}
				}
				data = random(t, 300_000+i)
				must(t, alice.Overwrite(t.Context(), write, bytes.NewReader(data), uint64(len(data))))
			}
			copy(data[200_000:], "part")
			must(t, alice.WriteAt(t.Context(), write, bytes.NewReader([]byte("part")), 200_000, 4))
			if got, _, err := read(t, bob, readOnly, client.Range{}); err != nil || !bytes.Equal(got, data) {
				t.Errorf("after a write in place: %d bytes, %v", len(got), err)
			}

			if err := bob.Overwrite(t.Context(), write, bytes.NewReader(data), 1); !errors.Is(err, client.ErrFar) {
				t.Errorf("a member of another grid wrote: %v", err)
			}
			if err := alice.Overwrite(t.Context(), readOnly, bytes.NewReader(data), 1); !errors.Is(err, client.ErrReadOnly) {
				t.Errorf("a read cap wrote: %v", err)
			}
			verify, _ := write.VerifyCap()
			if _, _, err := read(t, alice, verify, client.Range{}); !errors.Is(err, client.ErrNotFile) {
				t.Errorf("a verify cap read: %v", err)
			}
		})
	}
}

// Shares that are gone are put back: of immutable files with the verify cap alone.
func TestCheckAndRepair(t *testing.T) {
	t.Parallel()
	g := newGrid(t)
	c := g.client(g.mutables)
	fixed := put(t, g, random(t, 100_000))
	verify, _ := fixed.VerifyCap()
	changing := create(t, c, caps.KindSDMF, random(t, 1000))
	for name, target := range map[string]caps.Cap{"immutable": verify, "mutable": changing} {
		si, _ := target.StorageIndex()
		health, err := c.Check(t.Context(), target, true, true)
		must(t, err)
		if !health.Healthy() {
			t.Fatalf("%s: %s", name, health.Summary())
		}
		for _, s := range g.servers[:4] {
			for _, num := range s.Held(si) {
				s.Remove(si, num)
			}
			s.PutSlot(si, s.Enabler(si), nil)
		}
		health, err = c.Check(t.Context(), target, true, false)
		must(t, err)
		if health.Healthy() || !health.Recoverable() {
			t.Fatalf("%s, shares removed: %s", name, health.Summary())
		}
		before, after, err := c.Repair(t.Context(), target, true, false)
		must(t, err)
		if before.Healthy() || !after.Healthy() {
			t.Errorf("%s: before repair %s, after %s", name, before.Summary(), after.Summary())
		}
		if health, err = c.Check(t.Context(), target, true, false); err != nil || !health.Healthy() {
			t.Errorf("%s, repaired: %s, %v", name, health.Summary(), err)
		}
	}
	if _, err := newGrid(t).client().Check(t.Context(), fixed, false, false); !errors.Is(err, client.ErrFar) {
		t.Errorf("another grid's file was checked: %v", err)
	}
}
