package longdistance

import (
	"context"
	"fmt"

	"trunkline/caps"
	"trunkline/grid/chk"
	"trunkline/grid/longdistance/pb"
	"trunkline/grid/transfer"
	"trunkline/p2p"
)

// subject is what a request reads: one immutable file, or one version of a
// mutable one, whose description is proven. Immutable itself.
type subject interface {
	// segments is how many there are.
	segments() int
	// cover are the fewest segments that hold a range, none if length is 0 or
	// the range begins behind the end.
	cover(offset, length uint64) (first, count int)
	// span is the range that some segments hold.
	span(first, count int) (offset, length uint64)
	// billed is how many bytes of segment i count.
	billed(i int) int
	// largest is about how much memory one segment takes, in bytes.
	largest() int64
	// checker checks the segments of one request that begins at first.
	checker(first int) checker
}

// checker checks the segments of one request, in order, each once.
type checker interface {
	// expect says how many bytes follow m, which has to be the head of segment
	// i. Nothing has been allocated for them.
	expect(i int, m *pb.FromPayee) (int, error)
	// check verifies what followed.
	check(i int, m *pb.FromPayee, data []byte) (piece, error)
}

// piece is one verified segment on its way to the reader: of the two one is set.
type piece struct {
	segment transfer.Segment
	blocks  Blocks
	buf     *[]byte
}

// served is a subject at a payee, open for reading.
type served interface {
	subject
	// begin announces what follows.
	begin(first, count int) *pb.Begin
	// read makes the frames of some segments, in order. What fn gets is valid
	// until it returns; its error ends the read.
	read(ctx context.Context, first, count int, fn func(i int, m *pb.FromPayee, data []byte) error) error
	Close() error
}

// bill is how many bytes of some segments count. It does not matter if it is too
// large for the numbers there are: nobody could pay it.
func bill(s subject, first, count int) uint64 {
	if count == 0 {
		return 0
	}
	// All but the last are alike.
	return uint64(count-1)*uint64(s.billed(first)) + uint64(s.billed(first+count-1)) //nolint:gosec // never negative
}

// shown is what a Begin describes, verified. unfit says why it is not a version
// that was asked for: the payee sends none of it.
func (r Request) shown(b *pb.Begin) (about subject, unfit, err error) {
	if r.Mutable == nil {
		about, err = openFixed(b.GetUeb(), r.Cap)
		return about, nil, err
	}
	v, err := openChanging(b, r.Mutable.Cap)
	if err != nil {
		return nil, nil, err
	}
	if unfit = r.Mutable.fits(v.Header); unfit == nil && v.PaddedLen(0) > maxSegment {
		return nil, nil, tooLarge(v.PaddedLen(0))
	}
	return v, unfit, nil
}

// tooLarge says that a segment cannot be sent.
func tooLarge(n int) error {
	return fmt.Errorf("the file is in segments of %d bytes, and at most %d can be sent at a time; store it as MDMF: %w", n, maxSegment, p2p.ErrTooLarge)
}

// fixed is an immutable file.
type fixed struct {
	chk.Geometry
	ueb *chk.UEB // at a payer
}

// openFixed checks a description against the cap.
func openFixed(raw []byte, v caps.CHKVerify) (fixed, error) {
	// The cap's hash first: nothing that the block says counts before.
	ueb, err := chk.ParseUEB(raw, v)
	if err != nil {
		return fixed{}, fmt.Errorf("%w: %w", ErrProof, err)
	}
	return fixed{ueb.Geometry, ueb}, nil
}

func (f fixed) segments() int                                  { return f.Segments }
func (f fixed) cover(offset, length uint64) (first, count int) { return f.Cover(offset, length) }
func (f fixed) billed(i int) int                               { return f.SegmentLen(i) }
func (f fixed) largest() int64                                 { return int64(min(f.SegmentSize, f.Size)) } //nolint:gosec // at most maxSegment
func (f fixed) checker(first int) checker                      { return newVerifier(f.ueb, first) }

func (f fixed) span(first, count int) (offset, length uint64) {
	offset = f.SegmentOffset(first)
	if count == 0 {
		return offset, 0
	}
	return offset, min(f.SegmentOffset(first+count), f.Size) - offset
}

// servedFile is an immutable file at a payee.
type servedFile struct {
	fixed
	File
}

func serveFile(f File) servedFile { return servedFile{fixed{Geometry: f.Geometry()}, f} }

func (f servedFile) begin(first, count int) *pb.Begin {
	return &pb.Begin{Ueb: f.UEB(), First: uint64(first), Count: uint64(count)} //nolint:gosec // neither is negative
}

func (f servedFile) read(ctx context.Context, first, count int, fn func(i int, m *pb.FromPayee, data []byte) error) error {
	leaves := f.segments()
	message := &pb.Segment{}
	frame := &pb.FromPayee{Message: &pb.FromPayee_Segment{Segment: message}}
	return f.Read(ctx, first, count, func(s transfer.Segment) error {
		message.Index = uint64(s.Index) //nolint:gosec // never negative
		message.Chain = freshChain(s.Chain, first, s.Index, leaves)
		message.Length = uint32(len(s.Data)) //nolint:gosec // at most maxSegment
		if message.Chain == nil && freshHeights(first, s.Index, depthOf(leaves)) > 0 {
			return fmt.Errorf("segment %d came without its proof: %w", s.Index, p2p.ErrInternal)
		}
		return fn(s.Index, frame, s.Data)
	})
}
