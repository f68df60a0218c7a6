package roster

import (
	"errors"
	"fmt"

	"trunkline/caps"
	"trunkline/p2p"
)

// failure is a sentinel that knows its kind on the wire: errors.Is matches the
// sentinel here and the kind on the other side.
type failure struct {
	text string
	kind p2p.ErrorKind
}

func (f *failure) Error() string { return f.text }
func (f *failure) Unwrap() error { return f.kind }

var (
	// ErrNotMember means that the key is not on the roster.
	ErrNotMember error = &failure{"not a member of this grid", p2p.Denied}
	// ErrRole means that the key is on the roster, but not in the role it asks for.
	ErrRole error = &failure{"not approved for this role", p2p.Denied}
	// ErrExpired means that a roster, certificate, delegation or ticket is past its end.
	ErrExpired error = &failure{"expired", p2p.Expired}
	// ErrNoRoster means that no roster was ever received.
	ErrNoRoster error = &failure{"no roster received yet", p2p.Unavailable}
	// ErrRollback means that a roster is older than one seen before, or has its
	// number and other content.
	ErrRollback error = &failure{"older than what was seen before", p2p.Conflict}
	// ErrSigner means that an object is signed, but not by the area's delegate.
	ErrSigner error = &failure{"not signed by the manager that the area's grid key named", p2p.Integrity}
	// ErrArea means that an object is about another area.
	ErrArea error = &failure{"belongs to another area", p2p.Refused}
	// ErrMalformed means that bytes are not one of this package's objects in its
	// only spelling.
	ErrMalformed error = &failure{"malformed", p2p.Malformed}
	// ErrEpoch means that a certificate was issued before a revocation the
	// verifier knows of.
	ErrEpoch error = &failure{"issued before the area's last revocation", p2p.Expired}
	// ErrTicket means that the manager knows no such ticket: wrong secret, or revoked.
	ErrTicket error = &failure{"the manager does not know this ticket", p2p.NotFound}
	// ErrTicketUsed means that a ticket has no uses left.
	ErrTicketUsed error = &failure{"ticket already used", p2p.Conflict}
	// ErrNoManager means that a member was asked for what only the manager can do.
	ErrNoManager error = &failure{"only the grid's manager can do this", p2p.Unsupported}
	// ErrTicketText means that a ticket's text is not a ticket: a typo, or cut off.
	ErrTicketText = errors.New("not a join ticket")
	// ErrUnreachable means that neither the manager nor any member answered.
	ErrUnreachable error = &failure{"neither the manager nor any member answered", p2p.Unavailable}
)

// A RoleError refuses a member that asks for something it is not approved for.
// It matches [ErrRole].
type RoleError struct {
	Key  caps.PublicKey
	Has  Role
	Need Role
}

func (e *RoleError) Error() string {
	return fmt.Sprintf("%s is approved as %s, not as %s", e.Key, e.Has, e.Need)
}

// Unwrap gives [ErrRole].
func (e *RoleError) Unwrap() error { return ErrRole }
