package longdistance_test

import (
	"context"
	"io"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"trunkline/grid/longdistance"
	"trunkline/grid/longdistance/pb"
	"trunkline/grid/transfer"
	"trunkline/p2p"
	"trunkline/p2p/p2ptest"
)

// cpu is the CPU time of this process.
func cpu(b *testing.B) time.Duration {
	var u syscall.Rusage
	must(b, syscall.Getrusage(syscall.RUSAGE_SELF, &u))
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// perGB runs f and reports CPU seconds per GB of the size it moves.
func perGB(b *testing.B, size uint64, f func()) {
	b.SetBytes(int64(size))
	begun := cpu(b)
	n := 0
	for b.Loop() {
		f()
		n++
	}
	b.ReportMetric((cpu(b)-begun).Seconds()/(float64(size)*float64(n)/1e9), "cpu-s/GB")
}

// hop puts a payee on a host and returns how to reach it.
func (w *world) hop(b *testing.B, source longdistance.Source) longdistance.Offer {
	h := p2ptest.Hosts(b, 1)[0]
	log, err := longdistance.OpenVoucherLog(longdistance.VoucherLogConfig{Path: filepath.Join(b.TempDir(), "vouchers")})
	must(b, err)
	b.Cleanup(func() { must(b, log.Close()) })
	y := w.addPayee(source) // for its configuration
	c := y.config
	c.Key, c.Vouchers = h.Key(), log
	p, err := longdistance.NewPayee(c)
	must(b, err)
	p.Register(h)
	return longdistance.Offer{Peer: h.Self(), Area: w.area, Tariff: w.tariff}
}

// caller is a payer on a host of its own.
func (w *world) caller(b *testing.B) *payer {
	h := p2ptest.Hosts(b, 1)[0]
	return w.addPayer(h.PrivKey(), func(c *longdistance.PayerConfig, _ *approvals) { c.Dial = longdistance.DialFrom(h) })
}

func drain(b *testing.B, p *payer, o longdistance.Offer, r longdistance.Request) {
	f, err := p.Open(b.Context(), longdistance.NewRoute(o), r)
	must(b, err)
	first, count := f.Geometry().Cover(r.Offset, r.Length)
	must(b, f.Read(b.Context(), first, count, func(transfer.Segment) error { return nil }))
	must(b, f.Close())
}

const benchSize = 128 * mib

// One hop: verified, signed for, every voucher on disk.
func BenchmarkOneHop(b *testing.B) {
	for name, segment := range map[string]int{"segment_1MiB": mib, "segment_128KiB": 128 << 10} {
		b.Run(name, func(b *testing.B) {
			w, e := newWorld(b), newEndless(b, segment, benchSize/segment)
			offer, p := w.hop(b, e), w.caller(b)
			r := longdistance.Request{Cap: e.verify, Length: e.verify.Size}
			drain(b, p, offer, r)
			perGB(b, e.verify.Size, func() { drain(b, p, offer, r) })
		})
	}
}

// Two hops: as a client's read goes, without erasure code and decryption.
func BenchmarkTwoHops(b *testing.B) {
	for name, segment := range map[string]int{"segment_1MiB": mib, "segment_128KiB": 128 << 10} {
		b.Run(name, func(b *testing.B) {
			far, near, e := newWorld(b), newWorld(b), newEndless(b, segment, benchSize/segment)
			contact := far.hop(b, e)
			gateway := near.hop(b, &onwardSource{far.caller(b), contact})
			p := near.caller(b)
			r := longdistance.Request{Cap: e.verify, Length: e.verify.Size}
			drain(b, p, gateway, r)
			perGB(b, e.verify.Size, func() { drain(b, p, gateway, r) })
		})
	}
}

// What a p2p stream alone costs, in writes of a segment.
func BenchmarkRawStream(b *testing.B) {
	const segment = mib
	raw := p2p.Protocol{ID: "/trunkline/bench/1"}
	hosts := p2ptest.Hosts(b, 2)
	data := make([]byte, segment)
	hosts[0].Handle(raw, func(_ context.Context, s *p2p.Stream) error {
		for range benchSize / segment {
			if err := s.SendData(&pb.FromPayee{}, data); err != nil {
				return err
			}
		}
		return nil
	})
	buf := make([]byte, segment)
	perGB(b, benchSize, func() {
		s, err := hosts[1].Open(b.Context(), hosts[0].Self(), raw)
		must(b, err)
		for {
			if err := s.Receive(new(pb.FromPayee), 100); err != nil {
				if err != io.EOF { //nolint:errorlint // p2p's promise
					b.Fatal(err)
				}
				break
			}
			must(b, s.ReadData(buf))
		}
		must(b, s.Close())
	})
}

// A warm read of one segment through two hops: what a first byte takes.
func BenchmarkWarmFirstSegment(b *testing.B) {
	far, near, e := newWorld(b), newWorld(b), newEndless(b, 128<<10, 64)
	contact := far.hop(b, e)
	gateway := near.hop(b, &onwardSource{far.caller(b), contact})
	p := near.caller(b)
	r := longdistance.Request{Cap: e.verify, Length: 1}
	drain(b, p, gateway, r)
	b.Run("first_segment", func(b *testing.B) {
		for b.Loop() {
			f, err := p.Open(b.Context(), longdistance.NewRoute(gateway), r)
			must(b, err)
			must(b, f.Read(b.Context(), 0, 1, func(transfer.Segment) error { return nil }))
			b.StopTimer()
			must(b, f.Close())
			b.StartTimer()
		}
	})
	b.Run("and_paid", func(b *testing.B) {
		for b.Loop() {
			drain(b, p, gateway, r)
		}
	})
}
