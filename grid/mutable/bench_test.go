package mutable_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"testing"

	"trunkline/grid/ssk"
	"trunkline/grid/transfer/gridtest"
)

// What the engine itself costs, on servers in memory.
func BenchmarkModify(b *testing.B) {
	for _, size := range []int{300, 30_000, 300_000} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			f := newFiles(b, gridtest.New(10), nil)
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

func BenchmarkMDMF(b *testing.B) {
	const size = 32 << 20
	data := contents(1, size)
	f := newFiles(b, gridtest.New(10), nil)
	file := create(b, f, ssk.MDMF, data)
	b.Run("overwrite", func(b *testing.B) {
		b.SetBytes(size)
		for b.Loop() {
			if _, err := overwrite(f, file, data); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("write-at-1000", func(b *testing.B) {
		for b.Loop() {
			if _, err := f.WriteAt(context.Background(), file, bytes.NewReader(data[:1000]), size/2, 1000); err != nil {
				b.Fatal(err)
			}
		}
	})
	read, _ := file.MutableReadKey()
	b.Run("read", func(b *testing.B) {
		b.SetBytes(size)
		for b.Loop() {
			v, err := f.Open(context.Background(), verifyCap(b, file))
			if err != nil {
				b.Fatal(err)
			}
			if err := v.Read(context.Background(), read, 0, size, io.Discard); err != nil {
				b.Fatal(err)
			}
			_ = v.Close()
		}
	})
	b.Run("read-1000-in-the-middle", func(b *testing.B) {
		for b.Loop() {
			v, err := f.Open(context.Background(), verifyCap(b, file))
			if err != nil {
				b.Fatal(err)
			}
			if err := v.Read(context.Background(), read, size/2, 1000, io.Discard); err != nil {
				b.Fatal(err)
			}
			_ = v.Close()
		}
	})
}
