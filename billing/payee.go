package billing

import (
	"fmt"
	"time"

	"trunkline/billing/sealed"
)

// Verdict is what the payee's meter says to sending more.
type Verdict int

// The verdicts.
const (
	Wait    Verdict = iota // not before a voucher comes
	Send                   // now
	Spent                  // not before the approval's cap is raised
	Expired                // not before the approval is renewed
)

// String is the verdict as a word.
func (v Verdict) String() string {
	switch v {
	case Wait:
		return "wait"
	case Send:
		return "send"
	case Spent:
		return "spent"
	case Expired:
		return "expired"
	}
	return "unknown"
}

// StaleError is a voucher that builds on another one than the latest. The
// payer is shown Latest and signs again on top of it. It is ErrStale to
// errors.Is.
type StaleError struct{ Latest Voucher }

func (e *StaleError) Error() string { return ErrStale.Error() }

// Is reports whether target is ErrStale.
func (e *StaleError) Is(target error) bool { return target == ErrStale }

// Payee is the payee's meter of one channel: how far it has sent, and how far
// the payer has signed. A voucher takes two steps. Accept puts it in its place,
// in the order of arrival; once it is on disk, Persisted widens the window and
// the payer may be told. So a crash loses only what nobody was promised.
//
// Not safe for concurrent use: the lock of the account's Window guards it, too.
type Payee struct {
	approval Approval
	tariff   Tariff
	window   *Window

	latest Voucher // highest accepted, its zero value with the channel if none
	paid   Mark    // highest persisted

	sent    uint64 // the channel's total, without ghosts
	lookups uint64 // the channel's total
	ghosts  uint64 // sent on streams that died, never signed
	grace   *Mark  // where the channel stood, all told, when grace began
}

// NewPayee makes the meter of the channel of a, on the window of the payer's
// account. last is the highest voucher on disk, nil if there is none. The
// caller has opened all envelopes, knows their signers to be the right ones,
// and calls Close in the end.
//
// Errors: ErrWrongTariff; ErrWrongChannel, ErrWrongCost, ErrOverCap (of last).
func NewPayee(a Approval, t sealed.Sealed[Tariff], w *Window, last *Voucher) (*Payee, error) {
	if err := a.CheckTariff(t); err != nil {
		return nil, err
	}
	p := &Payee{approval: a, tariff: t.Value, window: w, latest: Voucher{Channel: a.Channel}}
	if last != nil {
		if err := a.CheckVoucher(t.Value, *last); err != nil {
			return nil, fmt.Errorf("last voucher: %w", err)
		}
		p.latest = *last
		p.paid = last.Mark()
		p.sent, p.lookups = last.Bytes, last.Lookups
	}
	return p, nil
}

// Approval is the one in force.
func (p *Payee) Approval() Approval { return p.approval }

// Renew puts a newer approval of the same channel in force.
//
// Errors: ErrWrongChannel, ErrLowered; then the old one stays.
func (p *Payee) Renew(a Approval) error {
	if err := p.approval.CheckRenewal(a); err != nil {
		return err
	}
	p.approval = a
	return nil
}

// Latest is the highest voucher accepted, nil if there is none. It may not be
// on disk yet.
func (p *Payee) Latest() *Voucher {
	if p.latest.Mark() == (Mark{}) {
		return nil
	}
	v := p.latest
	return &v
}

// MaySend says whether n more bytes may go out at now, on any stream of the
// channel. If so, Sent follows before the lock is let go.
func (p *Payee) MaySend(n uint64, now time.Time) Verdict {
	total := Mark{addCapped(addCapped(p.sent, p.ghosts), n), p.lookups}
	if v := p.within(total, now); v != Send {
		return v
	}
	w := p.window
	unpaid := addCapped(w.unpaid-p.unpaid(), subFloor(addCapped(p.sent, n), p.paid.Bytes))
	if w.limit > 0 && addCapped(unpaid, w.ghosts) <= uint64(w.limit) {
		return Send
	}
	// What is paid ahead on this channel may always go out: it is no credit.
	lead := uint64(0)
	if w.limit < 0 {
		lead = uint64(-w.limit)
	}
	if addCapped(addCapped(p.sent, n), lead) <= p.paid.Bytes {
		return Send
	}
	return Wait
}

// MayLookUp says whether one more look-up may be answered at now. If so,
// LookedUp follows before the lock is let go.
func (p *Payee) MayLookUp(now time.Time) Verdict {
	total := Mark{addCapped(p.sent, p.ghosts), addCapped(p.lookups, 1)}
	if v := p.within(total, now); v != Send {
		return v
	}
	if p.lookups < p.paid.Lookups || p.window.unlooked < MaxUnpaidLookups {
		return Send
	}
	return Wait
}

