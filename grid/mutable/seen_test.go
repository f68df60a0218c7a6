package mutable_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"trunkline/caps"
	"trunkline/grid/mutable"
)

func TestSeen(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "seen")
	open := func() *mutable.Seen {
		s, err := mutable.OpenSeen(path)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	is := func(s *mutable.Seen, si byte, want uint64) {
		t.Helper()
		if seq, root, ok := s.Newest(caps.StorageIndex{si}); seq != want || ok != (want > 0) || ok && root[0] != byte(want) {
			t.Errorf("file %d: version %d, want %d", si, seq, want)
		}
	}
	note := func(s *mutable.Seen, si byte, seq uint64) { s.Note(caps.StorageIndex{si}, seq, caps.Hash{byte(seq)}) }
	s := open()
	for seq := range uint64(5000) { // the log is rewritten on the way
		note(s, 1, seq+1)
	}
	note(s, 2, 7)
	note(s, 2, 6) // older: not kept
	is(s, 2, 7)
	is(s, 3, 0)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	raw, err := os.ReadFile(path)
	if err != nil || len(raw) > 3000*60 {
		t.Fatalf("%d bytes, %v", len(raw), err)
	}
	s = open()
	if seq, _, _ := s.Newest(caps.StorageIndex{1}); seq != 5000 {
		t.Errorf("version %d is remembered of 5000", seq)
	}
	is(s, 2, 7)
	note(s, 3, 9)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	// Cut off in the middle of the last record: the others stand, and more can be added.
	if raw, err = os.ReadFile(path); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, raw[:len(raw)-10], 0o600); err != nil {
		t.Fatal(err)
	}
	s = open()
	is(s, 2, 7)
	is(s, 3, 0)
	note(s, 3, 9)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open()
	is(s, 3, 9)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte("something else"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := mutable.OpenSeen(path); !errors.Is(err, mutable.ErrSeenFile) {
		t.Errorf("a foreign file: %v", err)
	}
	var none *mutable.Seen
	note(none, 1, 1)
	is(none, 1, 0)
}
