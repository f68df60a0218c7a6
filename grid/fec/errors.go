package fec

import "errors"

var (
	// ErrParameters means that k and n are not 1 <= k <= n <= MaxShares.
	ErrParameters = errors.New("erasure code parameters out of range")
	// ErrBlocks means that the blocks given do not fit the code, by number or by length.
	ErrBlocks = errors.New("blocks do not fit the erasure code")
	// ErrTooFew means that fewer than k blocks are there.
	ErrTooFew = errors.New("too few blocks to decode")
)
