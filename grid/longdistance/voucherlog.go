package longdistance

import (
	"bytes"
	"errors"
	"fmt"
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

// compactAbove is the default of VoucherLogConfig.CompactAbove.
const compactAbove = 8 << 20

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
		c.Now = time.Now //nolint:forbidigo // the default of an injected clock
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
