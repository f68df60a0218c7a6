package account

import (
	"context"
	"time"

	"trunkline/billing"
	"trunkline/caps"
)

// Members says who may do what at an approver. It is the only thing in which a
// grid's manager and a clearinghouse differ. Safe for concurrent use. Keys were
// proved by connections; credentials were not looked at.
type Members interface {
	// Payer says which account the key may spend from.
	// Errors: ErrNoMember, ErrSuspended, roster's.
	Payer(ctx context.Context, key caps.PublicKey, credential []byte, now time.Time) (account caps.PublicKey, err error)
	// Payee says which account is credited when key serves the area.
	// Errors: ErrPayee, ErrSuspended.
	Payee(ctx context.Context, key caps.PublicKey, area caps.AreaCode, now time.Time) (Payee, error)
	// Reader says whether the key may read the statements of the account.
	// Errors: ErrNotYours.
	Reader(ctx context.Context, key, account caps.PublicKey, credential []byte, now time.Time) error
}

// A Payee is who gets paid, and at what price.
type Payee struct {
	// Account is credited.
	Account caps.PublicKey
	// TariffSigner is the only key whose tariffs count: the delegate of the payee's area.
	TariffSigner caps.PublicKey
	// Tariff is the hash of the tariff that the area publishes now.
	Tariff billing.TariffHash
}

// A Joiner takes requests for accounts. Members that implement it let grids ask
// for membership over the protocol; others answer ErrNoJoin.
type Joiner interface {
	// Join asks for an account for the grid whose area record this is. caller must
	// be its delegate. Asking again tells how the request stands.
	// Errors: ErrNotYours, ErrBusy, ErrMalformed.
	Join(ctx context.Context, caller caps.PublicKey, req JoinRequest, now time.Time) (JoinState, error)
}

// A JoinRequest asks for an account for a grid.
type JoinRequest struct {
	Area caps.AreaCode
	// Delegation and Sheet are the area record, both verbatim.
	Delegation, Sheet []byte
	// Name is how the grid wants to be called.
	Name string
}

// A JoinState says how a request for an account stands.
type JoinState struct {
	Admitted   bool            `json:"admitted"`
	Suspended  bool            `json:"suspended"`
	CreditLine billing.Credits `json:"credit_line"`
	Deposit    billing.Credits `json:"deposit"`
	Currency   string          `json:"currency,omitempty"`
}
