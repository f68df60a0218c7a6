package contact_test

import (
	"bytes"
	"testing"

	"trunkline/caps"
	"trunkline/grid/transfer"
	"trunkline/grid/transfer/gridtest"
)

// Shares are damaged and repaired while a file stays open: what was given up for
// an earlier reader is tried again before one is told that the file cannot be
// had.
func TestSharesRepaired(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	data := bytes.Repeat([]byte("longer distance "), 256<<10) // shares that are not kept in memory
	r, err := transfer.Upload(t.Context(), transfer.UploadConfig{Secret: []byte("s"), MaxSegment: 128 << 10, Servers: f.transferServers()}, bytes.NewReader(data), uint64(len(data)))
	must(t, err)
	f.verify, _ = r.Cap.CHKVerify()
	s := f.source(t)
	for round := range 6 {
		for i, server := range f.servers {
			var faults gridtest.Faults
			if (i < 5) == (round%2 == 0) {
				faults.Lie = func(_ caps.StorageIndex, _ int, _ uint64, data []byte) { clear(data) }
			}
			server.Set(faults)
		}
		n, err := read(t.Context(), s, f.request())
		if err != nil || uint64(n) != f.verify.Size {
			t.Fatalf("round %d: %d bytes, %v", round, n, err)
		}
	}
}
