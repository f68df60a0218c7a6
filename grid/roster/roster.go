package roster

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"slices"

	"trunkline/billing/sealed"
	"trunkline/caps"
	"trunkline/p2p"
)

// MaxRosterBytes bounds a sealed roster on the wire and on disk.
const MaxRosterBytes = 1 << 20

// A Member is one node that the manager approved.
type Member struct {
	Key   caps.PublicKey
	Roles Role
	// Name is for people: at most [MaxName] bytes of printable UTF-8, may be empty.
	Name string
	// Seed places a server in the permuted order and goes into its lease secrets.
	// It is fixed when the member is approved; see [SeedOf].
	Seed [20]byte
	// Addrs are multiaddr hints, at most [MaxAddrs].
	Addrs []string
	// Since is when the member was approved, unix seconds.
	Since int64
}

// Peer is the member as somebody to dial.
func (m Member) Peer() p2p.Peer { return p2p.Peer{Key: m.Key, Addrs: slices.Clone(m.Addrs)} }

func (m Member) clone() Member {
	m.Addrs = slices.Clone(m.Addrs)
	return m
}

// SeedOf is the seed a manager gives to a new member: the first 20 bytes of
// SHA-256("trunkline/seed/v1\n" ‖ key).
func SeedOf(key caps.PublicKey) [20]byte {
	h := sha256.New()
	h.Write([]byte("trunkline/seed/v1\n"))
	h.Write(key[:])
	return [20]byte(h.Sum(nil))
}

// A Roster is the manager's list of members, with what every member has to know
// about the grid. Sealed by the delegate.
//
// It is a value; the slices are shared, so treat an opened one as read-only.
type Roster struct {
	Area caps.AreaCode
	// Sequence grows by at least one with each roster of one delegation.
	Sequence uint64
	// IssuedAt and NotAfter are unix seconds. Nobody acts on a roster after NotAfter.
	IssuedAt, NotAfter int64
	// Epoch grows with each revocation.
	Epoch uint64
	// ManagerAddrs are multiaddr hints for the manager, whose key is the delegate's.
	ManagerAddrs []string
	// LocalTariff is what gateways ask of clients, ExportTariff what contact points
	// ask of strangers: sealed tariffs, at most 1024 bytes, empty if there is none.
	LocalTariff, ExportTariff []byte
	// Clearinghouses are those the grid settles with, in order of preference.
	Clearinghouses []p2p.Peer
	// Members are in ascending order of their keys, at most [MaxMembers].
	Members []Member
}

// SealedRoster is a roster with its signature, bytes verbatim.
type SealedRoster = sealed.Sealed[Roster]

// Domain separates signatures of rosters from all others.
func (*Roster) Domain() string { return "trunkline/roster/v1" }

// Codec is the envelope's payload type.
func (*Roster) Codec() []byte { return []byte("/trunkline/roster") }

// MaxRecord is the longest payload.
func (*Roster) MaxRecord() int { return MaxRosterBytes - 1024 }

// Find returns the member with this key.
func (r *Roster) Find(key caps.PublicKey) (Member, bool) {
	i, ok := slices.BinarySearchFunc(r.Members, key, func(m Member, k caps.PublicKey) int {
		return bytes.Compare(m.Key[:], k[:])
	})
	if !ok {
		return Member{}, false
	}
	return r.Members[i], true
}

// With returns copies of the members that have all of the roles, in order of keys.
func (r *Roster) With(roles Role) []Member {
	var out []Member
	for _, m := range r.Members {
		if m.Roles.Has(roles) {
			out = append(out, m.clone())
		}
	}
	return out
}

// Validate checks everything that can be checked without a clock or a signature.
func (r *Roster) Validate() error {
	switch {
	case r.Area.IsZero():
		return fmt.Errorf("%w: roster without an area", ErrMalformed)
	case r.Sequence == 0:
		return fmt.Errorf("%w: roster number 0", ErrMalformed)
	case r.IssuedAt < 0 || r.NotAfter <= r.IssuedAt:
		return fmt.Errorf("%w: roster ends before it begins", ErrMalformed)
	case len(r.LocalTariff) > maxTariff || len(r.ExportTariff) > maxTariff:
		return fmt.Errorf("%w: tariff over %d bytes", ErrMalformed, maxTariff)
	case len(r.Clearinghouses) > MaxClearinghouses:
		return fmt.Errorf("%w: %d clearinghouses, %d are allowed", ErrMalformed, len(r.Clearinghouses), MaxClearinghouses)
	case len(r.Members) > MaxMembers:
		return fmt.Errorf("%w: %d members, %d are allowed", ErrMalformed, len(r.Members), MaxMembers)
	}
	if err := checkPeer(p2p.Peer{Key: r.Area.Key(), Addrs: r.ManagerAddrs}); err != nil {
		return fmt.Errorf("manager: %w", err)
	}
	for _, c := range r.Clearinghouses {
		if err := checkPeer(c); err != nil {
			return fmt.Errorf("clearinghouse: %w", err)
		}
	}
	for i, m := range r.Members {
		if err := m.validate(); err != nil {
			return fmt.Errorf("member %d: %w", i, err)
		}
		if i > 0 && bytes.Compare(r.Members[i-1].Key[:], m.Key[:]) >= 0 {
			return fmt.Errorf("%w: member %d is not in the order of keys", ErrMalformed, i)
		}
	}
	return nil
}

