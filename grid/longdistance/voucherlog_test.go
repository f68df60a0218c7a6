package longdistance_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/crypto"

	"trunkline/billing"
	"trunkline/billing/sealed"
	"trunkline/grid/account"
	"trunkline/grid/longdistance"
)

var _ account.VoucherLog = (*longdistance.VoucherLog)(nil)

func openLog(t testing.TB, path string, edit ...func(*longdistance.VoucherLogConfig)) *longdistance.VoucherLog {
	t.Helper()
	c := longdistance.VoucherLogConfig{Path: path, NoSync: true}
	for _, e := range edit {
		e(&c)
	}
	l, err := longdistance.OpenVoucherLog(c)
	must(t, err)
	t.Cleanup(func() { must(t, l.Close()) })
	return l
}

// owed makes a voucher over so many bytes on channel number n.
func owed(t testing.TB, n byte, bytes uint64) longdistance.Owed {
	t.Helper()
	v, err := sealed.Seal(keyed(t, 50), billing.Voucher{Channel: billing.ChannelID{n}, Bytes: bytes, Lookups: 1, Credits: 5})
	must(t, err)
	return longdistance.Owed{Voucher: v, Approver: public(t, keyed(t, 51)), GraceUntil: start.Unix()}
}

func receipt(t testing.TB, key crypto.PrivKey, o longdistance.Owed) sealed.Sealed[billing.Receipt] {
	t.Helper()
	v := o.Voucher.Value
	r, err := sealed.Seal(key, billing.Receipt{
		Channel: v.Channel, Voucher: o.Voucher.Hash(), Entry: 1, Bytes: v.Bytes, Lookups: v.Lookups, Credits: v.Credits, BookedAt: start.Unix(),
	})
	must(t, err)
	return r
}

// totals is what a log says each channel owes.
func totals(l *longdistance.VoucherLog) map[byte]uint64 {
	all := make(map[byte]uint64)
	for _, o := range l.All() {
		all[o.Channel()[0]] = o.Voucher.Value.Bytes
	}
	return all
}

func TestVoucherLog(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "vouchers")
	l := openLog(t, path)
	for _, o := range []longdistance.Owed{owed(t, 1, 10), owed(t, 2, 5), owed(t, 1, 30), owed(t, 1, 20)} {
		must(t, l.Append(o))
	}
	check := func(l *longdistance.VoucherLog) {
		t.Helper()
		if got := totals(l); fmt.Sprint(got) != "map[1:30 2:5]" {
			t.Errorf("got %v", got)
		}
		o, ok := l.Latest(billing.ChannelID{1})
		if want := owed(t, 1, 30); !ok || !bytes.Equal(o.Voucher.Bytes, want.Voucher.Bytes) || o.Approver != want.Approver || o.GraceUntil != want.GraceUntil {
			t.Errorf("got %+v", o)
		}
		if _, ok := l.Latest(billing.ChannelID{3}); ok {
			t.Error("a channel that never was")
		}
	}
	check(l)
	must(t, l.Close())
	must(t, l.Close()) // again
	if err := l.Append(owed(t, 1, 99)); !errors.Is(err, longdistance.ErrClosed) {
		t.Errorf("appending after Close: %v", err)
	}
	check(openLog(t, path))
}

