package mutable

import (
	"errors"
	"fmt"

	"trunkline/grid/transfer"
)

var (
	// ErrUncoordinated means that somebody else changed the file at the same time. What was to be written may stand, or
	// not, or stand on some servers: read the file before anything else is done to it.
	ErrUncoordinated = errors.New("somebody else changed the file at the same time")
	// ErrUnsettled means that servers hold parts of a newer version which may be complete together with those that did
	// not answer: to write now could destroy it.
	ErrUnsettled = errors.New("a newer version is partly there and may be complete on servers that did not answer")
	// ErrRollback means that the newest version that can be had is older than one seen before. It comes as a
	// [RollbackError].
	ErrRollback = errors.New("older than seen before")
	// ErrExists means that a file was to be created with keys that have one already.
	ErrExists = errors.New("the file exists already")
	// ErrNoWriteCap means that a cap does not allow writing, or names no mutable file.
	ErrNoWriteCap = errors.New("not the write cap of a mutable file")
	// ErrNoReadCap means that a read key does not belong to the file.
	ErrNoReadCap = errors.New("not the read key of this file")
	// ErrRange means that a range does not lie within the file.
	ErrRange = errors.New("the range does not lie within the file")
	// ErrTooLarge means that contents have more bytes than the format, or the caller's bound, allows.
	ErrTooLarge = errors.New("too large for a mutable file")
	// ErrClosed means that the version or the key pool was closed.
	ErrClosed = errors.New("closed")
	// ErrSeenFile means that a file is not one that versions seen are kept in.
	ErrSeenFile = errors.New("not a file of versions seen")
	// ErrConfig means that a parameter is out of range.
	ErrConfig = errors.New("mutable file parameters out of range")
)

// RollbackError says that servers have only an older version than was seen before. It matches [ErrRollback].
type RollbackError struct {
	// Found is the sequence number of the newest version that can be had, Seen that of the newest ever seen.
	Found, Seen uint64
	// Blamed names servers that failed, which may have the newer one.
	Blamed []transfer.Blame
}

func (e *RollbackError) Error() string {
	s := fmt.Sprintf("the newest version found is number %d, %v: number %d was there", e.Found, ErrRollback, e.Seen)
	if len(e.Blamed) > 0 {
		s += fmt.Sprintf("; %d servers failed or lied, so it may work later", len(e.Blamed))
	}
	return s
}

// Is makes the error match its sentinel.
func (e *RollbackError) Is(target error) bool { return target == ErrRollback }
