package billing

import (
	"fmt"
	"time"

	"trunkline/billing/sealed"
	"trunkline/caps"
)

// Approval is an approver's word that a payer's account stands for up to a cap
// on one channel. The approver has reserved the cap, and the grace cap on top,
// in its books before it signs the approval away. Renewing means another
// approval for the same channel, with nothing lowered.
type Approval struct {
	// Channel must be NewChannelID of Approver, Payer, Payee, Tariff and
	// Period. It is not part of the payload, but computed when one is read.
	Channel ChannelID

	Approver     caps.PublicKey // who signs the approval and keeps the books
	Payer        caps.PublicKey // the key that signs vouchers, and that connects
	Payee        caps.PublicKey // the key that serves
	PayerAccount caps.PublicKey // is debited
	PayeeAccount caps.PublicKey // is credited; another than PayerAccount
	Tariff       TariffHash
	Period       uint64 // a number the approver counts up

	CapBytes     uint64 // cumulative on the channel
	CapCredits   Credits
	IssuedAt     int64 // unix seconds
	NotAfter     int64 // last second of ordinary service
	GraceUntil   int64 // last second of service with the approver away; NotAfter if there is none
	GraceBytes   uint64
	GraceCredits Credits

	// Window is what the approver thinks the payer's whole account may owe this
	// payee unsigned, in bytes; zero or less means prepaid.
	Window int64
	Epoch  uint64 // the approver's revocation epoch
}

// LimitBytes is the cap with grace: no voucher goes beyond.
func (a Approval) LimitBytes() uint64 { return a.CapBytes + a.GraceBytes }

// LimitCredits is the cap with grace, and what the approver reserves.
func (a Approval) LimitCredits() Credits { return a.CapCredits + a.GraceCredits }

// CheckTime says whether the approval is good at now, grace included.
//
// Errors: ErrNotYet, ErrExpired.
func (a Approval) CheckTime(now time.Time) error {
	if now.Add(ClockTolerance).Unix() < a.IssuedAt {
		return fmt.Errorf("approval: %w", ErrNotYet)
	}
	if now.Unix() > a.GraceUntil {
		return fmt.Errorf("approval: %w", ErrExpired)
	}
	return nil
}

// InGrace reports whether now is after NotAfter.
func (a Approval) InGrace(now time.Time) bool { return now.Unix() > a.NotAfter }

// CheckTariff says whether t is the tariff the approval was made for.
//
// Errors: ErrWrongTariff.
func (a Approval) CheckTariff(t sealed.Sealed[Tariff]) error {
	if !t.Verified() || HashTariff(t) != a.Tariff {
		return ErrWrongTariff
	}
	return nil
}

// CheckRenewal says whether next may take the place of a.
//
// Errors: ErrWrongChannel (or accounts), ErrLowered.
func (a Approval) CheckRenewal(next Approval) error {
	if next.Channel != a.Channel || next.PayerAccount != a.PayerAccount || next.PayeeAccount != a.PayeeAccount {
		return ErrWrongChannel
	}
	if next.CapBytes < a.CapBytes || next.CapCredits < a.CapCredits ||
		next.GraceBytes < a.GraceBytes || next.GraceCredits < a.GraceCredits ||
		next.NotAfter < a.NotAfter || next.GraceUntil < a.GraceUntil || next.Epoch < a.Epoch {
		return ErrLowered
	}
	return nil
}

// CheckVoucher says whether v is one that the approval and tariff t stand for.
//
// Errors: ErrWrongChannel, ErrWrongCost, ErrOverCap.
func (a Approval) CheckVoucher(t Tariff, v Voucher) error {
	if v.Channel != a.Channel {
		return ErrWrongChannel
	}
	cost, err := t.Cost(v.Bytes, v.Lookups)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrWrongCost, err)
	}
	if v.Credits != cost {
		return fmt.Errorf("%w: %v, want %v", ErrWrongCost, v.Credits, cost)
	}
	if v.Bytes > a.LimitBytes() || v.Credits > a.LimitCredits() {
		return fmt.Errorf("%w: %d of %d bytes, %v of %v", ErrOverCap, v.Bytes, a.LimitBytes(), v.Credits, a.LimitCredits())
	}
	return nil
}