// A receipt takes a voucher off the list, a higher voucher puts it back, both
// also after a restart; and a channel that is booked and over disappears.
func TestVoucherLogReceipts(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "vouchers")
	now := start
	clock := func(c *longdistance.VoucherLogConfig) { c.Now = func() time.Time { return now } }
	l := openLog(t, path, clock)
	var told []uint64
	l.OnBooked(func(o longdistance.Owed, before billing.Mark) { told = append(told, o.Booked().Bytes-before.Bytes) })
	first, second := owed(t, 1, 10), owed(t, 1, 25)
	approver := keyed(t, 51)
	must(t, l.Append(first))
	must(t, l.Append(owed(t, 2, 7)))
	if n := len(l.Pending()); n != 2 {
		t.Errorf("%d pending", n)
	}
	must(t, l.MarkPosted(first.Channel(), receipt(t, approver, first)))
	if p := l.Pending(); len(p) != 1 || p[0].Voucher.Value.Bytes != 7 || p[0].Approver != public(t, approver) {
		t.Errorf("pending: %v", p)
	}
	must(t, l.Append(second))
	if n := len(l.Pending()); n != 2 {
		t.Errorf("%d pending after a higher voucher", n)
	}
	for name, err := range map[string]error{
		"stranger":      l.MarkPosted(first.Channel(), receipt(t, keyed(t, 99), first)),
		"other_channel": l.MarkPosted(billing.ChannelID{2}, receipt(t, approver, first)),
		"no_channel":    l.MarkPosted(billing.ChannelID{9}, receipt(t, approver, owed(t, 9, 1))),
	} {
		if !errors.Is(err, longdistance.ErrVoucherLog) {
			t.Errorf("a receipt of %s: %v", name, err)
		}
	}
	must(t, l.MarkPosted(second.Channel(), receipt(t, approver, second)))
	must(t, l.MarkPosted(first.Channel(), receipt(t, approver, first))) // late and lower: changes nothing
	if fmt.Sprint(told) != "[10 15]" {
		t.Errorf("told of %v", told)
	}
	must(t, l.Close())

	l = openLog(t, path, clock)
	if p := l.Pending(); len(p) != 1 || p[0].Voucher.Value.Bytes != 7 {
		t.Errorf("pending after a restart: %v", p)
	}
	if o, _ := l.Latest(first.Channel()); o.Booked().Bytes != 25 {
		t.Errorf("booked up to %d", o.Booked().Bytes)
	}
	must(t, l.Close())

	now = start.Add(48 * time.Hour)
	l = openLog(t, path, clock, func(c *longdistance.VoucherLogConfig) { c.CompactAbove = 1 })
	for range 20 { // until it is worth rewriting
		must(t, l.Append(owed(t, 2, 7)))
	}
	if got := totals(l); fmt.Sprint(got) != "map[2:7]" {
		t.Errorf("kept %v", got)
	}
}

// However much of the end is missing, all whole records before are there; and
// the log can be appended to and read again.
func TestVoucherLogTorn(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "vouchers")
	l := openLog(t, path)
	var ends []int64
	size := func() int64 {
		info, err := os.Stat(path)
		must(t, err)
		return info.Size()
	}
	ends = append(ends, size())
	for i := range uint64(3) {
		must(t, l.Append(owed(t, 1, 10*(i+1))))
		ends = append(ends, size())
	}
	must(t, l.Close())
	whole, err := os.ReadFile(path)
	must(t, err)
	for cut := range len(whole) + 1 {
		must(t, os.WriteFile(path, whole[:cut], 0o600))
		l := openLog(t, path)
		var want uint64
		for i, end := range ends[1:] {
			if int64(cut) >= end {
				want = 10 * uint64(i+1)
			}
		}
		if got := totals(l)[1]; got != want {
			t.Fatalf("cut at %d: %d bytes owed, want %d", cut, got, want)
		}
		must(t, l.Append(owed(t, 2, 7)))
		must(t, l.Close())
		l = openLog(t, path)
		if got := totals(l); got[1] != want || got[2] != 7 {
			t.Fatalf("cut at %d: %v after going on", cut, got)
		}
		must(t, l.Close())
	}
}

// Damage to any byte costs at most the record it is in, and never makes one up.
func TestVoucherLogDamaged(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "vouchers")
	l := openLog(t, path)
	for n := range byte(3) {
		must(t, l.Append(owed(t, n, 10)))
	}
	must(t, l.Close())
	whole, err := os.ReadFile(path)
	must(t, err)
	head := bytes.IndexByte(whole, '\n') + 1
	for at := range whole {
		for _, mask := range []byte{0x01, 0xff} {
			damaged := bytes.Clone(whole)
			damaged[at] ^= mask
			must(t, os.WriteFile(path, damaged, 0o600))
			l, err := longdistance.OpenVoucherLog(longdistance.VoucherLogConfig{Path: path, NoSync: true})
			if at < head {
				if !errors.Is(err, longdistance.ErrVoucherLog) {
					t.Fatalf("byte %d of the first line: %v", at, err)
				}
				continue
			}
			must(t, err)
			got := totals(l)
			for n, b := range got {
				if b != 10 || n > 2 {
					t.Fatalf("byte %d: %v", at, got)
				}
			}
			if len(got) != 2 {
				t.Fatalf("byte %d: %v", at, got)
			}
			must(t, l.Close())
			again := openLog(t, path)
			if len(totals(again)) != 2 {
				t.Fatalf("byte %d: %v after it was mended", at, totals(again))
			}
			must(t, again.Close())
		}
	}
}

