package mutable_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"trunkline/caps"
	"trunkline/grid/mutable"
	"trunkline/grid/ssk"
	"trunkline/grid/storage"
	"trunkline/grid/transfer"
	"trunkline/grid/transfer/gridtest"
)

// Servers that lie about what they have are named, and no wrong byte comes out; a write goes past them.
func TestLiars(t *testing.T) {
	t.Parallel()
	flip := func(from, to uint64) func(caps.StorageIndex, int, uint64, []byte) {
		return func(_ caps.StorageIndex, _ int, offset uint64, data []byte) {
			for i := range data {
				if at := offset + uint64(i); at >= from && at < to {
					data[i] ^= 0x40
				}
			}
		}
	}
	cases := map[string]struct {
		faults gridtest.Faults
		silent bool // nobody can know that it lied
	}{
		"format":        {faults: gridtest.Faults{Lie: flip(0, 1)}},
		"sequence":      {faults: gridtest.Faults{Lie: flip(1, 9)}},
		"root":          {faults: gridtest.Faults{Lie: flip(9, 41)}},
		"everything":    {faults: gridtest.Faults{Lie: flip(0, 1<<40)}},
		"blocks":        {faults: gridtest.Faults{Lie: flip(2200, 1<<40)}},
		"other-share":   {faults: gridtest.Faults{Serve: map[int]int{0: 1, 1: 2, 2: 3, 3: 4, 4: 5, 5: 6, 6: 7, 7: 8, 8: 9, 9: 0}}, silent: true},
		"nothing-there": {faults: gridtest.Faults{Blind: true}, silent: true},
		"cut": {faults: gridtest.Faults{Lie: func(_ caps.StorageIndex, _ int, _ uint64, data []byte) {
			clear(data[len(data)/2:])
		}}},
	}
	for _, format := range []ssk.Format{ssk.SDMF, ssk.MDMF} {
		for name, c := range cases {
			t.Run(fmt.Sprintf("%v-%s", format, name), func(t *testing.T) {
				t.Parallel()
				servers := gridtest.New(10)
				f := newFiles(t, servers, nil)
				data := contents(1, 300_000)
				file := create(t, f, format, data)
				for _, s := range servers[:3] {
					s.Set(c.faults)
				}
				mustRead(t, f, file, data)
				h := check(t, f, file, transfer.CheckOptions{Verify: true})
				if !c.silent && len(h.Corrupt) != 3 {
					t.Errorf("%d corrupt shares were found on three servers that lie", len(h.Corrupt))
				}
				data = contents(2, 200_000)
				if _, err := overwrite(f, file, data); err != nil {
					t.Fatalf("overwriting: %v", err)
				}
				mustRead(t, f, file, data)
				for _, s := range servers {
					s.Set(gridtest.Faults{})
				}
				mustRead(t, f, file, data)
			})
		}
	}
}

// Servers that went back to an old version mislead nobody as long as k others have the new one, and are brought along.
func TestStale(t *testing.T) {
	t.Parallel()
	for _, format := range []ssk.Format{ssk.SDMF, ssk.MDMF} {
		t.Run(format.String(), func(t *testing.T) {
			t.Parallel()
			servers := gridtest.New(10)
			f := newFiles(t, servers, nil)
			file := create(t, f, format, []byte("old"))
			old := make([]map[int][]byte, len(servers))
			v := verifyCap(t, file)
			for i, s := range servers {
				old[i] = s.Slot(v.StorageIndex)
			}
			if _, err := overwrite(f, file, []byte("new")); err != nil {
				t.Fatal(err)
			}
			write, _ := file.WriteKey()
			for i, s := range servers[:7] {
				s.PutSlot(v.StorageIndex, write.WriteEnabler(s.PeerID20()), old[i])
			}
			mustRead(t, f, file, []byte("new"))
			h := check(t, f, file, transfer.CheckOptions{})
			if h.Healthy() || len(h.Versions) != 2 || h.Versions[0].Seq != 2 || len(h.Good) != 3 {
				t.Errorf("%d versions, %s", len(h.Versions), h.Summary())
			}
			before, after, err := f.Repair(context.Background(), file, transfer.CheckOptions{})
			if err != nil || before.Healthy() || !after.Healthy() || after.Versions[0].Seq != 3 {
				t.Fatalf("repairing: %v; before %s, after %s", err, before.Summary(), after.Summary())
			}
			mustRead(t, f, file, []byte("new"))
		})
	}
}

