package storage_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"trunkline/grid/storage"
)

// An upload that was allocated before the storage index became a slot does not end there.
func TestSlotBeforeCommit(t *testing.T) {
	t.Parallel()
	s := openStore(t, storage.Config{})
	u := allocate(t, s, index(1), 0, 10)
	if err := u.WriteAt(pattern(10), 0); err != nil {
		t.Fatal(err)
	}
	putSlot(t, s, index(1), map[int][]byte{1: []byte("mutable")})
	if err := u.Commit(); !errors.Is(err, storage.ErrConflict) {
		t.Errorf("commit: %v", err)
	}
	if read, err := s.ReadSlot(index(1), nil, []storage.Range{{Length: 10}}); err != nil || len(read) != 1 || string(read[1][0]) != "mutable" {
		t.Errorf("the slot has %v, %v", read, err)
	}
}

// What is no share is left alone: not read, not written over, not in the way of the others.
func TestSlotAliens(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := openStore(t, storage.Config{Dir: dir})
	putSlot(t, s, index(1), map[int][]byte{0: []byte("zero")})
	alien := filepath.Join(dir, "shares", index(1).String()[:2], index(1).String(), "1")
	if err := os.WriteFile(alien, []byte("something"), 0o600); err != nil {
		t.Fatal(err)
	}
	w := storage.TestWrite{Enabler: [32]byte{5}, Shares: []storage.ShareChange{{Num: 1, Writes: []storage.Change{{Data: []byte("x")}}}}}
	if _, err := s.TestWrite(index(1), w); !errors.Is(err, storage.ErrConflict) {
		t.Errorf("writing over it: %v", err)
	}
	w.Shares[0] = storage.ShareChange{Num: 1, Truncate: true}
	if _, err := s.TestWrite(index(1), w); !errors.Is(err, storage.ErrConflict) {
		t.Errorf("removing it: %v", err)
	}
	putSlot(t, s, index(1), map[int][]byte{0: []byte("ZERO"), 2: []byte("two")})
	read, err := s.ReadSlot(index(1), nil, []storage.Range{{Length: 10}})
	if err != nil || len(read) != 2 || string(read[0][0]) != "ZERO" || string(read[2][0]) != "two" {
		t.Errorf("the slot has %v, %v", read, err)
	}
	if b, err := os.ReadFile(alien); err != nil || string(b) != "something" {
		t.Errorf("it became %q, %v", b, err)
	}
}

// A change counts against the space of the store, by what it adds.
func TestSlotQuota(t *testing.T) {
	t.Parallel()
	s := openStore(t, storage.Config{MaxBytes: 10_000})
	putSlot(t, s, index(1), map[int][]byte{0: pattern(4000)})
	if used := s.TestingOnlyUsed(); used != 468+4000+4 {
		t.Errorf("%d bytes are used", used)
	}
	for range 5 {
		putSlot(t, s, index(1), map[int][]byte{0: pattern(4000)})
	}
	w := storage.TestWrite{Enabler: [32]byte{5}, Renew: renew, Shares: []storage.ShareChange{{Num: 0, Writes: []storage.Change{{Data: pattern(9000)}}}}}
	if _, err := s.TestWrite(index(1), w); !errors.Is(err, storage.ErrNoSpace) {
		t.Errorf("more than fits: %v", err)
	}
	w.Shares[0] = storage.ShareChange{Num: 0, Truncate: true, Length: 100}
	if r, err := s.TestWrite(index(1), w); err != nil || !r.Applied {
		t.Errorf("shrinking: %v, %v", r.Applied, err)
	}
	if used := s.TestingOnlyUsed(); used != 468+100+4 {
		t.Errorf("%d bytes are used", used)
	}
	read, err := s.ReadSlot(index(1), nil, []storage.Range{{Length: 10_000}})
	if err != nil || !bytes.Equal(read[0][0], pattern(100)) {
		t.Errorf("the share differs (%v)", err)
	}
}

// One reading brings no more than its bound, whatever is asked.
func TestSlotReadBounds(t *testing.T) {
	t.Parallel()
	s := openStore(t, storage.Config{NoSync: true})
	w := storage.TestWrite{Enabler: [32]byte{5}, Shares: []storage.ShareChange{
		{Num: 0, Writes: []storage.Change{{Offset: 5 << 20, Data: []byte("end")}}}, // the rest is a hole
	}}
	if r, err := s.TestWrite(index(1), w); err != nil || !r.Applied {
		t.Fatal(r.Applied, err)
	}
	many := make([]storage.Range, 20)
	for i := range many {
		many[i] = storage.Range{Length: 1 << 40}
	}
	if _, err := s.ReadSlot(index(1), nil, many); !errors.Is(err, storage.ErrInvalid) {
		t.Errorf("100 MiB at once: %v", err)
	}
	if _, err := s.ReadSlot(index(1), nil, many[:10]); err != nil {
		t.Errorf("50 MiB at once: %v", err)
	}
	w.Reads = many[:1]
	if _, err := s.TestWrite(index(1), w); !errors.Is(err, storage.ErrInvalid) {
		t.Errorf("5 MiB with a change: %v", err)
	}
}
