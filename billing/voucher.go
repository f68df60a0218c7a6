package billing

import (
	"fmt"
)

// Voucher is the payer's signature for everything a channel owes so far. It
// replaces every earlier voucher of the channel.
type Voucher struct {
	Channel ChannelID
	Bytes   uint64  // verified since the channel began
	Lookups uint64  // answered since the channel began
	Credits Credits // Tariff.Cost of the two
}

// Mark is a point on a channel: how far a voucher goes. Its zero value is the
// beginning, before any voucher.
type Mark struct {
	Bytes   uint64
	Lookups uint64
}

// Mark is the point up to which v pays.
func (v Voucher) Mark() Mark { return Mark{v.Bytes, v.Lookups} }

// Covers reports whether m is n or beyond it in both counts.
func (m Mark) Covers(n Mark) bool { return m.Bytes >= n.Bytes && m.Lookups >= n.Lookups }

func (v *Voucher) check() error {
	if err := checkCounts(v.Bytes, v.Lookups); err != nil {
		return err
	}
	return checkNotNegative(v.Credits)
}

const voucherLen = 1 + hashLen + 3*8

// Domain implements record.Record.
func (*Voucher) Domain() string { return "trunkline/voucher/v1" }

// Codec implements record.Record.
func (*Voucher) Codec() []byte { return []byte("/trunkline/voucher/1") }

// MaxRecord is the length of a payload.
func (*Voucher) MaxRecord() int { return voucherLen }

// MarshalRecord implements record.Record.
func (v *Voucher) MarshalRecord() ([]byte, error) {
	if err := v.check(); err != nil {
		return nil, err
	}
	e := newEncoder(voucherLen)
	e.hash(v.Channel)
	e.u64(v.Bytes)
	e.u64(v.Lookups)
	e.i64(int64(v.Credits))
	return e.b, nil
}

// UnmarshalRecord implements record.Record.
func (v *Voucher) UnmarshalRecord(b []byte) error {
	d, err := newDecoder(b, voucherLen)
	if err != nil {
		return fmt.Errorf("voucher: %w", err)
	}
	w := Voucher{Channel: d.hash(), Bytes: d.u64(), Lookups: d.u64(), Credits: Credits(d.i64())}
	if err := w.check(); err != nil {
		return fmt.Errorf("voucher: %w", err)
	}
	*v = w
	return nil
}
