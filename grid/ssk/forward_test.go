package ssk_test

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"

	"trunkline/caps"
	"trunkline/grid/ssk"
)

// sender has shares and hands on checked blocks of them.
type sender struct {
	sources []*source
	prover  *ssk.Prover
	nodes   int // of all proofs so far
}

func newSender(t testing.TB, v caps.MutableVerify, shares map[int][]byte, nums ...int) *sender {
	t.Helper()
	s := &sender{prover: ssk.NewProver()}
	for _, n := range nums {
		src, err := openSource(v, n, shares[n])
		if err != nil {
			t.Fatal(err)
		}
		s.sources = append(s.sources, src)
	}
	return s
}

func (s *sender) segment(t testing.TB, seg int) []ssk.Block {
	t.Helper()
	var blocks []ssk.Block
	for _, src := range s.sources {
		e, err := src.entry(seg)
		if err != nil {
			t.Fatal(err)
		}
		b, err := s.prover.Block(src.share, seg, e)
		if err != nil {
			t.Fatal(err)
		}
		s.nodes += len(b.Nodes)
		blocks = append(blocks, b)
	}
	return blocks
}

func TestForward(t *testing.T) {
	t.Parallel()
	keys := testKeys(t)
	for _, f := range []ssk.Format{ssk.SDMF, ssk.MDMF} {
		for _, size := range []int{1, 1000, 5*131073 + 7, 8 * 131073} {
			t.Run(fmt.Sprintf("%s-%d", f, size), func(t *testing.T) {
				t.Parallel()
				plain := pattern("forward", size)
				v := verifyCap(t, capOf(t, keys, f))
				shares, x := encode(t, ssk.EncoderConfig{Keys: keys, Format: f, Seq: 1, K: 3, N: 10}, plain)
				h := x.Head().Header
				d, err := ssk.NewDecoder(h, nil)
				if err != nil {
					t.Fatal(err)
				}
				for _, order := range [][]int{rand.New(rand.NewPCG(1, 2)).Perm(h.Segments()), ordered(h.Segments())} {
					s, far := newSender(t, v, shares, 1, 4, 9), ssk.NewReceiver(h)
					onward, farther := ssk.NewProver(), ssk.NewReceiver(h)
					got := make([]byte, size)
					for _, seg := range order {
						blocks := s.segment(t, seg)
						if err := far.Check(seg, blocks); err != nil {
							t.Fatal(err)
						}
						for i, b := range blocks { // and through one more pair of hands
							if blocks[i], err = onward.Block(far.Share(b.Num), seg, b.Entry); err != nil {
								t.Fatal(err)
							}
						}
						if err := farther.Check(seg, blocks); err != nil {
							t.Fatal(err)
						}
						crypttext, salt, err := d.Decode(seg, nil, blocks)
						if err != nil {
							t.Fatal(err)
						}
						ssk.Decrypt(keys.WriteKey().ReadKey(), salt, 0, got[h.SegmentOffset(seg):], crypttext)
					}
					if !bytes.Equal(got, plain) {
						t.Error("other contents came out")
					}
					// No node twice: the whole tree without its root, for each share.
					if most := 3 * (caps.TreeNodes(h.Segments()) - 1); s.nodes > most {
						t.Errorf("%d nodes sent, the trees have %d", s.nodes, most)
					}
				}
			})
		}
	}
}

func ordered(n int) []int {
	list := make([]int, n)
	for i := range list {
		list[i] = i
	}
	return list
}

