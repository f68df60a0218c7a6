package caps_test

import (
	"fmt"
	"testing"

	"trunkline/caps"
)

// The two sizes of a block that matter: 3-of-10 with segments of 128 KiB and of 1 MiB.
var blockSizes = []int{43691, 349526}

func BenchmarkBlockHash(b *testing.B) {
	for _, size := range blockSizes {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			block := make([]byte, size)
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for b.Loop() {
				caps.BlockHash(block)
			}
		})
	}
}

func BenchmarkCrypttextHash(b *testing.B) {
	const segment = 1 << 20
	h := caps.NewCrypttextHash()
	p := make([]byte, segment)
	b.SetBytes(segment)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := h.Write(p); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkNewTree(b *testing.B) {
	for _, leaves := range []int{10, 1024} {
		b.Run(fmt.Sprint(leaves), func(b *testing.B) {
			hashes := numberedLeaves(leaves)
			b.ReportAllocs()
			for b.Loop() {
				caps.NewTree(hashes)
			}
		})
	}
}

func BenchmarkVerifyChain(b *testing.B) {
	leaves := numberedLeaves(1024)
	tree := caps.NewTree(leaves)
	chain := tree.Chain(700)
	b.ReportAllocs()
	for b.Loop() {
		if err := caps.VerifyChain(tree.Root(), len(leaves), 700, leaves[700], chain); err != nil {
			b.Fatal(err)
		}
	}
}

// A file read from its beginning to its end, each leaf with what is still missing.
func BenchmarkPartialTree(b *testing.B) {
	leaves := numberedLeaves(1024)
	tree := caps.NewTree(leaves)
	b.ReportAllocs()
	for b.Loop() {
		p := caps.NewPartialTree(len(leaves), tree.Root())
		var nodes []caps.Node
		for i, h := range leaves {
			nodes = nodes[:0]
			for _, n := range p.Missing(i) {
				nodes = append(nodes, caps.Node{Number: n, Hash: tree[n]})
			}
			if err := p.Add(i, h, nodes); err != nil {
				b.Fatal(err)
			}
		}
	}
}

func BenchmarkParse(b *testing.B) {
	const text = "URI:CHK:qjkmgknjfbipnvjz3u3w6saw5y:euxrbsbwcdv4ugqftqf25asv5orpsw7e2hl3z6uj24sivawz6eiq:3:10:1000"
	b.ReportAllocs()
	for b.Loop() {
		if _, err := caps.Parse(text); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkParseAreaCode(b *testing.B) {
	text := caps.NewAreaCode(testKey(1)).String()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := caps.ParseAreaCode(text); err != nil {
			b.Fatal(err)
		}
	}
}
