package servertest

import (
	"bytes"
	"context"
	"errors"
	"sync"
	"testing"

	"trunkline/grid/storage"
	"trunkline/grid/transfer"
)

func identity(t *testing.T, s transfer.Server) {
	key, id, seed := s.Key(), s.PeerID20(), bytes.Clone(s.PermutationSeed())
	if s.Key() != key || s.PeerID20() != id || !bytes.Equal(s.PermutationSeed(), seed) {
		t.Error("the server's names change")
	}
	if s.PeerID20() == [20]byte{} {
		t.Error("the server has no id")
	}
	if len(s.PermutationSeed()) == 0 {
		t.Error("the server has no permutation seed")
	}
}

func nothing(t *testing.T, s transfer.Server) {
	si := newIndex()
	if infos, err := s.Shares(t.Context(), si); err != nil || len(infos) != 0 {
		t.Errorf("shares: %v, %v", infos, err)
	}
	for _, nums := range [][]int{nil, {3}} {
		if read, err := s.ReadSlot(t.Context(), si, nums, []storage.Range{{Offset: 0, Length: 10}}); err != nil || len(read) != 0 {
			t.Errorf("slot: %v, %v", read, err)
		}
	}
	err := s.Read(t.Context(), si, 0, []storage.Range{{Offset: 0, Length: 1}}, [][]byte{make([]byte, 1)})
	if !errors.Is(err, storage.ErrNotFound) {
		t.Errorf("read: %v", err)
	}
	if err := s.AddLease(t.Context(), si, newSecret(), newSecret()); !errors.Is(err, storage.ErrNotFound) {
		t.Errorf("lease: %v", err)
	}
	for what, err := range map[string]error{
		"write":  s.Write(t.Context(), si, 0, 0, []byte("x")),
		"commit": s.Commit(t.Context(), si, 0),
		"abort":  s.Abort(t.Context(), si, 0),
		"advise": s.Advise(t.Context(), si, 0, "bad"),
	} {
		if err == nil {
			t.Errorf("%s: no error", what)
		}
	}
}

// Three shares at once, in pieces out of order, read back in odd ranges. Nothing is listed before it is complete.
func upload(t *testing.T, s transfer.Server) {
	f := newFile(t, 600_000)
	nums := []int{0, 1, 3}
	f.allocate(t, s, nums...)
	if infos, err := s.Shares(t.Context(), f.si); err != nil || len(infos) != 0 {
		t.Fatalf("shares in progress are listed: %v, %v", infos, err)
	}
	const piece = 70_001
	size := int(f.size())
	for off := size / piece * piece; off >= 0; off -= piece {
		for _, num := range nums {
			data := bytes.Clone(f.shares[num][off:min(off+piece, size)])
			if err := s.Write(t.Context(), f.si, num, uint64(off), data); err != nil {
				t.Fatal(err)
			}
			clear(data) // it is ours again
		}
	}
	for i, num := range nums {
		if err := s.Commit(t.Context(), f.si, num); err != nil {
			t.Fatal(err)
		}
		f.expect(t, s, nums[:i+1]...)
	}

	ranges := []storage.Range{{Offset: 0, Length: 68}, {Offset: 5, Length: 0}, {Offset: f.size() - 1, Length: 1}, {Offset: 70_000, Length: 100_000}, {Offset: 1, Length: 3}}
	dst := make([][]byte, len(ranges))
	for i, r := range ranges {
		dst[i] = make([]byte, r.Length)
	}
	if err := s.Read(t.Context(), f.si, 3, ranges, dst); err != nil {
		t.Fatal(err)
	}
	for i, r := range ranges {
		if !bytes.Equal(dst[i], f.shares[3][r.Offset:r.Offset+r.Length]) {
			t.Errorf("range %d differs", i)
		}
	}
}

