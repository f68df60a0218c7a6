package storage_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"trunkline/caps"
	"trunkline/grid/storage"
)

func TestStoreSpace(t *testing.T) {
	t.Parallel()
	const overhead = 12 + 72
	s := openStore(t, storage.Config{MaxBytes: 3 * (1000 + overhead)})
	// Two fit; of the next two one does.
	put(t, s, index(1), 0, pattern(1000))
	first := allocate(t, s, index(1), 1, 1000)
	_, uploads, err := s.Allocate(index(2), []int{0, 1}, 1000, renew, cancel)
	if err != nil || len(uploads) != 1 || uploads[0].Num() != 0 {
		t.Fatalf("%d allocated, %v", len(uploads), err)
	}
	if _, _, err := s.Allocate(index(3), []int{0}, 1, renew, cancel); !errors.Is(err, storage.ErrNoSpace) {
		t.Fatalf("a full store: %v", err)
	}
	have, uploads, err := s.Allocate(index(1), []int{0, 7}, 1000, renew, cancel)
	if err != nil || !slices.Equal(have, []int{0}) || len(uploads) != 0 {
		t.Fatalf("have %v, %d allocated, %v", have, len(uploads), err)
	}
	first.Abort()
	put(t, s, index(3), 0, pattern(1000))
}

