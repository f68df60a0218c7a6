package chk_test

import (
	"bytes"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"trunkline/caps"
	"trunkline/grid/chk"
	"trunkline/grid/fec"
)

// Each benchmark also reports CPU seconds per GB of plaintext over all cores, the figure that floors are given in:
// 1.2 for a verified download, 3.7 for a 3-of-10 upload of which 0.55 are the convergence key.

func cpu() time.Duration {
	var r syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &r); err != nil {
		return 0
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}

// perGB runs the loop and reports its CPU time. bytes is the plaintext handled by one round.
func perGB(b *testing.B, bytes int, round func()) {
	b.SetBytes(int64(bytes))
	b.ReportAllocs()
	start := cpu()
	for b.Loop() {
		round()
	}
	spent := cpu() - start
	b.ReportMetric(spent.Seconds()*1e9/float64(b.N)/float64(bytes), "CPU-s/GB")
}

var shapes = []struct {
	k, n    int
	segment uint64
}{{3, 10, 128 << 10}, {3, 10, 1 << 20}, {16, 32, 1 << 20}, {1, 1, 1 << 20}}

// benchSize is a whole number of no segment size: tails are part of the work.
const benchSize = 32<<20 + 12345

func BenchmarkConvergenceKey(b *testing.B) {
	plain := make([]byte, benchSize)
	g := geometry(b, len(plain), 3, 10, 0)
	perGB(b, len(plain), func() {
		if _, err := chk.ConvergenceKey(nil, g, bytes.NewReader(plain)); err != nil {
			b.Fatal(err)
		}
	})
}

func BenchmarkEncode(b *testing.B) {
	for _, s := range shapes {
		for _, workers := range []int{1, runtime.NumCPU()} {
			b.Run(fmt.Sprintf("%d-of-%d/%dKiB/workers=%d", s.k, s.n, s.segment>>10, workers), func(b *testing.B) {
				plain := make([]byte, benchSize)
				g := geometry(b, len(plain), s.k, s.n, s.segment)
				code, err := fec.New(s.k, s.n)
				if err != nil {
					b.Fatal(err)
				}
				cfg := chk.EncoderConfig{Key: caps.NewReadKey([16]byte{1}), Geometry: g, Code: code}
				perGB(b, len(plain), func() { encodeAll(b, cfg, plain, workers) })
			})
		}
	}
}

// encodeAll encodes and drops the blocks.
func encodeAll(b *testing.B, cfg chk.EncoderConfig, plain []byte, workers int) {
	e, err := chk.NewEncoder(cfg)
	if err != nil {
		b.Fatal(err)
	}
	src := bytes.NewReader(plain)
	side(workers, cfg.Geometry.Segments, func(seg int) {
		blocks, err := e.EncodeFrom(seg, src)
		if err != nil {
			b.Error(err)
			return
		}
		blocks.Release()
	})
	x, err := e.Finish()
	if err != nil {
		b.Fatal(err)
	}
	for i := range cfg.Geometry.N {
		x.Trailer(i)
	}
}

// side runs 0..count-1 in order on so many goroutines.
func side(workers, count int, do func(int)) {
	var next atomic.Int64
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			for i := int(next.Add(1)) - 1; i < count; i = int(next.Add(1)) - 1 {
				do(i)
			}
		})
	}
	wg.Wait()
}

// BenchmarkDownload is everything a download computes: block hashes, decoding, segment hashes, decryption. Trees are
// learned whole at the start. Primary blocks arrive in place, as they do from a socket.
func BenchmarkDownload(b *testing.B) {
	for _, s := range shapes {
		for _, from := range []string{"primaries", "parity"} {
			if from == "parity" && s.n < 2*s.k {
				continue
			}
			for _, workers := range []int{1, runtime.NumCPU()} {
				b.Run(fmt.Sprintf("%d-of-%d/%dKiB/%s/workers=%d", s.k, s.n, s.segment>>10, from, workers), func(b *testing.B) {
					plain := make([]byte, benchSize)
					f := encode(b, chk.EncoderConfig{Key: caps.NewReadKey([16]byte{1}), Geometry: geometry(b, len(plain), s.k, s.n, s.segment)}, plain)
					first := 0
					if from == "parity" {
						first = s.k
					}
					perGB(b, len(plain), func() { download(b, f, first, workers) })
				})
			}
		}
	}
}

