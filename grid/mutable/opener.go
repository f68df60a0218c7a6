package mutable

import (
	"fmt"
	"io"

	"trunkline/caps"
	"trunkline/grid/ssk"
)

// Opener turns checked blocks into contents: it decodes, decrypts, and writes what lies in a range. Whoever gets blocks of a
// far grid uses it after an ssk.Receiver. One goroutine at a time.
type Opener struct {
	h           ssk.Header
	key         caps.MutableReadKey
	decoder     *ssk.Decoder
	w           io.Writer
	offset, end uint64 // of the contents
	next        int    // segment
	last        int    // one past the last segment
	buf         []byte
}

// NewOpener writes length bytes from offset on to w, of a version whose signature was verified.
//
// Errors: ErrRange, ssk.ErrGeometry.
func NewOpener(h ssk.Header, key caps.MutableReadKey, offset, length uint64, w io.Writer) (*Opener, error) {
	if offset > h.Length || length > h.Length-offset {
		return nil, fmt.Errorf("%w: %d bytes from %d on of %d", ErrRange, length, offset, h.Length)
	}
	decoder, err := ssk.NewDecoder(h, nil)
	if err != nil {
		return nil, err
	}
	o := &Opener{h: h, key: key, decoder: decoder, w: w, offset: offset, end: offset + length}
	first, count := h.Cover(offset, length)
	o.next, o.last = first, first+count
	return o, nil
}

// Segments are those that have to be given, in order: count of them from first on.
func (o *Opener) Segments() (first, count int) { return o.next, o.last - o.next }

// Write takes the next segment: entries of K or more different shares, each checked. It keeps none of them.
//
// Errors: ErrRange for another segment than the next; ssk.ErrTooFew, ssk.ErrBlocks, ssk.ErrInconsistent; or w's.
func (o *Opener) Write(seg int, blocks []ssk.Block) error {
	if seg != o.next || seg >= o.last {
		return fmt.Errorf("%w: segment %d where %d was next", ErrRange, seg, o.next)
	}
	if o.buf == nil {
		o.buf = make([]byte, o.h.PaddedLen(seg))
	}
	data, salt, err := o.decoder.Decode(seg, o.buf, blocks)
	if err != nil {
		return err
	}
	start := o.h.SegmentOffset(seg)
	from := max(o.offset, start) - start
	to := min(o.end-start, uint64(len(data)))
	plain := data[from:to]
	ssk.Decrypt(o.key, salt, from, plain, plain)
	o.next++
	_, err = o.w.Write(plain)
	return err
}
