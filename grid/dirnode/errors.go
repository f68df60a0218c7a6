package dirnode

import "errors"

var (
	// ErrMalformed means that contents are no directory's. Nothing of it can be used, and nothing may be written in its
	// place.
	ErrMalformed = errors.New("directory is malformed")
	// ErrNotFound means that a directory has no child of that name.
	ErrNotFound = errors.New("no such child")
	// ErrEntry means that the entry of one child cannot be used: its cap is malformed, or grants what it may not in its
	// place. The other children can be.
	ErrEntry = errors.New("directory entry is malformed")
	// ErrReadOnly means that a change needs the directory's write key.
	ErrReadOnly = errors.New("directory was opened without its write key")
	// ErrName means that a name is not UTF-8 or longer than MaxName.
	ErrName = errors.New("unacceptable name for a child")
	// ErrMetadata means that metadata are no JSON object, or too long.
	ErrMetadata = errors.New("metadata are not a JSON object")
	// ErrTooLarge means that contents are, or would be, longer than MaxContents.
	ErrTooLarge = errors.New("directory is too large")
)
