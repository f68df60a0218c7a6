package transfer_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"trunkline/caps"
	"trunkline/grid/storage"
	"trunkline/grid/transfer"
	"trunkline/grid/transfer/gridtest"
)

// checkPlacement reads the file with every server honest again and checks that
// the result told the truth.
func checkPlacement(t *testing.T, servers []*gridtest.Server, r transfer.UploadResult, data []byte) {
	t.Helper()
	read, ok := r.Cap.CHK()
	if !ok {
		t.Fatalf("no CHK cap: %v", r.Cap)
	}
	si := read.Verify().StorageIndex
	for share, key := range r.Placement {
		i := slices.IndexFunc(servers, func(s *gridtest.Server) bool { return s.Key() == key })
		if i < 0 || servers[i].Share(si, share) == nil {
			t.Errorf("share %d is not where the result says", share)
		}
	}
	for i, s := range servers {
		s.Set(gridtest.Faults{})
		if n := s.Open(); n != 0 {
			t.Errorf("server %d has %d uploads open", i, n)
		}
	}
	ciphertext, blamed, err := get(t.Context(), transfer.Config{Servers: all(servers)}, read.Verify())
	if err != nil || len(blamed) != 0 {
		t.Fatalf("read: %v, blamed %v", err, blamed)
	}
	decrypted(t, read, ciphertext, data, 0)
}

func noneOpen(t *testing.T, servers []*gridtest.Server) {
	t.Helper()
	for i, s := range servers {
		s.Set(gridtest.Faults{})
		if n := s.Open(); n != 0 {
			t.Errorf("server %d has %d uploads open", i, n)
		}
	}
}

