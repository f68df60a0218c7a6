package transfer_test

import (
	"bytes"
	"fmt"
	"syscall"
	"testing"
	"time"

	"trunkline/grid/transfer"
	"trunkline/grid/transfer/gridtest"
)

// cpu is the time all of the process has spent on cores.
func cpu(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// perGB reports CPU seconds for each 10^9 bytes of plaintext.
func perGB(b *testing.B, before time.Duration, bytes int64) {
	b.Helper()
	b.ReportMetric((cpu(b)-before).Seconds()/float64(bytes)*1e9, "cpu-s/GB")
}

// The servers are in the same process but only copy memory, so the figures are
// the client's own cost.
func BenchmarkGet(b *testing.B) {
	for _, c := range []struct {
		name    string
		segment uint64
		missing int // servers of primary shares that are down
	}{
		{"segment-1MiB", 1 << 20, 0},
		{"segment-128KiB", 128 << 10, 0},
		{"segment-1MiB/no-primary-share", 1 << 20, 3},
	} {
		b.Run(c.name, func(b *testing.B) {
			const size = 128 << 20
			servers := gridtest.New(10)
			read, r := put(b, config(servers, 3, 10, 7, c.segment), plaintext(size))
			for share := range c.missing {
				for _, s := range servers {
					if s.Key() == r.Placement[share] {
						s.Set(gridtest.Faults{Down: gridtest.ErrDown})
					}
				}
			}
			b.SetBytes(size)
			b.ResetTimer()
			before := cpu(b)
			for b.Loop() {
				f, err := transfer.Open(b.Context(), transfer.Config{Servers: all(servers)}, read.Verify())
				if err != nil {
					b.Fatal(err)
				}
				if err := f.Read(b.Context(), 0, f.Geometry().Segments, func(transfer.Segment) error { return nil }); err != nil {
					b.Fatal(err)
				}
				f.Close()
			}
			perGB(b, before, size*int64(b.N))
		})
	}
}

func BenchmarkPut(b *testing.B) {
	for _, kn := range [][2]int{{3, 10}, {1, 1}} {
		for _, secret := range []string{"convergent", "random"} {
			b.Run(fmt.Sprintf("%d-of-%d/%s", kn[0], kn[1], secret), func(b *testing.B) {
				const size = 64 << 20
				data := plaintext(size)
				servers := make([]*gridtest.Server, 10)
				b.SetBytes(size)
				before := cpu(b)
				for b.Loop() {
					b.StopTimer()
					for i := range servers {
						servers[i] = gridtest.NewServer(i)
					}
					cfg := config(servers, kn[0], kn[1], 1, 0)
					if secret == "random" {
						cfg.Secret = nil
					}
					b.StartTimer()
					if _, err := transfer.Upload(b.Context(), cfg, bytes.NewReader(data), size); err != nil {
						b.Fatal(err)
					}
				}
				perGB(b, before, size*int64(b.N))
			})
		}
	}
}
