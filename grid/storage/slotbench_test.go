package storage_test

import (
	"fmt"
	"path/filepath"
	"sync"
	"testing"

	"trunkline/grid/storage"
	"trunkline/p2p/p2ptest"
)

// BenchmarkTestWrite overwrites one share of a slot over loopback, as a change of a directory does at each server: 60 KB is
// a share of a directory of a thousand children.
func BenchmarkTestWrite(b *testing.B) {
	for _, noSync := range []bool{false, true} {
		for _, size := range []int{2 << 10, 60_000, 8 << 20} {
			b.Run(fmt.Sprintf("sync=%v/size=%d", !noSync, size), func(b *testing.B) {
				w := newWire(b, storage.Config{NoSync: noSync}, everybody)
				data := pattern(size)
				b.SetBytes(int64(size))
				b.ReportAllocs()
				for b.Loop() {
					overwrite(b, w.remote, 1, data)
				}
			})
		}
	}
}

// overwrite changes the shares 0 to n-1 of a slot.
func overwrite(b *testing.B, r *storage.Remote, n int, data []byte) {
	w := storage.TestWrite{Reads: []storage.Range{{Length: 57}}}
	for num := range n {
		w.Shares = append(w.Shares, storage.ShareChange{Num: num, Writes: []storage.Change{{Data: data}}})
	}
	if res, err := r.TestWrite(b.Context(), index(1), w); err != nil || !res.Applied {
		b.Error(res.Applied, err)
	}
}

// BenchmarkTestWriteSeveral changes several shares of one slot at once, which goes through a record.
func BenchmarkTestWriteSeveral(b *testing.B) {
	for _, n := range []int{1, 2, 5} {
		b.Run(fmt.Sprintf("shares=%d", n), func(b *testing.B) {
			w := newWire(b, storage.Config{}, everybody)
			data := pattern(2 << 10)
			for b.Loop() {
				overwrite(b, w.remote, n, data)
			}
		})
	}
}

// BenchmarkTestWriteTen overwrites a share at each of ten servers that have one disk.
func BenchmarkTestWriteTen(b *testing.B) {
	hosts := p2ptest.Hosts(b, 11)
	dir := b.TempDir()
	var remotes []*storage.Remote
	for i, h := range hosts[1:] {
		s := openStore(b, storage.Config{Dir: filepath.Join(dir, fmt.Sprint(i))})
		storage.NewServer(s, everybody).Register(h)
		r := storage.NewRemote(hosts[0], h.Self(), [20]byte{byte(i)})
		b.Cleanup(func() { _ = r.Close() })
		remotes = append(remotes, r)
	}
	data := pattern(60_000)
	for b.Loop() {
		var group sync.WaitGroup
		for _, r := range remotes {
			group.Go(func() { overwrite(b, r, 1, data) })
		}
		group.Wait()
	}
}

// BenchmarkReadSlot reads a slot over loopback.
func BenchmarkReadSlot(b *testing.B) {
	for _, size := range []int{2 << 10, 60_000, 8 << 20} {
		b.Run(fmt.Sprintf("size=%d", size), func(b *testing.B) {
			w := newWire(b, storage.Config{NoSync: true}, everybody)
			putSlot(b, w.store, index(1), map[int][]byte{0: pattern(size)})
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for b.Loop() {
				read, err := w.remote.ReadSlot(b.Context(), index(1), nil, []storage.Range{{Length: 1 << 30}})
				if err != nil || len(read[0][0]) != size {
					b.Fatal(err)
				}
			}
		})
	}
}
