package storage_test

import (
	"fmt"
	"sync"
	"testing"

	"trunkline/grid/storage"
)

// BenchmarkRead reads a share over loopback, block by block, as a download does. 43691 bytes are a block
// of a 128 KiB segment at k = 3, 349526 one of a 1 MiB segment.
func BenchmarkRead(b *testing.B) {
	for _, block := range []int{43691, 349526} {
		for _, flight := range []int{1, 4, 16} {
			b.Run(fmt.Sprintf("block=%d/flight=%d", block, flight), func(b *testing.B) {
				w := newWire(b, storage.Config{NoSync: true}, everybody)
				const blocks = 64
				put(b, w.store, index(1), 0, pattern(blocks*block))
				b.SetBytes(int64(block))
				b.ReportAllocs()
				b.ResetTimer()
				readers(b, flight, func(i int, buf []byte) error {
					r := storage.Range{Offset: uint64(i % blocks * block), Length: uint64(block)}
					return w.remote.Read(b.Context(), index(1), 0, []storage.Range{r}, [][]byte{buf})
				}, block)
			})
		}
	}
}

// BenchmarkReadWindow reads 4 MiB of adjoining blocks in one call.
func BenchmarkReadWindow(b *testing.B) {
	for _, flight := range []int{1, 2} {
		b.Run(fmt.Sprintf("flight=%d", flight), func(b *testing.B) {
			w := newWire(b, storage.Config{NoSync: true}, everybody)
			const size = 4 << 20
			put(b, w.store, index(1), 0, pattern(4*size))
			b.SetBytes(size)
			b.ReportAllocs()
			b.ResetTimer()
			readers(b, flight, func(i int, buf []byte) error {
				r := storage.Range{Offset: uint64(i % 4 * size), Length: size}
				return w.remote.Read(b.Context(), index(1), 0, []storage.Range{r}, [][]byte{buf})
			}, size)
		})
	}
}

func readers(b *testing.B, n int, read func(i int, buf []byte) error, size int) {
	var group sync.WaitGroup
	next := make(chan int, n)
	for range n {
		group.Go(func() {
			buf := make([]byte, size)
			for i := range next {
				if err := read(i, buf); err != nil {
					b.Error(err)
				}
			}
		})
	}
	for i := range b.N {
		next <- i
	}
	close(next)
	group.Wait()
}

// BenchmarkWrite uploads shares of 32 MiB over loopback in blocks of 349526 bytes, with and without
// waiting for the disk.
func BenchmarkWrite(b *testing.B) {
	for _, noSync := range []bool{false, true} {
		b.Run(fmt.Sprintf("sync=%v", !noSync), func(b *testing.B) {
			w := newWire(b, storage.Config{NoSync: noSync}, everybody)
			const block, size = 349526, 96 * 349526
			data := pattern(size)
			b.SetBytes(size)
			b.ReportAllocs()
			b.ResetTimer()
			for i := range b.N {
				si := index(byte(i))
				si[1], si[2] = byte(i>>8), byte(i>>16)
				if _, _, err := w.remote.Allocate(b.Context(), si, []int{0}, size, renew, cancel); err != nil {
					b.Fatal(err)
				}
				for off := 0; off < size; off += block {
					if err := w.remote.Write(b.Context(), si, 0, uint64(off), data[off:off+block]); err != nil {
						b.Fatal(err)
					}
				}
				if err := w.remote.Commit(b.Context(), si, 0); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkWriteSmall uploads shares of 1 KiB: what a commit costs.
func BenchmarkWriteSmall(b *testing.B) {
	for _, noSync := range []bool{false, true} {
		b.Run(fmt.Sprintf("sync=%v", !noSync), func(b *testing.B) {
			s := openStore(b, storage.Config{NoSync: noSync})
			data := pattern(1 << 10)
			b.ReportAllocs()
			b.ResetTimer()
			for i := range b.N {
				si := index(byte(i))
				si[1], si[2] = byte(i>>8), byte(i>>16)
				put(b, s, si, 0, data)
			}
		})
	}
}
