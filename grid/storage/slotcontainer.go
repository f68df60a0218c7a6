package storage

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"golang.org/x/crypto/blake2b"

	"trunkline/caps"
)

const (
	slotLeaseSize  = 92 // u32 owner, u32 expiration, 32 bytes renew, 32 bytes cancel, 20 bytes node id
	fixedLeases    = 4
	slotFieldsSize = 100 // magic, node id, write enabler, data length, offset of the extra leases
	slotHeaderSize = slotFieldsSize + fixedLeases*slotLeaseSize
	extraCountSize = 4
)

// slotContainer is the geometry of a mutable share file, and what its header says of it.
//
// Source: tahoe-formats 5.3.
type slotContainer struct {
	version uint32
	nodeID  [20]byte
	enabler caps.Secret
	data    uint64 // length of the share
	leases  slotLeases
}

// slotLeases is the lease slots of a mutable share, empty ones included.
type slotLeases struct {
	fixed [fixedLeases]Lease
	at    uint64 // where the extra ones stand in the file, behind their number; 0 if there is no place for them
	extra []Lease
}

// parseSlotHeader reads the header of a mutable share file of size bytes; head has its first bytes, slotHeaderSize of them
// or fewer when the file is shorter. The extra leases are not there.
//
// Errors: ErrImmutable if it is an immutable container, ErrDamaged for anything else that is no mutable one.
func parseSlotHeader(head []byte, size uint64) (slotContainer, error) {
	if _, err := parseContainer(head, size); !errors.Is(err, ErrMutable) {
		if err == nil {
			err = ErrImmutable
		}
		return slotContainer{}, err
	}
	if len(head) < slotHeaderSize {
		return slotContainer{}, fmt.Errorf("%w: %d bytes are too few for a mutable share", ErrDamaged, size)
	}
	c := slotContainer{
		version: containerV2,
		nodeID:  [20]byte(head[32:52]),
		enabler: caps.Secret(head[52:84]),
		data:    binary.BigEndian.Uint64(head[84:]),
	}
	if string(head[:magicSize]) == mutableMagicV1 {
		c.version = containerV1
	}
	if c.data > size-slotHeaderSize {
		return slotContainer{}, fmt.Errorf("%w: %d bytes of data do not fit in %d", ErrDamaged, c.data, size)
	}
	for i := range c.leases.fixed {
		c.leases.fixed[i] = parseSlotLease(head[slotFieldsSize+i*slotLeaseSize:])
	}
	// An offset that makes no sense costs the extra leases, not the share.
	if at := binary.BigEndian.Uint64(head[92:]); at >= slotHeaderSize+c.data && at <= size && size-at >= extraCountSize {
		c.leases.at = at
	}
	return c, nil
}

// readSlotContainer reads the header of a mutable share file and all its leases.
func readSlotContainer(f file) (slotContainer, error) {
	n, err := f.Size()
	if err != nil {
		return slotContainer{}, fmt.Errorf("reading the file's size: %w", err)
	}
	size := uint64(max(n, 0)) //nolint:gosec // not negative
	var head [slotHeaderSize]byte
	got, err := f.ReadAt(head[:], 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return slotContainer{}, fmt.Errorf("reading the container's header: %w", err)
	}
	c, err := parseSlotHeader(head[:got], size)
	if err != nil || c.leases.at == 0 {
		return c, err
	}
	var count [extraCountSize]byte
	if _, err := f.ReadAt(count[:], int64(c.leases.at)); err != nil { //nolint:gosec // within the file
		return slotContainer{}, fmt.Errorf("reading the number of leases: %w", err)
	}
	extra := min(uint64(binary.BigEndian.Uint32(count[:])), (size-c.leases.at-extraCountSize)/slotLeaseSize)
	if extra == 0 {
		return c, nil
	}
	b := make([]byte, extra*slotLeaseSize)
	if _, err := f.ReadAt(b, int64(c.leases.at)+extraCountSize); err != nil { //nolint:gosec // within the file
		return slotContainer{}, fmt.Errorf("reading leases: %w", err)
	}
	c.leases.extra = make([]Lease, extra)
	for i := range c.leases.extra {
		c.leases.extra[i] = parseSlotLease(b[i*slotLeaseSize:])
	}
	return c, nil
}