func (m Member) validate() error {
	if !m.Roles.Valid() {
		return fmt.Errorf("%w: roles %s", ErrMalformed, m.Roles)
	}
	if m.Since < 0 {
		return fmt.Errorf("%w: negative time", ErrMalformed)
	}
	if err := CheckName(m.Name); err != nil {
		return err
	}
	return checkPeer(m.Peer())
}

// MarshalRecord gives the bytes that are signed.
func (r *Roster) MarshalRecord() ([]byte, error) {
	if err := r.Validate(); err != nil {
		return nil, err
	}
	b := putKey(make([]byte, 0, 256+len(r.Members)*256), r.Area.Key())
	b = binary.BigEndian.AppendUint64(b, r.Sequence)
	b = binary.BigEndian.AppendUint64(b, uint64(r.IssuedAt))
	b = binary.BigEndian.AppendUint64(b, uint64(r.NotAfter))
	b = binary.BigEndian.AppendUint64(b, r.Epoch)
	b = putAddrs(b, r.ManagerAddrs)
	b = putLong(b, r.LocalTariff)
	b = putLong(b, r.ExportTariff)
	b = append(b, byte(len(r.Clearinghouses)))
	for _, c := range r.Clearinghouses {
		b = putKey(b, c.Key)
		b = putAddrs(b, c.Addrs)
	}
	b = binary.BigEndian.AppendUint16(b, uint16(len(r.Members))) //nolint:gosec // G115: Validate bounds it by MaxMembers
	for _, m := range r.Members {
		b = putKey(b, m.Key)
		b = binary.BigEndian.AppendUint32(b, uint32(m.Roles))
		b = binary.BigEndian.AppendUint64(b, uint64(m.Since))
		b = append(b, m.Seed[:]...)
		b = putShort(b, m.Name)
		b = putAddrs(b, m.Addrs)
	}
	return b, nil
}

// minMemberBytes is the least a member takes, so that a count can be checked
// against the bytes that are there before anything is allocated.
const minMemberBytes = 32 + 4 + 8 + 20 + 1 + 1

// UnmarshalRecord reads what MarshalRecord wrote and nothing else.
func (r *Roster) UnmarshalRecord(b []byte) error {
	in := reader{rest: b}
	out := Roster{
		Area:     caps.NewAreaCode(in.key()),
		Sequence: in.u64(),
		IssuedAt: in.i64(),
		NotAfter: in.i64(),
		Epoch:    in.u64(),
	}
	out.ManagerAddrs = in.addrs()
	out.LocalTariff = in.long(maxTariff)
	out.ExportTariff = in.long(maxTariff)
	houses := in.u8()
	if houses > MaxClearinghouses {
		in.fail("%d clearinghouses, %d are allowed", houses, MaxClearinghouses)
	}
	for range houses {
		if in.err != nil {
			break
		}
		out.Clearinghouses = append(out.Clearinghouses, p2p.Peer{Key: in.key(), Addrs: in.addrs()})
	}
	members := in.u16()
	if in.err == nil && (members > MaxMembers || members*minMemberBytes > len(in.rest)) {
		in.fail("%d members do not fit", members)
	}
	if in.err == nil && members > 0 {
		out.Members = make([]Member, 0, members)
		for range members {
			m := Member{Key: in.key(), Roles: in.roles(), Since: in.i64()}
			m.Seed = seed(in.take(20))
			m.Name = in.name()
			m.Addrs = in.addrs()
			if in.err != nil {
				break
			}
			out.Members = append(out.Members, m)
		}
	}
	if err := in.finish(); err != nil {
		return err
	}
	if err := out.Validate(); err != nil {
		return err
	}
	*r = out
	return nil
}

func seed(b []byte) (s [20]byte) {
	copy(s[:], b)
	return s
}
