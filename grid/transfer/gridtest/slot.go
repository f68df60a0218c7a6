package gridtest

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"slices"

	"trunkline/caps"
	"trunkline/grid/storage"
)

// slot is the mutable shares of one storage index. Shares are replaced, never written into.
type slot struct {
	enabler [32]byte
	shares  map[int][]byte
}

func (s *slot) clone() *slot { return &slot{s.enabler, maps.Clone(s.shares)} }

func cloneSlots(slots map[caps.StorageIndex]*slot) map[caps.StorageIndex]*slot {
	c := make(map[caps.StorageIndex]*slot, len(slots))
	for si, s := range slots {
		c[si] = s.clone()
	}
	return c
}

func (s *Server) hasSlot(si caps.StorageIndex) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.slots[si] != nil
}

// Slot returns a copy of the mutable shares of si by number; none if there is no slot. The bytes are the server's.
func (s *Server) Slot(si caps.StorageIndex) map[int][]byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.slots[si] == nil {
		return map[int][]byte{}
	}
	return maps.Clone(s.slots[si].shares)
}

// PutSlot replaces the mutable shares of si, as a restored backup would: no test is made. No shares remove the slot.
// The server keeps the bytes.
func (s *Server) PutSlot(si caps.StorageIndex, enabler [32]byte, shares map[int][]byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(shares) == 0 {
		delete(s.slots, si)
		return
	}
	s.slots[si] = &slot{enabler, maps.Clone(shares)}
}

// Enabler is the write enabler of the slot, zero if there is none.
func (s *Server) Enabler(si caps.StorageIndex) (enabler [32]byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.slots[si] != nil {
		enabler = s.slots[si].enabler
	}
	return enabler
}

// ReadSlot implements transfer.Server.
func (s *Server) ReadSlot(ctx context.Context, si caps.StorageIndex, nums []int, ranges []storage.Range) (map[int][][]byte, error) {
	if err := storage.ValidateReadSlot(nums, ranges); err != nil {
		return nil, err
	}
	read, err := s.lookSlot(si, nums, ranges)
	if err != nil {
		return nil, err
	}
	total := sizeOf(read)
	if err := s.enter(ctx, "ReadSlot", total); err != nil {
		return nil, err
	}
	// Anew: it may have waited.
	if read, err = s.lookSlot(si, nums, ranges); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.counts.SlotReads++
	s.counts.BytesRead += int64(sizeOf(read))
	return read, nil
}

// lookSlot reads as the faults have it.
func (s *Server) lookSlot(si caps.StorageIndex, nums []int, ranges []storage.Range) (map[int][][]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	from := s.slots
	if s.faults.Stale {
		from = s.stale
	}
	read := make(map[int][][]byte)
	if s.faults.Blind {
		return read, nil
	}
	if from[si] == nil {
		if len(s.shares[si]) > 0 {
			return nil, storage.ErrImmutable
		}
		return read, nil
	}
	shares := from[si].shares
	if len(nums) == 0 {
		nums = sortedKeys(shares)
	}
	for _, num := range nums {
		served := num
		if other, ok := s.faults.Serve[num]; ok {
			served = other
		}
		if data, ok := shares[served]; ok {
			read[num] = s.cut(si, num, data, ranges)
		}
	}
	if sizeOf(read) > storage.MaxSlotReadBytes {
		return nil, fmt.Errorf("%w: %d bytes in one read", storage.ErrInvalid, sizeOf(read))
	}
	return read, nil
}

// cut reads ranges of one share into memory of its own, and lies about them. It needs the lock.
func (s *Server) cut(si caps.StorageIndex, num int, data []byte, ranges []storage.Range) [][]byte {
	parts := make([][]byte, len(ranges))
	for i, r := range ranges {
		c := r.Cut(uint64(len(data)))
		parts[i] = bytes.Clone(data[c.Offset : c.Offset+c.Length])
		if parts[i] == nil {
			parts[i] = []byte{}
		}
		if s.faults.Lie != nil {
			s.faults.Lie(si, num, r.Offset, parts[i])
		}
	}
	return parts
}

