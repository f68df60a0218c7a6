package storage_test

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"golang.org/x/crypto/blake2b"

	"trunkline/caps"
	"trunkline/grid/storage"
)

const foreign = "shares/incoming/zz/zzzzzzzzzzzzzzzzzzzzzzzzzy/0" // a Tahoe node's upload

// story is what a store goes through: two shares uploaded, one given up, leases renewed and added.
type story struct {
	data   [2][]byte
	acked  [2]bool
	leases map[caps.Secret]bool // stored renew secrets: whether adding it was acknowledged
	err    error                // the first
}

func newStory() *story {
	p := pattern(3000)
	return &story{data: [2][]byte{p[:1000], p[1000:]}, leases: make(map[caps.Secret]bool)}
}

func (st *story) note(err error) bool {
	if err != nil && st.err == nil {
		st.err = err
	}
	return err == nil
}

func (st *story) run(d *memDisk, clock *clock) {
	s, err := storage.TestingOnlyOpen(storage.Config{Now: clock.Now}, d)
	if !st.note(err) {
		return
	}
	first := blake2b.Sum256(renew[:])
	st.leases[first] = false
	for num, data := range st.data {
		_, uploads, err := s.Allocate(index(1), []int{num}, uint64(len(data)), renew, cancel)
		if !st.note(err) || len(uploads) != 1 {
			continue
		}
		half := len(data) / 2
		st.note(uploads[0].WriteAt(data[half:], uint64(half)))
		st.note(uploads[0].WriteAt(data[:half], 0))
		if st.note(uploads[0].Commit()) {
			st.acked[num] = true
		}
		clock.Add(1)
	}
	if _, uploads, err := s.Allocate(index(2), []int{0}, 10, renew, cancel); st.note(err) {
		uploads[0].Abort()
	}
	clock.Add(3600e9)
	for i := range byte(2) {
		more := caps.Secret{i + 1}
		stored := blake2b.Sum256(more[:])
		st.leases[stored] = false
		if st.note(s.AddLease(index(1), more, cancel)) {
			st.leases[stored] = true
		}
	}
	st.note(s.AddLease(index(1), renew, cancel))
	st.note(s.Close())
}