// What is complete is not uploaded again, and the rest is.
func uploadAgain(t *testing.T, s transfer.Server) {
	f := newFile(t, 1000)
	f.put(t, s, 2)
	have, allocated, err := s.Allocate(t.Context(), f.si, []int{1, 2}, f.size(), newSecret(), newSecret())
	if err != nil || !same(have, []int{2}) || !same(allocated, []int{1}) {
		t.Fatalf("have %v, allocated %v, %v", have, allocated, err)
	}
	if err := s.Write(t.Context(), f.si, 1, 0, f.shares[1]); err != nil {
		t.Fatal(err)
	}
	if err := s.Commit(t.Context(), f.si, 1); err != nil {
		t.Fatal(err)
	}
	f.expect(t, s, 1, 2)
	if err := s.Commit(t.Context(), f.si, 1); err == nil {
		t.Error("a second commit succeeded")
	}
}

// An upload that was given up leaves nothing, and the share can be uploaded anew.
func uploadAbort(t *testing.T, s transfer.Server) {
	f := newFile(t, 1000)
	f.allocate(t, s, 0, 1)
	if err := s.Write(t.Context(), f.si, 0, 0, random(500)); err != nil {
		t.Fatal(err)
	}
	for _, num := range []int{0, 1} {
		if err := s.Abort(t.Context(), f.si, num); err != nil {
			t.Fatal(err)
		}
	}
	f.expect(t, s)
	f.put(t, s, 0)
	f.expect(t, s, 0)
}

// A share with a missing byte does not become complete.
func uploadIncomplete(t *testing.T, s transfer.Server) {
	f := newFile(t, 1000)
	f.allocate(t, s, 0)
	last := len(f.shares[0]) - 1
	if err := s.Write(t.Context(), f.si, 0, 0, f.shares[0][:last]); err != nil {
		t.Fatal(err)
	}
	if err := s.Commit(t.Context(), f.si, 0); !errors.Is(err, storage.ErrIncomplete) {
		t.Errorf("commit: %v", err)
	}
	f.expect(t, s)
	if err := s.Write(t.Context(), f.si, 0, uint64(last), f.shares[0][last:]); err != nil {
		t.Fatal(err)
	}
	if err := s.Commit(t.Context(), f.si, 0); err != nil {
		t.Fatal(err)
	}
	f.expect(t, s, 0)
}

func uploadBounds(t *testing.T, s transfer.Server) {
	si := newIndex()
	for name, test := range map[string]struct {
		nums []int
		size uint64
	}{
		"no shares":   {nil, 10},
		"share -1":    {[]int{-1}, 10},
		"share 256":   {[]int{0, 256}, 10},
		"share twice": {[]int{3, 3}, 10},
		"no bytes":    {[]int{0}, 0},
		"2^63 bytes":  {[]int{0}, 1 << 63},
	} {
		if have, allocated, err := s.Allocate(t.Context(), si, test.nums, test.size, newSecret(), newSecret()); err == nil {
			t.Errorf("%s: have %v, allocated %v", name, have, allocated)
		}
	}
}

// Several files at once do not meet.
func uploadTogether(t *testing.T, s transfer.Server) {
	var group sync.WaitGroup
	for range 6 {
		f := newFile(t, 50_000)
		group.Go(func() {
			for num := range f.shares {
				have, allocated, err := s.Allocate(t.Context(), f.si, []int{num}, f.size(), f.renew, f.cancel)
				if err == nil && (len(have) != 0 || !same(allocated, []int{num})) {
					err = errors.New("not allocated")
				}
				if err == nil {
					err = s.Write(t.Context(), f.si, num, 0, f.shares[num])
				}
				if err == nil {
					err = s.Commit(t.Context(), f.si, num)
				}
				if err != nil {
					t.Errorf("share %d: %v", num, err)
					return
				}
			}
			f.expect(t, s, 0, 1, 2, 3)
		})
	}
	group.Wait()
}

// More than any one message holds.
func uploadLarge(t *testing.T, s transfer.Server) {
	f := newFile(t, 10<<20)
	f.put(t, s, 1)
	f.expect(t, s, 1)
}