func sizeOf(read map[int][][]byte) (total int) {
	for _, parts := range read {
		for _, p := range parts {
			total += len(p)
		}
	}
	return total
}

// TestWrite implements transfer.Server.
func (s *Server) TestWrite(ctx context.Context, si caps.StorageIndex, t storage.TestWrite) (storage.TestWriteResult, error) {
	if err := t.Validate(); err != nil {
		return storage.TestWriteResult{}, err
	}
	size := 0
	for _, c := range t.Shares {
		for _, w := range c.Writes {
			size += len(w.Data)
		}
	}
	if err := s.enter(ctx, "TestWrite", size); err != nil {
		return storage.TestWriteResult{}, err
	}
	result, err := s.testWrite(si, t, size)
	if err != nil {
		return storage.TestWriteResult{}, err
	}
	s.mu.Lock()
	lost, silent, changed := s.faults.TestWriteLost, s.faults.TestWriteSilent, s.changed
	s.mu.Unlock()
	if silent {
		select {
		case <-ctx.Done():
			return storage.TestWriteResult{}, ctx.Err()
		case <-changed:
		}
	}
	if lost != nil {
		return storage.TestWriteResult{}, lost
	}
	return result, nil
}

// testWrite is the test-and-write itself.
//
// Source: tahoe-formats 5.3.
func (s *Server) testWrite(si caps.StorageIndex, t storage.TestWrite, size int) (storage.TestWriteResult, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.counts.TestWrites++
	s.counts.BytesWritten += int64(size)
	if s.faults.ReadOnly {
		return storage.TestWriteResult{}, storage.ErrReadOnly
	}
	if len(s.shares[si]) > 0 {
		return storage.TestWriteResult{}, storage.ErrImmutable
	}
	old := &slot{enabler: t.Enabler}
	if s.slots[si] != nil {
		old = s.slots[si]
	}
	if old.enabler != t.Enabler {
		return storage.TestWriteResult{}, storage.ErrEnabler
	}
	result := storage.TestWriteResult{Applied: true, Read: make(map[int][][]byte)}
	for num, data := range old.shares {
		result.Read[num] = s.cut(si, num, data, t.Reads)
	}
	for _, c := range t.Shares {
		for _, test := range c.Tests {
			data := old.shares[c.Num]
			at := storage.Range{Offset: test.Offset, Length: test.Size}.Cut(uint64(len(data)))
			if !bytes.Equal(data[at.Offset:at.Offset+at.Length], test.Specimen) {
				result.Applied = false
			}
		}
	}
	if s.faults.TestWriteDropped {
		result.Applied = true
		return result, nil
	}
	if !result.Applied {
		return result, nil
	}
	after := &slot{t.Enabler, maps.Clone(old.shares)}
	if after.shares == nil {
		after.shares = make(map[int][]byte)
	}
	for _, c := range t.Shares {
		after.change(c)
	}
	grown := after.size() - old.size()
	if s.capacity >= 0 && grown > 0 && s.used+grown > s.capacity {
		return storage.TestWriteResult{}, storage.ErrNoSpace
	}
	s.used += grown
	s.counts.Applied++
	if s.slots[si] = after; len(after.shares) == 0 {
		delete(s.slots, si)
	}
	return result, nil
}

func (s *slot) size() (n int64) {
	for _, data := range s.shares {
		n += int64(len(data))
	}
	return n
}

// change does to one share what a test-and-write says.
func (s *slot) change(c storage.ShareChange) {
	old, exists := s.shares[c.Num]
	if c.Truncate && c.Length == 0 {
		delete(s.shares, c.Num)
		return
	}
	if !exists && len(c.Writes) == 0 {
		return
	}
	data := slices.Clone(old)
	for _, w := range c.Writes {
		if end := w.Offset + uint64(len(w.Data)); end > uint64(len(data)) {
			data = append(data, make([]byte, end-uint64(len(data)))...)
		}
		copy(data[w.Offset:], w.Data)
	}
	if c.Truncate && c.Length < uint64(len(data)) {
		data = data[:c.Length]
	}
	s.shares[c.Num] = data
}