// Some of twelve servers have a fault; ten shares are to be on ten servers,
// happy with seven.
func TestUploadThroughFaults(t *testing.T) {
	t.Parallel()
	data := plaintext(1_000_000) // 10 segments, shares of 333 kB
	down := errors.New("disk on fire")
	for _, c := range []struct {
		name      string
		fault     gridtest.Faults
		faulty    int
		capacity  int64 // of the faulty
		shares    int   // placed, at least
		happiness int   // at least
		unhappy   bool
		within    time.Duration
	}{
		{name: "two-down", fault: gridtest.Faults{Down: down}, faulty: 2, shares: 10, happiness: 10},
		{name: "five-down", fault: gridtest.Faults{Down: down}, faulty: 5, shares: 10, happiness: 7},
		{name: "six-down", fault: gridtest.Faults{Down: down}, faulty: 6, unhappy: true},
		{name: "all-down", fault: gridtest.Faults{Down: down}, faulty: 12, unhappy: true},
		{name: "two-full", faulty: 2, capacity: 1000, shares: 10, happiness: 10},
		{name: "six-full", faulty: 6, capacity: 1000, unhappy: true},
		{name: "six-read-only", fault: gridtest.Faults{ReadOnly: true}, faulty: 6, unhappy: true},
		{name: "allocation-refused", fault: gridtest.Faults{DownFor: map[string]error{"Allocate": down}}, faulty: 4, shares: 10, happiness: 8},
		{name: "first-write-fails", fault: gridtest.Faults{DownFor: map[string]error{"Write": down}}, faulty: 4, shares: 10, happiness: 8},
		{name: "dies-early", fault: gridtest.Faults{DieAfter: 40_000}, faulty: 5, shares: 10, happiness: 7},
		{name: "dies-late", fault: gridtest.Faults{DieAfter: 320_000}, faulty: 5, shares: 10, happiness: 7},
		{name: "six-die", fault: gridtest.Faults{DieAfter: 320_000}, faulty: 6, unhappy: true},
		{name: "commit-fails", fault: gridtest.Faults{DownFor: map[string]error{"Commit": down}}, faulty: 2, shares: 10, happiness: 10},
		{name: "commit-done-but-reported-failed", fault: gridtest.Faults{CommitLost: down}, faulty: 2, shares: 10, happiness: 10},
		{name: "six-fail-to-commit", fault: gridtest.Faults{DownFor: map[string]error{"Commit": down}}, faulty: 6, unhappy: true},
		{name: "leases-and-aborts-fail", fault: gridtest.Faults{DownFor: map[string]error{"AddLease": down, "Abort": down}}, faulty: 12, shares: 10, happiness: 10},
		{name: "hang-from-the-start", fault: gridtest.Faults{Hang: true}, faulty: 5, shares: 10, happiness: 7, within: 5 * time.Second},
		{name: "hang-when-allocating", fault: gridtest.Faults{HangFor: map[string]bool{"Allocate": true}}, faulty: 5, shares: 10, happiness: 7, within: 10 * time.Second},
		{name: "two-hang-when-writing", fault: gridtest.Faults{HangFor: map[string]bool{"Write": true}}, faulty: 2, shares: 10, happiness: 10, within: 14 * time.Second},
		{name: "two-hang-in-the-middle", fault: gridtest.Faults{HangAfter: 150_000}, faulty: 2, shares: 10, happiness: 10, within: 14 * time.Second},
		{name: "commit-hangs", fault: gridtest.Faults{HangFor: map[string]bool{"Commit": true}}, faulty: 2, shares: 10, happiness: 10, within: 5 * time.Minute},
		{name: "six-hang", fault: gridtest.Faults{Hang: true}, faulty: 6, unhappy: true, within: 20 * time.Second},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				servers := gridtest.New(12)
				cfg := config(servers, 3, 10, 7, 100_000)
				for _, s := range servers {
					s.Set(gridtest.Faults{Latency: 10 * time.Millisecond})
				}
				// The faulty ones come first in the file's own order, so that they are chosen.
				read, _ := put(t, config(gridtest.New(10), 3, 10, 7, 100_000), data)
				order := transfer.Permute(read.Verify().StorageIndex, all(servers))
				for i := range c.faulty {
					s := order[i].(*gridtest.Server) //nolint:forcetypeassert // it was one above
					f := c.fault
					f.Latency = 10 * time.Millisecond
					s.Set(f)
					if c.capacity > 0 {
						s.SetCapacity(c.capacity)
					}
				}
				start := time.Now()
				r, err := transfer.Upload(t.Context(), cfg, bytes.NewReader(data), uint64(len(data)))
				took := time.Since(start)
				if c.within > 0 && took > c.within {
					t.Errorf("took %v", took)
				}
				if c.unhappy {
					var u *transfer.UnhappyError
					if !errors.As(err, &u) || !errors.Is(err, transfer.ErrUnhappy) || u.Placed >= 7 || u.Wanted != 7 {
						t.Fatalf("%v", err)
					}
					if c.fault.Down != nil && !errors.Is(err, down) {
						t.Errorf("the error does not say why: %v", err)
					}
					if c.name != "six-fail-to-commit" {
						for i, s := range servers {
							if held := s.Held(read.Verify().StorageIndex); len(held) != 0 {
								t.Errorf("server %d keeps shares %v", i, held)
							}
						}
					}
					if !c.fault.Hang && c.fault.Down == nil && c.fault.DieAfter == 0 {
						noneOpen(t, servers)
					}
					return
				}
				if err != nil {
					t.Fatal(err)
				}
				if len(r.Placement) < c.shares || r.Happiness < c.happiness {
					t.Errorf("%d shares, happiness %d, lost %v", len(r.Placement), r.Happiness, r.Lost)
				}
				if len(r.Lost) == 0 && c.name != "leases-and-aborts-fail" {
					t.Error("nobody is reported lost")
				}
				if c.fault.HangFor["Write"] || c.fault.DieAfter > 0 || c.fault.HangAfter > 0 || c.fault.HangFor["Commit"] {
					for _, s := range servers {
						s.Set(gridtest.Faults{})
					}
					// What a dead server keeps open is its own to expire.
					return
				}
				checkPlacement(t, servers, r, data)
			})
		})
	}
}

