package billing

import (
	"fmt"

	"trunkline/billing/sealed"
)

// Payer is the payer's meter of one channel. It counts what this process has
// verified and says what to sign next.
//
// One voucher is on its way at a time. Next hands it out; then comes exactly
// one answer: Accepted, Conflict, or Lost if the stream it went out on died
// first. Meanwhile the meter goes on counting, so the next voucher pays for all
// that was verified in the meantime, over whatever stream it goes.
//
// When every answer is in, the channel's voucher covers each verified byte
// exactly once, also if another process with the same key signs on the same
// channel. With one process that holds for lost vouchers, too. With two, a lost
// voucher that looks like the other's counts as arrived: the payer never pays
// twice, and the payee may lose that voucher's share.
//
// Not safe for concurrent use: a channel has one meter, shared by its streams
// under one lock.
type Payer struct {
	approval Approval
	tariff   Tariff

	verified Mark    // by this process
	accepted Mark    // by the payee, of what this process signed
	ahead    uint64  // bytes to sign beyond what is verified
	known    Voucher // the channel's highest voucher that we know of
	behind   *Mark   // where the payee stands, if it does not hold known
	flight   *flight // the voucher on its way
}

// flight is a voucher without an answer.
type flight struct {
	v      Voucher
	base   Mark
	share  Mark // what it pays of this process's own
	lost   bool // to be sent again
	resent bool // so a conflict may mean that it arrived the first time
}

// NewPayer makes the meter of the channel of a. The caller has opened both
// envelopes and knows their signers to be the right ones.
//
// Errors: ErrWrongTariff.
func NewPayer(a Approval, t sealed.Sealed[Tariff]) (*Payer, error) {
	if err := a.CheckTariff(t); err != nil {
		return nil, err
	}
	return &Payer{approval: a, tariff: t.Value, known: Voucher{Channel: a.Channel}}, nil
}

// Approval is the one in force.
func (p *Payer) Approval() Approval { return p.approval }

// Renew puts a newer approval of the same channel in force.
//
// Errors: ErrWrongChannel, ErrLowered; then the old one stays.
func (p *Payer) Renew(a Approval) error {
	if err := p.approval.CheckRenewal(a); err != nil {
		return err
	}
	p.approval = a
	return nil
}

// Adopt takes over our own latest signature, as the payee shows it at the
// beginning of a stream, or as a log of our own has it. The caller has checked
// that our key signed it. The higher one counts.
//
// Errors: ErrWrongChannel, ErrWrongCost.
func (p *Payer) Adopt(latest Voucher) error {
	if err := p.checkOwn(latest); err != nil {
		return err
	}
	p.learn(latest)
	return nil
}

// learn keeps the higher one. What became of a voucher on its way is not read
// from what is shown, even if it is that one: another process may have signed
// the same. Its answer will tell.
func (p *Payer) learn(latest Voucher) {
	if latest.Mark().Covers(p.known.Mark()) {
		p.known = latest
	}
}

// checkOwn checks a voucher that carries our signature. Another process of ours
// may have a higher cap than we know of, so the cap is not asked.
func (p *Payer) checkOwn(v Voucher) error {
	if v.Channel != p.approval.Channel {
		return ErrWrongChannel
	}
	cost, err := p.tariff.Cost(v.Bytes, v.Lookups)
	if err != nil || cost != v.Credits {
		return ErrWrongCost
	}
	return nil
}

// Verified counts bytes that this process has verified and not counted before.
func (p *Payer) Verified(bytes uint64) { p.verified.Bytes = addCapped(p.verified.Bytes, bytes) }

// LookedUp counts one look-up that was answered.
func (p *Payer) LookedUp() { p.verified.Lookups = addCapped(p.verified.Lookups, 1) }

// SetAhead says how many bytes to sign beyond what is verified, from the next
// voucher on. That is prepaying, and the payer's whole risk. It is wanted when
// the payee's window has no room for what it is to send next: then, its length
// less the room, summed over the streams.
func (p *Payer) SetAhead(bytes uint64) { p.ahead = min(bytes, MaxCount) }

// Ahead is how many bytes are paid for and not yet verified.
func (p *Payer) Ahead() uint64 { return subFloor(p.accepted.Bytes, p.verified.Bytes) }

