package mutable_test

import (
	"bytes"
	"context"
	"fmt"
	"path/filepath"
	"testing"

	"trunkline/caps"
	"trunkline/grid/mutable"
	"trunkline/grid/ssk"
	"trunkline/grid/storage"
	"trunkline/grid/transfer"
	"trunkline/p2p"
	"trunkline/p2p/p2ptest"
)

// stores are real stores behind the share protocol.
func stores(tb testing.TB, n int, sync bool) []transfer.Server {
	tb.Helper()
	hosts := p2ptest.Hosts(tb, n+1)
	dir := tb.TempDir()
	servers := make([]transfer.Server, n)
	for i, h := range hosts[:n] {
		store, err := storage.Open(storage.Config{Dir: filepath.Join(dir, fmt.Sprint(i)), NoSync: !sync})
		if err != nil {
			tb.Fatal(err)
		}
		server := storage.NewServer(store, func(caps.PublicKey) error { return nil })
		server.Register(h)
		tb.Cleanup(func() { store.Close() })
		peer, err := p2p.ParsePeer(h.Self().Strings()[0])
		if err != nil {
			tb.Fatal(err)
		}
		r := storage.NewRemote(hosts[n], peer, [20]byte(peer.Key.Bytes()))
		tb.Cleanup(func() { r.Close() })
		servers[i] = r
	}
	return servers
}

func TestStores(t *testing.T) {
	t.Parallel()
	servers := stores(t, 10, false)
	f := newFiles(t, nil, func(c *mutable.Config) { c.Servers = func() []transfer.Server { return servers } })
	for i, format := range []ssk.Format{ssk.SDMF, ssk.MDMF} {
		data := contents(1, 2_000_000)
		r, err := f.Create(context.Background(), format, testKeys()[i], bytes.NewReader(data), uint64(len(data)))
		if err != nil {
			t.Fatal(err)
		}
		mustRead(t, f, r.Cap, data)
		patch := contents(2, 200_000)
		if _, err := f.WriteAt(context.Background(), r.Cap, bytes.NewReader(patch), 900_000, uint64(len(patch))); err != nil {
			t.Fatal(err)
		}
		copy(data[900_000:], patch)
		mustRead(t, f, r.Cap, data)
		if h := check(t, f, r.Cap, transfer.CheckOptions{Verify: true, AddLease: &[32]byte{5}}); !h.Healthy() {
			t.Error(h.Summary())
		}
		data = data[:100]
		if _, err := overwrite(f, r.Cap, data); err != nil {
			t.Fatal(err)
		}
		mustRead(t, f, r.Cap, data)
	}
}

// Ten stores on one disk, each change synced.
func BenchmarkStores(b *testing.B) {
	for _, size := range []int{300, 30_000, 300_000} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			servers := stores(b, 10, true)
			f := newFiles(b, nil, func(c *mutable.Config) { c.Servers = func() []transfer.Server { return servers } })
			file := create(b, f, ssk.SDMF, contents(1, size))
			for b.Loop() {
				if _, err := f.Modify(context.Background(), file, func(old []byte) ([]byte, error) {
					old[0]++
					return old, nil
				}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
