package longdistance

import (
	"fmt"
	"sync"

	"trunkline/caps"
	"trunkline/grid/chk"
	"trunkline/grid/longdistance/pb"
	"trunkline/grid/transfer"
	"trunkline/p2p"
)

// freshTreeEvery is after how many segments a verifier starts over with an empty
// tree, so that its memory does not grow with the file.
const freshTreeEvery = 4096

// verifier checks the segments of an immutable file. It is a checker.
type verifier struct {
	ueb   *chk.UEB
	first int // where the request began
	tree  *caps.PartialTree
	added int
}

func newVerifier(u *chk.UEB, first int) *verifier {
	return &verifier{ueb: u, first: first, tree: caps.NewPartialTree(u.Geometry.Segments, u.CrypttextRoot)}
}

func (v *verifier) expect(i int, m *pb.FromPayee) (int, error) {
	s, n := m.GetSegment(), v.ueb.Geometry.SegmentLen(i)
	if s == nil || s.GetIndex() != uint64(i) || uint64(s.GetLength()) != uint64(n) { //nolint:gosec // neither is negative
		return 0, fmt.Errorf("segment %d was due: %w", i, ErrOrder)
	}
	return n, nil
}

// check verifies segment i and finds its whole chain, for the next hop.
func (v *verifier) check(i int, m *pb.FromPayee, data []byte) (piece, error) {
	leaves := v.ueb.Geometry.Segments
	nodes, err := parseChain(m.GetSegment().GetChain(), v.first, i, leaves)
	if err != nil {
		return piece{}, err
	}
	h := caps.CrypttextSegmentHash(data)
	if err := v.tree.Add(i, h, nodes); err != nil {
		return piece{}, fmt.Errorf("segment %d: %w: %w", i, ErrProof, err)
	}
	chain, err := v.tree.Chain(i)
	if err != nil {
		return piece{}, fmt.Errorf("segment %d: %w: %w", i, p2p.ErrInternal, err)
	}
	if v.added++; v.added%freshTreeEvery == 0 {
		v.tree = caps.NewPartialTree(leaves, v.ueb.CrypttextRoot)
		if err := v.tree.Add(i, h, chain); err != nil {
			return piece{}, fmt.Errorf("segment %d: %w: %w", i, p2p.ErrInternal, err)
		}
	}
	return piece{segment: transfer.Segment{Index: i, Data: data, Chain: chain}}, nil
}

// buffers lends buffers for segments. The zero value is ready.
type buffers struct{ pool sync.Pool }

// get returns a buffer of n bytes.
func (b *buffers) get(n int) *[]byte {
	if p, ok := b.pool.Get().(*[]byte); ok {
		if cap(*p) >= n {
			*p = (*p)[:n]
			return p
		}
	}
	buf := make([]byte, n)
	return &buf
}

func (b *buffers) put(p *[]byte) { b.pool.Put(p) }
