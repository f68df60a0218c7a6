package longdistance

import (
	"errors"
	"fmt"
	"strings"

	"trunkline/caps"
	"trunkline/p2p"
)

// Errors that carry no kind across the wire.
var (
	// ErrClosed says that a Payer, File or VoucherLog was used after Close.
	ErrClosed = errors.New("closed")
	// ErrVoucherLog says that a voucher log cannot be used.
	ErrVoucherLog = errors.New("voucher log is unusable")
	// ErrNoPayee says that a route named nobody to ask.
	ErrNoPayee = fmt.Errorf("there is nobody to ask: %w", p2p.ErrUnavailable)
)

// Errors about what the other side sent, each with its kind.
var (
	// ErrOrder says that a message came when it may not.
	ErrOrder = fmt.Errorf("message out of order: %w", p2p.ErrMalformed)
	// ErrProof says that a segment, or the block that describes the file,
	// does not match the cap.
	ErrProof = fmt.Errorf("bytes do not match the cap: %w", p2p.ErrIntegrity)
	// ErrTariff says that a payee's tariff is not one to pay by.
	ErrTariff = fmt.Errorf("tariff is not acceptable: %w", p2p.ErrRefused)
	// ErrForeignVoucher says that a payee showed a voucher that is not the
	// payer's own.
	ErrForeignVoucher = fmt.Errorf("voucher shown is not ours: %w", p2p.ErrIntegrity)
	// ErrUnsigned says that the payer did not sign for what it got.
	ErrUnsigned = fmt.Errorf("payer does not sign for what it got: %w", p2p.ErrUnpaid)
)

// Attempt is one payee that a request was tried with, and what went wrong.
type Attempt struct {
	// Payee is whom it was tried with; zero if none was found in Area.
	Payee caps.PublicKey
	// Area is the area that the payee serves; zero for the home grid.
	Area caps.AreaCode
	// Err is what went wrong.
	Err error
}

func (a Attempt) String() string {
	switch {
	case a.Payee.IsZero() && a.Area.IsZero():
		return a.Err.Error()
	case a.Payee.IsZero():
		return fmt.Sprintf("area %s: %v", a.Area.Short(), a.Err)
	default:
		return fmt.Sprintf("%s: %v", shortKey(a.Payee), a.Err)
	}
}

// FailedError says that no payee of a route served a request to its end. It
// names each that was tried and matches, under errors.Is, the most telling of
// their errors: a refusal before an absence, an absence before silence.
type FailedError struct {
	// Attempts is in the order they were made, at least one.
	Attempts []Attempt
	// Segment is the first segment that is missing.
	Segment int
}

// Error is the one attempt's error, or a sentence that lists all.
func (e *FailedError) Error() string {
	if len(e.Attempts) == 1 {
		return e.Attempts[0].String()
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%d were asked in vain", len(e.Attempts))
	for i, a := range e.Attempts {
		if i == 3 {
			fmt.Fprintf(&b, "; and %d more", len(e.Attempts)-i)
			break
		}
		b.WriteString("; ")
		b.WriteString(a.String())
	}
	return b.String()
}

// Unwrap returns the most telling attempt's error.
func (e *FailedError) Unwrap() error {
	var best error
	rank := -1
	for _, a := range e.Attempts {
		if r := telling(a.Err); r > rank {
			best, rank = a.Err, r
		}
	}
	return best
}

// telling orders errors by how much they tell the one who asked.
func telling(err error) int {
	if errors.Is(err, ErrOlder) || errors.Is(err, ErrChanged) {
		return 4 // it is there, but not as it should be
	}
	switch p2p.KindOf(err) {
	case p2p.Refused, p2p.TooLarge:
		return 7
	case p2p.Unpaid:
		return 6
	case p2p.Denied, p2p.Expired:
		return 5
	case p2p.Integrity:
		return 4
	case p2p.NotFound:
		return 3
	case p2p.Internal, p2p.Conflict:
		return 2
	case p2p.Busy:
		return 1
	default:
		return 0
	}
}

// shortKey is how a peer is named in a sentence: enough to tell it from
// others, and to find it in a log.
func shortKey(k caps.PublicKey) string {
	s := k.String()
	if len(s) <= 16 {
		return s
	}
	return s[:8] + "…" + s[len(s)-6:]
}