// A server dies when it is too late to replace it: the upload succeeds
// without, and says so. One more and it does not.
func TestUploadLosesServersLate(t *testing.T) {
	t.Parallel()
	data := plaintext(72_000_000)
	for _, lost := range []int{1, 2} {
		servers := gridtest.New(4)
		for i := range lost {
			servers[i].Set(gridtest.Faults{DieAfter: 23_500_000})
		}
		r, err := transfer.Upload(t.Context(), config(servers, 3, 4, 3, 0), bytes.NewReader(data), uint64(len(data)))
		if lost == 2 {
			if !errors.Is(err, transfer.ErrUnhappy) {
				t.Errorf("two lost: %v", err)
			}
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		if len(r.Placement) != 3 || r.Happiness != 3 || len(r.Lost) != 1 {
			t.Errorf("%d shares, happiness %d, lost %v", len(r.Placement), r.Happiness, r.Lost)
		}
	}
}

func TestUploadAgain(t *testing.T) {
	t.Parallel()
	data := plaintext(10_000)
	servers := gridtest.New(10)
	first, _ := put(t, config(servers, 3, 10, 7, 1000), data)
	written := servers[0].Counts().BytesWritten
	second, r := put(t, config(servers, 3, 10, 7, 1000), data)
	if first.Verify() != second.Verify() {
		t.Error("another cap the second time")
	}
	if got := servers[0].Counts(); got.BytesWritten != written || got.Leases != 1 {
		t.Errorf("the second upload wrote %d bytes and renewed %d leases", got.BytesWritten-written, got.Leases)
	}
	if len(r.Existing) != 10 || r.Happiness != 10 {
		t.Errorf("%d shares found, happiness %d", len(r.Existing), r.Happiness)
	}
	checkPlacement(t, servers, r, data)

	// Shares that went missing are put back, and only those.
	si := first.Verify().StorageIndex
	for _, s := range servers[:4] {
		for _, share := range s.Held(si) {
			s.Remove(si, share)
		}
	}
	_, r = put(t, config(servers, 3, 10, 7, 1000), data)
	if len(r.Existing) != 6 || len(r.Placement) != 10 || r.Happiness != 10 {
		t.Errorf("%d shares found of %d, happiness %d", len(r.Existing), len(r.Placement), r.Happiness)
	}
	checkPlacement(t, servers, r, data)
}

func TestUploadKeys(t *testing.T) {
	t.Parallel()
	data := plaintext(1000)
	capOf := func(change func(*transfer.UploadConfig)) caps.CHKVerify {
		cfg := config(gridtest.New(10), 3, 10, 7, 0)
		change(&cfg)
		read, _ := put(t, cfg, data)
		return read.Verify()
	}
	plain := capOf(func(*transfer.UploadConfig) {})
	if capOf(func(c *transfer.UploadConfig) { c.Happy = 1 }) != plain {
		t.Error("happiness enters the cap")
	}
	for name, change := range map[string]func(*transfer.UploadConfig){
		"secret":  func(c *transfer.UploadConfig) { c.Secret = []byte("another") },
		"k":       func(c *transfer.UploadConfig) { c.K = 4 },
		"n":       func(c *transfer.UploadConfig) { c.N = 9 },
		"segment": func(c *transfer.UploadConfig) { c.MaxSegment = 500 },
		"random":  func(c *transfer.UploadConfig) { c.Secret = nil },
	} {
		if capOf(change) == plain {
			t.Errorf("another %s gives the same cap", name)
		}
	}
	random := func(c *transfer.UploadConfig) { c.Secret = nil }
	if first, second := capOf(random), capOf(random); first == second {
		t.Error("two random keys are the same")
	}
}

func TestUploadConfig(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]transfer.UploadConfig{
		"k-above-n":       {K: 4, N: 3, Happy: 1},
		"k-zero":          {N: 3, Happy: 1},
		"n-257":           {K: 3, N: 257, Happy: 1},
		"k-256":           {K: 256, N: 256, Happy: 1},
		"happy-above-n":   {K: 3, N: 10, Happy: 11},
		"happy-zero":      {K: 3, N: 10},
		"empty-secret":    {Secret: []byte{}},
		"segment-too-big": {MaxSegment: 1 << 40},
	} {
		if _, err := transfer.Upload(t.Context(), c, bytes.NewReader(make([]byte, 100)), 100); !errors.Is(err, transfer.ErrConfig) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Four uploads of the same file at once all succeed, one of them by sending it
// and the others by finding it there.
func TestUploadsOfOneFileAtOnce(t *testing.T) {
	t.Parallel()
	data := plaintext(2_000_000)
	synctest.Test(t, func(t *testing.T) {
		servers := gridtest.New(10)
		for _, s := range servers {
			s.Set(gridtest.Faults{Latency: 5 * time.Millisecond, Rate: 1e6})
		}
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				_, err := transfer.Upload(t.Context(), config(servers, 3, 10, 10, 100_000), bytes.NewReader(data), uint64(len(data)))
				if err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		noneOpen(t, servers)
	})
}

// changing returns other bytes once armed.
type changing struct {
	data  []byte
	armed atomic.Int64 // reads until it changes
}

func (c *changing) ReadAt(p []byte, off int64) (int, error) {
	n, err := bytes.NewReader(c.data).ReadAt(p, off)
	if c.armed.Add(-1) < 0 && n > 0 {
		p[n-1] ^= 1
	}
	return n, err
}

func TestUploadOfAChangingFile(t *testing.T) {
	t.Parallel()
	servers := gridtest.New(10)
	src := &changing{data: plaintext(1_000_000)}
	src.armed.Store(10) // the first pass reads 256 KiB at a time
	_, err := transfer.Upload(t.Context(), config(servers, 3, 10, 7, 10_000), src, uint64(len(src.data)))
	if !errors.Is(err, transfer.ErrSourceChanged) {
		t.Errorf("changed: %v", err)
	}
	noneOpen(t, servers)

	for _, secret := range [][]byte{nil, []byte("convergence")} {
		cfg := config(servers, 3, 10, 7, 10_000)
		cfg.Secret = secret
		_, err = transfer.Upload(t.Context(), cfg, bytes.NewReader(src.data), uint64(len(src.data)+1))
		if err == nil {
			t.Error("a file shorter than was said is stored")
		}
		noneOpen(t, servers)
	}
	broken := errors.New("bad sector")
	cfg := config(servers, 3, 10, 7, 10_000)
	cfg.Secret = nil
	_, err = transfer.Upload(t.Context(), cfg, io.NewSectionReader(failing{broken}, 0, 1<<20), 1<<20)
	if !errors.Is(err, broken) {
		t.Errorf("source that fails: %v", err)
	}
	noneOpen(t, servers)
}

type failing struct{ err error }

func (f failing) ReadAt(_ []byte, off int64) (int, error) {
	return 0, f.err
}

func TestUploadCancelled(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		servers := gridtest.New(10)
		for _, s := range servers {
			s.Set(gridtest.Faults{Rate: 10_000})
		}
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		data := plaintext(1_000_000)
		_, err := transfer.Upload(ctx, config(servers, 3, 10, 7, 10_000), bytes.NewReader(data), uint64(len(data)))
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%v", err)
		}
		noneOpen(t, servers)
	})
}

