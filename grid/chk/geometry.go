package chk

import (
	"fmt"
	"math"

	"trunkline/grid/fec"
)

// Geometry says how a file is cut into segments and blocks. It follows from the file's size, k, n and the segment
// size; two files with the same four have equal geometries, so values compare with ==. The zero value is no geometry.
//
// Lengths are in bytes. All of one segment fits an int, MaxSegment being the bound; sums over a file are uint64.
type Geometry struct {
	Size        uint64 // of the file, 1 <= Size < 2^63
	K, N        int    // blocks needed and blocks made, 1 <= K <= N <= 256
	SegmentSize uint64 // of every segment but the last: a multiple of K, which may exceed Size
	Segments    int    // 1 <= Segments <= MaxSegments
	BlockSize   uint64 // SegmentSize / K: a block of every segment but the last
	Tail        uint64 // ciphertext in the last segment, 1 <= Tail <= SegmentSize
	PaddedTail  uint64 // Tail rounded up to a multiple of K
	TailBlock   uint64 // PaddedTail / K: a block of the last segment
	DataSize    uint64 // all blocks of one share together
}

// NewGeometry is the geometry for writing a file of size bytes. maxSegment is the largest segment wanted, 1 to
// MaxSegment, or 0 for DefaultMaxSegment; it is cut to the file's size and then rounded up to a multiple of k.
//
// Errors: ErrGeometry.
func NewGeometry(size uint64, k, n int, maxSegment uint64) (Geometry, error) {
	if maxSegment == 0 {
		maxSegment = DefaultMaxSegment
	}
	if maxSegment > MaxSegment {
		return Geometry{}, fmt.Errorf("%w: segments of %d bytes, the most is %d", ErrGeometry, maxSegment, MaxSegment)
	}
	if k < 1 || size < 1 {
		return Geometry{}, fmt.Errorf("%w: size %d, k %d", ErrGeometry, size, k)
	}
	return FromSegmentSize(size, k, n, up(min(maxSegment, size), uint64(k)))
}

// FromSegmentSize is the geometry of a file whose UEB gives its segment size, a multiple of k.
//
// Errors: ErrGeometry.
func FromSegmentSize(size uint64, k, n int, segmentSize uint64) (Geometry, error) {
	switch {
	case k < 1 || n < k || n > fec.MaxShares:
		return Geometry{}, fmt.Errorf("%w: k %d, n %d", ErrGeometry, k, n)
	case size < 1 || size > math.MaxInt64:
		return Geometry{}, fmt.Errorf("%w: %d bytes", ErrGeometry, size)
	case segmentSize < 1 || segmentSize%uint64(k) != 0 || segmentSize > up(MaxSegment, uint64(k)):
		return Geometry{}, fmt.Errorf("%w: segments of %d bytes with k %d", ErrGeometry, segmentSize, k)
	case (size-1)/segmentSize >= MaxSegments:
		return Geometry{}, fmt.Errorf("%w: %d bytes in segments of %d", ErrGeometry, size, segmentSize)
	}
	g := Geometry{
		Size: size, K: k, N: n,
		SegmentSize: segmentSize,
		Segments:    int((size-1)/segmentSize) + 1,
		BlockSize:   segmentSize / uint64(k),
		Tail:        (size-1)%segmentSize + 1,
	}
	g.PaddedTail = up(g.Tail, uint64(k))
	g.TailBlock = g.PaddedTail / uint64(k)
	g.DataSize = uint64(g.Segments-1)*g.BlockSize + g.TailBlock
	return g, nil
}

// up rounds a up to a multiple of m. Callers keep a far below 2^64.
func up(a, m uint64) uint64 { return (a + m - 1) / m * m }

// SegmentOffset is where segment seg starts in the file.
func (g Geometry) SegmentOffset(seg int) uint64 { return uint64(seg) * g.SegmentSize }

// SegmentLen is the ciphertext in segment seg, without padding. It is 0 if there is no such segment.
func (g Geometry) SegmentLen(seg int) int { return g.pick(seg, g.SegmentSize, g.Tail) }

// PaddedLen is the length of segment seg rounded up to a multiple of K: K times BlockLen.
func (g Geometry) PaddedLen(seg int) int { return g.pick(seg, g.SegmentSize, g.PaddedTail) }

// BlockLen is the length of every share's block of segment seg.
func (g Geometry) BlockLen(seg int) int { return g.pick(seg, g.BlockSize, g.TailBlock) }

func (g Geometry) pick(seg int, inner, last uint64) int {
	switch {
	case seg < 0 || seg >= g.Segments:
		return 0
	case seg == g.Segments-1:
		return int(last)
	}
	return int(inner)
}

// Piece is the part of a padded segment that is share num's block of it, 0 <= num < K. buf holds PaddedLen(seg) bytes
// or more. Its capacity ends where the piece ends. A reader can let a primary share's block arrive here, and then
// nothing has to be copied or decoded.
func (g Geometry) Piece(buf []byte, seg, num int) []byte {
	n := g.BlockLen(seg)
	return buf[num*n : (num+1)*n : (num+1)*n]
}

// Cover returns the segments that hold the bytes [offset, offset+length) of the file, as far as the file has them:
// none if length is 0 or offset is at or beyond the end.
func (g Geometry) Cover(offset, length uint64) (first, count int) {
	if length == 0 || offset >= g.Size {
		return 0, 0
	}
	length = min(length, g.Size-offset)
	first = int(offset / g.SegmentSize)
	return first, int((offset+length-1)/g.SegmentSize) - first + 1
}

// valid guards against a Geometry made by hand.
func (g Geometry) valid() error {
	want, err := FromSegmentSize(g.Size, g.K, g.N, g.SegmentSize)
	if err == nil && want != g {
		err = fmt.Errorf("%w: fields contradict each other", ErrGeometry)
	}
	return err
}
