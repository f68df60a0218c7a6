package longdistance_test

import (
	"bytes"
	"context"
	"errors"
	"testing"

	"trunkline/billing"
	"trunkline/grid/longdistance"
	"trunkline/grid/transfer"
	"trunkline/p2p"
)

// A whole file, ranges of it, and several requests on one stream: right bytes,
// and vouchers for exactly the segments that came.
func TestRead(t *testing.T) {
	t.Parallel()
	const size, segment = 1000, 96
	tests := []struct {
		name           string
		offset, length uint64
	}{
		{"whole", 0, size},
		{"first_byte", 0, 1},
		{"last_byte", size - 1, 1},
		{"middle", 300, 400},
		{"one_segment", 96, 96},
		{"across_a_border", 95, 2},
		{"nothing", 500, 0},
		{"end", size, 0},
	}
	atLevels(t, func(t *testing.T, l level) {
		w, c := newWorld(t), newCiphertext(t, 1, size, segment)
		shelf := newShelf(c)
		y := l.payee(w, shelf)
		p := w.addPayer(nil)
		var bytesDue, lookups uint64
		for _, tt := range tests {
			r := request(c)
			r.Offset, r.Length = tt.offset, tt.length
			got, err := p.fetch(t.Context(), r, y.offer())
			if err != nil {
				t.Fatalf("%s: %v", tt.name, err)
			}
			first, count := c.geometry().Cover(tt.offset, tt.length)
			from := c.geometry().SegmentOffset(first)
			want := c.data[from:min(from+uint64(count*segment), size)]
			if count == 0 {
				want = nil
			}
			if !bytes.Equal(got, want) {
				t.Errorf("%s: got %d bytes, want %d, or they differ", tt.name, len(got), len(want))
			}
			bytesDue += uint64(len(want))
			lookups++
			if b, n := y.vouched(); b != bytesDue || n != lookups {
				t.Errorf("%s: vouchers for %d bytes and %d look-ups, want %d and %d", tt.name, b, n, bytesDue, lookups)
			}
		}
		if len(y.streams) != 1 {
			t.Errorf("%d streams were opened for requests one after the other", len(y.streams))
		}
		for account, e := range y.Exposure() {
			if e.Bytes != 0 {
				t.Errorf("account %s owes %d bytes", account, e.Bytes)
			}
		}
		cost, err := w.tariff.Value.Cost(bytesDue, lookups)
		must(t, err)
		if v := y.log.All()[0].Voucher.Value; v.Credits != cost {
			t.Errorf("voucher over %v, want %v", v.Credits, cost)
		}
	})
}

// Several reads of one opened file, in any order.
func TestReadAgain(t *testing.T) {
	t.Parallel()
	atLevels(t, func(t *testing.T, l level) {
		w, c := newWorld(t), newCiphertext(t, 1, 1000, 96)
		y := l.payee(w, newShelf(c))
		p := w.addPayer(nil)
		f, err := p.Open(t.Context(), longdistance.NewRoute(y.offer()), request(c))
		must(t, err)
		for _, span := range [][2]int{{3, 2}, {0, 11}, {10, 1}, {0, 1}, {0, 0}} {
			next := span[0]
			must(t, f.Read(t.Context(), span[0], span[1], func(s transfer.Segment) error {
				if s.Index != next || !bytes.Equal(s.Data, c.segment(next)) {
					t.Errorf("segment %d came for %d", s.Index, next)
				}
				next++
				return nil
			}))
			if next != span[0]+span[1] {
				t.Errorf("span %v ended at %d", span, next)
			}
		}
		must(t, f.Close())
		if err := f.Read(t.Context(), 5, 7, nil); !errors.Is(err, p2p.ErrMalformed) {
			t.Errorf("a read beyond the end: %v", err)
		}
	})
}

