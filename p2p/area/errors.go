package area

import (
	"errors"

	"trunkline/p2p"
)

// Why a record is refused. Each has its kind on the wire.
var (
	// ErrMalformed means that bytes are no record of ours, whoever signed them.
	ErrMalformed = p2p.Malformed.New("area record is malformed")
	// ErrTooLarge means that a record or a field is beyond its bound.
	ErrTooLarge = p2p.TooLarge.New("area record is too large")
	// ErrSignature means that the key that should have signed a record did not.
	ErrSignature = p2p.Integrity.New("area record is not signed by its key")
	// ErrExpired means that a record's end of life is over.
	ErrExpired = p2p.Expired.New("area record has expired")
	// ErrRollback means that a newer record was seen before.
	ErrRollback = p2p.Conflict.New("area record is older than one already seen")
)

// Why there is no record.
var (
	// ErrUnknownArea means that everybody who was asked answered, and nobody
	// knows the area.
	ErrUnknownArea = p2p.NotFound.New("area is unknown")
	// ErrNoAnswer means that nobody who might know could be asked.
	ErrNoAnswer = p2p.Unavailable.New("nobody answered for the area")
	// ErrCacheDamaged means that a file of the cache cannot be read, and with
	// it the knowledge of which records are too old.
	ErrCacheDamaged = errors.New("cached area record is damaged")
	// ErrCacheFull means that the cache holds as many areas as it may.
	ErrCacheFull = p2p.Busy.New("area cache is full")
)
