package storage

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"

	"trunkline/caps"
)

// ShareInfo is one complete share that a server holds.
type ShareInfo struct {
	Num  int    // 0 to MaxShares-1
	Size uint64 // bytes
}

// Shares lists the complete shares of a storage index, ascending; none is not an error. A file that
// cannot be read as a container is left out and logged.
//
// Safe for concurrent use. Errors: ErrMutable; anything else is the disk's.
func (s *Store) Shares(si caps.StorageIndex) ([]ShareInfo, error) {
	stored, err := s.readable(si)
	if err != nil {
		return nil, err
	}
	infos := make([]ShareInfo, 0, len(stored))
	for _, sh := range stored {
		if !sh.damaged {
			infos = append(infos, ShareInfo{Num: sh.num, Size: sh.size})
		}
	}
	return infos, nil
}

// storedShare is one share file of a bucket.
type storedShare struct {
	num     int
	size    uint64
	damaged bool // not a container; the rest is unknown
}

// readable looks into every share file of a storage index, ascending.
func (s *Store) readable(si caps.StorageIndex) ([]storedShare, error) {
	nums, err := s.numbers(si)
	if err != nil {
		return nil, err
	}
	stored := make([]storedShare, 0, len(nums))
	for _, num := range nums {
		share, err := s.OpenShare(si, num)
		switch {
		case err == nil:
			stored = append(stored, storedShare{num: num, size: share.Size()})
			share.Close()
		case errors.Is(err, ErrDamaged):
			s.log.Warn("share file is damaged", "share", num, "error", err)
			stored = append(stored, storedShare{num: num, damaged: true})
		case errors.Is(err, ErrNotFound): // removed since it was listed
		default:
			return nil, err
		}
	}
	return stored, nil
}

// numbers lists the share numbers in a bucket, ascending.
func (s *Store) numbers(si caps.StorageIndex) ([]int, error) {
	names, err := s.disk.List(bucketDir(sharesDir, si))
	if err != nil {
		return nil, fmt.Errorf("listing shares: %w", err)
	}
	nums := make([]int, 0, len(names))
	for _, name := range names {
		if num, ok := shareNumber(name); ok {
			nums = append(nums, num)
		}
	}
	slices.Sort(nums)
	return nums, nil
}

// Share is one complete share open for reading. It is an io.ReaderAt over the share's bytes.
type Share struct {
	store  *Store
	handle *handle
}

// OpenShare opens a share for reading; the caller closes it.
//
// Safe for concurrent use. Errors: ErrNotFound, ErrMutable, ErrDamaged, ErrInvalid; anything else is the
// disk's.
func (s *Store) OpenShare(si caps.StorageIndex, num int) (*Share, error) {
	if num < 0 || num >= MaxShares {
		return nil, fmt.Errorf("%w: share number %d", ErrInvalid, num)
	}
	id := shareID{si, num}
	hd := s.handles.get(id)
	if hd == nil {
		f, c, err := s.openContainer(id, false)
		if err != nil {
			return nil, err
		}
		if hd, err = s.handles.put(&handle{id: id, file: f, c: c}); err != nil {
			return nil, err
		}
	}
	return &Share{s, hd}, nil
}

// openContainer opens a share file and reads its geometry.
func (s *Store) openContainer(id shareID, write bool) (file, container, error) {
	f, err := s.disk.Open(id.path(), write)
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil, container{}, fmt.Errorf("share %d: %w", id.num, ErrNotFound)
		}
		return nil, container{}, fmt.Errorf("opening share %d: %w", id.num, err)
	}
	c, err := readContainer(f)
	if err != nil {
		_ = f.Close()
		return nil, container{}, fmt.Errorf("share %d: %w", id.num, err)
	}
	return f, c, nil
}

func readContainer(f file) (container, error) {
	size, err := f.Size()
	if err != nil {
		return container{}, fmt.Errorf("reading the file's size: %w", err)
	}
	var head [magicSize]byte
	n, err := f.ReadAt(head[:], 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return container{}, fmt.Errorf("reading the container's header: %w", err)
	}
	return parseContainer(head[:n], uint64(size)) //nolint:gosec // a file's size is not negative
}

// Size is the share's length in bytes.
func (h *Share) Size() uint64 { return h.handle.c.data }

// ReadAt reads bytes of the share, never of its leases. It keeps the contract of io.ReaderAt. Safe for
// concurrent use.
func (h *Share) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 {
		return 0, fmt.Errorf("%w: offset %d", ErrRange, off)
	}
	size := h.handle.c.data
	if uint64(off) >= size {
		return 0, io.EOF
	}
	short := uint64(len(p)) > size-uint64(off)
	if short {
		p = p[:size-uint64(off)]
	}
	n, err := h.handle.file.ReadAt(p, headerSize+off)
	if err == nil && short {
		err = io.EOF
	}
	return n, err
}

// Close ends the use of the share. It must be called once.
func (h *Share) Close() { h.store.handles.release(h.handle) }