// The reader's own error stops the payee, and what came is signed for.
func TestReaderStops(t *testing.T) {
	t.Parallel()
	atLevels(t, func(t *testing.T, l level) {
		w, c := newWorld(t), newCiphertext(t, 1, 4*mib, 4096)
		y := l.payee(w, newShelf(c))
		p := w.addPayer(nil, func(c *longdistance.PayerConfig, a *approvals) { a.window = 64 << 10 })
		f, err := p.Open(t.Context(), longdistance.NewRoute(y.offer()), request(c))
		must(t, err)
		full := errors.New("disk full")
		taken := 0
		err = f.Read(t.Context(), 0, c.geometry().Segments, func(transfer.Segment) error {
			if taken++; taken > 5 {
				return full
			}
			return nil
		})
		if err != full { //nolint:errorlint // exactly this
			t.Errorf("got %v", err)
		}
		must(t, f.Close())
		must(t, p.Close())
		bytes, _ := y.vouched()
		if bytes < 5*4096 || bytes > 4*mib/2 {
			t.Errorf("vouchers for %d bytes", bytes)
		}
		for _, e := range y.Exposure() {
			if e.Bytes != 0 {
				t.Errorf("%d bytes are unsigned though the payer left in good order", e.Bytes)
			}
		}
	})
}

// Many requests at once, over one channel.
func TestParallel(t *testing.T) {
	t.Parallel()
	atLevels(t, func(t *testing.T, l level) {
		w, c := newWorld(t), newCiphertext(t, 1, 300_000, 4096)
		y := l.payee(w, newShelf(c))
		p := w.addPayer(nil, func(c *longdistance.PayerConfig, a *approvals) { a.window = 64 << 10 })
		const readers, each = 16, 4
		errs := make(chan error, readers)
		for range readers {
			go func() {
				for range each {
					got, err := p.fetch(context.Background(), request(c), y.offer())
					if err == nil && !bytes.Equal(got, c.data) {
						err = errors.New("wrong bytes")
					}
					if err != nil {
						errs <- err
						return
					}
				}
				errs <- nil
			}()
		}
		for range readers {
			must(t, <-errs)
		}
		must(t, p.Close())
		b, n := y.vouched()
		if b != readers*each*uint64(len(c.data)) || n != readers*each {
			t.Errorf("vouchers for %d bytes and %d look-ups, want %d and %d", b, n, readers*each*len(c.data), readers*each)
		}
		if len(y.log.All()) != 1 {
			t.Errorf("%d channels", len(y.log.All()))
		}
	})
}

// Two processes with one key on one channel: each byte is signed for once.
func TestTwoPayersOneKey(t *testing.T) {
	t.Parallel()
	atLevels(t, func(t *testing.T, l level) {
		w, c := newWorld(t), newCiphertext(t, 1, 200_000, 4096)
		y := l.payee(w, newShelf(c))
		key := w.newKey()
		narrow := func(c *longdistance.PayerConfig, a *approvals) { a.window = 64 << 10 }
		const each = 8
		errs := make(chan error, 2)
		for range 2 {
			p := w.addPayer(key, narrow)
			go func() {
				for range each {
					got, err := p.fetch(context.Background(), request(c), y.offer())
					if err == nil && !bytes.Equal(got, c.data) {
						err = errors.New("wrong bytes")
					}
					if err != nil {
						errs <- err
						return
					}
				}
				errs <- p.Close()
			}()
		}
		must(t, <-errs)
		must(t, <-errs)
		if b, n := y.vouched(); b != 2*each*uint64(len(c.data)) || n != 2*each {
			t.Errorf("vouchers for %d bytes and %d look-ups, want %d and %d", b, n, 2*each*len(c.data), 2*each)
		}
	})
}

// Whatever the window, down to paying far ahead, all bytes come, the payee's
// exposure stays within it, and no byte is paid twice.
func TestWindows(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		window int64
	}{
		{"wide", wideWindow},
		{"two_segments", 2 * 4096},
		{"one_segment", 4096},
		{"less_than_a_segment", 1000},
		{"prepaid", 0},
		{"a_segment_ahead", -4096},
		{"much_ahead", -mib},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			atLevels(t, func(t *testing.T, l level) {
				w, c := newWorld(t), newCiphertext(t, 1, 100_000, 4096)
				var y *payee
				shelf := newShelf(c)
				shelf.before = func(context.Context, int) error {
					if l.name != levels[0].name {
						return nil
					}
					for _, e := range y.Exposure() {
						if e.Bytes > uint64(max(tt.window, 0)) {
							t.Errorf("%d bytes are unsigned", e.Bytes)
						}
					}
					return nil
				}
				y = l.payee(w, shelf)
				p := w.addPayer(nil, func(c *longdistance.PayerConfig, a *approvals) { a.window = tt.window })
				got, err := p.fetch(t.Context(), request(c), y.offer())
				must(t, err)
				if !bytes.Equal(got, c.data) {
					t.Error("wrong bytes")
				}
				b, _ := y.vouched()
				if ahead := uint64(max(-tt.window, 0)); b < uint64(len(c.data)) || b > uint64(len(c.data))+ahead {
					t.Errorf("vouchers for %d bytes of %d", b, len(c.data))
				}
			})
		})
	}
}