func TestUploadProgress(t *testing.T) {
	t.Parallel()
	data := plaintext(1_000_000)
	cfg := config(gridtest.New(10), 3, 10, 7, 10_000)
	var events []transfer.Event
	cfg.Progress = func(e transfer.Event) { events = append(events, e) }
	put(t, cfg, data)
	last := transfer.Event{}
	for _, e := range events {
		if e.Phase < last.Phase || e.Phase == last.Phase && e.Done < last.Done || e.Done > e.Total || e.Total != uint64(len(data)) {
			t.Fatalf("%+v after %+v", e, last)
		}
		if e.Phase != last.Phase && (last.Phase == transfer.PhaseKey || last.Phase == transfer.PhaseEncode) && last.Done != last.Total {
			t.Errorf("%v ended at %d of %d", last.Phase, last.Done, last.Total)
		}
		last = e
	}
	if last.Phase != transfer.PhaseCommit {
		t.Errorf("ended in phase %v", last.Phase)
	}
}

// One server lags: the encoder runs only so far ahead of it.
func TestUploadMemory(t *testing.T) {
	t.Parallel()
	const segment, memory = 100_000, 2_000_000
	data := plaintext(10_000_000)
	synctest.Test(t, func(t *testing.T) {
		servers := gridtest.New(10)
		servers[3].Set(gridtest.Faults{HangFor: map[string]bool{"Write": true}})
		src := &watched{data: data}
		cfg := config(servers, 3, 10, 7, segment)
		cfg.Memory, cfg.Secret = memory, nil
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := transfer.Upload(ctx, cfg, src, uint64(len(data))); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatal(err)
		}
		// Ten blocks of a third of a segment each are held for one segment.
		if got := src.most.Load() * 10 / 3; got > memory {
			t.Errorf("%d bytes were encoded ahead of the slowest server", got)
		}
	})
}

// watched notes how far it was read.
type watched struct {
	data []byte
	most atomic.Int64
}

func (w *watched) ReadAt(p []byte, off int64) (int, error) {
	for end := off + int64(len(p)); ; {
		most := w.most.Load()
		if end <= most || w.most.CompareAndSwap(most, end) {
			return bytes.NewReader(w.data).ReadAt(p, off)
		}
	}
}

// A share of another length under the same storage index is not ours.
func TestUploadBesideAStrangeShare(t *testing.T) {
	t.Parallel()
	data := plaintext(10_000)
	read, _ := put(t, config(gridtest.New(10), 3, 10, 7, 1000), data)
	servers := gridtest.New(11)
	servers[2].Put(read.Verify().StorageIndex, 4, make([]byte, 100))
	servers[5].Set(gridtest.Faults{Claim: []storage.ShareInfo{{Num: -7}, {Num: 400, Size: 5}}})
	_, r := put(t, config(servers, 3, 10, 10, 1000), data)
	for share, key := range r.Placement {
		if key == servers[2].Key() {
			t.Errorf("share %d was given to the server that cannot take it", share)
		}
	}
	if r.Happiness != 10 || len(r.Existing) != 0 {
		t.Errorf("happiness %d, existing %v", r.Happiness, r.Existing)
	}
}
