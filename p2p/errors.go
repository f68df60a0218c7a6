package p2p

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/libp2p/go-libp2p/core/network"

	"trunkline/p2p/pb"
)

// ErrorKind is the part of a failure that crosses the wire and that callers
// branch on. It is itself an error, the sentinel of its kind: wrap it to give
// a failure its kind,
//
//	return fmt.Errorf("share %d: %w", n, p2p.ErrNotFound)
//
// and match it with errors.Is on either side. The numbers are only ever
// appended to; an unknown one reads as [Internal].
type ErrorKind uint32

// The kinds, in the order of their numbers on the wire.
const (
	Malformed   ErrorKind = 1 + iota // the message breaks the protocol
	Denied                           // this peer may not do this
	NotFound                         // the thing asked for is not here
	Conflict                         // the state moved on under the request
	Expired                          // a signature's or offer's time is over
	Unpaid                           // more was asked for than was paid or approved
	Busy                             // at a limit now, worth trying later
	Unsupported                      // the protocol or option is not spoken here
	Internal                         // the other side's own fault
	Refused                          // policy says no, though the peer is allowed
	TooLarge                         // beyond a size limit
	Unavailable                      // something needed behind this peer is away
	Integrity                        // bytes do not match what proves them
)

// The sentinels, for errors.Is.
var (
	ErrMalformed   error = Malformed
	ErrDenied      error = Denied
	ErrNotFound    error = NotFound
	ErrConflict    error = Conflict
	ErrExpired     error = Expired
	ErrUnpaid      error = Unpaid
	ErrBusy        error = Busy
	ErrUnsupported error = Unsupported
	ErrInternal    error = Internal
	ErrRefused     error = Refused
	ErrTooLarge    error = TooLarge
	ErrUnavailable error = Unavailable
	ErrIntegrity   error = Integrity
)

// Errors of this package that never cross the wire.
var (
	// ErrUnreachable means that no address of a peer answered; the error that
	// wraps it, an [UnreachableError], says what was tried.
	ErrUnreachable = errors.New("peer is unreachable")
	// ErrStepTimeout means that the other side let a step's deadline pass.
	ErrStepTimeout = errors.New("peer went silent")
	// ErrNoDHT means that the host was made without [Config.DHT].
	ErrNoDHT = errors.New("this host takes no part in the DHT")
	// ErrClosed means that the host is closed.
	ErrClosed = errors.New("host is closed")
	// ErrReset means that the stream was reset by one side without a kind, or
	// ended with its connection.
	ErrReset = Unavailable.New("stream was reset")
	// ErrPeer means that a peer's text or fields are not a peer.
	ErrPeer = errors.New("not a peer address")
	// ErrConfig means that a Config cannot make a host.
	ErrConfig = errors.New("bad p2p configuration")
	// ErrFrame means that a frame's length is not a minimal varint.
	ErrFrame = Malformed.New("frame length is not minimal")
)

// MaxFailureText is the most bytes of text a failure carries, in either
// direction.
const MaxFailureText = 512

// Error returns the kind in words.
func (k ErrorKind) Error() string {
	switch k {
	case Malformed:
		return "malformed"
	case Denied:
		return "denied"
	case NotFound:
		return "not found"
	case Conflict:
		return "conflict"
	case Expired:
		return "expired"
	case Unpaid:
		return "unpaid"
	case Busy:
		return "busy"
	case Unsupported:
		return "unsupported"
	case Refused:
		return "refused"
	case TooLarge:
		return "too large"
	case Unavailable:
		return "unavailable"
	case Integrity:
		return "integrity"
	default:
		return "internal"
	}
}

// New returns a new error of kind k that says text and nothing else. Packages
// make their sentinels with it.
func (k ErrorKind) New(text string) error { return &kindError{k, text} }

// kindError is an error with a kind that its text does not repeat.
type kindError struct {
	kind ErrorKind
	text string
}

func (e *kindError) Error() string { return e.text }
func (e *kindError) Unwrap() error { return e.kind }

// known maps numbers of a later version to Internal.
func (k ErrorKind) known() ErrorKind {
	if k < Malformed || k > Integrity {
		return Internal
	}
	return k
}

// RemoteError is a failure that the other side reported. errors.Is matches
// its kind's sentinel.
type RemoteError struct {
	Kind ErrorKind
	// Text is for people: printable, at most [MaxFailureText] bytes, and
	// written by the other side.
	Text string
}

// Error returns the text with its kind, as the peer's words.
func (e *RemoteError) Error() string {
	if e.Text == "" {
		return "peer answered: " + e.Kind.Error()
	}
	return "peer answered: " + e.Text
}

// Is matches the sentinel of the kind.
func (e *RemoteError) Is(target error) bool {
	k, ok := target.(ErrorKind)
	return ok && k == e.Kind
}

