// Package servertest holds whatever claims to be a transfer.Server to what that interface promises.
package servertest

import (
	"bytes"
	"crypto/rand"
	"encoding/binary"
	"slices"
	"testing"

	"trunkline/caps"
	"trunkline/grid/chk"
	"trunkline/grid/storage"
	"trunkline/grid/transfer"
)

// Run runs the suite. open is called once for each test and gives a server that takes shares; it may be the same one each
// time, with shares of others in it: every test works on storage indexes of its own, taken at random. The tests run in
// parallel.
//
// Errors that callers branch on are compared; of all others it is asked only that they come.
func Run(t *testing.T, open func(t *testing.T) transfer.Server) {
	for name, test := range map[string]func(t *testing.T, s transfer.Server){
		"identity":             identity,
		"nothing":              nothing,
		"upload":               upload,
		"upload_again":         uploadAgain,
		"upload_abort":         uploadAbort,
		"upload_incomplete":    uploadIncomplete,
		"upload_bounds":        uploadBounds,
		"upload_together":      uploadTogether,
		"upload_large":         uploadLarge,
		"read_bounds":          readBounds,
		"lease":                lease,
		"advise":               advise,
		"cancelled":            cancelled,
		"slot_create":          slotCreate,
		"slot_read":            slotRead,
		"slot_read_many":       slotReadMany,
		"slot_overwrite":       slotOverwrite,
		"slot_tests":           slotTests,
		"slot_all_or_nothing":  slotAllOrNothing,
		"slot_reads_first":     slotReadsFirst,
		"slot_grow_and_shrink": slotGrowAndShrink,
		"slot_remove":          slotRemove,
		"slot_enabler":         slotEnabler,
		"slot_bounds":          slotBounds,
		"slot_large":           slotLarge,
		"slot_race":            slotRace,
		"slot_whole_versions":  slotWholeVersions,
		"slot_and_immutable":   slotAndImmutable,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, open(t))
		})
	}
}

// random is n bytes that nobody has seen.
func random(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.Read(b) // it never fails
	return b
}

// newIndex is a storage index of one test.
func newIndex() caps.StorageIndex { return caps.StorageIndex(random(len(caps.StorageIndex{}))) }

// newSecret is a lease secret or write enabler.
func newSecret() [32]byte { return [32]byte(random(32)) }

// file is the shares of one immutable file: real ones, since some servers look into them.
type file struct {
	si            caps.StorageIndex
	shares        [][]byte
	renew, cancel [32]byte
}

// newFile encodes size random bytes, two of four shares needed.
func newFile(t *testing.T, size int) file {
	t.Helper()
	g, err := chk.NewGeometry(uint64(size), 2, 4, 128<<10)
	if err != nil {
		t.Fatal(err)
	}
	key := caps.NewReadKey([16]byte(random(16)))
	e, err := chk.NewEncoder(chk.EncoderConfig{Geometry: g, Key: key})
	if err != nil {
		t.Fatal(err)
	}
	plain := bytes.NewReader(random(size))
	f := file{si: key.StorageIndex(), shares: make([][]byte, g.N), renew: newSecret(), cancel: newSecret()}
	for i := range f.shares {
		f.shares[i] = bytes.Clone(e.Header())
	}
	for seg := range g.Segments {
		blocks, err := e.EncodeFrom(seg, plain)
		if err != nil {
			t.Fatal(err)
		}
		for i := range f.shares {
			f.shares[i] = append(f.shares[i], blocks.Data[i]...)
		}
		blocks.Release()
	}
	encoded, err := e.Finish()
	if err != nil {
		t.Fatal(err)
	}
	for i := range f.shares {
		f.shares[i] = append(f.shares[i], encoded.Trailer(i)...)
	}
	return f
}

func (f file) size() uint64 { return uint64(len(f.shares[0])) }

// allocate opens uploads and expects them all.
func (f file) allocate(t *testing.T, s transfer.Server, nums ...int) {
	t.Helper()
	have, allocated, err := s.Allocate(t.Context(), f.si, nums, f.size(), f.renew, f.cancel)
	if err != nil {
		t.Fatal(err)
	}
	if len(have) != 0 || !same(allocated, nums) {
		t.Fatalf("allocating %v: have %v, allocated %v", nums, have, allocated)
	}
}

