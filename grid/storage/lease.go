package storage

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"time"

	"trunkline/caps"
)

const (
	// LeaseDuration is how long a lease holds from its last renewal.
	LeaseDuration = 31 * 24 * time.Hour
	// MaxLeases bounds the leases that are added to one share; a share that has more keeps them.
	MaxLeases = 1024
)

// leaseEnd is the expiration of a lease added or renewed now.
func (s *Store) leaseEnd() uint32 {
	end := s.now().Add(LeaseDuration).Unix()
	return uint32(min(max(end, 0), math.MaxUint32)) //nolint:gosec // just bounded
}

// AddLease renews the lease that has this renew secret on every share of the storage index, immutable or mutable, or adds
// one where there is none; renewing only ever extends. It is durable when AddLease returns.
//
// Safe for concurrent use. Errors: ErrNotFound, ErrReadOnly, ErrTooMany (a share has MaxLeases), ErrFailed; anything
// else is the disk's.
func (s *Store) AddLease(si caps.StorageIndex, renew, cancel caps.Secret) error {
	if err := s.writable(); err != nil {
		return err
	}
	stored, err := s.readable(si)
	if errors.Is(err, ErrMutable) {
		return s.addSlotLease(si, renew, cancel)
	}
	if err != nil {
		return err
	}
	found := false
	for _, sh := range stored {
		if sh.damaged {
			continue
		}
		switch err := s.renewLease(shareID{si, sh.num}, 1, renew, cancel); {
		case errors.Is(err, ErrNotFound): // removed since it was listed
		case err != nil:
			return err
		default:
			found = true
		}
	}
	if !found {
		return ErrNotFound
	}
	return nil
}

// addSlotLease is AddLease for mutable shares.
func (s *Store) addSlotLease(si caps.StorageIndex, renew, cancel caps.Secret) error {
	defer s.slots.lock(si)()
	nums, err := s.numbers(si)
	if err != nil {
		return err
	}
	found := false
	for _, num := range nums {
		switch err := s.renewSlotLease(shareID{si, num}, renew, cancel); {
		case errors.Is(err, ErrNotFound), errors.Is(err, ErrImmutable), errors.Is(err, ErrDamaged):
		case err != nil:
			return err
		default:
			found = true
		}
	}
	if !found {
		return ErrNotFound
	}
	return nil
}

// renewSlotLease renews or adds a lease on one mutable share, in its file. The caller holds the slot's lock.
func (s *Store) renewSlotLease(id shareID, renew, cancel caps.Secret) (err error) {
	sh, err := s.openSlotFile(id, true)
	if err != nil {
		return err
	}
	f, c := sh.file, sh.c
	defer func() { err = errors.Join(err, f.Close()) }()
	if c.leases.at == 0 { // no place for more than the fixed ones: make one
		c.leases.at = sh.size
	}
	i, added, err := c.leases.renew(s.slotLease(c, renew, cancel))
	if err != nil || i < 0 {
		return err
	}
	b, at := c.leases.slot(i).appendSlot(nil), c.leases.offset(i)
	switch {
	case !added: // the expiration alone
		return s.writeLease(f, b[4:8], at+4)
	case i < fixedLeases: // empty until its owner is there
		if err := s.writeLease(f, b[4:], at+4); err != nil {
			return err
		}
		return s.writeLease(f, b[:4], at)
	}
	if err := s.writeLease(f, b, at); err != nil {
		return err
	}
	if c.leases.at == sh.size {
		if err := s.writeLease(f, binary.BigEndian.AppendUint64(nil, c.leases.at), slotFieldsSize-8); err != nil {
			return err
		}
	}
	if err := s.writeLease(f, binary.BigEndian.AppendUint32(nil, uint32(len(c.leases.extra))), int64(c.leases.at)); err != nil { //nolint:gosec // bounded
		return err
	}
	s.account(slotLeaseSize, 0)
	return nil
}

// slotLease is a lease from now on, as a share of this version keeps it.
func (s *Store) slotLease(c slotContainer, renew, cancel caps.Secret) Lease {
	return Lease{Owner: 1, Renew: c.stored(renew), Cancel: c.stored(cancel), Expiration: s.leaseEnd(), NodeID: s.cfg.NodeID}
}

