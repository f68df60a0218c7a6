// Package fec is the erasure code of Tahoe-LAFS: any k of n blocks give back the k pieces they were made from.
//
// It is zfec's code, byte for byte: a systematic Vandermonde code over GF(2^8) with the polynomial 0x11d and the
// evaluation points 0, 1, 2, 4, 8, …. The first k blocks are the pieces themselves ("primaries"). The stock matrix of
// github.com/klauspost/reedsolomon uses the points 0, 1, 2, 3, … instead and is another code for every n >= 4 with
// 1 < k < n, so this package hands the library its own matrix; the library's vector routines do the work.
//
// The code treats every byte column alike: the length of a block is no parameter of it, so one Code serves the full
// segments of a file and the short last one.
package fec

import (
	"fmt"

	"github.com/klauspost/reedsolomon"
)

// MaxShares is the largest n: the field has 256 elements and each block needs its own evaluation point.
const MaxShares = 256

// Code encodes k pieces into n blocks and back, for one k and n with 1 <= k <= n <= MaxShares.
//
// Making one costs 2 µs for 3-of-10 and milliseconds for k in the hundreds: keep it for a file, or for all files with
// the same k and n. It holds no state that grows, and is safe for concurrent use. It never splits its work over
// goroutines: at the size of a segment that costs more than it gains, so run segments side by side instead.
type Code struct {
	k, n int
	rs   reedsolomon.Encoder
}

// New makes the code for k of n. The only error is ErrParameters.
func New(k, n int) (*Code, error) {
	if err := check(k, n); err != nil {
		return nil, err
	}
	rs, err := reedsolomon.New(k, n-k,
		reedsolomon.WithCustomMatrix(generator(k, n)[k:]),
		reedsolomon.WithMaxGoroutines(1),
		// The library's cache of inverted matrices grows with every new set of missing blocks and is never
		// emptied. Inverting again costs about a microsecond at k = 3, and at large k far less than the decoding.
		reedsolomon.WithInversionCache(false),
	)
	if err != nil {
		return nil, fmt.Errorf("building the %d-of-%d code: %w", k, n, err)
	}
	return &Code{k: k, n: n, rs: rs}, nil
}

// K is the number of blocks needed to decode.
func (c *Code) K() int { return c.k }

// N is the number of blocks made.
func (c *Code) N() int { return c.n }

// Encode computes the n-k parity blocks of k pieces.
//
// blocks has n entries of one length, at least 1 byte: entries 0..k-1 are the pieces and are only read, entries k..n-1
// are overwritten. The caller owns all of them. With n = k there is nothing to do.
//
// Errors: ErrBlocks.
func (c *Code) Encode(blocks [][]byte) error {
	if len(blocks) != c.n {
		return fmt.Errorf("%w: %d blocks given to a %d-of-%d code", ErrBlocks, len(blocks), c.k, c.n)
	}
	size := len(blocks[0])
	for i, b := range blocks {
		if len(b) != size || size == 0 {
			return fmt.Errorf("%w: block %d has %d bytes, block 0 has %d", ErrBlocks, i, len(b), size)
		}
	}
	if c.k == c.n {
		return nil
	}
	if c.k == 1 { // every row of the matrix is the single entry 1
		for _, b := range blocks[1:] {
			copy(b, blocks[0])
		}
		return nil
	}
	if err := c.rs.Encode(blocks); err != nil {
		return fmt.Errorf("%w: %w", ErrBlocks, err)
	}
	return nil
}

// Decode fills in the missing ones of the first k blocks; missing parity blocks stay missing.
//
// blocks has n entries. One that is there has its full length, the same for all and at least 1; one that is missing
// has length 0. A missing piece (i < k) is written into the entry's own memory if its capacity suffices, so
// buf[a:a:b] decodes in place; otherwise memory is allocated. At least k blocks must be there; if more are, those with
// the lowest numbers are used. When all k pieces are there nothing is computed. The caller owns all slices.
//
// Errors: ErrBlocks, ErrTooFew. Whether the blocks are genuine is not known here: wrong ones give wrong pieces.
func (c *Code) Decode(blocks [][]byte) error {
	if len(blocks) != c.n {
		return fmt.Errorf("%w: %d blocks given to a %d-of-%d code", ErrBlocks, len(blocks), c.k, c.n)
	}
	size, present, pieces := 0, 0, 0
	for i, b := range blocks {
		if len(b) == 0 {
			continue
		}
		if size == 0 {
			size = len(b)
		}
		if len(b) != size {
			return fmt.Errorf("%w: block %d has %d bytes, another %d", ErrBlocks, i, len(b), size)
		}
		present++
		if i < c.k {
			pieces++
		}
	}
	if pieces == c.k {
		return nil
	}
	if present < c.k {
		return fmt.Errorf("%w: %d of the %d needed", ErrTooFew, present, c.k)
	}
	if err := c.rs.ReconstructData(blocks); err != nil {
		return fmt.Errorf("%w: %w", ErrBlocks, err)
	}
	return nil
}

func check(k, n int) error {
	if k < 1 || n < k || n > MaxShares {
		return fmt.Errorf("%w: k=%d, n=%d", ErrParameters, k, n)
	}
	return nil
}
