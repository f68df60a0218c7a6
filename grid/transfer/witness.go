package transfer

import (
	"fmt"
	"hash/maphash"
	"io"

	"trunkline/grid/chk"
)

// witness sees to it that the plaintext which is encoded is the one the key
// was computed from. Two plaintexts under one key would give their XOR away to
// the servers, so a file that is written to during an upload must fail it. It
// is a keyed checksum of each segment, an order cheaper than another SHA-256.
type witness struct {
	src  io.ReaderAt
	g    chk.Geometry
	hash maphash.Hash // of the segment being read for the first time
	seen uint64       // bytes read for the first time
	sums []uint64     // by segment
}

func newWitness(src io.ReaderAt, g chk.Geometry) *witness {
	return &witness{src: src, g: g, sums: make([]uint64, 0, g.Segments)}
}

// Write takes the plaintext in order, for the first time.
func (w *witness) Write(p []byte) (int, error) {
	n := len(p)
	for len(p) > 0 {
		seg := len(w.sums)
		left := w.g.SegmentOffset(seg) + uint64(w.g.SegmentLen(seg)) - w.seen
		part := p[:min(uint64(len(p)), left)]
		w.hash.Write(part)
		w.seen += uint64(len(part))
		if uint64(len(part)) == left {
			w.sums = append(w.sums, w.hash.Sum64())
			w.hash.Reset()
		}
		p = p[len(part):]
		if seg+1 == w.g.Segments && uint64(len(part)) == left {
			break // too long a file is found out by its reader
		}
	}
	return n, nil
}

// ReadAt reads one whole segment and checks that it is what it was. Safe for
// concurrent use once everything was written.
//
// Errors: ErrSourceChanged, or what the source returned.
func (w *witness) ReadAt(p []byte, off int64) (int, error) {
	n, err := w.src.ReadAt(p, off)
	if n < len(p) {
		if err == io.EOF {
			return n, fmt.Errorf("%w: it ends after %d bytes", ErrSourceChanged, off+int64(n))
		}
		return n, err
	}
	if seg := int(uint64(off) / w.g.SegmentSize); len(w.sums) > 0 && maphash.Bytes(w.hash.Seed(), p) != w.sums[seg] {
		return 0, fmt.Errorf("%w: segment %d", ErrSourceChanged, seg)
	}
	return n, nil
}
