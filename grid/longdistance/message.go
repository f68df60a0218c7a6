package longdistance

import (
	"fmt"
	"math"
	"math/bits"
	"time"

	"google.golang.org/protobuf/proto"

	"trunkline/billing"
	"trunkline/caps"
	"trunkline/grid/chk"
	"trunkline/grid/longdistance/pb"
	"trunkline/grid/ssk"
	"trunkline/p2p"
)

const (
	// maxMessage is the most bytes of one message, without its data.
	maxMessage = 8 << 10
	// maxSegment is the largest segment, in bytes: chk's, which is rounded up
	// to a multiple of k.
	maxSegment = chk.MaxSegment + 256
)

// Protocol is the metered range protocol.
var Protocol = p2p.Protocol{ID: "/trunkline/range/1", MaxStreamsPerPeer: 256}

// Stream is what this package needs of a stream. A *p2p.Stream is one, and its
// promises hold: one goroutine may receive while another sends, each step has
// a deadline, and sizes are bounded before anything is allocated.
type Stream interface {
	Remote() caps.PublicKey
	Send(m proto.Message) error
	SendData(m proto.Message, data []byte) error
	Receive(m proto.Message, maxBytes int) error
	ReadData(buf []byte) error
	SetStepTimeout(d time.Duration)
	Close() error
	Reset()
}

var _ Stream = (*p2p.Stream)(nil)

// lock is held by who sends on a stream. It is a channel because who waits for
// it waits for the peer: a wait that tests in virtual time must be able to see.
type lock chan struct{}

func newLock() lock  { return make(lock, 1) }
func (l lock) take() { l <- struct{}{} }
func (l lock) give() { <-l }

// requestMessage is r on the wire. It never carries Payer.
func requestMessage(r Request) *pb.FromPayer {
	areas := make([][]byte, len(r.Areas))
	for i, a := range r.Areas {
		areas[i] = areaBytes(a)
	}
	m := &pb.Request{
		Areas:      areas,
		Offset:     r.Offset,
		Length:     r.Length,
		MaxCredits: int64(r.MaxCredits),
		PatienceMs: uint32(r.patience() / time.Millisecond), //nolint:gosec // Validate: at most MaxPatience
	}
	if w := r.Mutable; w != nil {
		m.StorageIndex = w.Cap.StorageIndex[:]
		m.Mutable = &pb.Mutable{Fingerprint: w.Cap.Fingerprint[:], Mdmf: w.Cap.MDMF, LeastSeq: w.LeastSeq}
		if w.Version != (ssk.Header{}) {
			m.Mutable.Version = w.Version.Prefix()
		}
	} else {
		m.StorageIndex, m.UebHash = r.Cap.StorageIndex[:], r.Cap.UEBHash[:]
		m.K, m.N, m.Size = uint32(r.Cap.K), uint32(r.Cap.N), r.Cap.Size //nolint:gosec // Validate: at most 256
	}
	return &pb.FromPayer{Message: &pb.FromPayer_Request{Request: m}}
}

// parseRequest is the other direction. Its errors match p2p.ErrMalformed.
func parseRequest(m *pb.Request, payer caps.PublicKey) (Request, error) {
	r := Request{
		Offset:     m.GetOffset(),
		Length:     m.GetLength(),
		MaxCredits: billing.Credits(m.GetMaxCredits()),
		Patience:   time.Duration(m.GetPatienceMs()) * time.Millisecond,
		Payer:      payer,
	}
	if len(m.GetAreas()) > MaxAreas {
		return Request{}, fmt.Errorf("a request names %d areas, at most %d are allowed: %w", len(m.GetAreas()), MaxAreas, p2p.ErrMalformed)
	}
	for _, b := range m.GetAreas() {
		a, err := parseArea(b)
		if err != nil {
			return Request{}, err
		}
		r.Areas = append(r.Areas, a)
	}
	if err := r.parseFile(m); err != nil {
		return Request{}, err
	}
	return r, r.Validate()
}