func download(b *testing.B, f file, first, workers int) {
	r := newReader(f.cap.Verify(), map[int][]byte{})
	g := f.geo
	sources := make([]*source, g.K)
	var u *chk.UEB
	for i := range sources {
		r.shares[first+i] = f.shares[first+i]
		var err error
		if sources[i], u, err = r.open(first + i); err != nil {
			b.Fatal(err)
		}
		if err := sources[i].share.Learn(chk.Nodes(0, sources[i].data[f.layout.BlockTree:f.layout.ShareChain])); err != nil {
			b.Fatal(err)
		}
	}
	tree := chk.NewCrypttextTree(u)
	if err := tree.Learn(chk.Nodes(0, sources[0].data[f.layout.CrypttextTree:f.layout.BlockTree])); err != nil {
		b.Fatal(err)
	}
	d, err := chk.NewDecoder(g, nil)
	if err != nil {
		b.Fatal(err)
	}
	stream := chk.NewStream(f.cap.Key())
	var pool sync.Pool
	side(workers, g.Segments, func(seg int) {
		buf, _ := pool.Get().([]byte)
		if buf == nil {
			buf = make([]byte, g.SegmentSize)
		}
		defer pool.Put(buf) //nolint:staticcheck // one header a segment
		blocks := make([]chk.Block, g.K)
		for i, s := range sources {
			at, n := f.layout.BlockRange(g, seg, 1)
			block := s.data[at : at+n]
			if s.share.Num() < g.K {
				block = g.Piece(buf, seg, s.share.Num())
				copy(block, s.data[at:]) // stands for the socket; 2 % of the work
			}
			if err := s.share.CheckBlock(seg, block, nil); err != nil {
				b.Error(err)
			}
			blocks[i] = chk.Block{Num: s.share.Num(), Data: block}
		}
		segment, err := d.Decode(seg, buf, blocks)
		if err != nil {
			b.Error(err)
			return
		}
		if err := tree.Check(seg, segment, nil); err != nil {
			b.Error(err)
		}
		stream.XOR(segment, segment, g.SegmentOffset(seg))
	})
}

func BenchmarkVerifyShare(b *testing.B) {
	for _, s := range shapes[:2] {
		b.Run(fmt.Sprintf("%d-of-%d/%dKiB", s.k, s.n, s.segment>>10), func(b *testing.B) {
			plain := make([]byte, benchSize)
			f := encode(b, chk.EncoderConfig{Geometry: geometry(b, len(plain), s.k, s.n, s.segment)}, plain)
			perGB(b, len(f.shares[0]), func() {
				if err := verify(f, 0, f.shares[0]); err != nil {
					b.Fatal(err)
				}
			})
		})
	}
}

// BenchmarkSegmentChain is what a payer does for each segment that a contact point sends: hash and fold the chain.
func BenchmarkSegmentChain(b *testing.B) {
	for _, s := range shapes[:2] {
		b.Run(fmt.Sprintf("%dKiB", s.segment>>10), func(b *testing.B) {
			plain := make([]byte, benchSize)
			f := encode(b, chk.EncoderConfig{Geometry: geometry(b, len(plain), s.k, s.n, s.segment)}, plain)
			r := newReader(f.cap.Verify(), f.subset(0, 1, 2))
			crypttext, err := r.read()
			if err != nil {
				b.Fatal(err)
			}
			_, u, err := r.open(0)
			if err != nil {
				b.Fatal(err)
			}
			whole := chk.NewCrypttextTree(u)
			if err := whole.Learn(chk.Nodes(0, f.shares[0][f.layout.CrypttextTree:f.layout.BlockTree])); err != nil {
				b.Fatal(err)
			}
			chains := make([][]caps.Node, f.geo.Segments)
			for seg := range chains {
				if chains[seg], err = whole.Chain(seg); err != nil {
					b.Fatal(err)
				}
			}
			perGB(b, len(plain), func() {
				tree := chk.NewCrypttextTree(u)
				for seg, chain := range chains {
					at := f.geo.SegmentOffset(seg)
					if err := tree.Check(seg, crypttext[at:at+uint64(f.geo.SegmentLen(seg))], chain); err != nil {
						b.Fatal(err)
					}
				}
			})
		})
	}
}

// BenchmarkTrees is the hash trees of a 1 GiB file alone.
func BenchmarkTrees(b *testing.B) {
	for _, leaves := range []int{1024, 8192} {
		hashes := make([]caps.Hash, leaves)
		b.Run(fmt.Sprintf("build/%d", leaves), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				caps.NewTree(hashes)
			}
		})
		tree := caps.NewTree(hashes)
		b.Run(fmt.Sprintf("learn/%d", leaves), func(b *testing.B) {
			b.ReportAllocs()
			nodes := make([]caps.Node, len(tree))
			for i, h := range tree {
				nodes[i] = caps.Node{Number: i, Hash: h}
			}
			for b.Loop() {
				if err := caps.NewPartialTree(leaves, tree.Root()).Add(0, hashes[0], nodes); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
