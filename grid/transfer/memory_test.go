package transfer_test

import (
	"bytes"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"trunkline/caps"
	"trunkline/grid/transfer"
	"trunkline/grid/transfer/gridtest"
)

// However large the file, slow the reader and bad the servers, a read holds no
// more than it may, and nothing when it is over.
func TestReadMemory(t *testing.T) {
	t.Parallel()
	const segment, memory = 100_000, 6_100_000
	st := store(t, plaintext(20_000_000), segment)
	for name, prepare := range map[string]func(servers []*gridtest.Server){
		"good": func([]*gridtest.Server) {},
		"no-primary-shares": func(servers []*gridtest.Server) {
			for _, s := range servers[:3] {
				s.Set(gridtest.Faults{Down: gridtest.ErrDown})
			}
		},
		"some-hang": func(servers []*gridtest.Server) {
			for i, s := range servers[:6] {
				s.Set(gridtest.Faults{Latency: 10 * time.Millisecond, HangAfter: int64(1+i) * 500_000})
			}
		},
		"some-lie": func(servers []*gridtest.Server) {
			for i, s := range servers[:6] {
				s.Put(st.v.StorageIndex, i, flip(st.shares[i], 1_000_000*(i+1), i))
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				servers := st.serve(0, 1, 2, 3, 4, 5, 6, 7, 8, 9)
				for _, s := range servers {
					s.Set(gridtest.Faults{Latency: 10 * time.Millisecond})
				}
				prepare(servers)
				f, err := transfer.Open(t.Context(), transfer.Config{Servers: all(servers), Memory: memory}, st.v)
				if err != nil {
					t.Fatal(err)
				}
				defer f.Close()
				var got []byte
				err = f.Read(t.Context(), 0, f.Geometry().Segments, func(s transfer.Segment) error {
					got = append(got, s.Data...)
					time.Sleep(50 * time.Millisecond) // the reader is slow: everything that may be fetched ahead is
					return nil
				})
				if err != nil || !bytes.Equal(got, st.cipher) {
					t.Fatalf("%v, %d bytes", err, len(got))
				}
				if peak := f.MemoryPeak(); peak > memory || peak < memory/8 {
					t.Errorf("held %d bytes, %d are allowed", peak, memory)
				}
				if out := f.MemoryOut(); out != 0 {
					t.Errorf("still holds %d bytes", out)
				}
			})
		})
	}
}

// Reads that end early give everything back as well.
func TestReadMemoryAfterErrors(t *testing.T) {
	t.Parallel()
	st := store(t, plaintext(3_000_000), 100_000)
	servers := st.serve(0, 1, 2)
	f, err := transfer.Open(t.Context(), transfer.Config{Servers: all(servers)}, st.v)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	stop := errors.New("stop")
	if err := f.Read(t.Context(), 0, 30, func(transfer.Segment) error { return stop }); !errors.Is(err, stop) {
		t.Fatal(err)
	}
	if out := f.MemoryOut(); out != 0 {
		t.Errorf("after fn failed: still holds %d bytes", out)
	}
	servers[1].Set(gridtest.Faults{Lie: func(_ caps.StorageIndex, _ int, _ uint64, data []byte) { clear(data) }})
	if _, err := readAll(t.Context(), f, 0, 30); !errors.Is(err, transfer.ErrNotEnoughShares) {
		t.Fatal(err)
	}
	if out := f.MemoryOut(); out != 0 {
		t.Errorf("after a lie: still holds %d bytes", out)
	}
}
