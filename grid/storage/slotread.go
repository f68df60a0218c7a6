package storage

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"

	"trunkline/caps"
)

// maxSlotFiles bounds the share files that readings of slots have open at once, over all of them.
const maxSlotFiles = 2048

// slotShare is one mutable share, open. A change replaces the file, so what it reads stays one version.
type slotShare struct {
	num  int
	file file
	c    slotContainer
	size uint64 // of the file
}

// readAt fills p from the share, which has it.
func (sh *slotShare) readAt(p []byte, off uint64) error {
	n, err := sh.file.ReadAt(p, slotHeaderSize+int64(off)) //nolint:gosec // within the share
	if n == len(p) {
		return nil
	}
	if err == nil || errors.Is(err, io.EOF) {
		err = fmt.Errorf("%w: it became shorter", ErrDamaged)
	}
	return fmt.Errorf("reading share %d: %w", sh.num, err)
}

// read reads ranges, each cut at the end of the share, into new memory.
func (sh *slotShare) read(ranges []Range) ([][]byte, error) {
	parts := make([][]byte, len(ranges))
	for i, r := range ranges {
		r = r.Cut(sh.c.data)
		parts[i] = make([]byte, r.Length)
		if err := sh.readAt(parts[i], r.Offset); err != nil {
			return nil, err
		}
	}
	return parts, nil
}

// openShares is the mutable shares of a slot, ascending, all of one moment.
type openShares struct {
	store  *Store
	shares []*slotShare
	alien  map[int]bool // share numbers at which no mutable share stands but something else
	bucket bool         // there is a file with a share's name
}

func (o *openShares) close() {
	for _, sh := range o.shares {
		_ = sh.file.Close()
	}
	o.store.mu.Lock()
	o.store.slotFiles -= len(o.shares)
	o.store.mu.Unlock()
	o.shares = nil
}

func (o *openShares) find(num int) *slotShare {
	for _, sh := range o.shares {
		if sh.num == num {
			return sh
		}
	}
	return nil
}

// check refuses a reading that brings more than most bytes.
func (o *openShares) check(ranges []Range, most uint64) error {
	total := uint64(0)
	for _, sh := range o.shares {
		for _, r := range ranges {
			if total += r.Cut(sh.c.data).Length; total > most {
				return fmt.Errorf("%w: more than %d bytes in one read of a slot", ErrInvalid, most)
			}
		}
	}
	return nil
}

// openSlot opens the mutable shares nums of a slot, or all if nums is empty. The caller holds the slot's lock, at least
// for reading, and closes the result.
//
// Errors: ErrImmutable (there are shares, and none is mutable), ErrTooMany; anything else is the disk's.
func (s *Store) openSlot(si caps.StorageIndex, nums []int) (*openShares, error) {
	there, err := s.numbers(si)
	if err != nil {
		return nil, err
	}
	o := &openShares{store: s, alien: make(map[int]bool), bucket: len(there) > 0}
	immutable := false
	for _, num := range there {
		if len(nums) > 0 && !slices.Contains(nums, num) {
			continue
		}
		sh, err := s.openSlotShare(shareID{si, num})
		switch {
		case err == nil:
			o.shares = append(o.shares, sh)
		case errors.Is(err, ErrImmutable):
			immutable, o.alien[num] = true, true
		case errors.Is(err, ErrDamaged):
			s.log.Warn("share file is damaged", "share", num, "error", err)
			o.alien[num] = true
		case errors.Is(err, ErrNotFound): // removed since it was listed
		default:
			o.close()
			return nil, err
		}
	}
	if immutable && len(o.shares) == 0 {
		return nil, ErrImmutable
	}
	return o, nil
}

func (s *Store) openSlotShare(id shareID) (*slotShare, error) {
	s.mu.Lock()
	full := s.slotFiles >= maxSlotFiles
	if !full {
		s.slotFiles++
	}
	s.mu.Unlock()
	if full {
		return nil, fmt.Errorf("%w: shares are being read", ErrTooMany)
	}
	sh, err := s.openSlotFile(id, false)
	if err != nil {
		s.mu.Lock()
		s.slotFiles--
		s.mu.Unlock()
	}
	return sh, err
}

func (s *Store) openSlotFile(id shareID, write bool) (*slotShare, error) {
	f, err := s.disk.Open(id.path(), write)
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("share %d: %w", id.num, ErrNotFound)
		}
		return nil, fmt.Errorf("opening share %d: %w", id.num, err)
	}
	c, err := readSlotContainer(f)
	if err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("share %d: %w", id.num, err)
	}
	size, err := f.Size()
	if err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("share %d: %w", id.num, err)
	}
	return &slotShare{id.num, f, c, uint64(size)}, nil //nolint:gosec // not negative
}

// snapshot opens the shares of a slot for a reader and checks how much it asks for.
func (s *Store) snapshot(si caps.StorageIndex, nums []int, ranges []Range) (*openShares, error) {
	if err := ValidateReadSlot(nums, ranges); err != nil {
		return nil, err
	}
	unlock := s.slots.rlock(si)
	o, err := s.openSlot(si, nums)
	unlock()
	if err != nil {
		return nil, err
	}
	if err := o.check(ranges, MaxSlotReadBytes); err != nil {
		o.close()
		return nil, err
	}
	return o, nil
}

// ReadSlot reads ranges of the mutable shares of a storage index: of those in nums that exist, or of all if nums is
// empty; by share number, each range cut at the end of the share. All of it is of one moment, between two changes. None
// is no error. The caller owns the result, at most MaxSlotReadBytes.
//
// Safe for concurrent use. Errors: ErrImmutable, ErrInvalid, ErrTooMany; anything else is the disk's.
func (s *Store) ReadSlot(si caps.StorageIndex, nums []int, ranges []Range) (map[int][][]byte, error) {
	o, err := s.snapshot(si, nums, ranges)
	if err != nil {
		return nil, err
	}
	defer o.close()
	return o.readAll(ranges)
}

func (o *openShares) readAll(ranges []Range) (map[int][][]byte, error) {
	read := make(map[int][][]byte, len(o.shares))
	for _, sh := range o.shares {
		parts, err := sh.read(ranges)
		if err != nil {
			return nil, err
		}
		read[sh.num] = parts
	}
	return read, nil
}