// check opens the store again and holds it against the story: every share is absent or whole, what was
// acknowledged is there, leases are what was added and nothing else, nothing of ours is under incoming,
// what others left there still is. Then the story must go through from here.
func (st *story) check(t *testing.T, d *memDisk, what string) {
	t.Helper()
	s, err := storage.TestingOnlyOpen(storage.Config{Now: newClock().Now}, d)
	if err != nil {
		t.Fatalf("%s: opening again: %v", what, err)
	}
	infos, err := s.Shares(index(1))
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
	there := make(map[int]bool)
	for _, info := range infos {
		there[info.Num] = true
		if got := contents(t, s, index(1), info.Num); !bytes.Equal(got, st.data[info.Num]) {
			t.Fatalf("%s: share %d has %d bytes that are not the %d written", what, info.Num, len(got), len(st.data[info.Num]))
		}
		leases, err := s.Leases(index(1), info.Num)
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		found := make(map[caps.Secret]bool)
		for _, l := range leases {
			if _, ok := st.leases[l.Renew]; !ok || found[l.Renew] {
				t.Fatalf("%s: share %d has a lease that nobody added", what, info.Num)
			}
			found[l.Renew] = true
		}
		for secret, acked := range st.leases {
			if acked && !found[secret] {
				t.Fatalf("%s: share %d lost a lease", what, info.Num)
			}
		}
	}
	for num, acked := range st.acked {
		if acked && !there[num] {
			t.Fatalf("%s: share %d was acknowledged and is lost", what, num)
		}
	}
	for name, data := range d.files() {
		if strings.HasPrefix(name, "shares/incoming/") && name != foreign {
			t.Fatalf("%s: %s is left", what, name)
		}
		if name == foreign && string(data) != "theirs" {
			t.Fatalf("%s: %s was changed", what, name)
		}
	}
	if _, ok := d.files()[foreign]; !ok {
		t.Fatalf("%s: %s was removed", what, foreign)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	again := newStory()
	again.run(d, newClock())
	if again.err != nil {
		t.Fatalf("%s: the store does not work any more: %v", what, again.err)
	}
}

// The power goes before each change of the disk in turn, and each time what was not synced survives in
// eight mixtures.
func TestPowerCut(t *testing.T) {
	t.Parallel()
	cuts := 0
	for cut := 1; ; cut++ {
		d := newMemDisk()
		d.plant(foreign, []byte("theirs"))
		d.failAt, d.dead = cut, true
		st := newStory()
		st.run(d, newClock())
		for seed := range uint64(8) {
			st.check(t, d.crash(rand.New(rand.NewPCG(uint64(cut), seed))), fmt.Sprintf("cut at %d, mixture %d", cut, seed))
			cuts++
		}
		if st.err == nil {
			break
		}
	}
	if cuts < 200 {
		t.Errorf("only %d cuts: the story got short", cuts)
	}
}

// Each change fails once, refused or done but reported failed, and the process goes on.
func TestDiskFaults(t *testing.T) {
	t.Parallel()
	for _, after := range []bool{false, true} {
		for at := 1; ; at++ {
			d := newMemDisk()
			d.plant(foreign, []byte("theirs"))
			d.failAt, d.after = at, after
			st := newStory()
			st.run(d, newClock())
			d.failAt = 0
			st.check(t, d, fmt.Sprintf("fault at %d, done=%v", at, after))
			if d.steps < at {
				break
			}
			if st.err != nil && !errors.Is(st.err, errInjected) {
				t.Errorf("fault at %d, done=%v: %v hides the cause", at, after, st.err)
			}
		}
	}
}

// The disk fills up at each byte of an upload: the error says so, and nothing is left of it.
func TestDiskFull(t *testing.T) {
	t.Parallel()
	data := pattern(500)
	for free := range 12 + 500 + 72 {
		d := newMemDisk()
		s, err := storage.TestingOnlyOpen(storage.Config{Now: newClock().Now}, d)
		if err != nil {
			t.Fatal(err)
		}
		d.free = free
		err = func() error {
			_, uploads, err := s.Allocate(index(1), []int{0}, 500, renew, cancel)
			if err != nil {
				return err
			}
			if err := uploads[0].WriteAt(data, 0); err != nil {
				return err
			}
			return uploads[0].Commit()
		}()
		if !errors.Is(err, storage.ErrNoSpace) {
			t.Fatalf("%d bytes free: %v", free, err)
		}
		if files := d.files(); len(files) != 0 {
			t.Fatalf("%d bytes free: %d files are left", free, len(files))
		}
		if n, promised := s.TestingOnlyUploads(); n != 0 || promised != 0 {
			t.Fatalf("%d bytes free: %d uploads, %d bytes promised", free, n, promised)
		}
		d.free = -1
		put(t, s, index(1), 0, data)
		if n, promised := s.TestingOnlyUploads(); n != 0 || promised != 0 {
			t.Fatalf("after a commit: %d uploads, %d bytes promised", n, promised)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// After a failed sync the store takes no more writes, and says why; reading goes on.
func TestSyncFailureIsFatal(t *testing.T) {
	t.Parallel()
	d := newMemDisk()
	s, err := storage.TestingOnlyOpen(storage.Config{Now: newClock().Now}, d)
	if err != nil {
		t.Fatal(err)
	}
	put(t, s, index(1), 0, pattern(10))
	u := allocate(t, s, index(1), 1, 10)
	if err := u.WriteAt(pattern(10), 0); err != nil {
		t.Fatal(err)
	}
	d.failAt = d.steps + 2 // the lease, then the sync
	if err := u.Commit(); !errors.Is(err, errInjected) {
		t.Fatalf("commit: %v", err)
	}
	if _, _, err := s.Allocate(index(1), []int{1}, 10, renew, cancel); !errors.Is(err, storage.ErrFailed) {
		t.Errorf("allocate: %v", err)
	}
	if err := s.AddLease(index(1), renew, cancel); !errors.Is(err, storage.ErrFailed) {
		t.Errorf("lease: %v", err)
	}
	mustEqual(t, contents(t, s, index(1), 0), pattern(10))
}

// A share whose name may not be durable is not left there to be counted on.
func TestDirectorySyncFailure(t *testing.T) {
	t.Parallel()
	for step := 6; step <= 8; step++ { // lease, sync, two directories, rename, and these three
		d := newMemDisk()
		s, err := storage.TestingOnlyOpen(storage.Config{Now: newClock().Now}, d)
		if err != nil {
			t.Fatal(err)
		}
		u := allocate(t, s, index(1), 0, 10)
		if err := u.WriteAt(pattern(10), 0); err != nil {
			t.Fatal(err)
		}
		d.failAt = d.steps + step
		if err := u.Commit(); !errors.Is(err, errInjected) {
			t.Fatalf("commit: %v", err)
		}
		if files := d.files(); len(files) != 0 {
			t.Errorf("step %d: %d files are left", step, len(files))
		}
		if _, _, err := s.Allocate(index(1), []int{0}, 10, renew, cancel); !errors.Is(err, storage.ErrFailed) {
			t.Errorf("step %d: %v", step, err)
		}
	}
}
