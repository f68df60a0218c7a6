package billing

import "errors"

// What can be wrong with a signed object's payload.
var (
	ErrVersion  = errors.New("billing: unknown version of the object")
	ErrLength   = errors.New("billing: payload has the wrong length")
	ErrRange    = errors.New("billing: value is out of range")
	ErrKey      = errors.New("billing: public key refused")
	ErrCurrency = errors.New("billing: currency is not 1 to 8 of A-Z and 0-9")
	ErrPeriod   = errors.New("billing: times are out of order")
	ErrChannel  = errors.New("billing: channel id does not follow from the approval")
	ErrApprover = errors.New("billing: approval is not signed by the approver it names")
	ErrTotals   = errors.New("billing: statement does not add up")
)

// What can be wrong with money.
var (
	ErrCredits  = errors.New("billing: not an amount")
	ErrOverflow = errors.New("billing: amount does not fit")
)

// What can be wrong with an object at a moment.
var (
	ErrNotYet  = errors.New("billing: not valid yet")
	ErrExpired = errors.New("billing: has expired")
)

// What the meters say.
var (
	ErrWrongTariff  = errors.New("billing: tariff is not the one the approval names")
	ErrWrongChannel = errors.New("billing: for another channel")
	ErrWrongCost    = errors.New("billing: credits are not what the tariff asks for")
	ErrOverCap      = errors.New("billing: beyond the approval's cap")
	ErrCapReached   = errors.New("billing: the approval's cap is reached; it must be raised first")
	ErrNothingDue   = errors.New("billing: nothing to sign for")
	ErrInFlight     = errors.New("billing: too many vouchers wait for an answer")
	ErrNotInFlight  = errors.New("billing: voucher is not waiting for an answer")
	ErrStale        = errors.New("billing: voucher builds on another one than the latest")
	ErrBackwards    = errors.New("billing: voucher is below the one it builds on")
	ErrLowered      = errors.New("billing: renewal lowers what was approved")
)
