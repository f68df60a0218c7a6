package client_test

import (
	"bytes"
	"context"
	"io"
	"testing"

	"trunkline/caps"
	"trunkline/grid/client"
)

// BenchmarkFirstByte is a range of one byte in the middle of 64 MiB, from servers
// in memory: what a client adds to what they take, with files kept open and
// without, and how it is across two grids on loopback.
func BenchmarkFirstByte(b *testing.B) {
	far, home := newGrid(b), newGrid(b)
	home.addGateway(resolver{far}, cheap)
	data := bytes.Repeat([]byte("ring ring"), 64<<20/9)
	wide := func(c *client.Config) { c.MaxSegment = 0 }
	cold := far.client(wide, far.mutables)
	fixed, err := cold.PutImmutable(b.Context(), bytes.NewReader(data), uint64(len(data)))
	must(b, err)
	write := create(b, cold, caps.KindMDMF, data)
	warm := far.client(wide, func(c *client.Config) { c.KeepFiles = 4 })
	b.Cleanup(func() { must(b, warm.Close()) })
	for _, bb := range []struct {
		name   string
		client *client.Client
		target caps.Cap
	}{{"cold", cold, fixed}, {"warm", warm, fixed}, {"far", home.client(), fixed}, {"mutable", cold, write}, {"mutable_far", home.client(), write}} {
		b.Run(bb.name, func(b *testing.B) {
			r := client.Range{Offset: 32 << 20, Length: 1}
			for b.Loop() {
				if _, err := bb.client.Get(context.Background(), bb.target, client.GetOptions{Range: r}, io.Discard); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkFarDirectory reads a mutable file of 50 KB, as a directory of a hundred
// entries is, across two grids on loopback.
func BenchmarkFarDirectory(b *testing.B) {
	far, home := newGrid(b), newGrid(b)
	home.addGateway(resolver{far}, cheap)
	write := create(b, far.client(far.mutables), caps.KindSDMF, make([]byte, 50_000))
	c := home.client()
	for b.Loop() {
		err := c.Read(context.Background(), write, func(n uint64) (uint64, uint64, io.Writer, error) { return 0, n, io.Discard, nil })
		if err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkGet reads 64 MiB of either kind, near and far.
func BenchmarkGet(b *testing.B) {
	far, home := newGrid(b), newGrid(b)
	home.addGateway(resolver{far}, cheap)
	data := bytes.Repeat([]byte("ring ring"), 64<<20/9)
	near := far.client(func(c *client.Config) { c.MaxSegment = 0 }, far.mutables)
	fixed, err := near.PutImmutable(b.Context(), bytes.NewReader(data), uint64(len(data)))
	must(b, err)
	write := create(b, near, caps.KindMDMF, data)
	away := home.client()
	for _, bb := range []struct {
		name   string
		client *client.Client
		target caps.Cap
	}{{"fixed_near", near, fixed}, {"fixed_far", away, fixed}, {"mutable_near", near, write}, {"mutable_far", away, write}} {
		b.Run(bb.name, func(b *testing.B) {
			b.SetBytes(int64(len(data)))
			for b.Loop() {
				if _, err := bb.client.Get(context.Background(), bb.target, client.GetOptions{}, io.Discard); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
