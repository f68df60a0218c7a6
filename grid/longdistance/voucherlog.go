package longdistance

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"trunkline/billing"
	"trunkline/billing/sealed"
	"trunkline/caps"
	"trunkline/grid/account"
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

	// compactAbove is the size from which a log is rewritten when no more
	// than a quarter of it is of use.
	compactAbove = 8 << 20
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// VoucherLogConfig opens a [VoucherLog].
type VoucherLogConfig struct {
	// Path is the log's file, created with mode 0600. Its folder must exist.
	// One process at a time may have it open.
	Path string
	// CompactAbove is the size in bytes from which the file is rewritten when
	// no more than a quarter of it is of use. Default 8 MiB.
	CompactAbove int64
	// Keep is how long after the end of its grace a booked channel is kept.
	// Default 24 h.
	Keep time.Duration
	// Now is the clock of Keep. Default time.Now.
	Now func() time.Time
	// NoSync leaves out every fsync. For benchmarks only: a power cut then
	// loses money.
	NoSync bool
}

// VoucherLog keeps the last voucher of each channel on disk: it is what a payee
// is owed; and the receipt, once it is booked. Safe for concurrent use. It is
// the account.VoucherLog that an account.Poster posts from.
//
// The file is only ever appended to, and rewritten as a whole when it has grown.
// Damage costs the records that are damaged and no others: a voucher carries
// its own signature, so whatever can still be read still counts.
type VoucherLog struct {
	config VoucherLogConfig

	writing sync.Mutex // held while a batch is written; guards file and size
	file    *os.File
	size    int64

	mu     sync.Mutex // guards what follows
	latest map[billing.ChannelID]Owed
	next   *voucherBatch // being filled; nil if none
	err    error         // sticky
	booked func(o Owed, before billing.Mark)
}

// Owed is what one channel owes its payee.
type Owed struct {
	// Voucher is the payer's last signature.
	Voucher sealed.Sealed[billing.Voucher]
	// Approver is who books it.
	Approver caps.PublicKey
	// GraceUntil is when the payer can no longer come back to the channel, in
	// unix seconds.
	GraceUntil int64
	// Receipt is the approver's last for the channel; without Bytes if there is
	// none.
	Receipt sealed.Sealed[billing.Receipt]
}

// Booked is how far the receipt goes.
func (o Owed) Booked() billing.Mark {
	return billing.Mark{Bytes: o.Receipt.Value.Bytes, Lookups: o.Receipt.Value.Lookups}
}

// Pending says whether the voucher is yet to be booked.
func (o Owed) Pending() bool { return !o.Booked().Covers(o.Voucher.Value.Mark()) }

// Channel is the channel that owes.
func (o Owed) Channel() billing.ChannelID { return o.Voucher.Value.Channel }

// voucherBatch is what one write and one fsync make durable.
type voucherBatch struct {
	records []byte
	put     []Owed // without Receipt: a voucher; without Voucher: a receipt
	done    chan struct{}
	err     error // set before done is closed
}

