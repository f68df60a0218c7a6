package ssk

// SegmentSize is the segment size that Tahoe gives a file of that length.
//
// Source: tahoe-formats 6.4.
func SegmentSize(f Format, length uint64, k int) uint64 {
	if f == SDMF {
		return up(length, uint64(k))
	}
	return up(DefaultSegment, uint64(k))
}

// up rounds a up to a multiple of m. Callers keep a far below 2^64.
func up(a, m uint64) uint64 { return (a + m - 1) / m * m }

// Segments is the number of segments, 0 for an empty file.
func (h Header) Segments() int {
	if h.Length == 0 {
		return 0
	}
	return int((h.Length-1)/h.SegmentSize) + 1
}

// SegmentOffset is where segment seg starts in the file.
func (h Header) SegmentOffset(seg int) uint64 { return uint64(seg) * h.SegmentSize }

// SegmentLen is the contents in segment seg, without padding. It is 0 if there is no such segment.
func (h Header) SegmentLen(seg int) int {
	last := h.Segments() - 1
	switch {
	case seg < 0 || seg > last:
		return 0
	case seg == last:
		return int((h.Length-1)%h.SegmentSize) + 1
	}
	return int(h.SegmentSize)
}

// PaddedLen is SegmentLen rounded up to a multiple of K: K times BlockLen.
func (h Header) PaddedLen(seg int) int { return int(up(uint64(h.SegmentLen(seg)), uint64(h.K))) }

// BlockLen is the length of every share's block of segment seg.
func (h Header) BlockLen(seg int) int { return h.PaddedLen(seg) / h.K }

// EntryLen is the length of what a share keeps of segment seg: BlockLen, and with MDMF the salt before it. It is 0 if
// there is no such segment.
func (h Header) EntryLen(seg int) int {
	size := h.BlockLen(seg)
	if size == 0 {
		return 0
	}
	return h.saltLen() + size
}

// saltLen is the length of the salt in an entry.
func (h Header) saltLen() int {
	if h.Format == MDMF {
		return SaltLen
	}
	return 0
}

// dataLen is the length of all entries of one share.
func (h Header) dataLen() uint64 {
	n := h.Segments()
	if n == 0 {
		return 0
	}
	return uint64(n-1)*uint64(h.EntryLen(0)) + uint64(h.EntryLen(n-1))
}

// Piece is the part of a padded segment that is share num's block of it, 0 <= num < K. buf holds PaddedLen(seg) bytes
// or more. Its capacity ends where the piece ends.
func (h Header) Piece(buf []byte, seg, num int) []byte {
	n := h.BlockLen(seg)
	return buf[num*n : (num+1)*n : (num+1)*n]
}

// Cover returns the segments that hold the bytes [offset, offset+length) of the file, as far as the file has them:
// none if length is 0 or offset is at or beyond the end.
func (h Header) Cover(offset, length uint64) (first, count int) {
	if length == 0 || offset >= h.Length {
		return 0, 0
	}
	length = min(length, h.Length-offset)
	first = int(offset / h.SegmentSize)
	return first, int((offset+length-1)/h.SegmentSize) - first + 1
}
