package storage

import (
	"encoding/binary"
	"fmt"
	"math"

	"golang.org/x/crypto/blake2b"

	"trunkline/caps"
)

const (
	headerSize = 12 // u32 version, u32 share length at creation, u32 number of leases
	leaseSize  = 72 // u32 owner, 32 bytes renew, 32 bytes cancel, u32 expiration
	magicSize  = 32 // what tells a mutable container

	containerV1 = 1 // lease secrets in clear
	containerV2 = 2 // lease secrets as BLAKE2b-256
)

// The magics of mutable containers, version 1 and 2: 27 bytes of text, 5 of hash.
const (
	mutableMagicV1 = "Tahoe mutable container v1\n\x75\x09\x44\x03\x8e"
	mutableMagicV2 = "Tahoe mutable container v2\n\xc3\x55\x21\x99\x25"
)

// Lease is one lease record of a share.
type Lease struct {
	Owner      uint32      // of a mutable share never 0
	Renew      caps.Secret // as stored: clear in version 1, BLAKE2b-256 of the secret in version 2
	Cancel     caps.Secret
	Expiration uint32   // Unix seconds
	NodeID     [20]byte // of the server that took it; mutable shares only
}

func (l Lease) append(b []byte) []byte {
	b = binary.BigEndian.AppendUint32(b, l.Owner)
	b = append(b, l.Renew[:]...)
	b = append(b, l.Cancel[:]...)
	return binary.BigEndian.AppendUint32(b, l.Expiration)
}

// parseLease reads one record; b has leaseSize bytes.
func parseLease(b []byte) Lease {
	return Lease{
		Owner:      binary.BigEndian.Uint32(b),
		Renew:      caps.Secret(b[4:36]),
		Cancel:     caps.Secret(b[36:68]),
		Expiration: binary.BigEndian.Uint32(b[68:]),
	}
}

// container is the geometry of an immutable share file.
type container struct {
	version uint32
	created uint32 // share length at creation as the header has it, capped at 2^32-1
	leases  uint32
	data    uint64 // length of the share
}

// parseContainer reads the geometry of a share file of size bytes from its first bytes (magicSize of
// them, or fewer when the file is shorter).
//
// The share's length follows from the file's size and the number of leases; the header's length field is
// not what readers go by. With one exception: adding a lease appends the record first and raises the
// number afterwards, here as in Tahoe, and a power cut between the two leaves up to one record that is
// not counted. The header then tells that those bytes are not part of the share.
//
// Errors: ErrMutable for a mutable container, ErrDamaged for anything else that is not an immutable one.
func parseContainer(head []byte, size uint64) (container, error) {
	if len(head) >= magicSize {
		if m := string(head[:magicSize]); m == mutableMagicV1 || m == mutableMagicV2 {
			return container{}, ErrMutable
		}
	}
	if len(head) < headerSize || size < headerSize {
		return container{}, fmt.Errorf("%w: %d bytes are too few for a header", ErrDamaged, size)
	}
	c := container{
		version: binary.BigEndian.Uint32(head),
		created: binary.BigEndian.Uint32(head[4:]),
		leases:  binary.BigEndian.Uint32(head[8:]),
	}
	if c.version != containerV1 && c.version != containerV2 {
		return container{}, fmt.Errorf("%w: container version %d", ErrDamaged, c.version)
	}
	body, tail := size-headerSize, uint64(c.leases)*leaseSize
	if tail > body {
		return container{}, fmt.Errorf("%w: %d leases do not fit in %d bytes", ErrDamaged, c.leases, size)
	}
	c.data = body - tail
	if created := uint64(c.created); created != math.MaxUint32 && created < c.data && c.data-created <= leaseSize {
		c.data = created
	}
	return c, nil
}

// leaseOffset is where record i starts, from the start of the file.
func (c container) leaseOffset(i uint32) int64 {
	return int64(headerSize + c.data + uint64(i)*leaseSize) //nolint:gosec // within a file that exists, or one whose size Allocate bounded
}

// end is where the next lease goes: the size of the file, unless an addition was cut short.
func (c container) end() int64 { return c.leaseOffset(c.leases) }

// stored is what a container of this version keeps of a secret.
func (c container) stored(s caps.Secret) caps.Secret {
	if c.version == containerV1 {
		return s
	}
	return blake2b.Sum256(s[:])
}

// containerHeader is the header of a new container of version 2 with one lease.
func containerHeader(size uint64) []byte {
	b := binary.BigEndian.AppendUint32(make([]byte, 0, headerSize), containerV2)
	b = binary.BigEndian.AppendUint32(b, uint32(min(size, math.MaxUint32)))
	return binary.BigEndian.AppendUint32(b, 1)
}
