package roster

import (
	"errors"
	"fmt"
	"time"

	"trunkline/billing/sealed"
	"trunkline/caps"
	"trunkline/p2p/area"
)

// MaxDelegationBytes bounds a delegation record.
const MaxDelegationBytes = area.MaxDelegation

// A Bundle is a roster and the delegation that makes its signature worth
// something, both verbatim.
type Bundle struct {
	Delegation []byte
	Roster     []byte
}

// Verified is an opened bundle. It is read-only; copies share memory.
type Verified struct {
	Roster     SealedRoster
	Delegation area.Delegation
	Bundle     Bundle
}

// Number orders the rosters of an area: first the delegation, then the roster.
// So a grid key that names a new delegate starts a new count, and a stolen old
// delegate cannot outrun it.
type Number struct {
	Delegation uint64 // sequence of the delegation record
	Roster     uint64 // sequence of the roster
}

// Compare is negative if n is older than m, zero if they are the same.
func (n Number) Compare(m Number) int {
	switch {
	case n.Delegation < m.Delegation, n.Delegation == m.Delegation && n.Roster < m.Roster:
		return -1
	case n == m:
		return 0
	}
	return 1
}

// Number is the place of this roster among those of its area.
func (v Verified) Number() Number {
	return Number{Delegation: v.Delegation.Sequence, Roster: v.Roster.Value.Sequence}
}

// NotAfter is when the roster or its delegation ends, whichever is first.
func (v Verified) NotAfter() time.Time {
	end := time.Unix(v.Roster.Value.NotAfter, 0)
	if v.Delegation.NotAfter.Before(end) {
		return v.Delegation.NotAfter
	}
	return end
}

// Expired reports whether the bundle may no longer be acted on.
func (v Verified) Expired(now time.Time) bool { return now.After(v.NotAfter()) }

// Open checks a bundle from the area code alone.
//
// Errors: ErrMalformed, ErrSigner, ErrArea, ErrExpired.
func Open(code caps.AreaCode, b Bundle, now time.Time) (Verified, error) {
	d, err := OpenDelegation(code, b.Delegation, now)
	if err != nil {
		return Verified{}, err
	}
	s, err := openSealed[Roster](b.Roster, d.Delegate)
	if err != nil {
		return Verified{}, fmt.Errorf("opening roster: %w", err)
	}
	if s.Value.Area != code {
		return Verified{}, fmt.Errorf("roster: %w", ErrArea)
	}
	v := Verified{Roster: s, Delegation: d, Bundle: b}
	if v.Expired(now) {
		return Verified{}, fmt.Errorf("roster %d ended %s: %w", s.Value.Sequence, v.NotAfter().UTC().Format(time.RFC3339), ErrExpired)
	}
	return v, nil
}

// OpenDelegation is [area.OpenDelegation] with this package's errors.
func OpenDelegation(code caps.AreaCode, b []byte, now time.Time) (area.Delegation, error) {
	if len(b) > MaxDelegationBytes {
		return area.Delegation{}, fmt.Errorf("%w: delegation of %d bytes, %d are allowed", ErrMalformed, len(b), MaxDelegationBytes)
	}
	d, err := area.OpenDelegation(code, b, now)
	switch {
	case err == nil:
		return d, nil
	case errors.Is(err, area.ErrExpired):
		return area.Delegation{}, fmt.Errorf("opening delegation: %w: %w", ErrExpired, err)
	case errors.Is(err, area.ErrSignature):
		return area.Delegation{}, fmt.Errorf("opening delegation: %w: %w", ErrSigner, err)
	default:
		return area.Delegation{}, fmt.Errorf("opening delegation: %w: %w", ErrMalformed, err)
	}
}

// openSealed opens a signed object and checks who signed it: a valid signature
// of the wrong key is as bad as none (GO-2023-2024).
func openSealed[T any, P sealed.Object[T]](b []byte, signer caps.PublicKey) (sealed.Sealed[T], error) {
	s, err := sealed.Open[T, P](b)
	if err != nil {
		return sealed.Sealed[T]{}, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	if s.Signer != signer {
		return sealed.Sealed[T]{}, fmt.Errorf("signed by %s: %w", s.Signer, ErrSigner)
	}
	return s, nil
}

// stamp writes a time for people.
func stamp(unix int64) string { return time.Unix(unix, 0).UTC().Format(time.RFC3339) }
