package area

import (
	"errors"
	"fmt"

	"trunkline/p2p"
)

// Why a record is refused. Each has its kind on the wire.
var (
	// ErrMalformed says that bytes are no record of ours, whoever signed them.
	ErrMalformed = fmt.Errorf("area record is malformed: %w", p2p.ErrMalformed)
	// ErrTooLarge says that a record or a field is beyond its bound.
	ErrTooLarge = fmt.Errorf("area record is too large: %w", p2p.ErrTooLarge)
	// ErrSignature says that the key that should have signed a record did not.
	ErrSignature = fmt.Errorf("area record is not signed by its key: %w", p2p.ErrIntegrity)
	// ErrExpired says that a record's end of life is over.
	ErrExpired = fmt.Errorf("area record has expired: %w", p2p.ErrExpired)
	// ErrRollback says that a newer record was seen before.
	ErrRollback = fmt.Errorf("area record is older than one already seen: %w", p2p.ErrConflict)
)

// Why there is no record.
var (
	// ErrUnknownArea says that everybody who was asked answered, and nobody
	// knows the area.
	ErrUnknownArea = fmt.Errorf("area is unknown: %w", p2p.ErrNotFound)
	// ErrNoAnswer says that nobody who might know could be asked.
	ErrNoAnswer = fmt.Errorf("nobody answered for the area: %w", p2p.ErrUnavailable)
	// ErrCacheDamaged says that a file of the cache cannot be read, and with
	// it the knowledge of which records are too old.
	ErrCacheDamaged = errors.New("cached area record is damaged")
	// ErrCacheFull says that the cache holds as many areas as it may.
	ErrCacheFull = fmt.Errorf("area cache is full: %w", p2p.ErrBusy)
)