// parseFile takes what names the file.
func (r *Request) parseFile(m *pb.Request) error {
	hash := m.GetUebHash()
	if m.GetMutable() != nil {
		if len(hash) > 0 || m.GetK() > 0 || m.GetN() > 0 || m.GetSize() > 0 {
			return fmt.Errorf("a request for two files: %w", p2p.ErrMalformed)
		}
		hash = m.GetMutable().GetFingerprint()
	}
	if len(m.GetStorageIndex()) != len(r.Cap.StorageIndex) || len(hash) != len(r.Cap.UEBHash) {
		return fmt.Errorf("a storage index of %d bytes and a hash of %d: %w", len(m.GetStorageIndex()), len(hash), p2p.ErrMalformed)
	}
	if m.GetMutable() != nil {
		w := &Wish{
			Cap:      caps.MutableVerify{StorageIndex: caps.StorageIndex(m.GetStorageIndex()), Fingerprint: caps.Hash(hash), MDMF: m.GetMutable().GetMdmf()},
			LeastSeq: m.GetMutable().GetLeastSeq(),
		}
		if version := m.GetMutable().GetVersion(); len(version) > 0 {
			h, err := ssk.ParseHeader(version)
			if err != nil || len(version) != len(h.Prefix()) {
				return fmt.Errorf("a request for an impossible version: %w", p2p.ErrMalformed)
			}
			w.Version = h
		}
		r.Mutable = w
		return nil
	}
	if m.GetK() > math.MaxUint16 || m.GetN() > math.MaxUint16 {
		return fmt.Errorf("%d-of-%d shares: %w", m.GetK(), m.GetN(), p2p.ErrMalformed)
	}
	copy(r.Cap.StorageIndex[:], m.GetStorageIndex())
	copy(r.Cap.UEBHash[:], hash)
	r.Cap.K, r.Cap.N, r.Cap.Size = int(m.GetK()), int(m.GetN()), m.GetSize()
	return nil
}

// areaBytes is an area code on the wire; the zero one is empty.
func areaBytes(a caps.AreaCode) []byte {
	if a.IsZero() {
		return nil
	}
	return a.Key().Bytes()
}

func parseArea(b []byte) (caps.AreaCode, error) {
	key, err := caps.ParsePublicKey(b)
	if err != nil {
		return caps.AreaCode{}, fmt.Errorf("area code: %w: %w", err, p2p.ErrMalformed)
	}
	return caps.NewAreaCode(key), nil
}

// heightOf is how high above the leaves node stands in a tree that is depth
// levels high.
func heightOf(node, depth int) int { return depth - (bits.Len(uint(node)+1) - 1) }

// depthOf is how many levels stand above the leaves of a tree.
func depthOf(leaves int) int { return bits.Len(uint(caps.TreeWidth(leaves))) - 1 }

// freshHeights is how many sibling hashes, from the leaf upwards, the other
// side still lacks for segment i of a request that began at first: all of them
// at the start, later those below the height where the way from leaf i meets
// the way from leaf i-1.
func freshHeights(first, i, depth int) int {
	if i == first {
		return depth
	}
	return min(bits.TrailingZeros(uint(i)), depth)
}

// freshChain picks from a whole chain the hashes that the other side lacks,
// bottom up. It is nil if the chain is not whole.
func freshChain(chain []caps.Node, first, i, leaves int) []byte {
	depth := depthOf(leaves)
	fresh := freshHeights(first, i, depth)
	b := make([]byte, fresh*len(caps.Hash{}))
	have := 0
	for _, n := range chain {
		h := heightOf(n.Number, depth)
		if h >= fresh || n.Number != siblingAt(i, h, depth) {
			continue
		}
		copy(b[h*len(n.Hash):], n.Hash[:])
		have++
	}
	if have != fresh {
		return nil
	}
	return b
}

// siblingAt is the number of the sibling, at a height, of the way from leaf i
// to the root.
func siblingAt(i, height, depth int) int {
	return (1<<(depth-height) - 1) + ((i >> height) ^ 1)
}

// parseChain numbers the hashes of a Segment. Its errors match
// p2p.ErrMalformed.
func parseChain(b []byte, first, i, leaves int) ([]caps.Node, error) {
	depth := depthOf(leaves)
	fresh := freshHeights(first, i, depth)
	if len(b) != fresh*len(caps.Hash{}) {
		return nil, fmt.Errorf("segment %d comes with %d bytes of hashes, not %d: %w", i, len(b), fresh*len(caps.Hash{}), p2p.ErrMalformed)
	}
	nodes := make([]caps.Node, fresh)
	for h := range nodes {
		nodes[h].Number = siblingAt(i, h, depth)
		copy(nodes[h].Hash[:], b[h*len(caps.Hash{}):])
	}
	return nodes, nil
}

// endMessage is the answer that ends or refuses a request.
func endMessage(err error) *pb.FromPayee {
	return &pb.FromPayee{Message: &pb.FromPayee_End{End: &pb.End{Failure: p2p.Failure(err)}}}
}