// A server that shows an old version for ever, and refuses writes as it has another, does not keep anybody from writing.
func TestStaleReader(t *testing.T) {
	t.Parallel()
	servers := gridtest.New(10)
	f := newFiles(t, servers, nil)
	file := create(t, f, ssk.SDMF, []byte("old"))
	servers[4].Set(gridtest.Faults{Stale: true})
	for i := range 3 {
		data := fmt.Appendf(nil, "new %d", i)
		if _, err := overwrite(f, file, data); err != nil {
			t.Fatalf("overwriting: %v", err)
		}
		mustRead(t, f, file, data)
		if _, err := f.Modify(context.Background(), file, func(old []byte) ([]byte, error) {
			return append(old, '!'), nil
		}); err != nil {
			t.Fatalf("changing: %v", err)
		}
		mustRead(t, f, file, append(data, '!'))
	}
}

// Answers that are lost on the way are looked up: what was done counts.
func TestLostAnswers(t *testing.T) {
	t.Parallel()
	for name, faults := range map[string]gridtest.Faults{
		"error":  {TestWriteLost: gridtest.ErrLost},
		"silent": {TestWriteSilent: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			servers := gridtest.New(10)
			f := newFiles(t, servers, func(c *mutable.Config) { c.Timeout, c.Settle = time.Second, 10*time.Second })
			file := create(t, f, ssk.SDMF, []byte("old"))
			for _, s := range servers[:5] {
				s.Set(faults)
			}
			r, err := overwrite(f, file, []byte("new"))
			if err != nil || r.Header.Seq != 2 || r.Happiness != 10 {
				t.Fatalf("version %d on %d servers: %v", r.Header.Seq, r.Happiness, err)
			}
			mustRead(t, f, file, []byte("new"))
		})
	}
}

// Servers that say they have done it and have not are not found out by the writer; readers and the next writer are not harmed
// while k honest ones are left.
func TestDropped(t *testing.T) {
	t.Parallel()
	servers := gridtest.New(10)
	f := newFiles(t, servers, nil)
	file := create(t, f, ssk.SDMF, []byte("old"))
	for _, s := range servers[:4] {
		s.Set(gridtest.Faults{TestWriteDropped: true})
	}
	if _, err := overwrite(f, file, []byte("new")); err != nil {
		t.Fatal(err)
	}
	mustRead(t, f, file, []byte("new"))
}

// remains leaves the shares of a newer version on some servers, as a writer that was killed does.
func remains(tb testing.TB, servers []*gridtest.Server, f *mutable.Files, file caps.Cap, data []byte, on []int) {
	tb.Helper()
	v := verifyCap(tb, file)
	old := make([]map[int][]byte, len(servers))
	for i, s := range servers {
		old[i] = s.Slot(v.StorageIndex)
	}
	if _, err := overwrite(f, file, data); err != nil {
		tb.Fatal(err)
	}
	write, _ := file.WriteKey()
	for i, s := range servers {
		if !slices.Contains(on, i) {
			s.PutSlot(v.StorageIndex, write.WriteEnabler(s.PeerID20()), old[i])
		}
	}
}

func TestInterruptedWrite(t *testing.T) {
	t.Parallel()
	cases := []struct {
		name string
		on   []int // servers that have the new version
		want string
		down []int
		err  error // of the next writer
	}{
		{name: "too-few-to-read", on: []int{1, 5}, want: "old"},
		{name: "enough-to-read", on: []int{1, 5, 7}, want: "new"},
		{name: "enough-with-those-down", on: []int{1, 5, 7}, down: []int{7}, want: "old", err: mutable.ErrUnsettled},
		{name: "too-few-in-any-case", on: []int{1}, down: []int{7}, want: "old"},
	}
	for _, format := range []ssk.Format{ssk.SDMF, ssk.MDMF} {
		for _, c := range cases {
			t.Run(fmt.Sprintf("%v-%s", format, c.name), func(t *testing.T) {
				t.Parallel()
				servers := gridtest.New(10)
				f := newFiles(t, servers, nil)
				file := create(t, f, format, []byte("old"))
				remains(t, servers, f, file, []byte("new"), c.on)
				for _, i := range c.down {
					servers[i].Set(gridtest.Faults{Down: gridtest.ErrDown})
				}
				mustRead(t, f, file, []byte(c.want))
				r, err := f.Modify(context.Background(), file, func(old []byte) ([]byte, error) {
					return append(old, '+'), nil
				})
				if !errors.Is(err, c.err) {
					t.Fatalf("the next writer: %v", err)
				}
				if c.err != nil {
					mustRead(t, f, file, []byte(c.want))
					return
				}
				if r.Header.Seq != 3 {
					t.Errorf("the next version is %d", r.Header.Seq)
				}
				mustRead(t, f, file, []byte(c.want+"+"))
			})
		}
	}
}

