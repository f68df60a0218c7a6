package tree

import "errors"

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
	// ErrReadOnly means that a change needs a directory's write cap.
	ErrReadOnly = errors.New("the directory cannot be changed with this cap")
	// ErrForeign means that a directory belongs to another grid, where only its members write.
	ErrForeign = errors.New("the directory belongs to another grid, where only its members write")
	// ErrMutableChild means that something that can change was to stand in an immutable directory.
	ErrMutableChild = errors.New("an immutable directory holds immutable things alone")
	// ErrMalformed means that a directory's contents are none, or one entry that was asked for cannot be used.
	ErrMalformed = errors.New("directory is malformed")
	// ErrName means that a name cannot be one: not UTF-8, or too long.
	ErrName = errors.New("unacceptable name")
	// ErrChild means that there is no cap to link, or one that must not be linked.
	ErrChild = errors.New("this cannot be linked")
	// ErrTooLarge means that a directory is too large to be read or written.
	ErrTooLarge = errors.New("directory is too large")
	// ErrChanged means that somebody else changed an entry while it was being moved: it is in both places.
	ErrChanged = errors.New("somebody else changed the entry meanwhile")
	// ErrIntoItself means that a directory was to be moved into itself, where nobody would find it again.
	ErrIntoItself = errors.New("a directory cannot be moved into itself")
	// ErrWrongType means that what was to be unlinked is a directory where a file was meant, or the reverse.
	ErrWrongType = errors.New("not of the type that was meant")
)
