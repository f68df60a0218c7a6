package client_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"slices"
	"sync"
	"testing"

	"trunkline/caps"
	"trunkline/grid/client"
	"trunkline/grid/mutable"
	"trunkline/p2p"
)

// seen lets a client remember which versions it saw.
func (g *grid) seen(c *client.Config) {
	g.t.Helper()
	c.Seen = mutable.NewSeen()
	g.t.Cleanup(func() { must(g.t, c.Seen.Close()) })
	files, err := mutable.New(mutable.Config{Servers: g.transferServers, LeaseSecret: c.LeaseSecret, Seen: c.Seen})
	must(g.t, err)
	c.Mutable = files
}

// rollback puts back what a slot had when it was called.
func (g *grid) rollback(si caps.StorageIndex) (restore func()) {
	kept := make([]map[int][]byte, len(g.servers))
	for i, s := range g.servers {
		kept[i] = s.Slot(si)
		for num, share := range kept[i] {
			kept[i][num] = slices.Clone(share)
		}
	}
	return func() {
		for i, s := range g.servers {
			s.PutSlot(si, s.Enabler(si), kept[i])
		}
	}
}

// Servers that go back to an older version are found out by who has seen a newer
// one, near and far, and nothing of it is written.
func TestRollback(t *testing.T) {
	t.Parallel()
	far, home := newGrid(t), newGrid(t)
	home.addGateway(resolver{far}, cheap)
	alice, bob, carol := far.client(far.seen), home.client(home.seen), home.client(home.seen)
	write := create(t, alice, caps.KindSDMF, []byte("first"))
	si, _ := write.StorageIndex()
	restore := far.rollback(si)
	must(t, alice.Overwrite(t.Context(), write, bytes.NewReader([]byte("second")), 6))
	for name, c := range map[string]*client.Client{"near": alice, "far": bob} {
		if got, r, err := read(t, c, write, client.Range{}); err != nil || string(got) != "second" || r.Version.Seq != 2 {
			t.Fatalf("%s: %q, %v", name, got, err)
		}
	}
	restore()
	if got, _, err := read(t, alice, write, client.Range{}); !errors.Is(err, mutable.ErrRollback) || len(got) > 0 {
		t.Errorf("near: %q, %v", got, err)
	}
	if got, r, err := read(t, bob, write, client.Range{}); !errors.Is(err, p2p.ErrIntegrity) || len(got) > 0 || len(r.Failed) != 1 {
		t.Errorf("far: %q, %v, asked %v", got, err, r.Failed)
	}
	if got, _, err := read(t, carol, write, client.Range{}); err != nil || string(got) != "first" {
		t.Errorf("who saw nothing newer: %q, %v", got, err)
	}
}

// A version that is overwritten while it is read is not mixed with another: what
// came is of one version, and the reader is told.
func TestOverwrittenWhileRead(t *testing.T) {
	t.Parallel()
	far, home := newGrid(t), newGrid(t)
	home.addGateway(resolver{far}, cheap)
	alice, bob := far.client(far.mutables), home.client()
	const size = 40 << 20 // more than anybody reads ahead
	old := bytes.Repeat([]byte("old!"), size/4)
	write := create(t, alice, caps.KindMDMF, old)
	for name, c := range map[string]*client.Client{"near": alice, "far": bob} {
		must(t, alice.Overwrite(t.Context(), write, bytes.NewReader(old), size))
		begun := 0
		var got []byte
		err := c.Read(t.Context(), write, func(n uint64) (uint64, uint64, io.Writer, error) {
			begun++
			return 0, n, writerFunc(func(b []byte) (int, error) {
				if len(got) == 0 {
					must(t, alice.Overwrite(context.Background(), write, bytes.NewReader(bytes.Repeat([]byte("new!"), size/4)), size))
				}
				got = append(got, b...)
				return len(b), nil
			}), nil
		})
		if begun != 1 || !bytes.HasPrefix(old, got) {
			t.Errorf("%s: begun %d times, %d bytes that do not belong together", name, begun, len(got))
		}
		if !errors.Is(err, client.ErrChanged) || len(got) == size {
			t.Errorf("%s: %d bytes, %v", name, len(got), err)
		}
	}
}

// A small file that changes all the time can be read all the time.
func TestReadWhileWritten(t *testing.T) {
	t.Parallel()
	far, home := newGrid(t), newGrid(t)
	home.addGateway(resolver{far}, cheap)
	alice, bob := far.client(far.mutables), home.client()
	write := create(t, alice, caps.KindSDMF, bytes.Repeat([]byte{1}, 1000))
	var readers sync.WaitGroup
	for name, c := range map[string]*client.Client{"near": alice, "far": bob} {
		readers.Go(func() {
			last := byte(0)
			for n := 0; n < 20 && !t.Failed(); n++ {
				got, _, err := read(t, c, write, client.Range{})
				if err != nil || len(got) != 1000 || !bytes.Equal(got, bytes.Repeat(got[:1], 1000)) || got[0] < last {
					t.Errorf("%s: %d bytes, %v", name, len(got), err)
					return
				}
				last = got[0]
			}
		})
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		readers.Wait()
	}()
	for i := 0; ; i++ {
		select {
		case <-done:
			t.Logf("%d versions were written meanwhile", i)
			return
		default:
		}
		version := byte(min(1+i, 255))
		must(t, alice.Overwrite(t.Context(), write, bytes.NewReader(bytes.Repeat([]byte{version}, 1000)), 1000))
	}
}