// Two who overwrite at once: one is told, and the file is one of the two.
func TestUncoordinated(t *testing.T) {
	t.Parallel()
	for seed := range 5 {
		servers := gridtest.New(10)
		f := newFiles(t, servers, nil)
		file := create(t, f, ssk.SDMF, []byte("old"))
		for _, s := range servers {
			s.Set(gridtest.Faults{Latency: time.Millisecond})
		}
		var wg sync.WaitGroup
		errs := make([]error, 4)
		for i := range errs {
			// Each has a Files of its own, as other machines have.
			mine := newFiles(t, servers, nil)
			wg.Go(func() { _, errs[i] = overwrite(mine, file, fmt.Appendf(nil, "new %d", i)) })
		}
		wg.Wait()
		got := read(t, f, file)
		won := false
		for i, err := range errs {
			if err != nil && !errors.Is(err, mutable.ErrUncoordinated) {
				t.Errorf("round %d: %v", seed, err)
			}
			won = won || string(got) == fmt.Sprintf("new %d", i)
		}
		if !won {
			t.Errorf("round %d: found %q", seed, got)
		}
	}
}

// One process has its writers follow each other.
func TestOneProcess(t *testing.T) {
	t.Parallel()
	f := newFiles(t, gridtest.New(10), nil)
	file := create(t, f, ssk.SDMF, nil)
	var wg sync.WaitGroup
	for i := range 20 {
		wg.Go(func() {
			if _, err := f.Modify(context.Background(), file, func(old []byte) ([]byte, error) {
				return append(old, byte(i)), nil
			}); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if got := read(t, f, file); len(got) != 20 {
		t.Errorf("%d of 20 changes are there", len(got))
	}
}

// Servers that hang cost patience, not a timeout.
func TestHung(t *testing.T) {
	t.Parallel()
	for _, hung := range []gridtest.Faults{{Hang: true}, {HangFor: map[string]bool{"TestWrite": true}}} {
		servers := gridtest.New(10)
		f := newFiles(t, servers, func(c *mutable.Config) { c.Timeout, c.Settle = time.Hour, time.Hour })
		file := create(t, f, ssk.SDMF, []byte("old"))
		for _, s := range servers[3:6] {
			s.Set(hung)
		}
		if _, err := overwrite(f, file, []byte("new")); err != nil {
			t.Fatal(err)
		}
		mustRead(t, f, file, []byte("new"))
		if r, err := f.Create(context.Background(), ssk.SDMF, testKeys()[1], bytes.NewReader(nil), 0); err != nil || r.Happiness < 7 {
			t.Fatalf("creating: %d servers, %v", r.Happiness, err)
		}
	}
}

func TestRollback(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "seen")
	seen, err := mutable.OpenSeen(path)
	if err != nil {
		t.Fatal(err)
	}
	servers := gridtest.New(10)
	f := newFiles(t, servers, func(c *mutable.Config) { c.Seen = seen })
	file := create(t, f, ssk.SDMF, []byte("old"))
	v := verifyCap(t, file)
	old := make([]map[int][]byte, len(servers))
	for i, s := range servers {
		old[i] = s.Slot(v.StorageIndex)
	}
	if _, err := overwrite(f, file, []byte("new")); err != nil {
		t.Fatal(err)
	}
	write, _ := file.WriteKey()
	for i, s := range servers {
		s.PutSlot(v.StorageIndex, write.WriteEnabler(s.PeerID20()), old[i])
	}
	if err := seen.Close(); err != nil {
		t.Fatal(err)
	}
	// The next process knows what this one has seen.
	if seen, err = mutable.OpenSeen(path); err != nil {
		t.Fatal(err)
	}
	defer seen.Close()
	f = newFiles(t, servers, func(c *mutable.Config) { c.Seen = seen })
	var rollback *mutable.RollbackError
	if _, _, err := f.ReadAll(context.Background(), file, 100); !errors.As(err, &rollback) || rollback.Found != 1 || rollback.Seen != 2 {
		t.Errorf("reading: %v", err)
	}
	if _, err := f.Modify(context.Background(), file, func(b []byte) ([]byte, error) { return b, nil }); !errors.Is(err, mutable.ErrRollback) {
		t.Errorf("changing: %v", err)
	}
	version, err := f.OpenAny(context.Background(), v)
	if err != nil {
		t.Fatal(err)
	}
	version.Close()
	// To replace everything is fine, with a number above all that was seen.
	r, err := overwrite(f, file, []byte("newer"))
	if err != nil || r.Header.Seq != 3 {
		t.Fatalf("version %d, %v", r.Header.Seq, err)
	}
	mustRead(t, f, file, []byte("newer"))
}

// Two servers of ten have everything, as Tahoe leaves it when the others were down: a write spreads it again.
func TestSpreadAgain(t *testing.T) {
	t.Parallel()
	servers := gridtest.New(10)
	few := newFiles(t, servers[:2], func(c *mutable.Config) { c.K, c.N, c.Happy = 3, 10, 1 })
	file := create(t, few, ssk.MDMF, []byte("old"))
	f := newFiles(t, servers, nil)
	r, err := overwrite(f, file, []byte("new"))
	if err != nil || r.Happiness < 7 {
		t.Fatalf("%d servers, %v", r.Happiness, err)
	}
	mustRead(t, f, file, []byte("new"))
}

func TestRepair(t *testing.T) {
	t.Parallel()
	for _, format := range []ssk.Format{ssk.SDMF, ssk.MDMF} {
		t.Run(format.String(), func(t *testing.T) {
			t.Parallel()
			servers := gridtest.New(10)
			f := newFiles(t, servers, nil)
			data := contents(1, 400_000)
			file := create(t, f, format, data)
			v := verifyCap(t, file)
			write, _ := file.WriteKey()
			for _, s := range servers[:5] {
				s.PutSlot(v.StorageIndex, write.WriteEnabler(s.PeerID20()), nil)
			}
			// A share that rots is found by verifying alone.
			rotten := servers[6].Slot(v.StorageIndex)
			for _, b := range rotten {
				b[len(b)/2] ^= 1
			}
			servers[6].PutSlot(v.StorageIndex, write.WriteEnabler(servers[6].PeerID20()), rotten)
			before, after, err := f.Repair(context.Background(), file, transfer.CheckOptions{Verify: true, AddLease: &[32]byte{7}})
			if err != nil || before.Healthy() || len(before.Good) != 4 || len(before.Corrupt) != 1 {
				t.Fatalf("before: %s, %v", before.Summary(), err)
			}
			if !after.Healthy() || after.Happiness != 10 {
				t.Fatalf("after: %s on %d servers", after.Summary(), after.Happiness)
			}
			mustRead(t, f, file, data)
			before, after, err = f.Repair(context.Background(), file, transfer.CheckOptions{Verify: true})
			if err != nil || !before.Healthy() || after.Versions[0].Seq != 2 {
				t.Errorf("a healthy file was repaired: %v", err)
			}
		})
	}
}

// A share whose server wants another write enabler cannot be changed: the others can.
func TestForeignEnabler(t *testing.T) {
	t.Parallel()
	servers := gridtest.New(10)
	f := newFiles(t, servers, nil)
	file := create(t, f, ssk.SDMF, []byte("old"))
	v := verifyCap(t, file)
	servers[2].PutSlot(v.StorageIndex, [32]byte{9}, servers[2].Slot(v.StorageIndex))
	r, err := overwrite(f, file, []byte("new"))
	if err != nil || !slices.ContainsFunc(r.Lost, func(b transfer.Blame) bool { return errors.Is(b.Reason, storage.ErrEnabler) }) {
		t.Fatalf("%v, lost %v", err, r.Lost)
	}
	mustRead(t, f, file, []byte("new"))
}

// A large file is written and read in little memory.
func TestSmallMemory(t *testing.T) {
	t.Parallel()
	servers := gridtest.New(10)
	f := newFiles(t, servers, func(c *mutable.Config) { c.Memory = 1 << 20 })
	data := contents(1, 3_000_000)
	file := create(t, f, ssk.MDMF, data)
	mustRead(t, f, file, data)
	data = contents(2, 2_500_000)
	if _, err := overwrite(f, file, data); err != nil {
		t.Fatal(err)
	}
	mustRead(t, f, file, data)
	patch := contents(3, 1_500_000)
	if _, err := f.WriteAt(context.Background(), file, bytes.NewReader(patch), 1_200_001, uint64(len(patch))); err != nil {
		t.Fatal(err)
	}
	data = append(data[:1_200_001], patch...)
	mustRead(t, f, file, data)
}

func TestKeyPool(t *testing.T) {
	t.Parallel()
	p := mutable.NewKeyPool(1)
	a, err := p.Take(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	b, err := p.Take(context.Background())
	if err != nil || a.Fingerprint() == b.Fingerprint() {
		t.Fatalf("one pair was given twice: %v", err)
	}
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := p.Take(context.Background()); !errors.Is(err, mutable.ErrClosed) {
		t.Error(err)
	}
}
