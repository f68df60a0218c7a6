package transfer_test

import (
	"bytes"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"

	"trunkline/grid/chk"
	"trunkline/grid/transfer"
	"trunkline/grid/transfer/gridtest"
)

func TestRoundTrip(t *testing.T) {
	t.Parallel()
	sizes := []int{56, 57, 58, 59, 127, 128, 129, 130, 131, 255, 256, 257, 383, 384, 385, 511, 512, 513, 1000, 4096, 66_000, 200_000}
	for _, kn := range [][2]int{{1, 1}, {1, 3}, {2, 2}, {2, 3}, {3, 10}, {5, 5}, {16, 32}, {101, 255}, {255, 256}} {
		for _, maxSegment := range []uint64{1, 128, 100_000} {
			for _, size := range sizes {
				if uint64(size)/maxSegment > 700 || kn[0] > 3 && size > 1000 {
					continue
				}
				name := fmt.Sprintf("%d-of-%d/segment-%d/size-%d", kn[0], kn[1], maxSegment, size)
				t.Run(name, func(t *testing.T) {
					t.Parallel()
					servers := gridtest.New(min(kn[1], 12))
					data := plaintext(size)
					read, r := put(t, config(servers, kn[0], kn[1], len(servers), maxSegment), data)
					if len(r.Placement) != kn[1] || r.Happiness != len(servers) || len(r.Lost) != 0 || len(r.Existing) != 0 {
						t.Fatalf("placement of %d shares, happiness %d, lost %v", len(r.Placement), r.Happiness, r.Lost)
					}
					ciphertext, blamed, err := get(t.Context(), transfer.Config{Servers: all(servers)}, read.Verify())
					if err != nil || len(blamed) != 0 {
						t.Fatalf("read: %v, blamed %v", err, blamed)
					}
					decrypted(t, read, ciphertext, data, 0)
				})
			}
		}
	}
}

func TestUploadLiteral(t *testing.T) {
	t.Parallel()
	for _, size := range []int{0, 1, chk.LiteralMax} {
		servers := gridtest.New(1)
		data := plaintext(size)
		r, err := transfer.Upload(t.Context(), config(servers, 3, 10, 7, 0), bytes.NewReader(data), uint64(size))
		if err != nil {
			t.Fatal(err)
		}
		if lit, ok := r.Cap.Literal(); !ok || !bytes.Equal(lit, data) {
			t.Errorf("%d bytes became %v", size, r.Cap)
		}
		if n := servers[0].Counts().Asked; n != 0 {
			t.Errorf("a server was asked %d times", n)
		}
	}
}

func TestReadRange(t *testing.T) {
	t.Parallel()
	servers := gridtest.New(10)
	data := plaintext(100_000)
	read, _ := put(t, config(servers, 3, 10, 7, 3000), data)
	f, err := transfer.Open(t.Context(), transfer.Config{Servers: all(servers)}, read.Verify())
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	g := f.Geometry()
	for _, r := range []struct{ offset, length uint64 }{
		{0, 1}, {0, 3000}, {2999, 2}, {3000, 3000}, {50_000, 20_000}, {99_999, 1}, {99_999, 5}, {0, 100_000}, {7, 0}, {100_000, 1},
	} {
		first, count := g.Cover(r.offset, r.length)
		ciphertext, err := readAll(t.Context(), f, first, count)
		if err != nil {
			t.Fatalf("%d bytes at %d: %v", r.length, r.offset, err)
		}
		start := g.SegmentOffset(first)
		decrypted(t, read, ciphertext, data[start:start+uint64(len(ciphertext))], start)
		for seg := first; seg < first+count; seg++ {
			if f.Chain(seg) == nil {
				t.Errorf("no chain for segment %d after it was read", seg)
			}
		}
	}
	for _, r := range [][2]int{{-1, 1}, {0, -1}, {g.Segments, 1}, {0, g.Segments + 1}, {1, int(^uint(0) >> 1)}} {
		if err := f.Read(t.Context(), r[0], r[1], nil); !errors.Is(err, transfer.ErrRange) {
			t.Errorf("segments %v: %v", r, err)
		}
	}
}

func TestReadFetchesOnlyWhatIsCovered(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) { // in real time a busy machine may hedge
		servers := gridtest.New(10)
		data := plaintext(20 << 20)
		read, _ := put(t, config(servers, 3, 10, 7, 1<<20), data)
		f, err := transfer.Open(t.Context(), transfer.Config{Servers: all(servers)}, read.Verify())
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		synctest.Wait()
		before := moved(servers)
		ciphertext, err := readAll(t.Context(), f, 10, 1)
		if err != nil {
			t.Fatal(err)
		}
		if got := moved(servers) - before; got > int64(len(ciphertext))*11/10 {
			t.Errorf("one segment of %d bytes cost %d", len(ciphertext), got)
		}
	})
}

func moved(servers []*gridtest.Server) (n int64) {
	for _, s := range servers {
		n += s.Counts().BytesRead
	}
	return n
}

func TestReadPassesErrorsOn(t *testing.T) {
	t.Parallel()
	servers := gridtest.New(10)
	read, _ := put(t, config(servers, 3, 10, 7, 128), plaintext(100_000))
	f, err := transfer.Open(t.Context(), transfer.Config{Servers: all(servers)}, read.Verify())
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	mine := errors.New("mine")
	calls := 0
	err = f.Read(t.Context(), 0, f.Geometry().Segments, func(transfer.Segment) error {
		calls++
		if calls == 5 {
			return mine
		}
		return nil
	})
	if err != mine || calls != 5 { //nolint:errorlint // the promise is that very error
		t.Errorf("%v after %d calls", err, calls)
	}
	f.Close()
	if err := f.Read(t.Context(), 0, 1, nil); !errors.Is(err, transfer.ErrClosed) {
		t.Errorf("read of a closed file: %v", err)
	}
}
