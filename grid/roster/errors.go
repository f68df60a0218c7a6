package roster

import (
	"errors"
	"fmt"

	"trunkline/caps"
	"trunkline/p2p"
)

// Errors with a kind match it on both sides of a connection.
var (
	// ErrNotMember means that the key is not on the roster.
	ErrNotMember = p2p.Denied.New("not a member of this grid")
	// ErrRole means that the key is on the roster, but not in the role it asks for.
	ErrRole = p2p.Denied.New("not approved for this role")
	// ErrExpired means that a roster, certificate, delegation or ticket is past its end.
	ErrExpired = p2p.Expired.New("expired")
	// ErrNoRoster means that no roster was ever received.
	ErrNoRoster = p2p.Unavailable.New("no roster received yet")
	// ErrRollback means that a roster is older than one seen before, or has its
	// number and other content.
	ErrRollback = p2p.Conflict.New("older than what was seen before")
	// ErrSigner means that an object is signed, but not by the area's delegate.
	ErrSigner = p2p.Integrity.New("not signed by the manager that the area's grid key named")
	// ErrArea means that an object is about another area.
	ErrArea = p2p.Refused.New("belongs to another area")
	// ErrMalformed means that bytes are not one of this package's objects in its
	// only spelling.
	ErrMalformed = p2p.Malformed.New("malformed")
	// ErrEpoch means that a certificate was issued before a revocation the
	// verifier knows of.
	ErrEpoch = p2p.Expired.New("issued before the area's last revocation")
	// ErrTicket means that the manager knows no such ticket: wrong secret, or revoked.
	ErrTicket = p2p.NotFound.New("the manager does not know this ticket")
	// ErrTicketUsed means that a ticket has no uses left.
	ErrTicketUsed = p2p.Conflict.New("ticket already used")
	// ErrNoManager means that a member was asked for what only the manager can do.
	ErrNoManager = p2p.Unsupported.New("only the grid's manager can do this")
	// ErrTicketText means that a ticket's text is not a ticket: a typo, or cut off.
	ErrTicketText = errors.New("not a join ticket")
	// ErrUnreachable means that neither the manager nor any member answered.
	ErrUnreachable = p2p.Unavailable.New("neither the manager nor any member answered")
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