// put uploads one share.
func (f file) put(t *testing.T, s transfer.Server, num int) {
	t.Helper()
	f.allocate(t, s, num)
	if err := s.Write(t.Context(), f.si, num, 0, f.shares[num]); err != nil {
		t.Fatal(err)
	}
	if err := s.Commit(t.Context(), f.si, num); err != nil {
		t.Fatal(err)
	}
}

// expect holds what the server has against the shares nums.
func (f file) expect(t *testing.T, s transfer.Server, nums ...int) {
	t.Helper()
	infos, err := s.Shares(t.Context(), f.si)
	if err != nil {
		t.Fatal(err)
	}
	got := make([]int, len(infos))
	for i, info := range infos {
		got[i] = info.Num
		if info.Size != f.size() {
			t.Errorf("share %d has %d bytes, not %d", info.Num, info.Size, f.size())
		}
	}
	if !same(got, nums) {
		t.Fatalf("shares %v, want %v", got, nums)
	}
	for _, num := range nums {
		whole := make([]byte, f.size())
		if err := s.Read(t.Context(), f.si, num, []storage.Range{{Offset: 0, Length: f.size()}}, [][]byte{whole}); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(whole, f.shares[num]) {
			t.Fatalf("share %d is not what was written", num)
		}
	}
}

// same compares sets of numbers.
func same(a, b []int) bool {
	a, b = slices.Clone(a), slices.Clone(b)
	slices.Sort(a)
	slices.Sort(b)
	return slices.Equal(a, b)
}

// slot is one mutable file on a server.
type slot struct {
	s                      transfer.Server
	si                     caps.StorageIndex
	enabler, renew, cancel [32]byte
}

func newSlot(s transfer.Server) slot {
	return slot{s, newIndex(), newSecret(), newSecret(), newSecret()}
}

// try sends a change.
func (sl slot) try(t *testing.T, reads []storage.Range, changes ...storage.ShareChange) (storage.TestWriteResult, error) {
	t.Helper()
	return sl.s.TestWrite(t.Context(), sl.si, storage.TestWrite{
		Enabler: sl.enabler, Renew: sl.renew, Cancel: sl.cancel, Shares: changes, Reads: reads,
	})
}

// write sends a change that must be applied.
func (sl slot) write(t *testing.T, changes ...storage.ShareChange) {
	t.Helper()
	r, err := sl.try(t, nil, changes...)
	if err != nil {
		t.Fatal(err)
	}
	if !r.Applied {
		t.Fatal("the change was not applied")
	}
}

// refused sends a change whose tests must not hold.
func (sl slot) refused(t *testing.T, changes ...storage.ShareChange) {
	t.Helper()
	r, err := sl.try(t, nil, changes...)
	if err != nil {
		t.Fatal(err)
	}
	if r.Applied {
		t.Fatal("the change was applied though a test did not hold")
	}
}

// expect holds the slot against what it should have.
func (sl slot) expect(t *testing.T, want map[int][]byte) {
	t.Helper()
	got, err := sl.s.ReadSlot(t.Context(), sl.si, nil, []storage.Range{{Offset: 0, Length: 16 << 20}})
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != len(want) {
		t.Fatalf("%d shares, want %d", len(got), len(want))
	}
	for num, data := range want {
		if len(got[num]) != 1 || !bytes.Equal(got[num][0], data) {
			t.Fatalf("share %d is not what it should be", num)
		}
	}
}

// absent tests that there is no such share.
func absent() []storage.Test { return []storage.Test{{Offset: 0, Size: 1}} }

// begins tests what a share begins with.
func begins(with []byte) []storage.Test {
	return []storage.Test{{Offset: 0, Size: uint64(len(with)), Specimen: with}}
}

// set makes a share's first bytes data.
func set(num int, tests []storage.Test, data []byte) storage.ShareChange {
	return storage.ShareChange{Num: num, Tests: tests, Writes: []storage.Change{{Offset: 0, Data: data}}}
}

func number(n uint64) []byte { return binary.BigEndian.AppendUint64(nil, n) }
