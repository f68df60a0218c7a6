package ssk

import (
	"fmt"

	"trunkline/grid/fec"
)

// Block is share Num's entry of one segment, with what proves it to a Receiver.
type Block struct {
	Num   int
	Entry []byte // Header.EntryLen(seg) bytes
	Proof        // for Receiver.Check; Decoder ignores it
}

// Decoder turns entries back into segments of ciphertext. It holds no state of a file's progress and is safe for
// concurrent use, so one serves all segments, on any number of cores.
type Decoder struct {
	h    Header
	code *fec.Code
}

// NewDecoder prepares to decode one version. code may be shared with other files of the same k and n; nil: one is
// made.
//
// Errors: ErrGeometry.
func NewDecoder(h Header, code *fec.Code) (*Decoder, error) {
	if err := h.Validate(); err != nil {
		return nil, err
	}
	code, err := codeFor(h, code)
	if err != nil {
		return nil, err
	}
	return &Decoder{h: h, code: code}, nil
}

func codeFor(h Header, code *fec.Code) (*fec.Code, error) {
	if code == nil {
		return fec.New(h.K, h.N)
	}
	if code.K() != h.K || code.N() != h.N {
		return nil, fmt.Errorf("%w: a %d-of-%d code for a %d-of-%d file", ErrGeometry, code.K(), code.N(), h.K, h.N)
	}
	return code, nil
}

// Decode completes a segment in buf, which has Header.PaddedLen(seg) bytes of capacity or more (nil: it is allocated),
// and returns its ciphertext, a slice of buf without the padding, and its salt for Decrypt.
//
// blocks are entries of at least k different shares, already checked by Share.Check or Receiver.Check. None may lie
// within buf.
//
// Errors: ErrNoSegment, ErrBlocks, ErrTooFew, ErrInconsistent (salts differ).
func (d *Decoder) Decode(seg int, buf []byte, blocks []Block) (crypttext []byte, salt [SaltLen]byte, err error) {
	padded := d.h.PaddedLen(seg)
	if padded == 0 {
		return nil, salt, fmt.Errorf("%w: segment %d of %d", ErrNoSegment, seg, d.h.Segments())
	}
	if buf == nil {
		buf = make([]byte, padded)
	}
	if cap(buf) < padded {
		return nil, salt, fmt.Errorf("%w: a buffer of %d bytes for %d", ErrBlocks, cap(buf), padded)
	}
	buf = buf[:padded]
	all, salt, err := d.sort(seg, buf, blocks)
	if err != nil {
		return nil, salt, err
	}
	if err := d.code.Decode(all); err != nil {
		return nil, salt, fmt.Errorf("decoding segment %d: %w", seg, err)
	}
	return buf[:d.h.SegmentLen(seg)], salt, nil
}

// sort puts the blocks where the erasure code wants them: pieces into buf, others by number.
func (d *Decoder) sort(seg int, buf []byte, blocks []Block) (all [][]byte, salt [SaltLen]byte, err error) {
	salt = d.h.IV
	all = make([][]byte, d.h.N)
	for i := range d.h.K {
		all[i] = d.h.Piece(buf, seg, i)[:0]
	}
	lead, size := d.h.saltLen(), d.h.EntryLen(seg)
	for i, b := range blocks {
		if b.Num < 0 || b.Num >= d.h.N || len(all[b.Num]) > 0 {
			return nil, salt, fmt.Errorf("%w: share %d comes twice or does not exist", ErrBlocks, b.Num)
		}
		if len(b.Entry) != size {
			return nil, salt, fmt.Errorf("%w: %d bytes from share %d, not %d", ErrBlocks, len(b.Entry), b.Num, size)
		}
		if lead > 0 {
			own := [SaltLen]byte(b.Entry[:lead])
			if i > 0 && own != salt {
				return nil, salt, fmt.Errorf("%w: segment %d has two salts", ErrInconsistent, seg)
			}
			salt = own
		}
		if b.Num < d.h.K {
			all[b.Num] = append(all[b.Num], b.Entry[lead:]...) // into buf
		} else {
			all[b.Num] = b.Entry[lead:]
		}
	}
	if len(blocks) < d.h.K {
		return nil, salt, fmt.Errorf("%w: %d of the %d needed", ErrTooFew, len(blocks), d.h.K)
	}
	return all, salt, nil
}