func (a *Approval) check() error {
	if err := checkKeys(a.Approver, a.Payer, a.Payee, a.PayerAccount, a.PayeeAccount); err != nil {
		return err
	}
	if a.Payer == a.Payee || a.PayerAccount == a.PayeeAccount {
		return fmt.Errorf("%w: payer and payee are one", ErrRange)
	}
	if err := checkCounts(a.Period, a.CapBytes, a.GraceBytes, a.CapBytes+a.GraceBytes, a.Epoch); err != nil {
		return err
	}
	if err := checkNotNegative(a.CapCredits, a.GraceCredits); err != nil {
		return err
	}
	if _, err := a.CapCredits.Add(a.GraceCredits); err != nil {
		return err
	}
	if err := checkNotNegative(a.IssuedAt, a.NotAfter, a.GraceUntil); err != nil {
		return err
	}
	if a.IssuedAt > a.NotAfter || a.NotAfter > a.GraceUntil {
		return fmt.Errorf("%w: approval", ErrPeriod)
	}
	return nil
}

func (a *Approval) channel() ChannelID {
	return NewChannelID(a.Approver, a.Payer, a.Payee, a.Tariff, a.Period)
}

const approvalLen = 1 + 5*keyLen + hashLen + 10*8

// Domain implements record.Record.
func (*Approval) Domain() string { return "trunkline/approval/v1" }

// Codec implements record.Record.
func (*Approval) Codec() []byte { return []byte("/trunkline/approval/1") }

// MaxRecord is the length of a payload.
func (*Approval) MaxRecord() int { return approvalLen }

// CheckSigner lets only the approver sign: otherwise ErrApprover.
func (a *Approval) CheckSigner(signer caps.PublicKey) error {
	if signer != a.Approver {
		return ErrApprover
	}
	return nil
}

// MarshalRecord implements record.Record; ErrChannel if Channel is not the one
// that follows from the other fields.
func (a *Approval) MarshalRecord() ([]byte, error) {
	if err := a.check(); err != nil {
		return nil, err
	}
	if a.Channel != a.channel() {
		return nil, ErrChannel
	}
	e := newEncoder(approvalLen)
	e.key(a.Approver)
	e.key(a.Payer)
	e.key(a.Payee)
	e.key(a.PayerAccount)
	e.key(a.PayeeAccount)
	e.hash(a.Tariff)
	e.u64(a.Period)
	e.u64(a.CapBytes)
	e.i64(int64(a.CapCredits))
	e.i64(a.IssuedAt)
	e.i64(a.NotAfter)
	e.i64(a.GraceUntil)
	e.u64(a.GraceBytes)
	e.i64(int64(a.GraceCredits))
	e.i64(a.Window)
	e.u64(a.Epoch)
	return e.b, nil
}

// UnmarshalRecord implements record.Record.
func (a *Approval) UnmarshalRecord(b []byte) error {
	d, err := newDecoder(b, approvalLen)
	if err != nil {
		return fmt.Errorf("approval: %w", err)
	}
	v := Approval{
		Approver:     d.key(),
		Payer:        d.key(),
		Payee:        d.key(),
		PayerAccount: d.key(),
		PayeeAccount: d.key(),
		Tariff:       d.hash(),
		Period:       d.u64(),
		CapBytes:     d.u64(),
		CapCredits:   Credits(d.i64()),
		IssuedAt:     d.i64(),
		NotAfter:     d.i64(),
		GraceUntil:   d.i64(),
		GraceBytes:   d.u64(),
		GraceCredits: Credits(d.i64()),
		Window:       d.i64(),
		Epoch:        d.u64(),
	}
	if err := v.check(); err != nil {
		return fmt.Errorf("approval: %w", err)
	}
	v.Channel = v.channel()
	*a = v
	return nil
}