// OpenVoucherLog opens or creates a log. A torn end is cut off; records behind
// a damaged stretch are kept. Errors match [ErrVoucherLog] if the file is
// another kind of file or holds a voucher that nobody signed.
func OpenVoucherLog(c VoucherLogConfig) (*VoucherLog, error) {
	if c.CompactAbove <= 0 {
		c.CompactAbove = compactAbove
	}
	if c.Keep <= 0 {
		c.Keep = 24 * time.Hour
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	file, err := os.OpenFile(c.Path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("opening voucher log: %w", err)
	}
	l := &VoucherLog{config: c, file: file}
	if err := l.load(); err != nil {
		return nil, errors.Join(fmt.Errorf("opening voucher log %s: %w", filepath.Base(c.Path), err), l.file.Close())
	}
	return l, nil
}

// load reads the file, mends it, and leaves the log ready to append.
func (l *VoucherLog) load() error {
	found, err := scanVouchers(l.file)
	if err != nil {
		return err
	}
	l.latest = make(map[billing.ChannelID]Owed, len(found.vouchers))
	for channel, record := range found.vouchers {
		o, err := parseOwed(record)
		if err != nil {
			return err
		}
		if receipt := found.receipts[channel]; receipt != nil {
			if o.Receipt, err = parseReceipt(receipt, o); err != nil {
				return err
			}
		}
		l.latest[channel] = o
	}
	switch {
	case found.headless && found.size == 0:
		return l.create()
	case found.headless || found.salvaged:
		return l.rewrite()
	case found.end < found.size:
		if err := l.file.Truncate(found.end); err != nil {
			return fmt.Errorf("cutting off a torn end: %w", err)
		}
		if err := l.sync(l.file); err != nil {
			return err
		}
	}
	l.size = found.end
	return nil
}

// create begins an empty file.
func (l *VoucherLog) create() error {
	if _, err := l.file.WriteAt([]byte(voucherLogHead), 0); err != nil {
		return fmt.Errorf("writing: %w", err)
	}
	if err := errors.Join(l.sync(l.file), l.syncDir(filepath.Dir(l.config.Path))); err != nil {
		return err
	}
	l.size = int64(len(voucherLogHead))
	return nil
}

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

// Append makes o durable: when it returns nil, a power cut does not lose it.
// Calls that come together share one fsync. A voucher below the latest of its
// channel is left out without an error.
//
// An error means that v may or may not be on disk; after one from fsync, all
// later calls fail too.
func (l *VoucherLog) Append(o Owed) error {
	if len(o.Voucher.Bytes) == 0 || len(o.Voucher.Bytes) > maxEnvelope {
		return fmt.Errorf("a voucher of %d bytes: %w", len(o.Voucher.Bytes), ErrVoucherLog)
	}
	return l.commit(func(b *voucherBatch) {
		b.records = appendVoucher(b.records, o)
		b.put = append(b.put, Owed{Voucher: o.Voucher, Approver: o.Approver, GraceUntil: o.GraceUntil})
	})
}

// MarkPosted keeps a receipt: when it returns nil, the receipt is on disk. A
// voucher that is higher than the receipt stays pending.
//
// Errors match [ErrVoucherLog] if the receipt is not for this channel or not its
// approver's.
func (l *VoucherLog) MarkPosted(channel billing.ChannelID, receipt sealed.Sealed[billing.Receipt]) error {
	o, ok := l.Latest(channel)
	if !ok || receipt.Value.Channel != channel || receipt.Signer != o.Approver || len(receipt.Bytes) > maxEnvelope {
		return fmt.Errorf("%w: a receipt that fits no voucher", ErrVoucherLog)
	}
	posted := Owed{Approver: o.Approver, Receipt: receipt}
	return l.commit(func(b *voucherBatch) {
		b.records = appendReceipt(b.records, posted)
		b.put = append(b.put, posted)
	})
}

// Pending lists, for every channel, the last voucher unless a receipt covers it.
func (l *VoucherLog) Pending() []account.PendingVoucher {
	var pending []account.PendingVoucher
	for _, o := range l.All() {
		if o.Pending() {
			pending = append(pending, account.PendingVoucher{Approver: o.Approver, Voucher: o.Voucher})
		}
	}
	return pending
}

// commit adds to the next batch and waits until that is durable. The first to
// add to a batch writes it, as soon as the batch before it is written; those
// who come meanwhile join.
func (l *VoucherLog) commit(add func(*voucherBatch)) error {
	l.mu.Lock()
	if l.err != nil {
		defer l.mu.Unlock()
		return l.err
	}
	b, leads := l.next, l.next == nil
	if leads {
		b = &voucherBatch{done: make(chan struct{})}
		l.next = b
	}
	add(b)
	l.mu.Unlock()

	if !leads {
		<-b.done
		return b.err
	}
	l.writing.Lock()
	defer l.writing.Unlock()
	l.mu.Lock()
	l.next = nil
	b.err = l.err
	l.mu.Unlock()
	if b.err == nil {
		b.err = l.write(b)
	}
	close(b.done)
	return b.err
}

// write appends a batch to the file, and makes it visible. The caller holds
// writing.
func (l *VoucherLog) write(b *voucherBatch) error {
	if _, err := l.file.WriteAt(b.records, l.size); err != nil {
		err = fmt.Errorf("writing voucher log: %w", err)
		// A full disk may have room again later: take back what was written
		// of this batch, so that the next one does not stand behind a hole.
		if cut := l.file.Truncate(l.size); cut != nil {
			return l.fail(errors.Join(err, cut))
		}
		return err
	}
	if err := l.sync(l.file); err != nil {
		// What the kernel dropped cannot be told; nothing after it counts.
		return l.fail(err)
	}
	l.size += int64(len(b.records))

	l.take(b.put)
	if l.size > l.config.CompactAbove && l.size > 4*l.liveSize() {
		if err := l.rewrite(); err != nil {
			return l.fail(err)
		}
	}
	return nil
}

// take makes what is durable visible, and says so to who asked to know.
func (l *VoucherLog) take(put []Owed) {
	l.mu.Lock()
	type growth struct {
		o      Owed
		before billing.Mark
	}
	var grown []growth
	for _, o := range put {
		if o.Voucher.Bytes != nil {
			old, ok := l.latest[o.Channel()]
			if !ok || o.Voucher.Value.Bytes >= old.Voucher.Value.Bytes {
				o.Receipt = old.Receipt
				l.latest[o.Channel()] = o
			}
			continue
		}
		old, ok := l.latest[o.Receipt.Value.Channel]
		if before := old.Booked(); ok && o.Booked().Covers(before) {
			old.Receipt = o.Receipt
			l.latest[old.Channel()] = old
			grown = append(grown, growth{old, before})
		}
	}
	booked := l.booked
	l.mu.Unlock()
	if booked != nil {
		for _, g := range grown {
			booked(g.o, g.before)
		}
	}
}

// OnBooked sets who is told of receipts that became durable, and how far the one
// before went. A [Payee] sets itself.
func (l *VoucherLog) OnBooked(told func(o Owed, before billing.Mark)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.booked = told
}

// retire drops channels that are booked and that no payer can come back to.
func (l *VoucherLog) retire() {
	now := l.config.Now()
	l.mu.Lock()
	defer l.mu.Unlock()
	for channel, o := range l.latest {
		if !o.Pending() && now.After(time.Unix(o.GraceUntil, 0).Add(l.config.Keep)) {
			delete(l.latest, channel)
		}
	}
}

// fail makes err what every later call returns.
func (l *VoucherLog) fail(err error) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err == nil {
		l.err = err
	}
	return err
}