func readBounds(t *testing.T, s transfer.Server) {
	f := newFile(t, 1000)
	f.put(t, s, 0)
	for name, r := range map[string]struct {
		num   int
		at    storage.Range
		bytes int
	}{
		"no share":     {1, storage.Range{Offset: 0, Length: 1}, 1},
		"share -1":     {-1, storage.Range{Offset: 0, Length: 1}, 1},
		"share 256":    {256, storage.Range{Offset: 0, Length: 1}, 1},
		"past the end": {0, storage.Range{Offset: f.size() - 1, Length: 2}, 2},
		"beyond":       {0, storage.Range{Offset: 1 << 40, Length: 1}, 1},
		"near 2^64":    {0, storage.Range{Offset: 1<<64 - 1, Length: 2}, 2},
		"other buffer": {0, storage.Range{Offset: 0, Length: 2}, 1},
	} {
		if err := s.Read(t.Context(), f.si, r.num, []storage.Range{r.at}, [][]byte{make([]byte, r.bytes)}); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	f.expect(t, s, 0)
}

// Leases go on immutable and mutable shares, again and again.
func lease(t *testing.T, s transfer.Server) {
	f := newFile(t, 1000)
	f.put(t, s, 0)
	sl := newSlot(s)
	sl.write(t, set(0, absent(), []byte("first")), set(1, absent(), []byte("second")))
	other, cancel := newSecret(), newSecret()
	for range 2 {
		for _, renew := range [][32]byte{f.renew, other} {
			if err := s.AddLease(t.Context(), f.si, renew, cancel); err != nil {
				t.Error(err)
			}
		}
		for _, renew := range [][32]byte{sl.renew, other, newSecret(), newSecret(), newSecret(), newSecret()} {
			if err := s.AddLease(t.Context(), sl.si, renew, cancel); err != nil {
				t.Error(err)
			}
		}
	}
	f.expect(t, s, 0)
	sl.expect(t, map[int][]byte{0: []byte("first"), 1: []byte("second")})
	sl.write(t, set(0, begins([]byte("first")), bytes.Repeat([]byte("longer"), 100)))
	sl.expect(t, map[int][]byte{0: bytes.Repeat([]byte("longer"), 100), 1: []byte("second")})
}

func advise(t *testing.T, s transfer.Server) {
	f := newFile(t, 1000)
	f.put(t, s, 0)
	if err := s.Advise(t.Context(), f.si, 0, "a hash is \x1b[31mwrong"); err != nil {
		t.Errorf("immutable: %v", err)
	}
	sl := newSlot(s)
	sl.write(t, set(2, absent(), []byte("first")))
	if err := s.Advise(t.Context(), sl.si, 2, "a hash is wrong"); err != nil {
		t.Errorf("mutable: %v", err)
	}
	if err := s.Advise(t.Context(), sl.si, 3, "a hash is wrong"); err == nil {
		t.Error("a share that is not there was reported")
	}
}

// A call whose context ended says so, and the next one works.
func cancelled(t *testing.T, s transfer.Server) {
	f := newFile(t, 1000)
	f.put(t, s, 0)
	sl := newSlot(s)
	sl.write(t, set(0, absent(), []byte("first")))
	gone, stop := context.WithCancel(t.Context())
	stop()
	_, shares := s.Shares(gone, f.si)
	_, slot := s.ReadSlot(gone, sl.si, nil, nil)
	_, write := s.TestWrite(gone, sl.si, storage.TestWrite{
		Enabler: sl.enabler, Renew: sl.renew, Cancel: sl.cancel, Shares: []storage.ShareChange{set(0, begins([]byte("first")), []byte("other"))},
	})
	_, _, allocate := s.Allocate(gone, f.si, []int{1}, f.size(), f.renew, f.cancel)
	for what, err := range map[string]error{
		"shares": shares, "slot": slot, "test-and-write": write, "allocate": allocate,
		"read":  s.Read(gone, f.si, 0, []storage.Range{{Offset: 0, Length: 10}}, [][]byte{make([]byte, 10)}),
		"lease": s.AddLease(gone, f.si, f.renew, f.cancel),
	} {
		if !errors.Is(err, context.Canceled) {
			t.Errorf("%s: %v", what, err)
		}
	}
	f.expect(t, s, 0)
	sl.expect(t, map[int][]byte{0: []byte("first")})
}
