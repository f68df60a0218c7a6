package longdistance_test

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"runtime"
	"testing"

	"trunkline/caps"
	"trunkline/grid/chk"
	"trunkline/grid/longdistance"
	"trunkline/grid/transfer"
)

// endless is a Source of one file that is made up as it is read: segment i is a
// pattern that follows from i. It keeps the hash tree only.
type endless struct {
	verify caps.CHKVerify
	ueb    *chk.UEB
	tree   caps.Tree
	block  []byte
}

func newEndless(t testing.TB, segment, count int) *endless {
	t.Helper()
	e := &endless{block: make([]byte, segment)}
	for i := range e.block {
		e.block[i] = byte(i * 7)
	}
	leaves := make([]caps.Hash, count)
	buf := make([]byte, segment)
	for i := range leaves {
		leaves[i] = caps.CrypttextSegmentHash(e.segment(i, buf))
	}
	e.tree = caps.NewTree(leaves)
	e.verify, e.ueb = newUEB(t, uint64(segment)*uint64(count), uint64(segment), e.tree.Root())
	return e
}

// newUEB makes a UEB around a ciphertext tree's root, by editing an encoder's.
func newUEB(t testing.TB, size, segment uint64, root caps.Hash) (caps.CHKVerify, *chk.UEB) {
	t.Helper()
	g, err := chk.FromSegmentSize(size, 1, 1, segment)
	must(t, err)
	raw := chkUEB(g, root)
	v := caps.CHKVerify{UEBHash: caps.UEBHash(raw), K: 1, N: 1, Size: size}
	u, err := chk.ParseUEB(raw, v)
	must(t, err)
	return v, u
}

// chkUEB writes a UEB as tahoe-formats 4.6 has it: fields in order of their
// names, each a netstring behind its name.
func chkUEB(g chk.Geometry, root caps.Hash) []byte {
	var b []byte
	add := func(key string, value []byte) {
		b = append(b, key...)
		b = append(b, ':')
		b = appendNumber(b, uint64(len(value)))
		b = append(b, ':')
		b = append(b, value...)
		b = append(b, ',')
	}
	number := func(n uint64) []byte { return appendNumber(nil, n) }
	params := func(n uint64) []byte { return append(appendNumber(nil, n), "-1-1"...) }
	zero := make([]byte, 32)
	add("codec_name", []byte("crs"))
	add("codec_params", params(g.SegmentSize))
	add("crypttext_hash", zero)
	add("crypttext_root_hash", root[:])
	add("needed_shares", number(1))
	add("num_segments", number(uint64(g.Segments)))
	add("segment_size", number(g.SegmentSize))
	add("share_root_hash", zero)
	add("size", number(g.Size))
	add("tail_codec_params", params(g.PaddedTail))
	add("total_shares", number(1))
	return b
}

func appendNumber(b []byte, n uint64) []byte {
	if n >= 10 {
		b = appendNumber(b, n/10)
	}
	return append(b, '0'+byte(n%10))
}

func (e *endless) segment(i int, buf []byte) []byte {
	copy(buf, e.block)
	binary.BigEndian.PutUint64(buf, uint64(i))
	return buf
}

func (e *endless) Open(context.Context, longdistance.Request) (longdistance.File, error) {
	return e, nil
}
func (e *endless) UEB() []byte            { return e.ueb.Raw }
func (e *endless) Geometry() chk.Geometry { return e.ueb.Geometry }
func (e *endless) Close() error           { return nil }

func (e *endless) Read(_ context.Context, first, count int, fn func(transfer.Segment) error) error {
	buf := make([]byte, len(e.block))
	for i := first; i < first+count; i++ {
		if err := fn(transfer.Segment{Index: i, Data: e.segment(i, buf), Chain: e.tree.Chain(i)}); err != nil {
			return err
		}
	}
	return nil
}

// Memory does not grow with the file: 192 MiB pass through both hops while the
// heap stays where it was after the first eighth of it.
func TestFlatMemory(t *testing.T) {
	const segment, count = 128 << 10, 1536
	w := newWorld(t)
	e := newEndless(t, segment, count)
	far := newWorld(t)
	contact := far.addPayee(e)
	onward := far.addPayer(nil, func(c *longdistance.PayerConfig, _ *approvals) { c.ReadAhead = 2 * mib })
	gateway := w.addPayee(&onwardSource{onward, contact.offer()})
	p := w.addPayer(nil, func(c *longdistance.PayerConfig, _ *approvals) { c.ReadAhead = 2 * mib })
	f, err := p.Open(t.Context(), longdistance.NewRoute(gateway.offer()), longdistance.Request{Cap: e.verify, Length: e.verify.Size})
	must(t, err)
	heap := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	var after, most uint64
	sum := sha256.New()
	must(t, f.Read(t.Context(), 0, count, func(s transfer.Segment) error {
		sum.Write(s.Data[:8])
		switch {
		case s.Index == count/8:
			after = heap()
		case s.Index%64 == 0:
			most = max(most, heap())
		}
		return nil
	}))
	must(t, f.Close())
	must(t, p.Close())
	must(t, onward.Close())
	if most > after+32*mib {
		t.Errorf("the heap grew from %d to %d bytes", after, most)
	}
	for _, y := range []*payee{contact, gateway} {
		if b, _ := y.vouched(); b != e.verify.Size {
			t.Errorf("vouchers for %d bytes of %d", b, e.verify.Size)
		}
	}
}