// A payee that wants to be paid further ahead than the payer risks is refused.
func TestTooFarAhead(t *testing.T) {
	t.Parallel()
	atLevels(t, func(t *testing.T, l level) {
		w, c := newWorld(t), newCiphertext(t, 1, 100_000, 4096)
		y := l.payee(w, newShelf(c))
		p := w.addPayer(nil, func(c *longdistance.PayerConfig, a *approvals) { a.window, c.MaxAhead = -mib, mib })
		if _, err := p.fetch(t.Context(), request(c), y.offer()); !errors.Is(err, p2p.ErrRefused) {
			t.Errorf("got %v", err)
		}
		if b, _ := y.vouched(); b != 0 {
			t.Errorf("vouchers for %d bytes", b)
		}
	})
}

// What the far side says is wrong arrives with its kind, through both hops.
func TestErrorKinds(t *testing.T) {
	t.Parallel()
	kinds := []p2p.ErrorKind{p2p.NotFound, p2p.Unavailable, p2p.Integrity, p2p.Refused, p2p.Unpaid, p2p.Denied, p2p.Expired, p2p.Busy, p2p.Internal}
	for _, kind := range kinds {
		t.Run(kind.Error(), func(t *testing.T) {
			t.Parallel()
			atLevels(t, func(t *testing.T, l level) {
				w, c := newWorld(t), newCiphertext(t, 1, 1000, 96)
				shelf := newShelf(c)
				shelf.before = func(_ context.Context, seg int) error {
					if seg == 4 {
						return kind
					}
					return nil
				}
				y := l.payee(w, shelf)
				p := w.addPayer(nil)
				got, err := p.fetch(t.Context(), request(c), y.offer())
				if p2p.KindOf(err) != kind {
					t.Errorf("got %v, of kind %v", err, p2p.KindOf(err))
				}
				if !bytes.Equal(got, c.data[:4*96]) {
					t.Errorf("%d bytes came before the error", len(got))
				}
			})
		})
	}
	t.Run("no_such_file", func(t *testing.T) {
		t.Parallel()
		atLevels(t, func(t *testing.T, l level) {
			w, c := newWorld(t), newCiphertext(t, 1, 1000, 96)
			y := l.payee(w, newShelf())
			p := w.addPayer(nil)
			if _, err := p.fetch(t.Context(), request(c), y.offer()); !errors.Is(err, p2p.ErrNotFound) {
				t.Errorf("got %v", err)
			}
			must(t, p.Close())
			if b, n := y.vouched(); b != 0 || n != 1 {
				t.Errorf("vouchers for %d bytes and %d look-ups", b, n)
			}
		})
	})
}

// A request over its own limit is refused before the first byte, in a sentence
// with the numbers.
func TestMaxCredits(t *testing.T) {
	t.Parallel()
	atLevels(t, func(t *testing.T, l level) {
		w := newWorld(t, func(t *billing.Tariff) { t.PerGiB = 1 << 40 })
		c := newCiphertext(t, 1, 1000, 96)
		y := l.payee(w, newShelf(c))
		p := w.addPayer(nil)
		cost, err := w.tariff.Value.Cost(96, 1)
		must(t, err)
		for _, tt := range []struct {
			name   string
			length uint64
			limit  billing.Credits
			ok     bool
		}{
			{"enough", 96, cost, true},
			{"too_little", 96, cost - 1, false},
			{"range_fits_but_segment_does_not", 1, cost - 1, false},
		} {
			r := request(c)
			r.Length, r.MaxCredits = tt.length, tt.limit
			_, err := p.fetch(t.Context(), r, y.offer())
			if (err == nil) != tt.ok || err != nil && !errors.Is(err, p2p.ErrRefused) {
				t.Errorf("%s: %v", tt.name, err)
			}
		}
		if b, _ := y.vouched(); b != 96 {
			t.Errorf("vouchers for %d bytes", b)
		}
	})
}

type segment = transfer.Segment
