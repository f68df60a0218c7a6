package billing

import "fmt"

// Receipt is the approver's word for what stands in its books for a channel:
// the highest voucher posted so far, which may be a higher one than the one
// just sent.
type Receipt struct {
	Channel  ChannelID
	Voucher  [32]byte // SHA-256 of the voucher's envelope
	Entry    uint64   // number of the ledger entry, from 1
	Bytes    uint64   // the channel's totals
	Lookups  uint64
	Credits  Credits
	BookedAt int64    // unix seconds
	Head     [32]byte // the ledger's hash chain, this entry included
}

func (r *Receipt) check() error {
	if err := checkCounts(r.Entry, r.Bytes, r.Lookups); err != nil {
		return err
	}
	if r.Entry == 0 {
		return fmt.Errorf("%w: entry 0", ErrRange)
	}
	if err := checkNotNegative(r.Credits); err != nil {
		return err
	}
	return checkNotNegative(r.BookedAt)
}

const receiptLen = 1 + 3*hashLen + 5*8

// Domain implements record.Record.
func (*Receipt) Domain() string { return "trunkline/receipt/v1" }

// Codec implements record.Record.
func (*Receipt) Codec() []byte { return []byte("/trunkline/receipt/1") }

// MaxRecord is the length of a payload.
func (*Receipt) MaxRecord() int { return receiptLen }

// MarshalRecord implements record.Record.
func (r *Receipt) MarshalRecord() ([]byte, error) {
	if err := r.check(); err != nil {
		return nil, err
	}
	e := newEncoder(receiptLen)
	e.hash(r.Channel)
	e.hash(r.Voucher)
	e.u64(r.Entry)
	e.u64(r.Bytes)
	e.u64(r.Lookups)
	e.i64(int64(r.Credits))
	e.i64(r.BookedAt)
	e.hash(r.Head)
	return e.b, nil
}

// UnmarshalRecord implements record.Record.
func (r *Receipt) UnmarshalRecord(b []byte) error {
	d, err := newDecoder(b, receiptLen)
	if err != nil {
		return fmt.Errorf("receipt: %w", err)
	}
	v := Receipt{
		Channel:  d.hash(),
		Voucher:  d.hash(),
		Entry:    d.u64(),
		Bytes:    d.u64(),
		Lookups:  d.u64(),
		Credits:  Credits(d.i64()),
		BookedAt: d.i64(),
		Head:     d.hash(),
	}
	if err := v.check(); err != nil {
		return fmt.Errorf("receipt: %w", err)
	}
	*r = v
	return nil
}
