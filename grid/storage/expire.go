package storage

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"time"

	"trunkline/caps"
)

// Expired is one share all of whose leases have ended.
type Expired struct {
	StorageIndex caps.StorageIndex
	Num          int
	Mutable      bool
	Bytes        uint64    // of its file
	Ended        time.Time // when its last lease did
}

// Expired calls found for every share all of whose leases ended before now less grace, in the order of the storage
// directory, and changes nothing: what [Store.Collect] would remove. A share that never had a lease is none, and so is a
// file that cannot be read. An error of found, or the end of ctx, ends it.
//
// It reads the leases of every share: minutes for a million of them. Safe for concurrent use.
func (s *Store) Expired(ctx context.Context, now time.Time, grace time.Duration, found func(Expired) error) error {
	return s.walk(ctx, func(id shareID) error {
		e, err := s.expired(id, now.Add(-grace))
		if err != nil || e == nil {
			return err
		}
		return found(*e)
	})
}

// Collect removes what [Store.Expired] finds, and calls removed for each share that is gone. Nothing calls it by itself:
// whether shares whose leases ended go is the operator's decision. A share that gets a lease meanwhile stays, and whoever
// is reading one reads it to its end.
//
// Safe for concurrent use. Errors: ErrReadOnly, ErrFailed, removed's, ctx's; anything else is the disk's.
func (s *Store) Collect(ctx context.Context, now time.Time, grace time.Duration, removed func(Expired) error) error {
	if err := s.writable(); err != nil {
		return err
	}
	return s.walk(ctx, func(id shareID) error {
		// Most shares stay: look without being in anybody's way, and again before it goes.
		if e, err := s.expired(id, now.Add(-grace)); err != nil || e == nil {
			return err
		}
		e, err := s.collect(id, now.Add(-grace))
		if err != nil || e == nil {
			return err
		}
		return removed(*e)
	})
}

// walk visits every share, by directory, then number.
func (s *Store) walk(ctx context.Context, visit func(shareID) error) error {
	prefixes, err := s.disk.List(sharesDir)
	if err != nil {
		return fmt.Errorf("listing the shares: %w", err)
	}
	slices.Sort(prefixes)
	for _, prefix := range prefixes {
		if len(prefix) != 2 {
			continue
		}
		buckets, err := s.disk.List(path.Join(sharesDir, prefix))
		if err != nil {
			return fmt.Errorf("listing the shares: %w", err)
		}
		slices.Sort(buckets)
		for _, bucket := range buckets {
			if err := ctx.Err(); err != nil {
				return err
			}
			si, err := caps.ParseStorageIndex(bucket)
			if err != nil || bucketDir(sharesDir, si) != path.Join(sharesDir, prefix, bucket) {
				continue // none of ours
			}
			nums, err := s.numbers(si)
			if err != nil {
				return err
			}
			for _, num := range nums {
				if err := visit(shareID{si, num}); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// expired looks at one share; nil if it is to stay.
func (s *Store) expired(id shareID, before time.Time) (*Expired, error) {
	leases, err := s.immutableLeases(id)
	mutable := errors.Is(err, ErrMutable)
	if mutable {
		unlock := s.slots.rlock(id.si)
		leases, err = s.slotLeases(id)
		unlock()
	}
	return s.judge(id, mutable, leases, err, before)
}

// collect removes one share unless it is to stay.
func (s *Store) collect(id shareID, before time.Time) (*Expired, error) {
	defer s.slots.lock(id.si)()
	s.leases.Lock()
	defer s.leases.Unlock()
	if err := s.writable(); err != nil {
		return nil, err
	}
	var leases []Lease
	f, c, err := s.openContainer(id, false)
	mutable := errors.Is(err, ErrMutable)
	switch {
	case err == nil:
		leases, err = readLeases(f, c)
		_ = f.Close()
	case mutable:
		leases, err = s.slotLeases(id)
	}
	e, err := s.judge(id, mutable, leases, err, before)
	if err != nil || e == nil {
		return nil, err
	}
	if err := s.disk.Remove(id.path()); err != nil {
		return nil, diskError("removing the share", err)
	}
	s.handles.forget(id)
	s.account(0, e.Bytes)
	s.prune(id.si)
	return e, nil
}

// slotLeases reads the leases of a mutable share. The caller holds the slot's lock.
func (s *Store) slotLeases(id shareID) ([]Lease, error) {
	sh, err := s.openSlotFile(id, false)
	if err != nil {
		return nil, err
	}
	_ = sh.file.Close()
	return sh.c.leases.used(), nil
}

// judge says whether a share with these leases, or err instead of them, has expired; nil if not.
func (s *Store) judge(id shareID, mutable bool, leases []Lease, err error, before time.Time) (*Expired, error) {
	switch {
	case errors.Is(err, ErrNotFound), errors.Is(err, ErrImmutable):
		return nil, nil //nolint:nilnil // it went or was replaced meanwhile
	case errors.Is(err, ErrDamaged):
		s.log.Warn("share file is damaged", "share", id.num, "error", err)
		return nil, nil //nolint:nilnil // the operator's business
	case err != nil:
		return nil, err
	case len(leases) == 0:
		return nil, nil //nolint:nilnil // nobody said how long
	}
	last := uint32(0)
	for _, l := range leases {
		last = max(last, l.Expiration)
	}
	ended := time.Unix(int64(last), 0)
	if !ended.Before(before) {
		return nil, nil //nolint:nilnil // it is wanted
	}
	size, err := s.fileSize(id.path())
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil //nolint:nilnil // it went meanwhile
	}
	if err != nil {
		return nil, err
	}
	return &Expired{id.si, id.num, mutable, size, ended}, nil
}