// within says whether the channel may go as far as total: before not-after to
// the cap, in the grace time to the grace cap beyond where grace began.
func (p *Payee) within(total Mark, now time.Time) Verdict {
	if now.Unix() > p.approval.GraceUntil {
		return Expired
	}
	limitBytes, limitCredits := p.approval.CapBytes, p.approval.CapCredits
	if p.approval.InGrace(now) {
		if p.grace == nil {
			p.grace = &Mark{addCapped(p.sent, p.ghosts), p.lookups}
		}
		limitBytes = min(p.approval.LimitBytes(), addCapped(p.grace.Bytes, p.approval.GraceBytes))
		began, err := p.tariff.Cost(p.grace.Bytes, p.grace.Lookups)
		if err != nil {
			return Spent
		}
		if sum, err := began.Add(p.approval.GraceCredits); err == nil {
			limitCredits = min(p.approval.LimitCredits(), sum)
		}
	} else {
		p.grace = nil
	}
	cost, err := p.tariff.Cost(total.Bytes, total.Lookups)
	if err != nil || total.Bytes > limitBytes || cost > limitCredits {
		return Spent
	}
	return Send
}

// Sent counts n bytes that MaySend let go, whether or not they arrive.
func (p *Payee) Sent(n uint64) {
	p.change(func() { p.sent = addCapped(p.sent, n) })
}

// LookedUp counts one look-up that MayLookUp let go.
func (p *Payee) LookedUp() {
	p.change(func() { p.lookups = addCapped(p.lookups, 1) })
}

// LookupFailed takes back one look-up of LookedUp that came to nothing the payer
// pays for.
func (p *Payee) LookupFailed() {
	p.change(func() { p.lookups = max(subFloor(p.lookups, 1), p.paid.Lookups) })
}

// Accept takes v, which the payer's key has signed, if it builds on the latest
// voucher. The window is as before until Persisted. If it cannot be persisted,
// the payee must stop serving the channel and start anew from what is on disk.
//
// Errors: ErrWrongChannel, ErrWrongCost, ErrOverCap, ErrBackwards; a
// *StaleError, which is ErrStale, if base is not where the latest voucher is.
func (p *Payee) Accept(base Mark, v Voucher) error {
	if err := p.approval.CheckVoucher(p.tariff, v); err != nil {
		return err
	}
	if base != p.latest.Mark() {
		return &StaleError{Latest: p.latest}
	}
	if !v.Mark().Covers(base) {
		return ErrBackwards
	}
	p.latest = v
	return nil
}

// Persisted notes that v, once accepted, is on disk, and with it all before.
func (p *Payee) Persisted(v Voucher) {
	if !v.Mark().Covers(p.paid) {
		return
	}
	p.change(func() { p.paid = v.Mark() })
}

// Abandon notes that a stream died on which up to n bytes may have gone out
// that no voucher covers; as many of the channel's unsigned bytes become
// ghosts.
func (p *Payee) Abandon(n uint64) {
	p.change(func() {
		n := min(n, subFloor(p.sent, p.paid.Bytes))
		p.sent -= n
		p.ghosts += n
		p.window.ghosts += n
	})
}

// Repay takes what is signed beyond what is sent as late payment for ghosts,
// except for the bytes that the payer says it means to be ahead.
func (p *Payee) Repay(ahead uint64) {
	p.change(func() {
		late := subFloor(subFloor(p.paid.Bytes, p.sent), ahead)
		n := min(late, p.ghosts)
		p.sent += n
		p.ghosts -= n
		p.window.ghosts -= min(n, p.window.ghosts)
	})
}

// Close ends the meter, as when its period is over: what is unsigned becomes
// ghosts on the window. The meter must not be used again.
func (p *Payee) Close() {
	p.Abandon(MaxCount)
	p.change(func() { p.lookups = p.paid.Lookups })
}

// change keeps the window's sums in step with what f does to the meter.
func (p *Payee) change(f func()) {
	w := p.window
	w.unpaid -= p.unpaid()
	w.unlooked -= p.unlooked()
	f()
	w.unpaid += p.unpaid()
	w.unlooked += p.unlooked()
}

// unpaid is what was sent on living streams without a voucher.
func (p *Payee) unpaid() uint64 { return subFloor(p.sent, p.paid.Bytes) }

// unlooked is the same for look-ups.
func (p *Payee) unlooked() uint64 { return subFloor(p.lookups, p.paid.Lookups) }
