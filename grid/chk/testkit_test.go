package chk_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync"
	"testing"

	"trunkline/caps"
	"trunkline/grid/chk"
	"trunkline/grid/fec"
)

// plaintextOf is the manifest's recipe sha256-counter: SHA-256(seed ‖ u64(i)) for i = 0, 1, …, cut to length.
func plaintextOf(seed string, length int) []byte {
	out := make([]byte, 0, length+sha256.Size)
	for i := uint64(0); len(out) < length; i++ {
		sum := sha256.Sum256(binary.BigEndian.AppendUint64([]byte(seed), i))
		out = append(out, sum[:]...)
	}
	return out[:length]
}

// file is an encoded file with all its shares in memory.
type file struct {
	cap    caps.CHKRead
	geo    chk.Geometry
	layout chk.Layout
	shares [][]byte
}

func geometry(t testing.TB, size, k, n int, maxSegment uint64) chk.Geometry {
	t.Helper()
	g, err := chk.NewGeometry(uint64(size), k, n, maxSegment)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// encode makes all shares of a plaintext, four segments at a time.
func encode(t testing.TB, cfg chk.EncoderConfig, plaintext []byte) file {
	t.Helper()
	e, err := chk.NewEncoder(cfg)
	if err != nil {
		t.Fatal(err)
	}
	g, l := cfg.Geometry, e.Layout()
	shares := make([][]byte, g.N)
	for i := range shares {
		shares[i] = make([]byte, e.ShareLen())
		copy(shares[i], e.Header())
	}
	var wg sync.WaitGroup
	next := make(chan int)
	for range 4 {
		wg.Go(func() {
			for seg := range next {
				at := g.SegmentOffset(seg)
				b, err := e.EncodeSegment(seg, plaintext[at:at+uint64(g.SegmentLen(seg))])
				if err != nil {
					t.Error(err)
					continue
				}
				for i, block := range b.Data {
					at, _ := l.BlockRange(g, seg, 1)
					copy(shares[i][at:], block)
				}
				b.Release()
			}
		})
	}
	for seg := range g.Segments {
		next <- seg
	}
	close(next)
	wg.Wait()
	x, err := e.Finish()
	if err != nil {
		t.Fatal(err)
	}
	for i := range shares {
		trailer := x.Trailer(i)
		if uint64(len(trailer)) != e.ShareLen()-l.PlaintextTree {
			t.Fatalf("trailer of %d bytes at %d in a share of %d", len(trailer), l.PlaintextTree, e.ShareLen())
		}
		copy(shares[i][l.PlaintextTree:], trailer)
	}
	return file{x.Cap, g, l, shares}
}

// convergent encodes with the key that the secret gives.
func convergent(t testing.TB, secret []byte, g chk.Geometry, version int, plaintext []byte) file {
	t.Helper()
	key, err := chk.ConvergenceKey(secret, g, bytes.NewReader(plaintext))
	if err != nil {
		t.Fatal(err)
	}
	return encode(t, chk.EncoderConfig{Key: key, Geometry: g, LayoutVersion: version}, plaintext)
}

// reader is a download engine reduced to its decisions: it takes what it needs from the shares it is given, drops a
// share at its first lie, and releases a segment only when it is verified.
type reader struct {
	v      caps.CHKVerify
	shares map[int][]byte
	blame  map[int]error // why a share was dropped
	ueb    *chk.UEB      // the first good one
	code   *fec.Code     // nil: made anew
}

func newReader(v caps.CHKVerify, shares map[int][]byte) *reader {
	return &reader{v: v, shares: shares, blame: map[int]error{}}
}

// source is a share that has passed so far.
type source struct {
	data  []byte
	l     chk.Layout
	share *chk.Share
}

// open checks what a share says about the whole file.
func (r *reader) open(num int) (*source, *chk.UEB, error) {
	data := r.shares[num]
	l, err := chk.ParseLayout(data[:min(len(data), chk.HeaderMax)], uint64(len(data)))
	if err != nil {
		return nil, nil, err
	}
	chain, raw, err := l.SplitTail(data[l.ShareChain:])
	if err != nil {
		return nil, nil, err
	}
	u := r.ueb
	if u == nil || !bytes.Equal(raw, u.Raw) {
		if u, err = chk.ParseUEB(raw, r.v); err != nil {
			return nil, nil, err
		}
		r.ueb = u
	}
	if err := l.Fit(u.Geometry); err != nil {
		return nil, nil, err
	}
	share, err := chk.NewShare(u, num, chain)
	return &source{data, l, share}, u, err
}

// errNoShares: the reader ran out of good shares.
var errNoShares = errors.New("not enough good shares")

// read returns the verified ciphertext: all of it, or the segments before the one that failed.
func (r *reader) read() ([]byte, error) {
	sources := map[int]*source{}
	var u *chk.UEB
	for num := range 256 {
		if _, ok := r.shares[num]; !ok {
			continue
		}
		s, ueb, err := r.open(num)
		if err != nil {
			r.blame[num] = err
			continue
		}
		sources[num], u = s, ueb
	}
	if u == nil {
		return nil, errNoShares
	}
	g := u.Geometry
	d, err := chk.NewDecoder(g, r.code)
	if err != nil {
		return nil, err
	}
	crypttext := chk.NewCrypttextTree(u)
	var out []byte
	for seg := range g.Segments {
		segment, err := r.segment(g, d, crypttext, sources, seg)
		if err != nil {
			return out, err
		}
		out = append(out, segment...)
	}
	return out, nil
}

func (r *reader) segment(g chk.Geometry, d *chk.Decoder, tree *chk.CrypttextTree, sources map[int]*source, seg int) ([]byte, error) {
	buf := make([]byte, g.PaddedLen(seg))
	var blocks []chk.Block
	for num := 0; num < g.N && len(blocks) < g.K; num++ {
		s := sources[num]
		if s == nil {
			continue
		}
		at, n := s.l.BlockRange(g, seg, 1)
		block := s.data[at : at+n]
		if num < g.K && num%2 == 0 { // some arrive where they belong, some elsewhere
			block = g.Piece(buf, seg, num)
			copy(block, s.data[at:])
		}
		if err := s.share.CheckBlock(seg, block, nodes(s.data, s.l.BlockTreeNode, s.share.Missing(seg))); err != nil {
			r.blame[num] = err
			delete(sources, num)
			continue
		}
		blocks = append(blocks, chk.Block{Num: num, Data: block})
	}
	if len(blocks) < g.K {
		return nil, errNoShares
	}
	segment, err := d.Decode(seg, buf, blocks)
	if err != nil {
		return nil, err
	}
	for num := range g.N {
		s := sources[num]
		if s == nil {
			continue
		}
		if err = tree.Check(seg, segment, nodes(s.data, s.l.CrypttextTreeNode, tree.Missing(seg))); err == nil {
			return segment, nil
		}
		r.blame[num] = err
	}
	return nil, err
}

func nodes(share []byte, at func(int) uint64, numbers []int) []caps.Node {
	var out []caps.Node
	for _, n := range numbers {
		out = append(out, chk.Nodes(n, share[at(n):at(n)+32])...)
	}
	return out
}

// subset picks shares by number.
func (f file) subset(nums ...int) map[int][]byte {
	out := map[int][]byte{}
	for _, n := range nums {
		out[n] = f.shares[n]
	}
	return out
}

// plaintext reads, decrypts and returns the file from some of its shares.
func plaintext(t testing.TB, c caps.CHKRead, shares map[int][]byte) []byte {
	t.Helper()
	r := newReader(c.Verify(), shares)
	out, err := r.read()
	if err != nil || len(r.blame) > 0 {
		t.Fatalf("reading: %v, blamed %v", err, r.blame)
	}
	chk.Decrypt(c.Key(), 0, out)
	return out
}

func verify(f file, num int, share []byte) error {
	return chk.VerifyShare(bytes.NewReader(share), uint64(len(share)), f.cap.Verify(), num)
}

// short is a reader that ends before it should.
type short struct{ io.ReaderAt }

func (s short) ReadAt(p []byte, off int64) (int, error) {
	n, _ := s.ReaderAt.ReadAt(p[:len(p)/2], off)
	return n, io.EOF
}

func name(k, n, size int) string { return fmt.Sprintf("%d-of-%d/%d", k, n, size) }
