package storage

import (
	"errors"

	"trunkline/p2p"
	"trunkline/p2p/pb"
)

// refusal is one of the sentinels below: it has a kind, as every failure that crosses the wire has, and
// a number that tells it from others of its kind.
type refusal struct {
	reason uint32 // on the wire; append-only
	kind   p2p.ErrorKind
	text   string
}

func (r *refusal) Error() string { return r.text }

func (r *refusal) Unwrap() error { return r.kind }

// What callers of a [Store] and of a [Remote] branch on with errors.Is. A Remote's errors match the same
// values as the Store's, and the p2p kind that each has.
var (
	// ErrNotFound means that there is no such share, or no share of that storage index.
	ErrNotFound error = &refusal{1, p2p.NotFound, "no such share"}
	// ErrRange means that a range does not lie within the share.
	ErrRange error = &refusal{2, p2p.TooLarge, "the range does not lie within the share"}
	// ErrMutable means that the storage index holds mutable shares.
	ErrMutable error = &refusal{3, p2p.Unsupported, "the storage index holds mutable shares"}
	// ErrNoSpace means that the disk, its reserve or the configured maximum leaves no room.
	ErrNoSpace error = &refusal{4, p2p.Refused, "no space left for shares"}
	// ErrReadOnly means that the store was opened read-only.
	ErrReadOnly error = &refusal{5, p2p.Unsupported, "the server takes no shares, it is read-only"}
	// ErrIncomplete means that a commit came before every byte of the share was written.
	ErrIncomplete error = &refusal{6, p2p.Conflict, "the share is not complete"}
	// ErrConflict means that bytes written twice differ, or something else stands in the share's place.
	ErrConflict error = &refusal{7, p2p.Conflict, "the bytes conflict with what is stored"}
	// ErrNoUpload means that the share is not being uploaded by the caller, or its upload was given up.
	ErrNoUpload error = &refusal{8, p2p.NotFound, "no such upload in progress"}
	// ErrTooMany means that a bound on uploads, leases, gaps or advisories is reached.
	ErrTooMany error = &refusal{9, p2p.Busy, "too many of them"}
	// ErrFailed means that an earlier sync failed; the store takes no writes until it is opened again.
	ErrFailed error = &refusal{10, p2p.Unavailable, "a disk sync failed, the server takes no writes until it is restarted"}
	// ErrDamaged means that a share's file is not a container that can be read.
	ErrDamaged error = &refusal{11, p2p.Integrity, "the share's file is damaged"}
	// ErrInvalid means that an argument or a field of a request is out of bounds.
	ErrInvalid error = &refusal{12, p2p.Malformed, "invalid request"}
	// ErrEnabler means that the shares of a slot were made with another write enabler: by another writer, or for a
	// server with another id.
	ErrEnabler error = &refusal{13, p2p.Denied, "the write enabler is not the slot's"}
	// ErrImmutable means that the storage index holds immutable shares.
	ErrImmutable error = &refusal{14, p2p.Unsupported, "the storage index holds immutable shares"}
)

// Errors that do not cross the wire.
var (
	// ErrClosed means that the store or remote was closed.
	ErrClosed = errors.New("storage is closed")
	// ErrLocked means that another process has the directory open for writing.
	ErrLocked = errors.New("the storage directory is in use by another process")
)

// reasons has each refusal at its number less one.
var reasons = [...]error{
	ErrNotFound, ErrRange, ErrMutable, ErrNoSpace, ErrReadOnly, ErrIncomplete, ErrConflict,
	ErrNoUpload, ErrTooMany, ErrFailed, ErrDamaged, ErrInvalid, ErrEnabler, ErrImmutable,
}

// reasonOf is the number that err has on the wire, 0 if it is none of ours.
func reasonOf(err error) uint32 {
	var r *refusal
	if errors.As(err, &r) {
		return r.reason
	}
	return 0
}

// refusedError is a refusal as it came from a server. It says what the sentinel says if there is one: the
// server's own words are only for what is not known here.
type refusedError struct {
	reason error // one of reasons, or nil
	remote error // *p2p.RemoteError
}

func newRefusedError(f *pb.Failure, reason uint32) error {
	if f == nil {
		f = &pb.Failure{}
	}
	e := &refusedError{remote: p2p.FromFailure(f)}
	if reason >= 1 && int(reason) <= len(reasons) {
		e.reason = reasons[reason-1]
	}
	return e
}

func (e *refusedError) Error() string {
	if e.reason == nil {
		return e.remote.Error()
	}
	return e.reason.Error()
}

func (e *refusedError) Unwrap() []error {
	if e.reason == nil {
		return []error{e.remote}
	}
	return []error{e.remote, e.reason}
}
