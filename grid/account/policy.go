package account

import (
	"fmt"
	"time"

	"trunkline/billing"
)

// Policy sizes approvals. Zero fields mean the defaults in their comments.
type Policy struct {
	// TTL is how long an approval is good for; default 1 h. It bounds how long a
	// revoked payer that is cut off from news can go on.
	TTL time.Duration
	// Grace is how much longer a payee may serve while the approver is away;
	// default 24 h. Negative: none.
	Grace time.Duration
	// Period is how long vouchers run up on one channel before the next begins;
	// default 24 h. Periods are numbers: unix time divided by Period.
	Period time.Duration
	// CapBytes is granted when the payer leaves it open; default 1 GiB.
	CapBytes uint64
	// MaxBytes is the most granted at once beyond what is used; default 64 GiB.
	MaxBytes uint64
	// MinBytes is the least worth granting when credit is short; default 4 MiB.
	// Between the two the cap is halved until the credit covers it.
	MinBytes uint64
	// Lookups are granted with each approval; default 4096.
	Lookups uint64
	// GraceBytes may be served on top of the cap during grace; default 64 MiB.
	// They are reserved like the cap. Ignored without Grace.
	GraceBytes uint64
	// Window is what a payer's whole account may owe one payee unsigned, as far
	// as the approver vouches for it; default 4 MiB. Negative: prepaid.
	Window int64
}

const (
	gib = 1 << 30
	mib = 1 << 20
	// maxGrant keeps sums of caps far from the end of the range.
	maxGrant = 1 << 60
)

func (p Policy) withDefaults() Policy {
	set(&p.TTL, time.Hour)
	set(&p.Grace, 24*time.Hour)
	set(&p.Period, 24*time.Hour)
	set(&p.CapBytes, gib)
	set(&p.MaxBytes, 64*gib)
	set(&p.MinBytes, 4*mib)
	set(&p.Lookups, 4096)
	set(&p.GraceBytes, 64*mib)
	set(&p.Window, 4*mib)
	if p.Grace < 0 {
		p.Grace, p.GraceBytes = 0, 0
	}
	p.MaxBytes = min(p.MaxBytes, maxGrant)
	return p
}

func set[T comparable](field *T, def T) {
	var zero T
	if *field == zero {
		*field = def
	}
}

// PeriodAt is the number of the period that now is in.
func (p Policy) PeriodAt(now time.Time) uint64 {
	p = p.withDefaults()
	return uint64(max(now.Unix(), 0)) / uint64(max(p.Period/time.Second, 1)) //nolint:gosec // G115: not negative
}

// size fills in caps and ends of an approval. had is the approval the channel has
// already, zero for none: nothing is ever lowered. used and lookups are what was
// signed for so far, want is what is granted beyond.
func (p Policy) size(a, had billing.Approval, t billing.Tariff, used, lookups, want uint64, now time.Time) (billing.Approval, error) {
	if used > maxGrant || lookups > maxGrant {
		return billing.Approval{}, fmt.Errorf("%w: used %d bytes and %d look-ups", ErrMalformed, used, lookups)
	}
	a.CapBytes = max(had.CapBytes, used+want)
	a.GraceBytes = max(had.GraceBytes, p.GraceBytes)
	lookups += p.Lookups
	credits, err := t.Cost(a.CapBytes, lookups)
	if err != nil {
		return billing.Approval{}, fmt.Errorf("cost of the cap: %w", err)
	}
	limit, err := t.Cost(a.CapBytes+a.GraceBytes, lookups)
	if err != nil {
		return billing.Approval{}, fmt.Errorf("cost of the cap with grace: %w", err)
	}
	a.CapCredits = max(had.CapCredits, credits)
	a.GraceCredits = max(had.GraceCredits, limit-credits)
	a.IssuedAt = now.Unix()
	a.NotAfter = max(had.NotAfter, now.Add(p.TTL).Unix())
	a.GraceUntil = max(had.GraceUntil, now.Add(p.TTL+p.Grace).Unix())
	a.Window = p.Window
	return a, nil
}
