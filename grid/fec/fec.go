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
	"sync/atomic"

	"github.com/klauspost/reedsolomon"
)

// MaxShares is the largest n: the field has 256 elements and each block needs its own evaluation point.
const MaxShares = 256

// Code encodes k pieces into n blocks and back, for one k and n with 1 <= k <= n <= MaxShares.
//
// Making one costs 1 µs for 3-of-10 and 0.1 ms for k in the hundreds: keep it for a file, or for all files with the
// same k and n. It is safe for concurrent use and holds no state that grows. It never splits its work over goroutines:
// at the size of a segment that costs more than it gains, so run segments side by side instead.
type Code struct {
	k, n int
	rs   reedsolomon.Encoder // nil when every block is a copy: k = n, or k = 1
	last atomic.Pointer[inverse]
}

// New makes the code for k of n. The only error is ErrParameters.
func New(k, n int) (*Code, error) {
	if err := check(k, n); err != nil {
		return nil, err
	}
	c := &Code{k: k, n: n}
	if k == 1 || k == n {
		return c, nil
	}
	var err error
	c.rs, err = multiplier(generator(k, n)[k:])
	return c, err
}

// multiplier wraps the library around any matrix: its Encode of len(rows[0]) inputs fills len(rows) outputs.
func multiplier(rows [][]byte) (reedsolomon.Encoder, error) {
	rs, err := reedsolomon.New(len(rows[0]), len(rows),
		reedsolomon.WithCustomMatrix(rows),
		reedsolomon.WithMaxGoroutines(1),
		reedsolomon.WithInversionCache(false), // Decode does its own inverting
	)
	if err != nil {
		return nil, fmt.Errorf("building the erasure code's tables: %w", err)
	}
	return rs, nil
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
	if c.rs == nil { // no parity rows, or every row is the single entry 1
		for _, b := range blocks[c.k:] {
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
	size, present := 0, 0
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
	}
	if present < c.k {
		return fmt.Errorf("%w: %d of the %d needed", ErrTooFew, present, c.k)
	}

	// The library wants the k blocks that are used, then the memory for the pieces that are not among them.
	shards := make([][]byte, 0, 2*c.k)
	var used set
	for i, b := range blocks {
		if len(b) != 0 && len(shards) < c.k {
			shards = append(shards, b)
			used.add(i)
		}
	}
	for i, b := range blocks[:c.k] {
		if len(b) != 0 {
			continue
		}
		if cap(b) < size {
			b = make([]byte, size)
		}
		blocks[i] = b[:size]
		shards = append(shards, blocks[i])
	}
	switch {
	case len(shards) == c.k:
		return nil
	case c.k == 1:
		copy(shards[1], shards[0])
		return nil
	}
	inv, err := c.inverse(used)
	if err != nil {
		return err
	}
	if err := inv.rs.Encode(shards); err != nil {
		return fmt.Errorf("%w: %w", ErrBlocks, err)
	}
	return nil
}

// inverse turns the k blocks of one set into the pieces that are not among them.
type inverse struct {
	used set
	rs   reedsolomon.Encoder
}

// inverse returns the tables for one set of blocks. The last one is kept, since the segments of a file mostly come
// from the same shares; a cache of more could be made to grow by whoever chooses which shares are there.
func (c *Code) inverse(used set) (*inverse, error) {
	if inv := c.last.Load(); inv != nil && inv.used == used {
		return inv, nil
	}
	from, to := make([]int, 0, c.k), make([]int, 0, c.k)
	for i := range c.n {
		switch {
		case used.has(i):
			from = append(from, i)
		case i < c.k:
			to = append(to, i)
		}
	}
	rs, err := multiplier(interpolate(from, to))
	if err != nil {
		return nil, err
	}
	inv := &inverse{used: used, rs: rs}
	c.last.Store(inv)
	return inv, nil
}

// set is a set of block numbers.
type set [MaxShares / 64]uint64

func (s *set) add(i int)      { s[i/64] |= 1 << (i % 64) }
func (s *set) has(i int) bool { return s[i/64]&(1<<(i%64)) != 0 }

func check(k, n int) error {
	if k < 1 || n < k || n > MaxShares {
		return fmt.Errorf("%w: k=%d, n=%d", ErrParameters, k, n)
	}
	return nil
}
