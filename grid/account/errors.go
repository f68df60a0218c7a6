package account

import (
	"errors"

	"trunkline/p2p"
)

// failure is a sentinel that knows its kind on the wire: errors.Is matches the
// sentinel here and the kind on the other side.
type failure struct {
	text string
	kind p2p.ErrorKind
}

func (f *failure) Error() string { return f.text }
func (f *failure) Unwrap() error { return f.kind }

var (
	// ErrMalformed means that a message is not what the protocol says.
	ErrMalformed error = &failure{"malformed message", p2p.Malformed}
	// ErrNoMember means that the caller has no account here.
	ErrNoMember error = &failure{"no account here", p2p.Denied}
	// ErrSuspended means that the account may not be used.
	ErrSuspended error = &failure{"account is suspended", p2p.Denied}
	// ErrRevoked means that the key was revoked; it never gets approvals again.
	ErrRevoked error = &failure{"key is revoked", p2p.Denied}
	// ErrPayee means that whom the payer wants to pay does not serve that area.
	ErrPayee error = &failure{"payee does not serve this area", p2p.Refused}
	// ErrTariff means that the tariff is not the one that the payee's area
	// publishes now; the payer has to look it up again.
	ErrTariff error = &failure{"not the tariff that the payee's area publishes", p2p.Conflict}
	// ErrTollFree means that an approval was asked where nothing is charged.
	ErrTollFree error = &failure{"this area is toll-free and needs no approval", p2p.Refused}
	// ErrCredit means that deposit, credit line and earnings do not cover the cap.
	// The text has the numbers.
	ErrCredit error = &failure{"credit exhausted", p2p.Unpaid}
	// ErrNotYours means that an account or a channel belongs to others.
	ErrNotYours error = &failure{"not an account of yours", p2p.Denied}
	// ErrNoChannel means that nothing was ever approved on this channel.
	ErrNoChannel error = &failure{"no such channel", p2p.NotFound}
	// ErrVoucher means that a voucher will not be booked: over the cap, wrong cost,
	// or signed by another key than the payer's.
	ErrVoucher error = &failure{"voucher refused", p2p.Refused}
	// ErrNoJoin means that this approver takes no requests for accounts.
	ErrNoJoin error = &failure{"this approver takes no requests for accounts", p2p.Unsupported}
	// ErrBusy means that the caller asked too often.
	ErrBusy error = &failure{"too many requests; try again later", p2p.Busy}

	// ErrAway means that the approver did not answer and that no approval at hand
	// covers the time.
	ErrAway = errors.New("approver cannot be reached")
	// ErrReceipt means that what the approver signed does not fit what it was sent.
	ErrReceipt = errors.New("receipt does not fit the voucher")
	// ErrApproval means that what the approver signed does not fit what was asked.
	ErrApproval = errors.New("approval does not fit what was asked")
	// ErrStatement means that a statement is not the approver's or another account's.
	ErrStatement = errors.New("statement does not fit what was asked")
)
