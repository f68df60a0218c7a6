package account

import (
	"errors"

	"trunkline/p2p"
)

// Errors with a kind match it on both sides of a connection.
var (
	// ErrMalformed means that a message is not what the protocol says.
	ErrMalformed = p2p.Malformed.New("malformed message")
	// ErrNoMember means that the caller has no account here.
	ErrNoMember = p2p.Denied.New("no account here")
	// ErrSuspended means that the account may not be used.
	ErrSuspended = p2p.Denied.New("account is suspended")
	// ErrRevoked means that the key was revoked; it never gets approvals again.
	ErrRevoked = p2p.Denied.New("key is revoked")
	// ErrPayee means that whom the payer wants to pay does not serve that area.
	ErrPayee = p2p.Refused.New("payee does not serve this area")
	// ErrTariff means that the tariff is not the one that the payee's area
	// publishes now; the payer has to look it up again.
	ErrTariff = p2p.Conflict.New("not the tariff that the payee's area publishes")
	// ErrTollFree means that an approval was asked where nothing is charged.
	ErrTollFree = p2p.Refused.New("this area is toll-free and needs no approval")
	// ErrCredit means that deposit, credit line and earnings do not cover the cap.
	// The text has the numbers.
	ErrCredit = p2p.Unpaid.New("credit exhausted")
	// ErrNotYours means that an account or a channel belongs to others.
	ErrNotYours = p2p.Denied.New("not an account of yours")
	// ErrNoChannel means that nothing was ever approved on this channel.
	ErrNoChannel = p2p.NotFound.New("no such channel")
	// ErrVoucher means that a voucher will not be booked: over the cap, wrong cost,
	// or signed by another key than the payer's.
	ErrVoucher = p2p.Refused.New("voucher refused")
	// ErrEpoch means that an approval was issued before a revocation of its approver.
	ErrEpoch = p2p.Expired.New("approval was issued before the approver's last revocation")
	// ErrNoJoin means that this approver takes no requests for accounts.
	ErrNoJoin = p2p.Unsupported.New("this approver takes no requests for accounts")
	// ErrBusy means that the caller asked too often.
	ErrBusy = p2p.Busy.New("too many requests; try again later")

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
