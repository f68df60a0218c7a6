package storage

import (
	"errors"
	"fmt"
	"slices"

	"trunkline/caps"
)

// Allocate makes room for shares of one immutable file.
//
// nums are the share numbers, 1 to MaxShares of them without repetition; size is the length of every
// share, 1 to MaxShareBytes. renew and cancel are the lease's secrets as the client sends them. have
// lists, ascending, what is complete already: its lease is renewed or added. uploads, ascending, is what
// the caller can write now. A number in neither is being uploaded by someone else, or there is no room
// for it; when there is no room for any and none is complete, the error is ErrNoSpace.
//
// Errors: ErrNoSpace, ErrReadOnly, ErrMutable, ErrTooMany, ErrFailed, ErrInvalid; anything else is the
// disk's. After an error nothing is allocated.
//
// Source: Tahoe http-storage-node-protocol, POST /storage/v1/immutable/:storage_index.
func (s *Store) Allocate(si caps.StorageIndex, nums []int, size uint64, renew, cancel caps.Secret) (have []int, uploads []*Upload, err error) {
	if err := ValidateAllocate(nums, size); err != nil {
		return nil, nil, err
	}
	nums = slices.Sorted(slices.Values(nums))
	s.alloc.Lock()
	defer s.alloc.Unlock()
	if err := s.writable(); err != nil {
		return nil, nil, err
	}
	s.ExpireUploads()

	// Uploads first, then the disk: a commit that ends in between is found in one of them.
	busy := s.uploading(si, nums)
	stored, err := s.readable(si)
	if err != nil {
		return nil, nil, err
	}
	// Tahoe renews on every share of the storage index, asked for or not.
	stored, err = s.renewAll(si, stored, renew, cancel)
	if err != nil {
		return nil, nil, err
	}
	full := false
	for _, num := range nums {
		if i := slices.IndexFunc(stored, func(sh storedShare) bool { return sh.num == num }); i >= 0 {
			if !stored[i].damaged { // a damaged file keeps its place: it is not ours to overwrite
				have = append(have, num)
			}
			continue
		}
		if busy[num] {
			continue
		}
		u, err := s.begin(shareID{si, num}, size, renew, cancel)
		if errors.Is(err, ErrNoSpace) {
			full = true
			continue
		}
		if err != nil {
			for _, u := range uploads {
				u.Abort()
			}
			return nil, nil, err
		}
		uploads = append(uploads, u)
	}
	if full && len(have) == 0 && len(uploads) == 0 {
		return nil, nil, ErrNoSpace
	}
	return have, uploads, nil
}

// renewAll renews or adds a lease on shares that were listed, and returns those that are still there.
func (s *Store) renewAll(si caps.StorageIndex, stored []storedShare, renew, cancel caps.Secret) ([]storedShare, error) {
	left := stored[:0]
	for _, sh := range stored {
		if !sh.damaged {
			switch err := s.renewLease(shareID{si, sh.num}, 0, renew, cancel); {
			case errors.Is(err, ErrNotFound):
				continue
			case err != nil && !errors.Is(err, ErrTooMany):
				return nil, err
			}
		}
		left = append(left, sh)
	}
	return left, nil
}

// ValidateAllocate checks the arguments of an allocation: 1 to MaxShares share numbers, none twice, and a size of 1 to
// MaxShareBytes.
//
// Errors: ErrInvalid.
func ValidateAllocate(nums []int, size uint64) error {
	if err := checkNumbers(nums); err != nil {
		return err
	}
	if size < 1 || size > MaxShareBytes {
		return fmt.Errorf("%w: a share of %d bytes", ErrInvalid, size)
	}
	return nil
}

func checkNumbers(nums []int) error {
	if len(nums) == 0 || len(nums) > MaxShares {
		return fmt.Errorf("%w: %d share numbers", ErrInvalid, len(nums))
	}
	var seen [MaxShares]bool
	for _, num := range nums {
		if num < 0 || num >= MaxShares {
			return fmt.Errorf("%w: share number %d", ErrInvalid, num)
		}
		if seen[num] {
			return fmt.Errorf("%w: share number %d twice", ErrInvalid, num)
		}
		seen[num] = true
	}
	return nil
}

// uploading is which of nums are being uploaded now.
func (s *Store) uploading(si caps.StorageIndex, nums []int) map[int]bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	busy := make(map[int]bool)
	for _, num := range nums {
		if s.uploads[shareID{si, num}] != nil {
			busy[num] = true
		}
	}
	return busy
}

// begin opens one upload.
func (s *Store) begin(id shareID, size uint64, renew, cancel caps.Secret) (*Upload, error) {
	c := container{version: containerV2}
	u := &Upload{
		store: s, id: id, size: size,
		lease: Lease{Renew: c.stored(renew), Cancel: c.stored(cancel)},
	}
	u.mu.Lock() // nobody writes, and Close waits, until the file is there
	defer u.mu.Unlock()
	if err := s.admit(u); err != nil {
		return nil, err
	}
	f, err := s.disk.Create(u.name)
	if err == nil {
		u.file = f
		if _, err = f.WriteAt(containerHeader(size), 0); err == nil {
			return u, nil
		}
	}
	u.end(err)
	return nil, diskError("starting the upload", err)
}

// admit finds room for an upload and enters it.
func (s *Store) admit(u *Upload) error {
	free, known := s.disk.Free()
	now := s.now()
	need := u.fileSize()

	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.closed:
		return ErrClosed
	case len(s.uploads) >= MaxUploads:
		return fmt.Errorf("%w: %d uploads are in progress", ErrTooMany, len(s.uploads))
	}
	if known && !fits(need, free, s.cfg.ReservedBytes, s.pending) {
		return ErrNoSpace
	}
	if s.cfg.MaxBytes > 0 && !fits(need, s.cfg.MaxBytes, s.used, s.promised) {
		return ErrNoSpace
	}
	s.created++
	u.name = u.id.incoming(s.created)
	u.active = now
	s.uploads[u.id] = u
	s.pending += need
	s.promised += need
	return nil
}

// fits reports whether need is left of total when the others are taken off.
func fits(need, total uint64, others ...uint64) bool {
	for _, o := range others {
		if o > total {
			return false
		}
		total -= o
	}
	return need <= total
}