// parseSlotLease reads one lease slot; b has slotLeaseSize bytes or more.
func parseSlotLease(b []byte) Lease {
	return Lease{
		Owner:      binary.BigEndian.Uint32(b),
		Expiration: binary.BigEndian.Uint32(b[4:]),
		Renew:      caps.Secret(b[8:40]),
		Cancel:     caps.Secret(b[40:72]),
		NodeID:     [20]byte(b[72:92]),
	}
}

func (l Lease) appendSlot(b []byte) []byte {
	b = binary.BigEndian.AppendUint32(b, l.Owner)
	b = binary.BigEndian.AppendUint32(b, l.Expiration)
	b = append(b, l.Renew[:]...)
	b = append(b, l.Cancel[:]...)
	return append(b, l.NodeID[:]...)
}

// header is the first slotHeaderSize bytes of a file whose extra leases stand right behind the data.
func (c slotContainer) header() []byte {
	b := make([]byte, 0, slotHeaderSize)
	if c.version == containerV1 {
		b = append(b, mutableMagicV1...)
	} else {
		b = append(b, mutableMagicV2...)
	}
	b = append(b, c.nodeID[:]...)
	b = append(b, c.enabler[:]...)
	b = binary.BigEndian.AppendUint64(b, c.data)
	b = binary.BigEndian.AppendUint64(b, slotHeaderSize+c.data)
	for _, l := range c.leases.fixed {
		b = l.appendSlot(b)
	}
	return b
}

// trailer is what stands behind the data.
func (c slotContainer) trailer() []byte {
	b := binary.BigEndian.AppendUint32(nil, uint32(len(c.leases.extra))) //nolint:gosec // bounded when read and added
	for _, l := range c.leases.extra {
		b = l.appendSlot(b)
	}
	return b
}

// stored is what a container of this version keeps of a secret.
func (c slotContainer) stored(s caps.Secret) caps.Secret {
	if c.version == containerV1 {
		return s
	}
	return blake2b.Sum256(s[:])
}

// all is the lease slots in their order, the fixed ones first.
func (l *slotLeases) all() []Lease {
	return append(l.fixed[:len(l.fixed):len(l.fixed)], l.extra...)
}

// used is the leases that there are.
func (l *slotLeases) used() []Lease {
	var used []Lease
	for _, lease := range l.all() {
		if lease.Owner != 0 {
			used = append(used, lease)
		}
	}
	return used
}

// renew extends the lease with the same renew secret, or finds a place for a new one: the first empty slot, or behind
// the others. It returns the number of the lease slot that changed, -1 if none had to, and whether it is a new lease.
//
// Errors: ErrTooMany.
func (l *slotLeases) renew(lease Lease) (slot int, added bool, err error) {
	all, free := l.all(), -1
	for i, old := range all {
		if old.Owner == 0 {
			if free < 0 {
				free = i
			}
			continue
		}
		if !old.Renew.Equal(lease.Renew) {
			continue
		}
		if old.Expiration >= lease.Expiration {
			return -1, false, nil
		}
		l.slot(i).Expiration = lease.Expiration
		return i, false, nil
	}
	if free >= 0 {
		*l.slot(free) = lease
		return free, true, nil
	}
	if len(all) >= MaxLeases {
		return -1, false, fmt.Errorf("%w: the share has %d leases", ErrTooMany, len(all))
	}
	l.extra = append(l.extra, lease)
	return len(all), true, nil
}

func (l *slotLeases) slot(i int) *Lease {
	if i < fixedLeases {
		return &l.fixed[i]
	}
	return &l.extra[i-fixedLeases]
}

// offset is where lease slot i stands in the file.
func (l *slotLeases) offset(i int) int64 {
	if i < fixedLeases {
		return slotFieldsSize + int64(i)*slotLeaseSize
	}
	return int64(l.at) + extraCountSize + int64(i-fixedLeases)*slotLeaseSize //nolint:gosec // within a file
}
