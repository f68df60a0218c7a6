package ledger

import (
	"errors"
	"fmt"

	"trunkline/billing"
)

// Refusals: nothing was changed, and asking again gives the same answer until
// somebody acts. Besides them, Reserve and Post pass on what package billing
// says is wrong with an object.
var (
	ErrNoAccount  = errors.New("ledger: no such account")
	ErrNoChannel  = errors.New("ledger: no such channel")
	ErrSuspended  = errors.New("ledger: account is suspended")
	ErrRevoked    = errors.New("ledger: key is revoked")
	ErrEpoch      = errors.New("ledger: approval is of another epoch than the books")
	ErrCurrency   = errors.New("ledger: accounts and tariff are not in one currency")
	ErrTerms      = errors.New("ledger: terms refused")
	ErrUnverified = errors.New("ledger: object was not opened")
	ErrPayer      = errors.New("ledger: voucher is not signed by the channel's payer")
	ErrCredit     = errors.New("ledger: account does not cover this")
)

// Failures.
var (
	// ErrUnknown means that the outcome is unknown: the change may be in the
	// books or not. Every change can be asked for again without doing it twice.
	ErrUnknown = errors.New("ledger: outcome unknown; ask again")
	// ErrClosed means that the store is closed; nothing was changed.
	ErrClosed = errors.New("ledger: store is closed")
	// ErrBroken means that the books do not add up. See Store.Check.
	ErrBroken = errors.New("ledger: books are broken")
)

// CreditError is a refusal for want of cover, with the figures to show. It is
// ErrCredit to errors.Is. All but Limit were taken at the moment of refusal.
type CreditError struct {
	Limit    billing.Credits // deposit and credit line
	Used     billing.Credits // owed less earned; negative if earned more
	Reserved billing.Credits // by open caps
	Asked    billing.Credits // on top of that
}

func (e *CreditError) Error() string {
	return fmt.Sprintf("%v: limit %v, used %v, reserved %v, asked %v", ErrCredit, e.Limit, e.Used, e.Reserved, e.Asked)
}

// Is reports whether target is ErrCredit.
func (e *CreditError) Is(target error) bool { return target == ErrCredit }