// KindOf returns the kind that err would have on the wire: the first
// [ErrorKind] or [RemoteError] in its chain, else Unavailable for deadlines,
// lost peers and streams that broke off, else Internal. The kind of nil is 0.
func KindOf(err error) ErrorKind {
	if err == nil {
		return 0
	}
	var kind ErrorKind
	if errors.As(err, &kind) {
		return kind.known()
	}
	var remote *RemoteError
	if errors.As(err, &remote) {
		return remote.Kind.known()
	}
	switch {
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded),
		errors.Is(err, ErrStepTimeout), errors.Is(err, ErrUnreachable), errors.Is(err, ErrClosed),
		errors.Is(err, io.ErrUnexpectedEOF):
		return Unavailable
	}
	return Internal
}

// Failure turns err into what is sent about it; nil stays nil. An error
// without a kind goes out as internal and without its text, which may name
// things that are nobody else's business.
func Failure(err error) *pb.Failure {
	if err == nil {
		return nil
	}
	kind := KindOf(err)
	text := err.Error()
	if kind == Internal && !errors.Is(err, ErrInternal) {
		text = "internal error"
	}
	return &pb.Failure{Kind: uint32(kind), Text: cleanText(text)}
}

// FromFailure is the other direction of [Failure]: a *[RemoteError], or nil
// if f is nil.
func FromFailure(f *pb.Failure) error {
	if f == nil {
		return nil
	}
	return &RemoteError{Kind: ErrorKind(f.GetKind()).known(), Text: cleanText(f.GetText())}
}

// cleanText makes s printable and at most MaxFailureText bytes long, cut at a
// character.
func cleanText(s string) string {
	if len(s) > MaxFailureText {
		s = s[:MaxFailureText]
	}
	s = strings.Map(func(r rune) rune {
		if r == utf8.RuneError {
			return -1
		}
		if !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, s)
	return s
}

// UnreachableError says which addresses of a peer were tried and how each
// failed. It matches [ErrUnreachable].
type UnreachableError struct {
	Peer  Peer
	Tried []string // address and reason, as text for people
	Cause error
}

// Error names the peer and at most three of the attempts.
func (e *UnreachableError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "peer %s is unreachable", e.Peer.Key)
	for i, t := range e.Tried {
		if i == 3 {
			fmt.Fprintf(&b, "; and %d more", len(e.Tried)-i)
			break
		}
		fmt.Fprintf(&b, "; %s", t)
	}
	if len(e.Tried) == 0 && e.Cause != nil {
		fmt.Fprintf(&b, ": %v", e.Cause)
	}
	return b.String()
}

// Unwrap returns ErrUnreachable and the cause.
func (e *UnreachableError) Unwrap() []error { return []error{ErrUnreachable, e.Cause} }

// resetCodeBase is where Trunkline's kinds start among libp2p's stream reset
// codes: the letters "TL" and two zero bytes.
const resetCodeBase network.StreamErrorCode = 0x544c0000

// resetCode is what a handler's error becomes when its stream is reset.
func resetCode(err error) network.StreamErrorCode {
	return resetCodeBase + network.StreamErrorCode(KindOf(err))
}

// streamFailure is what became of a stream, in our words alone; the cause, which
// is addresses and the names of system calls, is there for errors.Is and As.
type streamFailure struct{ what, cause error }

func (e *streamFailure) Error() string   { return e.what.Error() }
func (e *streamFailure) Unwrap() []error { return []error{e.what, e.cause} }

// streamError gives what a libp2p stream returns the shape that this package
// promises: io.EOF as it is, timeouts as ErrStepTimeout, resets with a code
// as RemoteError, others as ErrReset.
func streamError(err error) error {
	if err == nil || err == io.EOF || err == io.ErrUnexpectedEOF { //nolint:errorlint // exact values, as io.Reader promises
		return err
	}
	var timed net.Error
	if errors.As(err, &timed) && timed.Timeout() { // each multiplexer has its own
		return &streamFailure{ErrStepTimeout, err}
	}
	var reset *network.StreamError
	if errors.As(err, &reset) && reset.Remote {
		switch code := reset.ErrorCode; {
		case code > resetCodeBase && code <= resetCodeBase+network.StreamErrorCode(Integrity):
			return &RemoteError{Kind: ErrorKind(code - resetCodeBase)}
		case code == network.StreamResourceLimitExceeded, code == network.StreamRateLimited:
			return &RemoteError{Kind: Busy}
		case code == network.StreamProtocolNegotiationFailed:
			return &RemoteError{Kind: Unsupported}
		}
	}
	if KindOf(err) != Internal { // a frame that is not what it should be
		return err
	}
	return &streamFailure{ErrReset, err}
}
