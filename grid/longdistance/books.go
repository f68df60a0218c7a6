package longdistance

import (
	"errors"
	"fmt"
	"math"
	"sync"
	"time"

	"trunkline/billing"
	"trunkline/billing/sealed"
	"trunkline/caps"
	"trunkline/p2p"
)

// books is what a payee keeps of those who owe it: one window for each payer
// account, shared by all its channels, keys and streams.
type books struct {
	config PayeeConfig

	mu       sync.Mutex
	accounts map[caps.PublicKey]*debtor
}

// debtor is one payer account.
type debtor struct {
	mu     sync.Mutex // guards all meters, too
	window *billing.Window
	lines  map[billing.ChannelID]*line
	moved  chan struct{} // closed and replaced when more may be sent than before
}

// line is a payee's side of one channel.
type line struct {
	debtor *debtor

	// accepting is held from a voucher's check to its being on disk, so that
	// vouchers of a channel are taken one after the other. It is taken before
	// debtor.mu.
	accepting sync.Mutex

	// Under debtor.mu.
	meter   *billing.Payee
	streams int
	broken  error // a voucher could not be kept: nothing is served any more
}

func newBooks(c PayeeConfig) *books {
	b := &books{config: c, accounts: make(map[caps.PublicKey]*debtor)}
	if c.Vouchers != nil {
		c.Vouchers.OnBooked(b.booked)
	}
	return b
}

// open returns the channel of an approval, whose signature, parties and time
// are checked, and counts a stream on it. The approval becomes the channel's if
// it is newer.
func (b *books) open(a sealed.Sealed[billing.Approval], t sealed.Sealed[billing.Tariff]) (*line, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.sweep(b.config.Now())
	d, ok := b.accounts[a.Value.PayerAccount]
	if !ok {
		d = &debtor{
			window: billing.NewWindow(min(a.Value.Window, b.config.MaxWindow)),
			lines:  make(map[billing.ChannelID]*line),
			moved:  make(chan struct{}),
		}
		b.accounts[a.Value.PayerAccount] = d
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if l, ok := d.lines[a.Value.Channel]; ok {
		l.streams++
		return l, l.renew(a.Value)
	}
	var last *billing.Voucher
	if o, ok := b.config.Vouchers.Latest(a.Value.Channel); ok {
		last = &o.Voucher.Value
	}
	meter, err := billing.NewPayee(a.Value, t, d.window, last)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", err, p2p.ErrConflict)
	}
	l := &line{debtor: d, meter: meter, streams: 1}
	d.lines[a.Value.Channel] = l
	return l, nil
}

// renew puts a newer approval in force; an older one changes nothing. The
// caller holds debtor.mu.
func (l *line) renew(a billing.Approval) error {
	if older(a, l.meter.Approval()) {
		return nil
	}
	if err := l.meter.Renew(a); err != nil {
		return fmt.Errorf("renewing the approval: %w: %w", err, p2p.ErrConflict)
	}
	l.debtor.stir()
	return nil
}

// older says whether a was in force before b, or is b. Processes of one payer
// that ask in the same second get approvals that only their caps put in order.
func older(a, b billing.Approval) bool {
	return a.IssuedAt < b.IssuedAt || a.IssuedAt == b.IssuedAt && a.CheckRenewal(b) == nil
}

// stir wakes those who wait to send. The caller holds mu.
func (d *debtor) stir() {
	close(d.moved)
	d.moved = make(chan struct{})
}

// sweep forgets channels that no payer can come back to. Their unsigned bytes
// stay on the account's window, and an account stays while it owes. The caller
// holds mu.
func (b *books) sweep(now time.Time) {
	for account, d := range b.accounts {
		d.mu.Lock()
		for id, l := range d.lines {
			if l.streams == 0 && l.meter.Approval().CheckTime(now) != nil {
				l.meter.Close()
				delete(d.lines, id)
			}
		}
		if len(d.lines) == 0 && d.window.Exposure() == 0 {
			delete(b.accounts, account)
		}
		d.mu.Unlock()
	}
}

// booked lets an account's window grow with what an approver has booked.
func (b *books) booked(o Owed, before billing.Mark) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, d := range b.accounts {
		d.mu.Lock()
		if _, ok := d.lines[o.Channel()]; ok {
			d.window.Settled(o.Booked().Bytes - before.Bytes)
			d.stir()
		}
		d.mu.Unlock()
	}
}

// leave ends a stream on which unpaid bytes may have gone out that no voucher
// covers.
func (l *line) leave(unpaid uint64) {
	l.debtor.mu.Lock()
	defer l.debtor.mu.Unlock()
	l.streams--
	if l.streams == 0 {
		unpaid = billing.MaxCount
	}
	l.meter.Abandon(unpaid)
	l.debtor.stir() // those who wait tell their payers of the smaller window
}

// window is what the payer is told: how much may be unsigned at a time.
func (l *line) window() int64 {
	l.debtor.mu.Lock()
	defer l.debtor.mu.Unlock()
	return l.debtor.effective()
}

// effective is the account's window less its ghosts. The caller holds mu.
func (d *debtor) effective() int64 {
	w := *d.window                                   // a copy, to ask for the ghosts without forgiving them
	ghosts := int64(min(w.Forgive(), math.MaxInt64)) //nolint:gosec // just bounded
	if w.Limit() <= 0 {
		return w.Limit()
	}
	return max(w.Limit()-ghosts, 0)
}

// accept takes a voucher: checked, on disk, and only then counted. stale is the
// latest voucher if another process of the payer was faster.
//
// Errors are the payer's fault or, matching p2p.ErrInternal, our own; after one
// of those the channel is not served any more.
func (l *line) accept(log Vouchers, v sealed.Sealed[billing.Voucher], base billing.Mark, ahead uint64) (o Owed, stale bool, err error) {
	l.accepting.Lock()
	defer l.accepting.Unlock()

	l.debtor.mu.Lock()
	a := l.meter.Approval()
	err = l.broken
	if err == nil {
		err = l.meter.Accept(base, v.Value)
	}
	l.debtor.mu.Unlock()
	switch {
	case errors.Is(err, billing.ErrStale):
		return Owed{}, true, nil
	case errors.Is(err, billing.ErrOverCap):
		return Owed{}, false, fmt.Errorf("voucher: %w: %w", err, p2p.ErrUnpaid)
	case err != nil && l.broken == nil:
		return Owed{}, false, fmt.Errorf("voucher: %w: %w", err, p2p.ErrMalformed)
	case err != nil:
		return Owed{}, false, err
	}

	o = Owed{Voucher: v, Approver: a.Approver, GraceUntil: a.GraceUntil}
	err = log.Append(o)

	l.debtor.mu.Lock()
	defer l.debtor.mu.Unlock()
	if err != nil {
		l.broken = fmt.Errorf("keeping a voucher: %w: %w", err, p2p.ErrInternal)
		l.debtor.stir()
		return Owed{}, false, l.broken
	}
	l.meter.Persisted(v.Value)
	l.meter.Repay(ahead)
	l.debtor.stir()
	return o, false, nil
}