// Unsigned is how many verified bytes no voucher covers yet, neither an
// accepted one nor the one on its way.
func (p *Payer) Unsigned() uint64 {
	signed := p.accepted.Bytes
	if p.flight != nil {
		signed += p.flight.share.Bytes
	}
	return subFloor(p.verified.Bytes, signed)
}

// Latest is the channel's highest voucher that the payer knows the payee took.
func (p *Payer) Latest() Voucher { return p.known }

// InFlight reports whether a voucher waits for its answer.
func (p *Payer) InFlight() bool { return p.flight != nil && !p.flight.lost }

// Next hands out the voucher to sign and send now, and the mark it builds on,
// which goes along. After Lost it is the same voucher once more.
//
// Errors: ErrInFlight (wait for the answer), ErrNothingDue, ErrCapReached
// (renew with a higher cap, then ask again).
func (p *Payer) Next() (v Voucher, base Mark, err error) {
	switch {
	case p.flight != nil && !p.flight.lost:
		return Voucher{}, Mark{}, ErrInFlight
	case p.flight != nil:
		p.flight.lost, p.flight.resent = false, true
	case p.behind != nil:
		p.flight = &flight{v: p.known, base: *p.behind}
		p.behind = nil
	default:
		if p.flight, err = p.build(); err != nil {
			return Voucher{}, Mark{}, err
		}
	}
	return p.flight.v, p.flight.base, nil
}

// build makes the voucher for all that is due.
func (p *Payer) build() (*flight, error) {
	share := Mark{
		Bytes:   subFloor(addCapped(p.verified.Bytes, p.ahead), p.accepted.Bytes),
		Lookups: subFloor(p.verified.Lookups, p.accepted.Lookups),
	}
	if share == (Mark{}) {
		return nil, ErrNothingDue
	}
	v := Voucher{
		Channel: p.approval.Channel,
		Bytes:   addCapped(p.known.Bytes, share.Bytes),
		Lookups: addCapped(p.known.Lookups, share.Lookups),
	}
	var err error
	if v.Credits, err = p.tariff.Cost(v.Bytes, v.Lookups); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrCapReached, err)
	}
	if v.Bytes > p.approval.LimitBytes() || v.Credits > p.approval.LimitCredits() {
		return nil, fmt.Errorf("%w: would be at %d of %d bytes, %v of %v", ErrCapReached,
			v.Bytes, p.approval.LimitBytes(), v.Credits, p.approval.LimitCredits())
	}
	return &flight{v: v, base: p.known.Mark(), share: share}, nil
}

// Accepted notes that the payee took the voucher on its way.
//
// Errors: ErrNotInFlight.
func (p *Payer) Accepted() error {
	f := p.flight
	if f == nil {
		return ErrNotInFlight
	}
	p.settle(f)
	p.learn(f.v)
	p.flight = nil
	return nil
}

// Conflict notes that the payee did not take the voucher on its way, because
// what it holds is latest. The caller has checked that our key signed that.
// What the voucher was for is due again, on top of latest.
//
// A payee that comes back with less than it once took has lost something; then
// the next voucher is the one that it should hold. Who calls bounds how many
// conflicts it takes from one stream.
//
// Errors: ErrNotInFlight, ErrWrongChannel, ErrWrongCost.
func (p *Payer) Conflict(latest Voucher) error {
	f := p.flight
	if f == nil {
		return ErrNotInFlight
	}
	if err := p.checkOwn(latest); err != nil {
		return err
	}
	p.flight = nil
	if f.resent && latest.Mark().Covers(f.v.Mark()) {
		p.settle(f) // it had arrived before the stream died
	}
	if at := latest.Mark(); !at.Covers(p.known.Mark()) {
		p.behind = &at
	}
	p.learn(latest)
	return nil
}

// Lost notes that the voucher on its way will not be answered, because its
// stream died or it could not be sent. Next gives it again: if it arrived after
// all, the payee says so with a conflict.
func (p *Payer) Lost() {
	if p.flight != nil {
		p.flight.lost = true
	}
}

func (p *Payer) settle(f *flight) {
	p.accepted.Bytes += f.share.Bytes
	p.accepted.Lookups += f.share.Lookups
}

// addCapped is a + b, at most MaxCount.
func addCapped(a, b uint64) uint64 { return min(a+min(b, MaxCount), MaxCount) }

// subFloor is a - b, at least 0.
func subFloor(a, b uint64) uint64 { return a - min(a, b) }
