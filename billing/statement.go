package billing

import (
	"bytes"
	"fmt"

	"trunkline/caps"
)

// MaxLines is how many lines a statement has at most.
const MaxLines = 1 << 14

// Statement is the approver's account of one account's period, line by line.
type Statement struct {
	Account  caps.PublicKey
	Period   uint64
	IssuedAt int64 // unix seconds
	Currency string
	Lines    []Line  // ascending by channel, each channel once; at most MaxLines
	Debit    Credits // what the lines with negative credits sum up to, as a positive number
	Credit   Credits // what the lines with positive credits sum up to
}

// Line is one channel of a statement.
type Line struct {
	Channel      ChannelID
	Counterparty caps.PublicKey // the other account
	Entry        uint64         // number of the channel's last ledger entry
	Bytes        uint64         // the channel's totals
	Lookups      uint64
	Credits      Credits  // earned if positive, owed if negative
	Voucher      [32]byte // SHA-256 of the envelope of the payer's last voucher
}

// Totals sums lines up into a statement's Debit and Credit.
//
// Errors: ErrOverflow.
func Totals(lines []Line) (debit, credit Credits, err error) {
	for _, l := range lines {
		if l.Credits < 0 {
			debit, err = debit.Sub(l.Credits)
		} else {
			credit, err = credit.Add(l.Credits)
		}
		if err != nil {
			return 0, 0, err
		}
	}
	return debit, credit, nil
}

func (s *Statement) check() error {
	if len(s.Lines) > MaxLines {
		return fmt.Errorf("%w: %d lines", ErrRange, len(s.Lines))
	}
	if err := checkKeys(s.Account); err != nil {
		return err
	}
	if err := checkCounts(s.Period); err != nil {
		return err
	}
	if err := checkNotNegative(s.IssuedAt); err != nil {
		return err
	}
	if err := CheckCurrency(s.Currency); err != nil {
		return err
	}
	for i, l := range s.Lines {
		if i > 0 && bytes.Compare(s.Lines[i-1].Channel[:], l.Channel[:]) >= 0 {
			return fmt.Errorf("%w: line %d is out of order", ErrRange, i)
		}
		if err := checkKeys(l.Counterparty); err != nil {
			return err
		}
		if err := checkCounts(l.Entry, l.Bytes, l.Lookups); err != nil {
			return err
		}
	}
	debit, credit, err := Totals(s.Lines)
	if err != nil {
		return err
	}
	if debit != s.Debit || credit != s.Credit {
		return ErrTotals
	}
	return nil
}

const (
	statementHead = 1 + keyLen + 8 + 8 + currencyLen + 8 + 8 + 4
	lineLen       = hashLen + keyLen + 4*8 + hashLen
)

// Domain implements record.Record.
func (*Statement) Domain() string { return "trunkline/statement/v1" }

// Codec implements record.Record.
func (*Statement) Codec() []byte { return []byte("/trunkline/statement/1") }

// MaxRecord is the length of the longest payload, about 2 MiB.
func (*Statement) MaxRecord() int { return statementHead + MaxLines*lineLen }

// MarshalRecord implements record.Record; ErrTotals if Debit and Credit are not
// what the lines sum up to.
func (s *Statement) MarshalRecord() ([]byte, error) {
	if err := s.check(); err != nil {
		return nil, err
	}
	e := newEncoder(statementHead + len(s.Lines)*lineLen)
	e.key(s.Account)
	e.u64(s.Period)
	e.i64(s.IssuedAt)
	e.currency(s.Currency)
	e.i64(int64(s.Debit))
	e.i64(int64(s.Credit))
	e.u32(uint32(len(s.Lines)))
	for _, l := range s.Lines {
		e.hash(l.Channel)
		e.key(l.Counterparty)
		e.u64(l.Entry)
		e.u64(l.Bytes)
		e.u64(l.Lookups)
		e.i64(int64(l.Credits))
		e.hash(l.Voucher)
	}
	return e.b, nil
}

// UnmarshalRecord implements record.Record.
func (s *Statement) UnmarshalRecord(b []byte) error {
	if len(b) < statementHead || len(b) > s.MaxRecord() {
		return fmt.Errorf("statement: %w: %d bytes", ErrLength, len(b))
	}
	// The number of lines follows from the length; the count must agree.
	n := (len(b) - statementHead) / lineLen
	d, err := newDecoder(b, statementHead+n*lineLen)
	if err != nil {
		return fmt.Errorf("statement: %w", err)
	}
	v := Statement{
		Account:  d.key(),
		Period:   d.u64(),
		IssuedAt: d.i64(),
		Currency: d.currency(),
		Debit:    Credits(d.i64()),
		Credit:   Credits(d.i64()),
	}
	if count := d.u32(); uint64(count) != uint64(n) {
		return fmt.Errorf("statement: %w: says %d lines, has %d", ErrLength, count, n)
	}
	if n > 0 {
		v.Lines = make([]Line, n)
	}
	for i := range v.Lines {
		v.Lines[i] = Line{
			Channel:      d.hash(),
			Counterparty: d.key(),
			Entry:        d.u64(),
			Bytes:        d.u64(),
			Lookups:      d.u64(),
			Credits:      Credits(d.i64()),
			Voucher:      d.hash(),
		}
	}
	if d.err == nil {
		d.err = v.check()
	}
	if d.err != nil {
		return fmt.Errorf("statement: %w", d.err)
	}
	*s = v
	return nil
}
