package billing

import (
	"crypto/sha256"
	"fmt"
	"math/bits"
	"time"

	"trunkline/billing/sealed"
	"trunkline/caps"
)

// ClockTolerance is by how much a clock may be behind the clock of who signed,
// before something signed "from now on" is refused as not valid yet.
const ClockTolerance = 5 * time.Minute

// gib is the number of bytes a price is for.
const gibShift = 30

// TariffHash names a tariff: the SHA-256 of its envelope.
type TariffHash [sha256.Size]byte

// Tariff is the price of an area, signed by the payee's manager. Bytes are of
// ciphertext the payer has verified; proofs and messages are free.
type Tariff struct {
	Area       caps.AreaCode
	Sequence   uint64 // a newer tariff of the area has a higher one
	Currency   string // 1 to 8 of A-Z and 0-9
	PerGiB     Credits
	PerLookup  Credits
	FreeBytes  uint64 // of each channel, so of each pair and period
	ValidFrom  int64  // unix seconds, inclusive
	ValidUntil int64  // unix seconds, exclusive
	TollFree   bool   // nothing is charged, metered or approved; prices and FreeBytes are zero
}

// HashTariff is the name by which channels and approvals mean t.
func HashTariff(t sealed.Sealed[Tariff]) TariffHash { return TariffHash(t.Hash()) }

// Cost is what a channel owes after the given cumulative numbers of verified
// bytes and of look-ups: the bytes beyond FreeBytes times PerGiB, divided by
// 2^30 and rounded up once, and PerLookup for each look-up. It is a function of
// the cumulative figures, so however a transfer is cut up, it comes to the
// same. Payer, payee and approver all call this function.
//
// Errors: ErrOverflow if the cost is above the largest Credits; ErrRange if a
// price is negative.
func (t Tariff) Cost(bytes, lookups uint64) (Credits, error) {
	if err := checkNotNegative(t.PerGiB, t.PerLookup); err != nil {
		return 0, err
	}
	if t.TollFree {
		return 0, nil
	}
	var billable uint64
	if bytes > t.FreeBytes {
		billable = bytes - t.FreeBytes
	}
	hi, lo := bits.Mul64(billable, uint64(t.PerGiB))
	lo, carry := bits.Add64(lo, 1<<gibShift-1, 0)
	hi += carry // at most 2^63 + 1
	forBytes := hi<<(64-gibShift) | lo>>gibShift
	hiLookups, forLookups := bits.Mul64(lookups, uint64(t.PerLookup))
	sum, carry := bits.Add64(forBytes, forLookups, 0)
	if hi>>gibShift != 0 || hiLookups != 0 || carry != 0 || sum > MaxCount {
		return 0, fmt.Errorf("%w: cost of %d bytes and %d look-ups", ErrOverflow, bytes, lookups)
	}
	return Credits(sum), nil
}

// Validate says whether t may be used at now.
//
// Errors: ErrNotYet, ErrExpired, and what makes t no tariff at all: ErrRange,
// ErrCurrency, ErrPeriod, ErrKey.
func (t Tariff) Validate(now time.Time) error {
	if err := t.check(); err != nil {
		return err
	}
	if now.Add(ClockTolerance).Unix() < t.ValidFrom {
		return fmt.Errorf("tariff %d: %w", t.Sequence, ErrNotYet)
	}
	if now.Unix() >= t.ValidUntil {
		return fmt.Errorf("tariff %d: %w", t.Sequence, ErrExpired)
	}
	return nil
}

func (t *Tariff) check() error {
	if err := checkKeys(t.Area.Key()); err != nil {
		return err
	}
	if err := checkCounts(t.Sequence, t.FreeBytes); err != nil {
		return err
	}
	if err := CheckCurrency(t.Currency); err != nil {
		return err
	}
	if err := checkNotNegative(t.PerGiB, t.PerLookup); err != nil {
		return err
	}
	if err := checkNotNegative(t.ValidFrom, t.ValidUntil); err != nil {
		return err
	}
	if t.ValidFrom >= t.ValidUntil {
		return fmt.Errorf("%w: tariff ends before it begins", ErrPeriod)
	}
	if t.TollFree && (t.PerGiB != 0 || t.PerLookup != 0 || t.FreeBytes != 0) {
		return fmt.Errorf("%w: a toll-free tariff has a price", ErrRange)
	}
	return nil
}

const tariffLen = 1 + keyLen + 8 + currencyLen + 8 + 8 + 8 + 8 + 8 + 1

// Domain implements record.Record.
func (*Tariff) Domain() string { return "trunkline/tariff/v1" }

// Codec implements record.Record.
func (*Tariff) Codec() []byte { return []byte("/trunkline/tariff/1") }

// MaxRecord is the length of a payload.
func (*Tariff) MaxRecord() int { return tariffLen }

// MarshalRecord implements record.Record; t must be valid at some time.
func (t *Tariff) MarshalRecord() ([]byte, error) {
	if err := t.check(); err != nil {
		return nil, err
	}
	e := newEncoder(tariffLen)
	e.key(t.Area.Key())
	e.u64(t.Sequence)
	e.currency(t.Currency)
	e.i64(int64(t.PerGiB))
	e.i64(int64(t.PerLookup))
	e.u64(t.FreeBytes)
	e.i64(t.ValidFrom)
	e.i64(t.ValidUntil)
	e.bool(t.TollFree)
	return e.b, nil
}

// UnmarshalRecord implements record.Record.
func (t *Tariff) UnmarshalRecord(b []byte) error {
	d, err := newDecoder(b, tariffLen)
	if err != nil {
		return fmt.Errorf("tariff: %w", err)
	}
	v := Tariff{
		Area:       caps.NewAreaCode(d.key()),
		Sequence:   d.u64(),
		Currency:   d.currency(),
		PerGiB:     Credits(d.i64()),
		PerLookup:  Credits(d.i64()),
		FreeBytes:  d.u64(),
		ValidFrom:  d.i64(),
		ValidUntil: d.i64(),
		TollFree:   d.bool(),
	}
	if d.err == nil {
		d.err = v.check()
	}
	if d.err != nil {
		return fmt.Errorf("tariff: %w", d.err)
	}
	*t = v
	return nil
}
