package tahoetest_test

import (
	"bytes"
	"fmt"
	"testing"

	"trunkline/grid/tahoe"
	"trunkline/grid/transfer"
)

func benchServers(b *testing.B) *tahoe.Servers {
	b.Helper()
	servers, err := tahoe.Open(tahoe.Config{NodeDir: tests.Shared(b).Client.Dir})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = servers.Close() })
	return servers
}

// BenchmarkPut stores files, 3 of 5, on five servers that run Tahoe. They never sync.
func BenchmarkPut(b *testing.B) {
	servers := benchServers(b)
	for _, mib := range []int{1, 10, 100} {
		b.Run(fmt.Sprintf("%dMiB", mib), func(b *testing.B) {
			data := random(mib << 20)
			b.SetBytes(int64(len(data)))
			for b.Loop() {
				if _, err := put(b.Context(), servers, 3, 3, 5, nil, data); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkGet reads them, ciphertext verified.
func BenchmarkGet(b *testing.B) {
	servers := benchServers(b)
	for _, mib := range []int{1, 10, 100} {
		b.Run(fmt.Sprintf("%dMiB", mib), func(b *testing.B) {
			data := random(mib << 20)
			r, err := put(b.Context(), servers, 3, 3, 5, nil, data)
			if err != nil {
				b.Fatal(err)
			}
			b.SetBytes(int64(len(data)))
			for b.Loop() {
				if got, err := get(b.Context(), servers, r.Cap); err != nil || !bytes.Equal(got, data) {
					b.Fatalf("%d bytes, %v", len(got), err)
				}
			}
		})
	}
}

// BenchmarkRange reads one segment in the middle of 100 MiB: of a file just opened, and of one that is kept open.
func BenchmarkRange(b *testing.B) {
	servers := benchServers(b)
	r, err := put(b.Context(), servers, 3, 3, 5, nil, random(100<<20))
	if err != nil {
		b.Fatal(err)
	}
	read, _ := r.Cap.CHK()
	open := func() *transfer.File {
		f, err := transfer.Open(b.Context(), transfer.Config{Servers: servers.Servers()}, read.Verify())
		if err != nil {
			b.Fatal(err)
		}
		return f
	}
	segment := func(f *transfer.File, i int) {
		if err := f.Read(b.Context(), i%100, 1, func(transfer.Segment) error { return nil }); err != nil {
			b.Fatal(err)
		}
	}
	b.Run("opened", func(b *testing.B) {
		for i := 0; b.Loop(); i++ {
			f := open()
			segment(f, i)
			if err := f.Close(); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("open", func(b *testing.B) {
		f := open()
		defer f.Close()
		for i := 0; b.Loop(); i += 7 {
			segment(f, i)
		}
	})
}
