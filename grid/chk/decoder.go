package chk

import (
	"fmt"

	"trunkline/grid/fec"
)

// Block is share Num's block of some segment.
type Block struct {
	Num  int
	Data []byte
}

// Decoder turns blocks back into segments. It holds no state of a file's progress and is safe for concurrent use, so
// one serves all segments, on any number of cores.
type Decoder struct {
	g    Geometry
	code *fec.Code
}

// NewDecoder prepares to decode one file. code may be shared with other files of the same k and n; nil: one is made.
//
// Errors: ErrGeometry.
func NewDecoder(g Geometry, code *fec.Code) (*Decoder, error) {
	if err := g.valid(); err != nil {
		return nil, err
	}
	if code == nil {
		var err error
		if code, err = fec.New(g.K, g.N); err != nil {
			return nil, err
		}
	}
	if code.K() != g.K || code.N() != g.N {
		return nil, fmt.Errorf("%w: a %d-of-%d code for a %d-of-%d file", ErrGeometry, code.K(), code.N(), g.K, g.N)
	}
	return &Decoder{g: g, code: code}, nil
}

// Decode completes a segment in buf, which has Geometry.PaddedLen(seg) bytes of capacity or more (nil: it is
// allocated), and returns its ciphertext, a slice of buf without the padding.
//
// blocks are at least k blocks of different shares, each of Geometry.BlockLen(seg) bytes and already checked by
// Share.CheckBlock. A primary block (Num < k) that was received where it belongs, in Geometry.Piece(buf, seg, Num), is
// neither copied nor computed: with k such blocks there is nothing to do. Other primaries are copied, and missing ones
// computed. No other block may lie within buf.
//
// The result still has to be checked by CrypttextTree.Check: blocks of two files can stand under one UEB.
//
// Errors: ErrNoSegment, ErrBlocks, ErrTooFew.
func (d *Decoder) Decode(seg int, buf []byte, blocks []Block) ([]byte, error) {
	padded := d.g.PaddedLen(seg)
	if padded == 0 {
		return nil, fmt.Errorf("%w: segment %d of %d", ErrNoSegment, seg, d.g.Segments)
	}
	if buf == nil {
		buf = make([]byte, padded)
	}
	if cap(buf) < padded {
		return nil, fmt.Errorf("%w: a buffer of %d bytes for %d", ErrBlocks, cap(buf), padded)
	}
	buf = buf[:padded]
	size := d.g.BlockLen(seg)
	var had [fec.MaxShares]bool
	pieces := 0
	for _, b := range blocks {
		if b.Num < 0 || b.Num >= d.g.N || had[b.Num] {
			return nil, fmt.Errorf("%w: share %d comes twice or does not exist", ErrBlocks, b.Num)
		}
		if len(b.Data) != size {
			return nil, fmt.Errorf("%w: %d bytes from share %d, not %d", ErrBlocks, len(b.Data), b.Num, size)
		}
		had[b.Num] = true
		if b.Num < d.g.K {
			pieces++
			if piece := d.g.Piece(buf, seg, b.Num); &piece[0] != &b.Data[0] {
				copy(piece, b.Data)
			}
		}
	}
	if len(blocks) < d.g.K {
		return nil, fmt.Errorf("%w: %d of the %d needed", ErrTooFew, len(blocks), d.g.K)
	}
	if pieces < d.g.K {
		all := make([][]byte, d.g.N)
		for i := range d.g.K {
			all[i] = d.g.Piece(buf, seg, i)
			if !had[i] {
				all[i] = all[i][:0]
			}
		}
		for _, b := range blocks {
			if b.Num >= d.g.K {
				all[b.Num] = b.Data
			}
		}
		if err := d.code.Decode(all); err != nil {
			return nil, fmt.Errorf("decoding segment %d: %w", seg, err)
		}
	}
	return buf[:d.g.SegmentLen(seg)], nil
}