// What lies in between is noticed, whatever it is.
func TestReceiverRefuses(t *testing.T) {
	t.Parallel()
	keys := testKeys(t)
	plain := pattern("lies", 3*131073)
	v := verifyCap(t, capOf(t, keys, ssk.MDMF))
	shares, x := encode(t, ssk.EncoderConfig{Keys: keys, Format: ssk.MDMF, Seq: 1, K: 3, N: 10}, plain)
	old, _ := encode(t, ssk.EncoderConfig{Keys: keys, Format: ssk.MDMF, Seq: 1, K: 3, N: 10}, plain)
	h := x.Head().Header
	other := newSender(t, v, old, 1, 4, 9).segment(t, 1)
	for name, c := range map[string]struct {
		change func(b []ssk.Block) []ssk.Block
		want   error
	}{
		"nothing":             {func(b []ssk.Block) []ssk.Block { return b }, nil},
		"few":                 {func(b []ssk.Block) []ssk.Block { return b[:2] }, ssk.ErrTooFew},
		"none":                {func([]ssk.Block) []ssk.Block { return nil }, ssk.ErrTooFew},
		"salt":                {func(b []ssk.Block) []ssk.Block { b[2].Entry = flip(b[2].Entry, 3, 1); return b }, ssk.ErrBlock},
		"block":               {func(b []ssk.Block) []ssk.Block { b[0].Entry = flip(b[0].Entry, 16, 1); return b }, ssk.ErrBlock},
		"short":               {func(b []ssk.Block) []ssk.Block { b[0].Entry = b[0].Entry[1:]; return b }, ssk.ErrBlock},
		"empty":               {func(b []ssk.Block) []ssk.Block { b[0].Entry = nil; return b }, ssk.ErrBlock},
		"node":                {func(b []ssk.Block) []ssk.Block { b[1].Nodes[0].Hash[0]++; return b }, ssk.ErrBlock},
		"node number":         {func(b []ssk.Block) []ssk.Block { b[1].Nodes[0].Number = -1; return b }, ssk.ErrBlock},
		"no nodes":            {func(b []ssk.Block) []ssk.Block { b[1].Nodes = nil; return b }, ssk.ErrBlock},
		"root":                {func(b []ssk.Block) []ssk.Block { b[1].Root[0]++; return b }, ssk.ErrShareChain},
		"chain":               {func(b []ssk.Block) []ssk.Block { b[1].Chain[0].Hash[0]++; return b }, ssk.ErrShareChain},
		"no chain":            {func(b []ssk.Block) []ssk.Block { b[1].Chain = nil; return b }, ssk.ErrShareChain},
		"not first":           {func(b []ssk.Block) []ssk.Block { b[1].First = false; return b }, ssk.ErrShareChain},
		"number":              {func(b []ssk.Block) []ssk.Block { b[1].Num = 5; return b }, ssk.ErrShareChain},
		"number out of range": {func(b []ssk.Block) []ssk.Block { b[1].Num = 10; return b }, ssk.ErrNoSegment},
		"negative number":     {func(b []ssk.Block) []ssk.Block { b[1].Num = -1; return b }, ssk.ErrNoSegment},
		"another version":     {func([]ssk.Block) []ssk.Block { return other }, ssk.ErrShareChain},
	} {
		r := ssk.NewReceiver(h)
		if err := r.Check(1, c.change(newSender(t, v, shares, 1, 4, 9).segment(t, 1))); !errors.Is(err, c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := ssk.NewReceiver(h).Check(0, newSender(t, v, shares, 1, 4, 9).segment(t, 1)); !errors.Is(err, ssk.ErrBlock) {
		t.Errorf("another segment: %v", err)
	}
	if err := ssk.NewReceiver(h).Check(3, newSender(t, v, shares, 1, 4, 9).segment(t, 1)); !errors.Is(err, ssk.ErrNoSegment) {
		t.Errorf("no segment: %v", err)
	}
}

// The same share k times does not make a segment.
func TestDecoderRefuses(t *testing.T) {
	t.Parallel()
	keys := testKeys(t)
	v := verifyCap(t, capOf(t, keys, ssk.MDMF))
	shares, x := encode(t, ssk.EncoderConfig{Keys: keys, Format: ssk.MDMF, Seq: 1, K: 3, N: 10}, pattern("decode", 5000))
	d, err := ssk.NewDecoder(x.Head().Header, nil)
	if err != nil {
		t.Fatal(err)
	}
	good := func() []ssk.Block { return newSender(t, v, shares, 2, 3, 4).segment(t, 0) }
	for name, c := range map[string]struct {
		blocks []ssk.Block
		want   error
	}{
		"good":     {good(), nil},
		"twice":    {append(good()[:2], good()[1]), ssk.ErrBlocks},
		"few":      {good()[:2], ssk.ErrTooFew},
		"short":    {append(good()[:2], ssk.Block{Num: 9, Entry: make([]byte, 5)}), ssk.ErrBlocks},
		"number":   {append(good()[:2], ssk.Block{Num: 10, Entry: good()[0].Entry}), ssk.ErrBlocks},
		"negative": {append(good()[:2], ssk.Block{Num: -1, Entry: good()[0].Entry}), ssk.ErrBlocks},
		"salts":    {append(good()[:2], ssk.Block{Num: 9, Entry: flip(good()[2].Entry, 0, 1)}), ssk.ErrInconsistent},
	} {
		if _, _, err := d.Decode(0, nil, c.blocks); !errors.Is(err, c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, _, err := d.Decode(1, nil, good()); !errors.Is(err, ssk.ErrNoSegment) {
		t.Errorf("no segment: %v", err)
	}
	if _, _, err := d.Decode(0, make([]byte, 10), good()); !errors.Is(err, ssk.ErrBlocks) {
		t.Errorf("small buffer: %v", err)
	}
}
