package ledger

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"

	"trunkline/billing"
	"trunkline/caps"
)

// Entry is one line of the journal: Amount is debited to Payer and credited to
// Payee, and Voucher is why. It raises its channel to the voucher's figures.
type Entry struct {
	Number   uint64 // from 1, without gaps
	Channel  billing.ChannelID
	Payer    caps.PublicKey  // account
	Payee    caps.PublicKey  // account
	Amount   billing.Credits // zero or more
	Voucher  []byte          // envelope
	BookedAt int64           // unix seconds
	Head     [32]byte        // of the chain, this entry included
}

const headDomain = "trunkline/ledger-entry/v1\n"

// Chain computes the entry's head from the head of the entry before, which is
// all zero for entry 1: the SHA-256 of a domain line, that head, number,
// channel, payer, payee, amount, time, and the SHA-256 of the voucher. Numbers
// are 8 bytes big-endian.
func (e Entry) Chain(previous [32]byte) [32]byte {
	voucher := sha256.Sum256(e.Voucher)
	b := make([]byte, 0, len(headDomain)+5*32+3*8)
	b = append(b, headDomain...)
	b = append(b, previous[:]...)
	b = binary.BigEndian.AppendUint64(b, e.Number)
	b = append(b, e.Channel[:]...)
	b = append(b, e.Payer[:]...)
	b = append(b, e.Payee[:]...)
	b = binary.BigEndian.AppendUint64(b, uint64(e.Amount))
	b = binary.BigEndian.AppendUint64(b, uint64(e.BookedAt))
	b = append(b, voucher[:]...)
	return sha256.Sum256(b)
}

// Above reports whether voucher v is higher than w of the same channel: in
// credits, then bytes, then look-ups. The highest voucher is what a channel
// owes, whatever the order in which they come.
func Above(v, w billing.Voucher) bool {
	return cmp.Or(
		cmp.Compare(v.Credits, w.Credits),
		cmp.Compare(v.Bytes, w.Bytes),
		cmp.Compare(v.Lookups, w.Lookups),
	) > 0
}