// writeLease writes a piece of a lease, durably.
func (s *Store) writeLease(f file, b []byte, at int64) error {
	if _, err := f.WriteAt(b, at); err != nil {
		return diskError("writing the lease", err)
	}
	return s.syncLease(f)
}

// account changes the bytes of complete share files.
func (s *Store) account(grown, shrunk uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.used += grown
	s.used -= min(shrunk, s.used)
}

// Leases returns the leases of a share, immutable or mutable, in the order of the file.
//
// Safe for concurrent use. Errors: ErrNotFound, ErrDamaged, ErrInvalid; anything else is the disk's.
func (s *Store) Leases(si caps.StorageIndex, num int) ([]Lease, error) {
	if num < 0 || num >= MaxShares {
		return nil, fmt.Errorf("%w: share number %d", ErrInvalid, num)
	}
	leases, err := s.immutableLeases(shareID{si, num})
	if !errors.Is(err, ErrMutable) {
		return leases, err
	}
	defer s.slots.rlock(si)()
	return s.slotLeases(shareID{si, num})
}

func (s *Store) immutableLeases(id shareID) ([]Lease, error) {
	s.leases.Lock()
	defer s.leases.Unlock()
	f, c, err := s.openContainer(id, false)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return readLeases(f, c)
}

func readLeases(f file, c container) ([]Lease, error) {
	b := make([]byte, int(c.leases)*leaseSize) // no more than the file has
	if _, err := f.ReadAt(b, c.leaseOffset(0)); err != nil && len(b) > 0 {
		return nil, fmt.Errorf("reading leases: %w", err)
	}
	leases := make([]Lease, c.leases)
	for i := range leases {
		leases[i] = parseLease(b[i*leaseSize:])
	}
	return leases, nil
}

// renewLease renews or adds a lease on one share.
func (s *Store) renewLease(id shareID, owner uint32, renew, cancel caps.Secret) (err error) {
	s.leases.Lock()
	defer s.leases.Unlock()
	f, c, err := s.openContainer(id, true)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	leases, err := readLeases(f, c)
	if err != nil {
		return err
	}
	lease := Lease{Owner: owner, Renew: c.stored(renew), Cancel: c.stored(cancel), Expiration: s.leaseEnd()}
	for i, l := range leases {
		if !l.Renew.Equal(lease.Renew) {
			continue
		}
		if l.Expiration >= lease.Expiration {
			return nil
		}
		l.Expiration = lease.Expiration
		return s.overwriteLease(f, c.leaseOffset(uint32(i)), l) //nolint:gosec // fewer than a u32
	}
	if len(leases) >= MaxLeases {
		return fmt.Errorf("%w: the share has %d leases", ErrTooMany, len(leases))
	}
	return s.appendLease(f, c, lease)
}

// overwriteLease writes the expiration alone: the rest stays as it is.
func (s *Store) overwriteLease(f file, at int64, l Lease) error {
	b := l.append(nil)
	const expiration = leaseSize - 4
	if _, err := f.WriteAt(b[expiration:], at+expiration); err != nil {
		return diskError("renewing the lease", err)
	}
	return s.syncLease(f)
}

// appendLease adds a record, and counts it when it is durable. A cut between the two leaves bytes that
// [parseContainer] knows for what they are and the next record covers.
func (s *Store) appendLease(f file, c container, l Lease) error {
	if _, err := f.WriteAt(l.append(nil), c.end()); err != nil {
		return errors.Join(diskError("adding the lease", err), f.Truncate(c.end()))
	}
	if err := s.syncLease(f); err != nil {
		return err
	}
	count := binary.BigEndian.AppendUint32(nil, c.leases+1)
	if _, err := f.WriteAt(count, 8); err != nil {
		return diskError("counting the lease", err)
	}
	if err := s.syncLease(f); err != nil {
		return err
	}
	s.account(leaseSize, 0)
	return nil
}

func (s *Store) syncLease(f file) error {
	if err := f.Sync(); err != nil {
		s.fail(err)
		return diskError("syncing the lease", err)
	}
	return nil
}
