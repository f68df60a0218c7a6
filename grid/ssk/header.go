package ssk

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"

	"trunkline/caps"
)

// Format is the encoding of a mutable file. It is the first byte of every share.
type Format uint8

// The two formats.
const (
	SDMF Format = 0
	MDMF Format = 1
)

// String is "SDMF" or "MDMF", or a number.
func (f Format) String() string {
	switch f {
	case SDMF:
		return "SDMF"
	case MDMF:
		return "MDMF"
	}
	return fmt.Sprintf("format %d", uint8(f))
}

// FormatOf is the format that a cap names.
func FormatOf(v caps.MutableVerify) Format {
	if v.MDMF {
		return MDMF
	}
	return SDMF
}

// Header is what is signed of a version, and so names it: shares belong together if their headers are equal. It is
// comparable. A value made by hand or received is checked with Validate before its methods are used.
//
// Lengths are in bytes. All of one segment fits an int, MaxSegment being the bound.
type Header struct {
	Format      Format
	Seq         uint64        // sequence number; the first version of a file has 1
	Root        caps.Hash     // of the tree over the roots of the shares' block hash trees
	IV          [SaltLen]byte // SDMF: the salt of its only segment. MDMF: zero
	K, N        int           // blocks needed and blocks made, 1 <= K <= N <= MaxShares
	SegmentSize uint64        // of every segment but the last: a multiple of K; 0 for an empty SDMF file
	Length      uint64        // of the contents
}

// The lengths of what is signed.
const (
	sdmfPrefix = 75
	mdmfPrefix = 59
)

// prefixLen is the length of what is signed, or 0 for an unknown format.
func (f Format) prefixLen() int {
	switch f {
	case SDMF:
		return sdmfPrefix
	case MDMF:
		return mdmfPrefix
	}
	return 0
}

// checkstringLen is the length of the checkstring.
func (f Format) checkstringLen() int {
	if f == SDMF {
		return 57
	}
	return 41
}

// Prefix is the signed bytes, with which every share of the version begins: 75 for SDMF, 59 for MDMF. The caller owns
// the result.
//
// Source: tahoe-formats 6.6, 6.7.
func (h Header) Prefix() []byte {
	b := make([]byte, 0, HeadMax)
	b = append(b, byte(h.Format))
	b = binary.BigEndian.AppendUint64(b, h.Seq)
	b = append(b, h.Root[:]...)
	if h.Format == SDMF {
		b = append(b, h.IV[:]...)
	}
	b = append(b, byte(h.K), byte(h.N))
	b = binary.BigEndian.AppendUint64(b, h.SegmentSize)
	return binary.BigEndian.AppendUint64(b, h.Length)
}

// Checkstring is the part of Prefix that writers test for: 57 bytes for SDMF, 41 for MDMF.
//
// Source: tahoe-formats 6.8.
func (h Header) Checkstring() []byte { return h.Prefix()[:h.Format.checkstringLen()] }

// ParseHeader reads what Prefix wrote; of b what follows is ignored. The result is valid.
//
// Errors: ErrLayout.
func ParseHeader(b []byte) (Header, error) {
	if len(b) == 0 {
		return Header{}, fmt.Errorf("%w: it is empty", ErrLayout)
	}
	h := Header{Format: Format(b[0])}
	size := h.Format.prefixLen()
	if size == 0 {
		return Header{}, fmt.Errorf("%w: %s", ErrLayout, h.Format)
	}
	if len(b) < size {
		return Header{}, fmt.Errorf("%w: %d bytes of a header of %d", ErrLayout, len(b), size)
	}
	h.Seq = binary.BigEndian.Uint64(b[1:])
	h.Root = caps.Hash(b[9:41])
	b = b[41:]
	if h.Format == SDMF {
		h.IV = [SaltLen]byte(b[:SaltLen])
		b = b[SaltLen:]
	}
	h.K, h.N = int(b[0]), int(b[1])
	h.SegmentSize = binary.BigEndian.Uint64(b[2:])
	h.Length = binary.BigEndian.Uint64(b[10:])
	if err := h.Validate(); err != nil {
		return Header{}, fmt.Errorf("%w: %w", ErrLayout, err)
	}
	return h, nil
}

// ParseCheckstring reads the sequence number and root of a share's beginning, Checkstring or more: what a lost race
// shows. It checks nothing but the length.
//
// Errors: ErrLayout.
func ParseCheckstring(b []byte) (seq uint64, root caps.Hash, err error) {
	if len(b) < MDMF.checkstringLen() {
		return 0, root, fmt.Errorf("%w: %d bytes of a checkstring", ErrLayout, len(b))
	}
	return binary.BigEndian.Uint64(b[1:]), caps.Hash(b[9:41]), nil
}

// Compare orders versions of one file as readers do, older ones first: by sequence number, then by root, which is the
// order of their prefixes. It is 0 for equal headers alone.
func (h Header) Compare(o Header) int { return bytes.Compare(h.Prefix(), o.Prefix()) }

// Validate checks the numbers: share counts, segment size, bounds. It says nothing about the signature.
//
// Errors: ErrGeometry.
func (h Header) Validate() error {
	if h.Format.prefixLen() == 0 {
		return fmt.Errorf("%w: %s", ErrGeometry, h.Format)
	}
	if h.K < 1 || h.N < h.K || h.N > MaxShares {
		return fmt.Errorf("%w: k %d, n %d", ErrGeometry, h.K, h.N)
	}
	k := uint64(h.K)
	switch {
	case h.Length > math.MaxInt64:
		return fmt.Errorf("%w: %d bytes", ErrGeometry, h.Length)
	case h.SegmentSize%k != 0 || h.SegmentSize > up(MaxSegment, k):
		return fmt.Errorf("%w: segments of %d bytes with k %d", ErrGeometry, h.SegmentSize, h.K)
	case h.Length == 0:
		return nil
	case h.SegmentSize == 0:
		return fmt.Errorf("%w: %d bytes in no segments", ErrGeometry, h.Length)
	case h.Format == SDMF && h.SegmentSize < h.Length:
		return fmt.Errorf("%w: SDMF of more than one segment", ErrGeometry)
	case (h.Length-1)/h.SegmentSize >= MaxSegments:
		return fmt.Errorf("%w: %d bytes in segments of %d", ErrGeometry, h.Length, h.SegmentSize)
	}
	return nil
}