// liveSize is what the file would be after a rewrite.
func (l *VoucherLog) liveSize() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := int64(len(voucherLogHead))
	for _, o := range l.latest {
		n += 2*voucherHeadBytes + int64(len(o.Voucher.Bytes)+len(o.Receipt.Bytes))
	}
	return n
}

// rewrite replaces the file by one with the latest vouchers only. The caller
// holds writing, or is load. Until the new file is durable under the old name
// the old one stays whole.
func (l *VoucherLog) rewrite() error {
	l.retire()
	b := []byte(voucherLogHead)
	for _, o := range l.All() {
		b = appendVoucher(b, o)
		if o.Receipt.Bytes != nil {
			b = appendReceipt(b, o)
		}
	}
	dir := filepath.Dir(l.config.Path)
	file, err := os.CreateTemp(dir, filepath.Base(l.config.Path)+".*")
	if err != nil {
		return fmt.Errorf("rewriting voucher log: %w", err)
	}
	err = func() error {
		if _, err := file.Write(b); err != nil {
			return err
		}
		if err := l.sync(file); err != nil {
			return err
		}
		if err := os.Rename(file.Name(), l.config.Path); err != nil {
			return err
		}
		return l.syncDir(dir)
	}()
	if err != nil {
		return errors.Join(fmt.Errorf("rewriting voucher log: %w", err), file.Close(), removeIfThere(file.Name()))
	}
	old := l.file
	l.file, l.size = file, int64(len(b))
	return old.Close()
}

// removeIfThere removes a file that may have been renamed away.
func removeIfThere(name string) error {
	if err := os.Remove(name); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

func (l *VoucherLog) sync(file *os.File) error {
	if l.config.NoSync {
		return nil
	}
	if err := file.Sync(); err != nil {
		return fmt.Errorf("syncing voucher log: %w", err)
	}
	return nil
}

// syncDir makes a rename durable.
func (l *VoucherLog) syncDir(dir string) error {
	if l.config.NoSync {
		return nil
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(l.sync(d), d.Close())
}

// Latest returns the highest durable voucher of a channel.
func (l *VoucherLog) Latest(channel billing.ChannelID) (Owed, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	o, ok := l.latest[channel]
	return o, ok
}

// All returns what every channel owes, ordered by channel. The caller owns the
// slice and must not change the envelopes.
func (l *VoucherLog) All() []Owed {
	l.mu.Lock()
	all := make([]Owed, 0, len(l.latest))
	for _, o := range l.latest {
		all = append(all, o)
	}
	l.mu.Unlock()
	slices.SortFunc(all, func(a, b Owed) int {
		x, y := a.Channel(), b.Channel()
		return bytes.Compare(x[:], y[:])
	})
	return all
}

// Close closes the file. Calls of Append that are under way end first; later
// ones fail with [ErrClosed].
func (l *VoucherLog) Close() error {
	l.writing.Lock()
	defer l.writing.Unlock()
	l.mu.Lock()
	closed := errors.Is(l.err, ErrClosed)
	l.err = fmt.Errorf("voucher log: %w", ErrClosed)
	l.mu.Unlock()
	if closed {
		return nil
	}
	return l.file.Close()
}