// Something else is left alone, and a voucher that nobody signed is not owed.
func TestVoucherLogForeign(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "vouchers")
	must(t, os.WriteFile(path, []byte("a letter to my aunt\n"), 0o600))
	if _, err := longdistance.OpenVoucherLog(longdistance.VoucherLogConfig{Path: path}); !errors.Is(err, longdistance.ErrVoucherLog) {
		t.Errorf("got %v", err)
	}
	if b, err := os.ReadFile(path); err != nil || string(b) != "a letter to my aunt\n" {
		t.Errorf("now it is %q, %v", b, err)
	}
}

// Many at once share fsyncs, and each is durable when its call returns.
func TestVoucherLogConcurrent(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "vouchers")
	l := openLog(t, path, func(c *longdistance.VoucherLogConfig) { c.NoSync, c.CompactAbove = false, 4096 })
	var wg sync.WaitGroup
	for n := range byte(8) {
		wg.Go(func() {
			for i := range uint64(20) {
				if err := l.Append(owed(t, n, i+1)); err != nil {
					t.Error(err)
				}
				if o, ok := l.Latest(billing.ChannelID{n}); !ok || o.Voucher.Value.Bytes != i+1 {
					t.Errorf("channel %d: %v after voucher %d", n, ok, i+1)
				}
			}
		})
	}
	wg.Wait()
	must(t, l.Close())
	for n, b := range totals(openLog(t, path)) {
		if b != 20 {
			t.Errorf("channel %d: %d", n, b)
		}
	}
	info, err := os.Stat(path)
	must(t, err)
	if info.Size() > 16<<10 {
		t.Errorf("the file has %d bytes for 8 vouchers", info.Size())
	}
}

// The reader takes any bytes: it does not panic, keeps only vouchers that
// somebody signed, and what it leaves reads the same again.
func FuzzVoucherLog(f *testing.F) {
	path := filepath.Join(f.TempDir(), "seed")
	l := openLog(f, path)
	o := owed(f, 1, 10)
	must(f, l.Append(o))
	must(f, l.MarkPosted(o.Channel(), receipt(f, keyed(f, 51), o)))
	must(f, l.Append(owed(f, 2, 20)))
	must(f, l.Close())
	seed, err := os.ReadFile(path)
	must(f, err)
	f.Add(seed)
	f.Add(seed[:len(seed)-1])
	f.Fuzz(func(t *testing.T, b []byte) {
		path := filepath.Join(t.TempDir(), "vouchers")
		must(t, os.WriteFile(path, b, 0o600))
		l, err := longdistance.OpenVoucherLog(longdistance.VoucherLogConfig{Path: path, NoSync: true})
		if err != nil {
			if !errors.Is(err, longdistance.ErrVoucherLog) {
				t.Fatal(err)
			}
			return
		}
		all := l.All()
		must(t, l.Close())
		for _, o := range all {
			if _, err := sealed.Open[billing.Voucher](o.Voucher.Bytes); err != nil {
				t.Errorf("kept a voucher that nobody signed: %v", err)
			}
		}
		l, err = longdistance.OpenVoucherLog(longdistance.VoucherLogConfig{Path: path, NoSync: true})
		must(t, err)
		again := l.All()
		must(t, l.Close())
		if fmt.Sprint(all) != fmt.Sprint(again) {
			t.Error("reads differently the second time")
		}
	})
}

func BenchmarkVoucherLogAppend(b *testing.B) {
	l := openLog(b, filepath.Join(b.TempDir(), "vouchers"), func(c *longdistance.VoucherLogConfig) { c.NoSync = false })
	o := owed(b, 1, 10)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if err := l.Append(o); err != nil {
				b.Error(err)
			}
		}
	})
}
