package dirnode_test

import (
	"fmt"
	"testing"

	"trunkline/grid/dirnode"
)

func many(b *testing.B, n int) []byte {
	b.Helper()
	d := dirnode.New(writer())
	for i := range n {
		if err := d.Set(fmt.Sprintf("name %06d", i), child(byte(i)), nil, now); err != nil {
			b.Fatal(err)
		}
	}
	return mustPack(b, d)
}

// BenchmarkAddOne is what one change costs beside the transfer of the contents.
func BenchmarkAddOne(b *testing.B) {
	for _, n := range []int{100, 1000, 10000} {
		contents := many(b, n)
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			b.SetBytes(int64(len(contents)))
			for b.Loop() {
				d := mustParse(b, contents, writer())
				if err := d.Set("one more", child(1), nil, now); err != nil {
					b.Fatal(err)
				}
				mustPack(b, d)
			}
		})
	}
}

func BenchmarkList(b *testing.B) {
	for _, n := range []int{100, 1000, 10000} {
		contents := many(b, n)
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			b.SetBytes(int64(len(contents)))
			for b.Loop() {
				d := mustParse(b, contents, writer())
				for _, name := range d.Names() {
					if _, err := d.Get(name); err != nil {
						b.Fatal(err)
					}
				}
			}
		})
	}
}
