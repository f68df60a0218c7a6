package storage_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"trunkline/grid/storage"
	"trunkline/grid/storage/pb"
	"trunkline/p2p"
)

// FuzzContainer: any file in a share's place is read without panic, no further than it goes, and its
// leases are no more than fit in it; and a lease added to it, if it can be, changes no byte of data.
func FuzzContainer(f *testing.F) {
	f.Fuzz(func(t *testing.T, b []byte) {
		head := b[:min(len(b), 32)]
		size, leases, err := storage.TestingOnlyContainer(head, uint64(len(b)))
		if err != nil {
			if !errors.Is(err, storage.ErrDamaged) && !errors.Is(err, storage.ErrMutable) {
				t.Fatalf("error without a kind: %v", err)
			}
			return
		}
		if 12+size+uint64(leases)*72 > uint64(len(b)) {
			t.Fatalf("%d bytes and %d leases in a file of %d", size, leases, len(b))
		}
		d := newMemDisk()
		text := index(1).String()
		d.plant("shares/"+text[:2]+"/"+text+"/0", b)
		s, err := storage.TestingOnlyOpen(storage.Config{Now: newClock().Now}, d)
		if err != nil {
			t.Fatal(err)
		}
		if got := contents(t, s, index(1), 0); string(got) != string(b[12:12+size]) {
			t.Fatal("the share is not the bytes behind the header")
		}
		before, err := s.Leases(index(1), 0)
		if err != nil || len(before) != int(leases) {
			t.Fatalf("%d leases, %v", len(before), err)
		}
		if err := s.AddLease(index(1), renew, cancel); err != nil {
			if !errors.Is(err, storage.ErrTooMany) {
				t.Fatal(err)
			}
			return
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		s, err = storage.TestingOnlyOpen(storage.Config{Now: newClock().Now}, d)
		if err != nil {
			t.Fatal(err)
		}
		if got := contents(t, s, index(1), 0); string(got) != string(b[12:12+size]) {
			t.Fatal("adding a lease changed the share")
		}
	})
}

// FuzzSpans: a set of spans against one byte per place.
func FuzzSpans(f *testing.F) {
	f.Fuzz(func(t *testing.T, ops []byte) {
		var s storage.TestingOnlySpans
		var bits [256]bool
		for ; len(ops) >= 2; ops = ops[2:] {
			begin, end := uint64(ops[0]), uint64(ops[1])
			var fresh, common uint64
			for i := begin; i < end; i++ {
				if bits[i] {
					common++
				} else {
					fresh++
				}
				bits[i] = true
			}
			if got := s.TestingOnlyOverlap(begin, end); got != common {
				t.Fatalf("overlap of [%d,%d) is %d, want %d", begin, end, got, common)
			}
			if got := s.TestingOnlyAdd(begin, end); got != fresh {
				t.Fatalf("adding [%d,%d) gave %d, want %d", begin, end, got, fresh)
			}
		}
		var total, covered uint64
		for i, set := range bits {
			if set {
				total++
				if covered == uint64(i) {
					covered++
				}
			}
		}
		if got := s.TestingOnlyTotal(); got != total {
			t.Fatalf("total %d, want %d", got, total)
		}
		for size := uint64(1); size < 256; size++ {
			if want := covered >= size && total == covered; s.TestingOnlyCovers(size) != want {
				t.Fatalf("covers %d is not %v", size, want)
			}
		}
	})
}

// FuzzRequests: any bytes as a client's half of a stream. The server does not panic, answers within its
// bounds, leaves no upload behind, and the one share it had is still whole.
func FuzzRequests(f *testing.F) {
	dir := f.TempDir()
	w := newWire(f, storage.Config{Dir: dir, NoSync: true, MaxBytes: 1 << 20}, everybody)
	data := pattern(1000)
	put(f, w.store, index(1), 0, data)
	f.Fuzz(func(t *testing.T, b []byte) {
		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		s, err := w.client.Open(ctx, w.host.Self(), storage.Protocol)
		if err != nil {
			t.Skip(err)
		}
		defer s.Reset()
		go func() {
			_ = sendRaw(s, b)
			_ = s.CloseWrite()
		}()
		for {
			var a pb.Answer
			err := s.Receive(&a, maxMessage)
			if err != nil {
				break
			}
			if n := a.GetData().GetLength(); n > 384<<10 {
				t.Fatalf("a frame of %d bytes", n)
			} else if s.ReadData(make([]byte, n)) != nil {
				break
			}
		}
		mustEqual(t, contents(t, w.store, index(1), 0), data)
		eventually(t, func() bool { n, _ := w.store.TestingOnlyUploads(); return n == 0 })
		eventually(t, func() bool { n, _ := w.store.TestingOnlyStaged(); return n == 0 })
		if w.host.Stats().Panics != 0 {
			t.Fatal("a handler panicked")
		}
	})
}

// sendRaw sends bytes that are whole frames or not: what stands behind the length of an empty message.
func sendRaw(s *p2p.Stream, b []byte) error {
	return s.SendData(&pb.Request{}, b)
}

// FuzzSlotContainer: any bytes as a mutable share's file. It is a share or damaged; leases come and go without its data
// changing; who knows the enabler can write, and the rest stays.
func FuzzSlotContainer(f *testing.F) {
	f.Fuzz(func(t *testing.T, b []byte) {
		d := newMemDisk()
		text := index(1).String()
		name := "shares/" + text[:2] + "/" + text + "/0"
		d.plant(name, b)
		s, err := storage.TestingOnlyOpen(storage.Config{Now: newClock().Now}, d)
		if err != nil {
			t.Fatal(err)
		}
		before, err := slotOf(s)
		if err != nil || len(before) == 0 {
			if err != nil && !errors.Is(err, storage.ErrImmutable) && !errors.Is(err, storage.ErrInvalid) {
				t.Fatalf("error without a kind: %v", err)
			}
			return
		}
		leases, err := s.Leases(index(1), 0)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.AddLease(index(1), renew, cancel); err != nil {
			if !errors.Is(err, storage.ErrTooMany) {
				t.Fatal(err)
			}
			return
		}
		if after, err := slotOf(s); err != nil || !after.equal(before) {
			t.Fatalf("adding a lease changed the share (%v)", err)
		}
		w := storage.TestWrite{Enabler: [32]byte(b[52:84]), Renew: renew, Shares: []storage.ShareChange{
			{Num: 0, Writes: []storage.Change{{Offset: 3, Data: []byte("new")}}},
		}}
		if r, err := s.TestWrite(index(1), w); err != nil || !r.Applied {
			t.Fatalf("writing: %v, %v", r.Applied, err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		if s, err = storage.TestingOnlyOpen(storage.Config{Now: newClock().Now}, d); err != nil {
			t.Fatal(err)
		}
		if after, err := slotOf(s); err != nil || !after.equal(before.after(w.Shares)) {
			t.Fatalf("the share is not what it was with the write (%v)", err)
		}
		now, err := s.Leases(index(1), 0)
		if err != nil || len(now) < len(leases) || len(now) > len(leases)+1 {
			t.Fatalf("%d leases became %d, %v", len(leases), len(now), err)
		}
	})
}

// FuzzChangeRecord: any bytes as a record of a change. The store opens, what others left is there, what is ours is gone, and
// nothing outside its slot was touched.
func FuzzChangeRecord(f *testing.F) {
	f.Fuzz(func(t *testing.T, b []byte) {
		d := newMemDisk()
		text := index(1).String()
		d.plant(foreign, []byte("theirs"))
		d.plant("shares/incoming/"+text+"-0.1.trunkline", []byte("zero"))
		d.plant("shares/incoming/"+text+"-1.2.trunkline", []byte("one"))
		d.plant("shares/incoming/"+text+".3.slot.trunkline", b)
		d.plant("shares/zz/zzzzzzzzzzzzzzzzzzzzzzzzzy/0", []byte("another's"))
		s, err := storage.TestingOnlyOpen(storage.Config{Now: newClock().Now}, d)
		if err != nil {
			return // something else stands where the record wants a share: the operator looks
		}
		for name, data := range d.files() {
			switch {
			case name == foreign && string(data) == "theirs", name == "shares/zz/zzzzzzzzzzzzzzzzzzzzzzzzzy/0" && string(data) == "another's":
			case len(b) > 0 && (string(data) == "zero" || string(data) == "one"): // as the record says
			default:
				t.Fatalf("%s is left", name)
			}
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	})
}

// TestSeeds writes the seeds of the fuzz targets when TRUNKLINE_SEEDS is set, and fails when there are
// none.
func TestSeeds(t *testing.T) {
	t.Parallel()
	if os.Getenv("TRUNKLINE_SEEDS") != "" {
		writeSeeds(t)
	}
	for _, target := range []string{"FuzzContainer", "FuzzSlotContainer", "FuzzChangeRecord", "FuzzSpans", "FuzzRequests"} {
		if seeds, err := os.ReadDir(filepath.Join("testdata/fuzz", target)); err != nil || len(seeds) < 5 {
			t.Errorf("%s has %d seeds (%v)", target, len(seeds), err)
		}
	}
}
