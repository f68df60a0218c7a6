package storage_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"trunkline/caps"
	"trunkline/grid/storage"
)

// putSlot makes mutable shares.
func putSlot(t testing.TB, s *storage.Store, si caps.StorageIndex, shares map[int][]byte) {
	t.Helper()
	w := storage.TestWrite{Enabler: [32]byte{5}, Renew: renew, Cancel: cancel}
	for num, data := range shares {
		w.Shares = append(w.Shares, storage.ShareChange{Num: num, Writes: []storage.Change{{Data: data}}})
	}
	if r, err := s.TestWrite(si, w); err != nil || !r.Applied {
		t.Fatalf("applied %v, %v", r.Applied, err)
	}
}

// expiredNow lists what has expired.
func expiredNow(t testing.TB, s *storage.Store, now time.Time, grace time.Duration) (found []storage.Expired) {
	t.Helper()
	err := s.Expired(t.Context(), now, grace, func(e storage.Expired) error {
		found = append(found, e)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// Shares go when all their leases have ended and the grace is over, not before; Expired tells the same and touches
// nothing.
func TestCollect(t *testing.T) {
	t.Parallel()
	dir, clock := t.TempDir(), newClock()
	s := openStore(t, storage.Config{Dir: dir, Now: clock.Now, MaxBytes: 1 << 20})
	put(t, s, index(1), 0, pattern(100))
	putSlot(t, s, index(2), map[int][]byte{3: pattern(50), 4: pattern(60)})
	clock.Add(time.Hour)
	put(t, s, index(3), 7, pattern(100))
	put(t, s, index(4), 1, pattern(200))
	if err := os.WriteFile(filepath.Join(dir, "shares", index(4).String()[:2], index(4).String(), "2"), []byte("no share"), 0o600); err != nil {
		t.Fatal(err)
	}
	ended := clock.Now().Add(storage.LeaseDuration - time.Hour)
	clock.Add(time.Hour)
	if err := s.AddLease(index(3), caps.Secret{8}, cancel); err != nil {
		t.Fatal(err)
	}
	if found := expiredNow(t, s, ended, 0); len(found) != 0 {
		t.Fatalf("before their leases ended: %v", found)
	}
	if found := expiredNow(t, s, ended.Add(time.Hour), 2*time.Hour); len(found) != 0 {
		t.Fatalf("in the time of grace: %v", found)
	}
	first := ended.Add(time.Minute)
	want := []storage.Expired{
		{StorageIndex: index(1), Num: 0, Bytes: 12 + 100 + 72, Ended: ended},
		{StorageIndex: index(2), Num: 3, Mutable: true, Bytes: 468 + 50 + 4, Ended: ended},
		{StorageIndex: index(2), Num: 4, Mutable: true, Bytes: 468 + 60 + 4, Ended: ended},
	}
	same := func(a, b storage.Expired) bool {
		at := a.Ended.Equal(b.Ended)
		a.Ended, b.Ended = time.Time{}, time.Time{}
		return at && a == b
	}
	before := tree(t, dir)
	if found := expiredNow(t, s, first, 0); !slices.EqualFunc(found, want, same) {
		t.Fatalf("expired: %v", found)
	}
	if after := tree(t, dir); len(after) != len(before) {
		t.Fatal("a look removed something")
	}

	open, err := s.OpenShare(index(1), 0)
	if err != nil {
		t.Fatal(err)
	}
	var gone []storage.Expired
	collect := func(now time.Time) {
		gone = nil
		if err := s.Collect(t.Context(), now, 0, func(e storage.Expired) error { gone = append(gone, e); return nil }); err != nil {
			t.Fatal(err)
		}
	}
	collect(first)
	if !slices.EqualFunc(gone, want, same) {
		t.Fatalf("collected: %v", gone)
	}
	b := make([]byte, 100)
	if _, err := open.ReadAt(b, 0); err != nil {
		t.Errorf("reading on in a share that went: %v", err)
	}
	open.Close()
	if _, err := s.OpenShare(index(1), 0); !errors.Is(err, storage.ErrNotFound) {
		t.Errorf("the share is still there: %v", err)
	}
	if read, err := s.ReadSlot(index(2), nil, nil); err != nil || len(read) != 0 {
		t.Errorf("the slot is still there: %v, %v", read, err)
	}
	mustEqual(t, contents(t, s, index(3), 7), pattern(100))
	if used := s.TestingOnlyUsed(); used != 12+100+2*72+12+200+72 {
		t.Errorf("%d bytes are used", used)
	}

	// One with two leases goes with the second. A place that is free is a place.
	collect(ended.Add(time.Hour + time.Minute))
	if len(gone) != 1 || gone[0].StorageIndex != index(4) {
		t.Fatalf("collected: %v", gone)
	}
	collect(ended.Add(3 * time.Hour))
	if len(gone) != 1 || gone[0].StorageIndex != index(3) {
		t.Fatalf("collected: %v", gone)
	}
	put(t, s, index(1), 0, pattern(100))
	putSlot(t, s, index(2), map[int][]byte{3: pattern(50)})
	for name := range tree(t, dir) {
		if filepath.Base(name) == index(3).String() {
			t.Errorf("%s is left", name)
		}
	}
}

// A lease that comes while shares are collected keeps its share; what is told to be gone is gone.
func TestCollectRace(t *testing.T) {
	t.Parallel()
	clock := newClock()
	s := openStore(t, storage.Config{Now: clock.Now, NoSync: true})
	const n = 60
	for i := range byte(n) {
		if i%2 == 0 {
			put(t, s, index(i), 0, pattern(10))
		} else {
			putSlot(t, s, index(i), map[int][]byte{0: pattern(10)})
		}
	}
	clock.Add(2 * storage.LeaseDuration)
	kept := make(chan map[byte]bool)
	go func() {
		m := make(map[byte]bool)
		for i := byte(n); i > 0; i-- {
			if s.AddLease(index(i-1), renew, cancel) == nil {
				m[i-1] = true
			}
		}
		kept <- m
	}()
	gone := make(map[caps.StorageIndex]bool)
	if err := s.Collect(t.Context(), clock.Now(), 0, func(e storage.Expired) error { gone[e.StorageIndex] = true; return nil }); err != nil {
		t.Fatal(err)
	}
	renewed := <-kept
	for i := range byte(n) {
		_, err := s.Leases(index(i), 0)
		if there := err == nil; there != renewed[i] || there == gone[index(i)] {
			t.Errorf("share %d: there %v, renewed %v, collected %v", i, there, renewed[i], gone[index(i)])
		}
	}
}

func TestCollectRefused(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := openStore(t, storage.Config{Dir: dir, Now: newClock().Now})
	put(t, s, index(1), 0, pattern(10))
	late := newClock().Now().Add(2 * storage.LeaseDuration)
	stop := errors.New("enough")
	if err := s.Collect(t.Context(), late.Add(-3*storage.LeaseDuration), 0, func(storage.Expired) error { return stop }); err != nil {
		t.Errorf("nothing to collect: %v", err)
	}
	if err := s.Expired(t.Context(), late, 0, func(storage.Expired) error { return stop }); !errors.Is(err, stop) {
		t.Errorf("the caller's error: %v", err)
	}
	gone, cancelled := context.WithCancel(t.Context())
	cancelled()
	if err := s.Collect(gone, late, 0, func(storage.Expired) error { return nil }); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	mustEqual(t, contents(t, s, index(1), 0), pattern(10))
	r := openStore(t, storage.Config{Dir: dir, ReadOnly: true})
	if err := r.Collect(t.Context(), late, 0, func(storage.Expired) error { return nil }); !errors.Is(err, storage.ErrReadOnly) {
		t.Errorf("read-only: %v", err)
	}
	if found := expiredNow(t, r, late, 0); len(found) != 1 {
		t.Errorf("a look at a read-only store: %v", found)
	}
}
