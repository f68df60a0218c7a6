package storage

import "fmt"

// Bounds of one test-and-write of a slot, and of one read.
const (
	// MaxSlotShares bounds the shares that one test-and-write mentions.
	MaxSlotShares = MaxShares
	// MaxSlotTests bounds the tests of one share, and the read ranges.
	MaxSlotTests = 30
	// MaxSpecimenBytes bounds the specimens of one share's tests together.
	MaxSpecimenBytes = 4 << 10
	// MaxSlotWrites bounds the writes to one share.
	MaxSlotWrites = 4096
	// MaxSlotReadBytes bounds what one ReadSlot brings, all shares together: not what is asked for, but
	// what is there.
	MaxSlotReadBytes = 64 << 20
	// MaxSlotReadBack bounds what the Reads of a TestWrite bring, likewise.
	MaxSlotReadBack = 4 << 20
)

// Test holds if the share's bytes at Offset, Size of them or as many as there are, equal Specimen. A share
// that is not there reads as empty: {0, 1, nil} says that there must be none.
type Test struct {
	Offset, Size uint64
	Specimen     []byte
}

// Change is bytes that replace those at Offset, or extend the share; a gap reads as zeros.
type Change struct {
	Offset uint64
	Data   []byte
}

// ShareChange is what happens to one share of a slot if all tests of all shares hold.
type ShareChange struct {
	Num    int
	Tests  []Test
	Writes []Change
	// Truncate: afterwards the share ends at Length if it was longer; a Length of 0 removes it.
	Truncate bool
	Length   uint64
}

// TestWrite is a test-and-write of the slot of one mutable file: all of it happens, or nothing.
type TestWrite struct {
	// Enabler is the write enabler: shares that exist must have the same one.
	Enabler, Renew, Cancel [32]byte
	Shares                 []ShareChange
	// Reads are read from every share that exists, before any write.
	Reads []Range
}

// TestWriteResult says what came of a TestWrite.
type TestWriteResult struct {
	// Applied: all tests held, and the writes are durable.
	Applied bool
	// Read has, by share number, what stood at the ranges of Reads before, each cut at the end of the
	// share.
	Read map[int][][]byte
}

// Validate checks a test-and-write against the bounds above, before anything is sent or done.
//
// Errors: ErrInvalid.
func (t TestWrite) Validate() error {
	if len(t.Shares) == 0 || len(t.Shares) > MaxSlotShares {
		return fmt.Errorf("%w: a change of %d shares", ErrInvalid, len(t.Shares))
	}
	var seen [MaxShares]bool
	for _, c := range t.Shares {
		if err := c.validate(); err != nil {
			return err
		}
		if seen[c.Num] {
			return fmt.Errorf("%w: share number %d twice", ErrInvalid, c.Num)
		}
		seen[c.Num] = true
		if len(c.Writes) > MaxSlotWrites {
			return fmt.Errorf("%w: %d writes to a share", ErrInvalid, len(c.Writes))
		}
		for _, w := range c.Writes {
			if err := checkSlotWrite(w.Offset, uint64(len(w.Data))); err != nil {
				return err
			}
		}
	}
	if len(t.Reads) > MaxSlotTests {
		return fmt.Errorf("%w: %d ranges", ErrInvalid, len(t.Reads))
	}
	return checkSlotRanges(t.Reads)
}

// validate checks all but the writes.
func (c ShareChange) validate() error {
	if c.Num < 0 || c.Num >= MaxShares {
		return fmt.Errorf("%w: share number %d", ErrInvalid, c.Num)
	}
	if len(c.Tests) > MaxSlotTests {
		return fmt.Errorf("%w: %d tests of a share", ErrInvalid, len(c.Tests))
	}
	specimens := 0
	for _, test := range c.Tests {
		specimens += len(test.Specimen)
		if err := checkSlotRanges([]Range{{test.Offset, test.Size}}); err != nil {
			return err
		}
	}
	if specimens > MaxSpecimenBytes {
		return fmt.Errorf("%w: specimens of %d bytes", ErrInvalid, specimens)
	}
	return nil
}

func checkSlotWrite(offset, length uint64) error {
	if offset > MaxShareBytes || length > MaxShareBytes-offset {
		return fmt.Errorf("%w: a write of %d bytes at %d", ErrInvalid, length, offset)
	}
	return nil
}

// ValidateReadSlot checks the arguments of a ReadSlot: at most MaxRanges ranges, which may end beyond the share;
// none asks only which shares there are.
//
// Errors: ErrInvalid.
func ValidateReadSlot(nums []int, ranges []Range) error {
	if len(nums) > 0 {
		if err := checkNumbers(nums); err != nil {
			return err
		}
	}
	if len(ranges) > MaxRanges {
		return fmt.Errorf("%w: %d ranges", ErrInvalid, len(ranges))
	}
	return checkSlotRanges(ranges)
}

// checkSlotRanges keeps sums of offset and length within what files and int64 have.
func checkSlotRanges(ranges []Range) error {
	for _, r := range ranges {
		if r.Offset > MaxShareBytes || r.Length > 1<<62 {
			return fmt.Errorf("%w: a range of %d bytes at %d", ErrInvalid, r.Length, r.Offset)
		}
	}
	return nil
}

// Cut is the part of r that lies within a share of size bytes.
func (r Range) Cut(size uint64) Range {
	offset := min(r.Offset, size)
	return Range{offset, min(r.Length, size-offset)}
}
