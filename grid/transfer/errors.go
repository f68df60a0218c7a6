package transfer

import (
	"errors"
	"fmt"

	"trunkline/caps"
)

var (
	// ErrNoShares means that no server that answered has a share of the file. It comes
	// as a [NotEnoughSharesError] with Found 0.
	ErrNoShares = errors.New("no shares found")
	// ErrNotEnoughShares means that fewer than k good shares could be reached. It comes
	// as a [NotEnoughSharesError].
	ErrNotEnoughShares = errors.New("not enough shares")
	// ErrUnhappy means that the shares cannot be spread over enough servers. It comes
	// as an [UnhappyError].
	ErrUnhappy = errors.New("not enough servers took shares")
	// ErrCorrupt means that a share is not what the cap says. It is the reason in a
	// [Blame] for a server that lied.
	ErrCorrupt = errors.New("share is corrupt")
	// ErrInconsistent means that the blocks are what the uploader made, but what they
	// decode to is not: the file was made wrong on purpose, and no server is
	// to blame.
	ErrInconsistent = errors.New("the file's shares do not belong together")
	// ErrRange means that the segments asked for do not lie within the file.
	ErrRange = errors.New("no such segments")
	// ErrClosed means that the file was closed.
	ErrClosed = errors.New("file is closed")
	// ErrConfig means that a parameter of an upload is out of range.
	ErrConfig = errors.New("upload parameters out of range")
	// ErrSourceChanged means that the plaintext read while encoding was not the one
	// the key was computed from, or the source ended early.
	ErrSourceChanged = errors.New("the file changed while it was being read")
)

// errSilent is the reason given for a server that did not answer in time.
var errSilent = errors.New("no answer in time")

// Blame says why a share of a server was not used, or not to the end.
type Blame struct {
	// Server is the account of the server.
	Server caps.PublicKey
	// Share is the share number, or -1 if the server as a whole failed.
	Share int
	// Reason matches [ErrCorrupt] if the server lied; anything else is a
	// failure to answer.
	Reason error
}

// String names server, share and reason.
func (b Blame) String() string {
	if b.Share < 0 {
		return fmt.Sprintf("server %v: %v", b.Server, b.Reason)
	}
	return fmt.Sprintf("share %d on server %v: %v", b.Share, b.Server, b.Reason)
}

// Corrupt reports whether the server served wrong bytes.
func (b Blame) Corrupt() bool { return errors.Is(b.Reason, ErrCorrupt) }

// NotEnoughSharesError says that a file, or a part of it, could not be had.
// It matches [ErrNotEnoughShares], and [ErrNoShares] if Found is 0.
type NotEnoughSharesError struct {
	// Found is the number of distinct shares that were good, Need is k.
	Found, Need int
	// Asked is the number of servers that were asked.
	Asked int
	// Blamed is [File.Blamed] at that moment.
	Blamed []Blame
}

func (e *NotEnoughSharesError) Error() string {
	failed := make(map[caps.PublicKey]bool)
	lied := 0
	for _, b := range e.Blamed {
		if b.Corrupt() {
			lied++
		} else {
			failed[b.Server] = true
		}
	}
	s := fmt.Sprintf("found %d good shares of the %d needed on %d servers", e.Found, e.Need, e.Asked)
	if e.Need == 0 { // of a mutable file, whose shares say how many it takes
		s = fmt.Sprintf("found no good shares on %d servers", e.Asked)
	}
	if lied > 0 {
		s += fmt.Sprintf("; %d shares were corrupt", lied)
	}
	if len(failed) > 0 {
		s += fmt.Sprintf("; %d servers failed or did not answer, so it may work later", len(failed))
	}
	return s
}

// Is makes the error match its sentinels.
func (e *NotEnoughSharesError) Is(target error) bool {
	return target == ErrNotEnoughShares || target == ErrNoShares && e.Found == 0
}

// UnhappyError says that an upload failed because too few servers took
// shares. It matches [ErrUnhappy]. Unwrap gives what the servers said.
type UnhappyError struct {
	// Placed is the happiness reached: the number of distinct servers that
	// could each hold a share of their own. Wanted is what was asked for.
	Placed, Wanted int
	// Servers is the number of servers that were tried.
	Servers int
	// Failed names the servers that refused or failed, with their reasons.
	Failed []Blame
}

func (e *UnhappyError) Error() string {
	s := fmt.Sprintf("shares could be spread over %d servers, %d are wanted, of %d tried", e.Placed, e.Wanted, e.Servers)
	if len(e.Failed) > 0 {
		s += fmt.Sprintf("; first failure: %v", e.Failed[0])
	}
	return s
}

// Is makes the error match its sentinel.
func (e *UnhappyError) Is(target error) bool { return target == ErrUnhappy }

// Unwrap gives the reasons of the servers that failed.
func (e *UnhappyError) Unwrap() []error {
	errs := make([]error, len(e.Failed))
	for i, b := range e.Failed {
		errs[i] = b.Reason
	}
	return errs
}

// isLie tells a wrong answer from none.
func isLie(err error) bool { return errors.Is(err, ErrCorrupt) }