// What is there already counts after a restart.
func TestStoreSpaceMeasured(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := openStore(t, storage.Config{Dir: dir})
	put(t, s, index(1), 0, pattern(1000))
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"shares/aa", "shares/README", "shares/bb/stray"} {
		if err := os.MkdirAll(filepath.Join(dir, filepath.Dir(name)), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte("not a bucket"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s = openStore(t, storage.Config{Dir: dir, MaxBytes: 2*1084 - 1})
	if _, _, err := s.Allocate(index(2), []int{0}, 1000, renew, cancel); !errors.Is(err, storage.ErrNoSpace) {
		t.Fatalf("beyond the maximum: %v", err)
	}
	put(t, s, index(2), 0, pattern(999))
}

func TestStoreReserve(t *testing.T) {
	t.Parallel()
	s := openStore(t, storage.Config{ReservedBytes: 1 << 62})
	if _, _, err := s.Allocate(index(1), []int{0}, 1, renew, cancel); !errors.Is(err, storage.ErrNoSpace) {
		t.Fatalf("beyond the reserve: %v", err)
	}
	s = openStore(t, storage.Config{})
	if _, _, err := s.Allocate(index(1), []int{0}, storage.MaxShareBytes, renew, cancel); !errors.Is(err, storage.ErrNoSpace) {
		t.Fatalf("256 TiB: %v", err)
	}
	if n, promised := s.TestingOnlyUploads(); n != 0 || promised != 0 {
		t.Fatalf("%d uploads, %d bytes promised", n, promised)
	}
}

// An idle upload keeps its share for so long, and every write starts the time anew.
func TestStoreUploadExpires(t *testing.T) {
	t.Parallel()
	clock := newClock()
	dir := t.TempDir()
	s := openStore(t, storage.Config{Dir: dir, Now: clock.Now})
	u := allocate(t, s, index(1), 0, 10)
	clock.Add(storage.DefaultUploadTimeout)
	if err := u.WriteAt(pattern(5), 0); err != nil {
		t.Fatal(err)
	}
	clock.Add(storage.DefaultUploadTimeout)
	if _, uploads, err := s.Allocate(index(1), []int{0}, 10, renew, cancel); err != nil || len(uploads) != 0 {
		t.Fatalf("taken too early: %d, %v", len(uploads), err)
	}
	clock.Add(time.Second)
	second := allocate(t, s, index(1), 0, 10)
	if err := u.WriteAt(pattern(5), 0); !errors.Is(err, storage.ErrNoUpload) {
		t.Fatalf("an expired upload: %v", err)
	}
	if err := u.Commit(); !errors.Is(err, storage.ErrNoUpload) {
		t.Fatalf("an expired upload: %v", err)
	}
	u.Abort()
	if err := second.WriteAt(pattern(10), 0); err != nil {
		t.Fatal(err)
	}
	if err := second.Commit(); err != nil {
		t.Fatal(err)
	}
	mustEqual(t, contents(t, s, index(1), 0), pattern(10))
}

func TestUploadWrites(t *testing.T) {
	t.Parallel()
	s := openStore(t, storage.Config{})
	u := allocate(t, s, index(1), 0, 1<<20)
	data := pattern(1 << 20)
	if err := u.WriteAt(data[100:300000], 100); err != nil {
		t.Fatal(err)
	}
	if err := u.WriteAt(data[50:200000], 50); err != nil {
		t.Fatalf("the same bytes again: %v", err)
	}
	wrong := bytes.Clone(data[0:299999])
	wrong[299998]++
	if err := u.WriteAt(wrong, 0); !errors.Is(err, storage.ErrConflict) {
		t.Fatalf("other bytes: %v", err)
	}
	for _, at := range []uint64{1 << 20, 1<<20 + 1, 1<<64 - 1} {
		if err := u.WriteAt([]byte{1}, at); !errors.Is(err, storage.ErrRange) {
			t.Fatalf("at %d: %v", at, err)
		}
	}
	scattered := error(nil)
	for at := uint64(1<<20 - 1); at > 300000 && scattered == nil; at -= 2 {
		scattered = u.WriteAt(data[at:at+1], at)
	}
	if !errors.Is(scattered, storage.ErrTooMany) {
		t.Fatalf("a share written every second byte: %v", scattered)
	}
	if err := u.Commit(); !errors.Is(err, storage.ErrIncomplete) {
		t.Fatal(err)
	}
	if err := u.WriteAt(data, 0); err != nil {
		t.Fatal(err)
	}
	if err := u.Commit(); err != nil {
		t.Fatal(err)
	}
	if err := u.Commit(); !errors.Is(err, storage.ErrNoUpload) {
		t.Fatalf("committed twice: %v", err)
	}
	mustEqual(t, contents(t, s, index(1), 0), data)
}

// What somebody else put in the share's place meanwhile is not overwritten.
func TestUploadConflict(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := openStore(t, storage.Config{Dir: dir})
	u := allocate(t, s, index(1), 0, 10)
	if err := u.WriteAt(pattern(10), 0); err != nil {
		t.Fatal(err)
	}
	text := index(1).String()
	place := filepath.Join(dir, "shares", text[:2], text, "0")
	if err := os.MkdirAll(filepath.Dir(place), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(place, []byte("somebody's"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := u.Commit(); !errors.Is(err, storage.ErrConflict) {
		t.Fatalf("commit: %v", err)
	}
	if b, err := os.ReadFile(place); err != nil || string(b) != "somebody's" {
		t.Fatalf("%q, %v", b, err)
	}
	// A damaged share is neither had nor written over.
	have, uploads, err := s.Allocate(index(1), []int{0}, 10, renew, cancel)
	if err != nil || len(have) != 0 || len(uploads) != 0 {
		t.Fatalf("have %v, %d allocated, %v", have, len(uploads), err)
	}
}

func TestStoreInvalid(t *testing.T) {
	t.Parallel()
	s := openStore(t, storage.Config{})
	many := make([]int, 257)
	for i := range many {
		many[i] = i
	}
	for name, nums := range map[string][]int{
		"none": nil, "negative": {-1}, "256": {256}, "twice": {1, 2, 1}, "too many": many,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if _, _, err := s.Allocate(index(1), nums, 10, renew, cancel); !errors.Is(err, storage.ErrInvalid) {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestStoreLocked(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := openStore(t, storage.Config{Dir: dir})
	if _, err := storage.Open(storage.Config{Dir: dir}); !errors.Is(err, storage.ErrLocked) {
		t.Fatalf("opened twice: %v", err)
	}
	reader := openStore(t, storage.Config{Dir: dir, ReadOnly: true})
	put(t, s, index(1), 0, pattern(10))
	mustEqual(t, contents(t, reader, index(1), 0), pattern(10))
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	openStore(t, storage.Config{Dir: dir})
}

// A link that leads out of the directory is not followed, and neither is a pipe waited for.
func TestStoreLinks(t *testing.T) {
	t.Parallel()
	dir, outside := t.TempDir(), t.TempDir()
	text := index(1).String()
	if err := os.MkdirAll(filepath.Join(dir, "shares"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(outside, filepath.Join(dir, "shares", text[:2])); err != nil {
		t.Fatal(err)
	}
	s := openStore(t, storage.Config{Dir: dir})
	u := allocateErr(s)
	if u == nil {
		t.Fatal("a share was written through a link that leads outside")
	}
	if entries, err := os.ReadDir(outside); err != nil || len(entries) != 0 {
		t.Fatalf("%d files outside, %v", len(entries), err)
	}
}

func allocateErr(s *storage.Store) error {
	_, uploads, err := s.Allocate(index(1), []int{0}, 10, renew, cancel)
	if err != nil {
		return err
	}
	if err := uploads[0].WriteAt(pattern(10), 0); err != nil {
		return err
	}
	return uploads[0].Commit()
}

func TestAdvisoriesAreBounded(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	clock := newClock()
	s := openStore(t, storage.Config{Dir: dir, Now: clock.Now})
	put(t, s, index(1), 0, pattern(10))
	if err := s.Advise(index(1), 0, string(make([]byte, storage.MaxReasonBytes+1))); !errors.Is(err, storage.ErrInvalid) {
		t.Fatalf("too long: %v", err)
	}
	for i := range storage.MaxAdvisories {
		if err := s.Advise(index(1), 0, fmt.Sprint("report ", i)); err != nil {
			t.Fatal(err)
		}
		clock.Add(time.Second)
	}
	for range 2 {
		if err := s.Advise(index(1), 0, "one more"); !errors.Is(err, storage.ErrTooMany) {
			t.Fatalf("got %v", err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		s = openStore(t, storage.Config{Dir: dir, Now: clock.Now})
	}
}

func TestLeasesAreBounded(t *testing.T) {
	t.Parallel()
	s := openStore(t, storage.Config{NoSync: true})
	put(t, s, index(1), 0, pattern(10))
	for i := range storage.MaxLeases - 1 {
		if err := s.AddLease(index(1), caps.Secret{byte(i), byte(i >> 8), 1}, cancel); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.AddLease(index(1), caps.Secret{2: 2}, cancel); !errors.Is(err, storage.ErrTooMany) {
		t.Fatalf("one more: %v", err)
	}
	if err := s.AddLease(index(1), renew, cancel); err != nil {
		t.Fatalf("renewal: %v", err)
	}
	mustEqual(t, contents(t, s, index(1), 0), pattern(10))
	// A full share is still had.
	have, _, err := s.Allocate(index(1), []int{0}, 10, caps.Secret{2: 2}, cancel)
	if err != nil || !slices.Equal(have, []int{0}) {
		t.Fatalf("have %v, %v", have, err)
	}
}

// Renewing extends, and never shortens when a clock goes back.
func TestLeaseRenewal(t *testing.T) {
	t.Parallel()
	clock := newClock()
	s := openStore(t, storage.Config{Now: clock.Now})
	put(t, s, index(1), 0, pattern(10))
	at := func() uint32 {
		leases, err := s.Leases(index(1), 0)
		if err != nil || len(leases) != 1 {
			t.Fatalf("%d leases, %v", len(leases), err)
		}
		return leases[0].Expiration
	}
	first := at()
	if want := clock.Now().Add(31 * 24 * time.Hour).Unix(); int64(first) != want {
		t.Fatalf("expires %d, want %d", first, want)
	}
	clock.Add(time.Hour)
	if have, _, err := s.Allocate(index(1), []int{0}, 10, renew, cancel); err != nil || len(have) != 1 {
		t.Fatal(have, err)
	}
	if got := at(); got != first+3600 {
		t.Fatalf("expires %d after renewal, want %d", got, first+3600)
	}
	clock.Add(-2 * time.Hour)
	if err := s.AddLease(index(1), renew, cancel); err != nil {
		t.Fatal(err)
	}
	if got := at(); got != first+3600 {
		t.Fatalf("expires %d after the clock went back, want %d", got, first+3600)
	}
}

// More shares than handles that stay open, read by many at once.
func TestHandles(t *testing.T) {
	t.Parallel()
	s := openStore(t, storage.Config{NoSync: true})
	const buckets = 3
	for b := range byte(buckets) {
		for num := range 60 {
			put(t, s, index(b), num, []byte(fmt.Sprint(b, num)))
		}
	}
	done := make(chan error)
	for worker := range 4 {
		go func() {
			for i := range 500 {
				b, num := byte((i+worker)%buckets), i*7%60
				share, err := s.OpenShare(index(b), num)
				if err != nil {
					done <- err
					return
				}
				got := make([]byte, share.Size())
				_, err = share.ReadAt(got, 0)
				share.Close()
				if want := fmt.Sprint(b, num); err != nil || string(got) != want {
					done <- fmt.Errorf("share %s reads %q: %w", want, got, err)
					return
				}
			}
			done <- nil
		}()
	}
	for range 4 {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}
