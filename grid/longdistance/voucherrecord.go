package longdistance

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
	"slices"

	"trunkline/billing"
	"trunkline/billing/sealed"
	"trunkline/caps"
)

// The file of a voucher log: a first line that names the format, then records.
//
//	offset  bytes  what
//	0       4      "vchr": a voucher; "rcpt": a receipt
//	4       4      length of the envelope, 1 to 2048
//	8       4      CRC-32C of the length, and of all that follows
//	12      32     channel
//	44      8      cumulative bytes of the voucher or receipt
//	52      32     approver of the channel
//	84      8      end of the approval's grace, unix seconds; 0 for a receipt
//	92      …      the envelope, verbatim
//
// Numbers are big endian.
const (
	voucherLogHead   = "trunkline vouchers v1\n"
	voucherMark      = "vchr"
	receiptMark      = "rcpt"
	voucherHeadBytes = 92

	// maxEnvelope is the largest sealed object in this protocol.
	maxEnvelope = 2048
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// voucherScan is what a log's file was found to hold.
type voucherScan struct {
	vouchers map[billing.ChannelID][]byte // highest records, signatures unverified
	receipts map[billing.ChannelID][]byte // same
	size     int64                        // of the file
	end      int64                        // where the sound records from the start end
	headless bool                         // even the first line is missing or torn
	salvaged bool                         // there are sound records behind a damaged stretch
}

// parseOwed reads a record whose checksum is right, and checks that it is what
// the log itself would have written.
func parseOwed(record []byte) (Owed, error) {
	v, err := sealed.Open[billing.Voucher](record[voucherHeadBytes:])
	if err != nil {
		return Owed{}, fmt.Errorf("%w: a voucher whose checksum is right: %w", ErrVoucherLog, err)
	}
	approver, err := caps.ParsePublicKey(record[52:84])
	if err != nil {
		return Owed{}, fmt.Errorf("%w: an approver: %w", ErrVoucherLog, err)
	}
	o := Owed{Voucher: v, Approver: approver, GraceUntil: int64(binary.BigEndian.Uint64(record[84:92]))} //nolint:gosec // as it was written
	if o.Channel() != billing.ChannelID(record[12:44]) || v.Value.Bytes != binary.BigEndian.Uint64(record[44:52]) {
		return Owed{}, fmt.Errorf("%w: a voucher filed as another", ErrVoucherLog)
	}
	return o, nil
}

// parseReceipt reads the receipt's record that goes with o.
func parseReceipt(record []byte, o Owed) (sealed.Sealed[billing.Receipt], error) {
	r, err := sealed.OpenFrom[billing.Receipt](o.Approver, record[voucherHeadBytes:])
	if err != nil {
		return r, fmt.Errorf("%w: a receipt whose checksum is right: %w", ErrVoucherLog, err)
	}
	if r.Value.Channel != o.Channel() || r.Value.Bytes != binary.BigEndian.Uint64(record[44:52]) {
		return r, fmt.Errorf("%w: a receipt filed as another", ErrVoucherLog)
	}
	return r, nil
}

// scanVouchers reads a log. It never fails for damage, only for a file that is
// not a voucher log and for what the disk says. Memory is one record, and one
// envelope for each channel.
func scanVouchers(r io.Reader) (voucherScan, error) {
	found := voucherScan{vouchers: make(map[billing.ChannelID][]byte), receipts: make(map[billing.ChannelID][]byte)}
	br := bufio.NewReaderSize(r, 64<<10)

	head, err := br.Peek(len(voucherLogHead))
	if err != nil && err != io.EOF { //nolint:errorlint // io.Reader's exact value
		return found, fmt.Errorf("reading: %w", err)
	}
	if string(head) != voucherLogHead {
		// A first line that is cut short was torn while the log was made.
		if string(head) != voucherLogHead[:len(head)] {
			return found, fmt.Errorf("%w: it does not begin as one", ErrVoucherLog)
		}
		found.headless, found.size = true, int64(len(head))
		return found, nil
	}
	_, _ = br.Discard(len(head)) // they are there: Peek returned them
	found.size, found.end = int64(len(head)), int64(len(head))

	for damaged := false; ; {
		record, err := peekVoucher(br)
		if err != nil {
			return found, err
		}
		if record == nil {
			n, err := br.Discard(1)
			found.size += int64(n)
			if err == io.EOF { //nolint:errorlint // io.Reader's exact value
				return found, nil
			}
			if err != nil {
				return found, fmt.Errorf("reading: %w", err)
			}
			damaged = true
			continue
		}
		kept := found.vouchers
		if string(record[:4]) == receiptMark {
			kept = found.receipts
		}
		channel := billing.ChannelID(record[12:44])
		if old := kept[channel]; old == nil || bytes.Compare(record[44:52], old[44:52]) >= 0 {
			kept[channel] = slices.Clone(record)
		}
		found.size += int64(len(record))
		if damaged {
			found.salvaged = true
		} else {
			found.end = found.size
		}
		_, _ = br.Discard(len(record))
	}
}

// peekVoucher returns the record at br's position, or nil if there is no sound
// one. The record is valid until br is read.
func peekVoucher(br *bufio.Reader) ([]byte, error) {
	head, err := br.Peek(voucherHeadBytes)
	if err == io.EOF { //nolint:errorlint // io.Reader's exact value
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading: %w", err)
	}
	n := binary.BigEndian.Uint32(head[4:8])
	if mark := string(head[:4]); mark != voucherMark && mark != receiptMark || n == 0 || n > maxEnvelope {
		return nil, nil
	}
	record, err := br.Peek(voucherHeadBytes + int(n))
	if err == io.EOF { //nolint:errorlint // io.Reader's exact value
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading: %w", err)
	}
	if binary.BigEndian.Uint32(record[8:12]) != voucherSum(record) {
		return nil, nil
	}
	return record, nil
}

// voucherSum is the checksum of a record.
func voucherSum(record []byte) uint32 {
	return crc32.Update(crc32.Checksum(record[4:8], castagnoli), castagnoli, record[12:])
}

// appendRecord appends a record to b.
func appendRecord(b []byte, mark string, channel billing.ChannelID, cumulative uint64, approver caps.PublicKey, graceUntil int64, envelope []byte) []byte {
	start := len(b)
	b = append(b, mark...)
	b = binary.BigEndian.AppendUint32(b, uint32(len(envelope))) //nolint:gosec // at most maxEnvelope
	b = append(b, 0, 0, 0, 0)
	b = append(b, channel[:]...)
	b = binary.BigEndian.AppendUint64(b, cumulative)
	b = append(b, approver[:]...)
	b = binary.BigEndian.AppendUint64(b, uint64(graceUntil)) //nolint:gosec // read back the same way
	b = append(b, envelope...)
	binary.BigEndian.PutUint32(b[start+8:], voucherSum(b[start:]))
	return b
}

// appendVoucher appends the record of o's voucher.
func appendVoucher(b []byte, o Owed) []byte {
	v := o.Voucher
	return appendRecord(b, voucherMark, v.Value.Channel, v.Value.Bytes, o.Approver, o.GraceUntil, v.Bytes)
}

// appendReceipt appends the record of o's receipt.
func appendReceipt(b []byte, o Owed) []byte {
	r := o.Receipt
	return appendRecord(b, receiptMark, r.Value.Channel, r.Value.Bytes, o.Approver, 0, r.Bytes)
}
