package storage

// Bounds of one test-and-write of a slot.
const (
	// MaxSlotShares bounds the shares that one test-and-write mentions.
	MaxSlotShares = MaxShares
	// MaxSlotTests bounds the tests of one share, and the read ranges.
	MaxSlotTests = 30
	// MaxSlotWrites bounds the writes to one share.
	MaxSlotWrites = 4096
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
