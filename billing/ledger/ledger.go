package ledger

import (
	"context"
	"time"

	"trunkline/billing"
	"trunkline/billing/sealed"
	"trunkline/caps"
)

// Store is an approver's books.
//
// All methods are safe for concurrent use, also by several processes on one
// database. Changes are serializable: each sees the books as all earlier ones
// left them, and no two decide on the same cover. When a changing method
// returns nil, the change is durable; when it returns one of the refusals, or
// an error from package billing, nothing was changed. Any other error, ErrUnknown
// and the context's among them, leaves open whether it was: ask again, which is
// always safe, for every change is idempotent.
//
// Reading methods see some state between two changes, at least as new as the
// last change that had returned before. What they return is the caller's.
type Store interface {
	// Admit opens an account or changes its terms.
	//
	// Errors: ErrTerms; ErrCurrency, if the account is in another one;
	// ErrCredit, if the new terms do not cover what is reserved.
	Admit(ctx context.Context, account caps.PublicKey, terms Terms) error

	// Account returns one account, Accounts all, ascending by key.
	//
	// Errors: ErrNoAccount.
	Account(ctx context.Context, account caps.PublicKey) (Account, error)
	Accounts(ctx context.Context) ([]Account, error)

	// Reserve opens the approval's channel, or raises its caps and times, and
	// reserves the cap with grace, less what is booked, on the payer's account.
	// The approver signs first, reserves, and only then lets the approval go.
	//
	// Errors: ErrUnverified; billing.ErrWrongTariff; ErrNoAccount (either
	// account), ErrSuspended (either), ErrRevoked (any key of the approval),
	// ErrEpoch (the approval is not of the present one), ErrCurrency; ErrCredit,
	// as *CreditError; billing.ErrWrongChannel (the channel has other accounts),
	// billing.ErrLowered (an earlier approval went further in some respect).
	Reserve(ctx context.Context, r Reservation) error

	// Channel returns one channel.
	//
	// Errors: ErrNoChannel.
	Channel(ctx context.Context, id billing.ChannelID) (Channel, error)

	// Post books v: the channel then owes the most of what it owed and what v
	// says, so vouchers may come in any order and any number of times. It
	// returns the channel's latest entry, which may be of a higher voucher.
	// at is the time to book by.
	//
	// A voucher of a channel that Expire has released is booked if the account
	// still covers it, else it is ErrCredit.
	//
	// Errors: ErrUnverified, ErrNoChannel, ErrPayer, billing.ErrWrongCost,
	// billing.ErrOverCap (grace included), ErrCredit.
	Post(ctx context.Context, v sealed.Sealed[billing.Voucher], at time.Time) (Posting, error)

	// Lines returns a line for each channel with an entry in which the account
	// pays or earns in the period, ascending by channel.
	//
	// Errors: ErrNoAccount.
	Lines(ctx context.Context, account caps.PublicKey, period uint64) ([]billing.Line, error)

	// Entries returns up to limit entries from number first on, ascending: the
	// journal, for export and audit.
	Entries(ctx context.Context, first uint64, limit int) ([]Entry, error)

	// Expire releases what is reserved for channels whose grace ended before
	// now, with billing.ClockTolerance, and returns how many those were.
	Expire(ctx context.Context, now time.Time) (int, error)

	// Epoch is the present revocation epoch, from 0.
	Epoch(ctx context.Context) (uint64, error)

	// Revoke bars a key, as payer, payee or account, from all further
	// approvals, and begins a new epoch, which it returns. What is approved
	// runs out by itself, and can be booked. Revoking a key again changes
	// nothing and returns the epoch in which it was revoked.
	Revoke(ctx context.Context, key caps.PublicKey, at time.Time) (uint64, error)

	// Check recomputes the books from the signatures: that every entry is
	// signed by its payer, costs what its tariff says and stays within the cap
	// (I1, I6); that the entries of a channel rise, number and chain (I4); that
	// balances are the entries' sums and add up to zero (I2); and that what is
	// reserved is what the caps ask for, and covered (I3). It reads everything.
	//
	// Errors: ErrBroken, with the first thing found.
	Check(ctx context.Context) error

	// Close waits for the changes under way. Later ones get ErrClosed.
	Close() error
}

// Terms are what an operator grants an account.
type Terms struct {
	Name       string          // for people; valid UTF-8, at most MaxName bytes
	Currency   string          // never changes; see billing.CheckCurrency
	Deposit    billing.Credits // paid in, zero or more
	CreditLine billing.Credits // granted, zero or more
	Suspended  bool            // gets no approvals, as payer or payee
}

// MaxName bounds Terms.Name, in bytes.
const MaxName = 200

// Account is one account and where it stands.
type Account struct {
	Key caps.PublicKey
	Terms
	Balance  billing.Credits // earned less owed, since the account was opened
	Reserved billing.Credits // by open caps, less what is booked on them
}

// Available is what may still be reserved.
func (a Account) Available() billing.Credits {
	return a.Deposit + a.CreditLine + a.Balance - a.Reserved
}

// Reservation is an approval to stand for, and the tariff it names.
type Reservation struct {
	Approval sealed.Sealed[billing.Approval]
	Tariff   sealed.Sealed[billing.Tariff]
}

// Channel is a channel as the books have it.
type Channel struct {
	Approval      billing.Approval // the latest reserved
	ApprovalBytes []byte           // its envelope
	TariffBytes   []byte           // the tariff's envelope
	Last          *billing.Voucher // the highest posted; nil if none is
	LastBytes     []byte           // its envelope
	Entry         uint64           // the channel's last ledger entry; 0 if there is none
	Reserved      billing.Credits  // still set aside
	Released      bool             // by Expire; Reserve opens it again
}

// Posting is where a channel stands after a Post.
type Posting struct {
	Channel  billing.ChannelID
	Entry    uint64          // the channel's latest
	Voucher  [32]byte        // SHA-256 of the envelope of the voucher it books
	Delta    billing.Credits // what this Post added; 0 if it changed nothing
	Bytes    uint64          // the channel's totals
	Lookups  uint64
	Credits  billing.Credits
	BookedAt int64    // of Entry, unix seconds
	Head     [32]byte // of the chain, with Entry in it
}

// Receipt is the posting as the object that the approver signs.
func (p Posting) Receipt() billing.Receipt {
	return billing.Receipt{
		Channel: p.Channel, Voucher: p.Voucher, Entry: p.Entry,
		Bytes: p.Bytes, Lookups: p.Lookups, Credits: p.Credits,
		BookedAt: p.BookedAt, Head: p.Head,
	}
}

// Statement gathers the statement of an account's period, ready to sign.
//
// Errors: ErrNoAccount; billing.ErrOverflow; what the store fails with.
func Statement(ctx context.Context, s Store, account caps.PublicKey, period uint64, issuedAt time.Time) (billing.Statement, error) {
	a, err := s.Account(ctx, account)
	if err != nil {
		return billing.Statement{}, err
	}
	lines, err := s.Lines(ctx, account, period)
	if err != nil {
		return billing.Statement{}, err
	}
	debit, credit, err := billing.Totals(lines)
	if err != nil {
		return billing.Statement{}, err
	}
	return billing.Statement{
		Account: account, Period: period, IssuedAt: issuedAt.Unix(), Currency: a.Currency,
		Lines: lines, Debit: debit, Credit: credit,
	}, nil
}
