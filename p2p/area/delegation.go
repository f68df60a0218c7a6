package area

import (
	"fmt"
	"strings"
	"time"

	"github.com/ipfs/boxo/path"
	"github.com/libp2p/go-libp2p/core/crypto"

	"trunkline/caps"
)

// MaxDelegation is the most bytes a delegation has. One of ours has about 250.
const MaxDelegation = 1024

// DelegationLife is how long a delegation should be valid: long enough for
// the grid key to stay offline, and how long a stolen delegate can do harm
// among those who never hear of its successor.
const DelegationLife = 30 * 24 * time.Hour

// Delegation is the upper layer of an area record: the grid key says which
// online key speaks for the area.
type Delegation struct {
	Delegate caps.PublicKey
	Sequence uint64 // 1 to 2^63-1, higher replaces lower
	NotAfter time.Time
}

// NewDelegation signs, with the grid key, that delegate speaks for the area
// until now + validFor. seq must be above that of every delegation of this
// grid key before. The delegate cannot be the grid key itself.
func NewDelegation(gridKey crypto.PrivKey, delegate caps.PublicKey, seq uint64, now time.Time, validFor time.Duration) ([]byte, error) {
	grid, err := keyOf(gridKey)
	if err != nil {
		return nil, err
	}
	if delegate.IsZero() || delegate == grid {
		return nil, fmt.Errorf("a delegate must be another key than the grid key: %w", ErrMalformed)
	}
	// The name of a key in IPNS is written as an area code is.
	value, err := path.NewPath("/ipns/" + caps.NewAreaCode(delegate).String())
	if err != nil {
		return nil, fmt.Errorf("signing delegation: %w", err)
	}
	return sign(gridKey, value, seq, now, validFor)
}

// OpenDelegation checks a delegation of area at the time now. Errors:
// [ErrMalformed], [ErrTooLarge], [ErrSignature], [ErrExpired].
func OpenDelegation(area caps.AreaCode, b []byte, now time.Time) (Delegation, error) {
	d, _, err := openDelegation(area, b, now)
	return d, err
}

func openDelegation(area caps.AreaCode, b []byte, now time.Time) (Delegation, signed, error) {
	if area.IsZero() {
		return Delegation{}, signed{}, fmt.Errorf("delegation: no area code: %w", ErrMalformed)
	}
	s, err := open(area.Key(), b, MaxDelegation, now)
	if err != nil {
		return Delegation{}, signed{}, fmt.Errorf("delegation: %w", err)
	}
	d, err := s.delegation(area)
	if err != nil {
		return Delegation{}, signed{}, fmt.Errorf("delegation: %w", err)
	}
	return d, s, nil
}

// delegation reads an opened record of area's key as a delegation.
func (s signed) delegation(area caps.AreaCode) (Delegation, error) {
	if s.record.MetadataExists(sheetKey) {
		return Delegation{}, fmt.Errorf("it carries a contact sheet: %w", ErrMalformed)
	}
	value, err := s.record.Value()
	if err != nil {
		return Delegation{}, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	name, ok := strings.CutPrefix(value.String(), "/ipns/")
	if !ok {
		return Delegation{}, fmt.Errorf("it names no key: %w", ErrMalformed)
	}
	delegate, err := caps.ParseAreaCode(name)
	if err != nil {
		return Delegation{}, fmt.Errorf("%w: the delegate: %w", ErrMalformed, err)
	}
	if delegate == area {
		return Delegation{}, fmt.Errorf("it names the grid key itself: %w", ErrMalformed)
	}
	return Delegation{Delegate: delegate.Key(), Sequence: s.sequence, NotAfter: s.notAfter}, nil
}
