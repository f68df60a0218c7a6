package tree

import (
	"errors"
	"fmt"

	"trunkline/caps"
	"trunkline/grid/dirnode"
)

var (
	// ErrNotFound means that a directory has no child of that name.
	ErrNotFound = errors.New("no such file or directory")
	// ErrExists means that there is a child of that name, which may not be replaced.
	ErrExists = errors.New("there is something of that name already")
	// ErrInTheWay means that a directory cannot be made because a file is in its place, or in that of one above it.
	ErrInTheWay = errors.New("a file is where a directory should be")
	// ErrNotDirectory means that what was asked for as a directory is none.
	ErrNotDirectory = errors.New("not a directory")
	// ErrNotReadable means that a cap does not open a directory: a verify cap, or one of unknown kind.
	ErrNotReadable = errors.New("the cap does not open the directory")
	// ErrReadOnly means that a change needs a write cap.
	ErrReadOnly = errors.New("this cannot be changed without a write cap")
	// ErrForeign means that something belongs to another grid, where only its members write and check.
	ErrForeign = errors.New("this belongs to another grid, where only its members write")
	// ErrMutableChild means that something that can change was to stand in an immutable directory.
	ErrMutableChild = errors.New("an immutable directory holds immutable things alone")
	// ErrMalformed means that a directory's contents are no directory.
	ErrMalformed = dirnode.ErrMalformed
	// ErrEntry means that one entry of a directory cannot be used.
	ErrEntry = dirnode.ErrEntry
	// ErrName means that a name cannot be one: not UTF-8, or too long.
	ErrName = dirnode.ErrName
	// ErrMetadata means that metadata cannot be stored.
	ErrMetadata = dirnode.ErrMetadata
	// ErrTooLarge means that a directory is too large to be read or written.
	ErrTooLarge = dirnode.ErrTooLarge
	// ErrChild means that there is no cap to link, or one that must not be linked.
	ErrChild = errors.New("this cannot be linked")
	// ErrChanged means that somebody else changed an entry while it was being moved: both his and the moved one are
	// there, each in its place.
	ErrChanged = errors.New("somebody else changed the entry meanwhile, so that it stays")
	// ErrLeftBehind means that a child was linked in its new place and could not be taken out of the old one.
	ErrLeftBehind = errors.New("it is in its new place, and in the old one too")
	// ErrIntoItself means that a directory was to be moved into itself, where nobody would find it again.
	ErrIntoItself = errors.New("a directory cannot be moved into itself")
	// ErrWrongType means that what was to be unlinked is a directory where a file was meant, or the reverse.
	ErrWrongType = errors.New("not of the type that was meant")
)

// maxQuoted is how many characters of a name stand in an error.
const maxQuoted = 80

// named is an error about the child of that name, which others may have chosen to deceive whoever reads it.
func named(name string, err error) error {
	if runes := []rune(name); len(runes) > maxQuoted {
		name = string(runes[:maxQuoted]) + "…"
	}
	return fmt.Errorf("%q: %w", name, err)
}

// unlinkable translates what dirnode says of a child that it does not take.
func unlinkable(name string, err error) error {
	switch {
	case errors.Is(err, caps.ErrMustBeDeepImmutable):
		return named(name, fmt.Errorf("%w: %w", ErrMutableChild, err))
	case errors.Is(err, ErrName), errors.Is(err, ErrMetadata):
		return named(name, err)
	}
	return named(name, fmt.Errorf("%w: %w", ErrChild, err))
}
