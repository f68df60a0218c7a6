package servertest

import (
	"bytes"
	"encoding/binary"
	"errors"
	"sync"
	"sync/atomic"
	"testing"

	"trunkline/grid/storage"
	"trunkline/grid/transfer"
)

func slotCreate(t *testing.T, s transfer.Server) {
	sl := newSlot(s)
	data := random(5000)
	given := bytes.Clone(data)
	sl.write(t, set(7, absent(), given), set(0, absent(), []byte("small")))
	clear(given) // it is ours again
	want := map[int][]byte{0: []byte("small"), 7: data}
	sl.expect(t, want)

	// Whoever believes that there is none is told what there is.
	r, err := sl.try(t, []storage.Range{{Offset: 0, Length: 3}}, set(7, absent(), random(10)))
	if err != nil || r.Applied {
		t.Fatalf("a second creation: %v, %v", r.Applied, err)
	}
	if len(r.Read) != 2 || !bytes.Equal(r.Read[7][0], data[:3]) || string(r.Read[0][0]) != "sma" {
		t.Errorf("read %v", r.Read)
	}
	sl.expect(t, want)
	sl.write(t, set(1, absent(), []byte("one more")))
	want[1] = []byte("one more")
	sl.expect(t, want)

	infos, err := s.Shares(t.Context(), sl.si)
	if err == nil && len(infos) != 0 {
		t.Errorf("mutable shares are listed as immutable: %v", infos)
	}
}

func slotRead(t *testing.T, s transfer.Server) {
	sl := newSlot(s)
	data := random(1000)
	sl.write(t, set(3, absent(), data), set(5, absent(), []byte("five")))
	ranges := []storage.Range{
		{Offset: 0, Length: 10},
		{Offset: 990, Length: 100},
		{Offset: 1000, Length: 5},
		{Offset: 5000, Length: 5},
		{Offset: 7, Length: 0},
		{Offset: 2, Length: 1 << 40},
		{Offset: 0, Length: 10},
	}
	want := map[int][][]byte{
		3: {data[:10], data[990:], nil, nil, nil, data[2:], data[:10]},
		5: {[]byte("five"), nil, nil, nil, nil, []byte("ve"), []byte("five")},
	}
	for name, test := range map[string]struct{ nums, want []int }{
		"all":     {nil, []int{3, 5}},
		"one":     {[]int{3}, []int{3}},
		"two":     {[]int{5, 3}, []int{3, 5}},
		"missing": {[]int{4, 5}, []int{5}},
		"none":    {[]int{0, 255}, nil},
	} {
		got, err := s.ReadSlot(t.Context(), sl.si, test.nums, ranges)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if len(got) != len(test.want) {
			t.Errorf("%s: %d shares", name, len(got))
		}
		for _, num := range test.want {
			if len(got[num]) != len(ranges) {
				t.Fatalf("%s: share %d: %d ranges", name, num, len(got[num]))
			}
			for i, part := range got[num] {
				if !bytes.Equal(part, want[num][i]) {
					t.Errorf("%s: share %d: range %d differs", name, num, i)
				}
			}
		}
	}
	got, err := s.ReadSlot(t.Context(), sl.si, nil, nil)
	if _, ok := got[3]; err != nil || len(got) != 2 || !ok {
		t.Errorf("which shares there are: %v, %v", got, err)
	}
}

// As many shares as a slot can have.
func slotReadMany(t *testing.T, s transfer.Server) {
	sl := newSlot(s)
	var changes []storage.ShareChange
	for num := range 256 {
		changes = append(changes, set(num, absent(), number(uint64(num))))
	}
	sl.write(t, changes...)
	got, err := s.ReadSlot(t.Context(), sl.si, nil, []storage.Range{{Offset: 0, Length: 100}})
	if err != nil || len(got) != 256 {
		t.Fatalf("%d shares, %v", len(got), err)
	}
	for num, parts := range got {
		if !bytes.Equal(parts[0], number(uint64(num))) {
			t.Errorf("share %d differs", num)
		}
	}
}

// Writes happen in their order, later ones over earlier ones.
func slotOverwrite(t *testing.T, s transfer.Server) {
	sl := newSlot(s)
	data := random(100_000)
	sl.write(t, set(0, absent(), data))
	sl.write(t, storage.ShareChange{Num: 0, Tests: begins(data[:57]), Writes: []storage.Change{
		{Offset: 0, Data: []byte("aaaaaaaa")},
		{Offset: 50_000, Data: []byte("middle")},
		{Offset: 2, Data: []byte("bb")},
		{Offset: 99_999, Data: []byte("end")},
		{Offset: 50_003, Data: []byte("DLE")},
	}})
	want := bytes.Clone(data)
	copy(want, "aabbaaaa")
	copy(want[50_000:], "midDLE")
	want = append(want[:99_999], "end"...)
	sl.expect(t, map[int][]byte{0: want})
	sl.refused(t, set(0, begins(data[:57]), []byte("late")))
	sl.write(t, set(0, nil, []byte("without a test")))
	copy(want, "without a test")
	sl.expect(t, map[int][]byte{0: want})
}

// Tests compare what is there, cut at the end; all of them must hold.
func slotTests(t *testing.T, s transfer.Server) {
	sl := newSlot(s)
	data := []byte("0123456789")
	sl.write(t, set(4, absent(), data))
	for name, test := range map[string]struct {
		tests []storage.Test
		holds bool
	}{
		"whole":             {[]storage.Test{{Offset: 0, Size: 10, Specimen: data}}, true},
		"cut at the end":    {[]storage.Test{{Offset: 8, Size: 100, Specimen: []byte("89")}}, true},
		"beyond the end":    {[]storage.Test{{Offset: 50, Size: 3}}, true},
		"at the end":        {[]storage.Test{{Offset: 10, Size: 1}}, true},
		"nothing anywhere":  {[]storage.Test{{Offset: 3, Size: 0}}, true},
		"several":           {[]storage.Test{{Offset: 0, Size: 1, Specimen: []byte("0")}, {Offset: 9, Size: 1, Specimen: []byte("9")}}, true},
		"other bytes":       {[]storage.Test{{Offset: 0, Size: 3, Specimen: []byte("0x2")}}, false},
		"shorter":           {[]storage.Test{{Offset: 0, Size: 3, Specimen: []byte("01")}}, false},
		"longer":            {[]storage.Test{{Offset: 0, Size: 2, Specimen: []byte("012")}}, false},
		"longer at the end": {[]storage.Test{{Offset: 8, Size: 3, Specimen: []byte("89\x00")}}, false},
		"not there":         {absent(), false},
		"one of several":    {[]storage.Test{{Offset: 0, Size: 1, Specimen: []byte("0")}, {Offset: 9, Size: 1, Specimen: []byte("8")}}, false},
	} {
		r, err := sl.try(t, nil, set(4, test.tests, data))
		if err != nil || r.Applied != test.holds {
			t.Errorf("%s: applied %v, %v", name, r.Applied, err)
		}
	}
	sl.expect(t, map[int][]byte{4: data})
	sl.refused(t, set(5, begins([]byte("x")), data))
	sl.expect(t, map[int][]byte{4: data})
}

// One test that does not hold, of whatever share, keeps all shares as they were.
func slotAllOrNothing(t *testing.T, s transfer.Server) {
	sl := newSlot(s)
	want := map[int][]byte{0: []byte("zero"), 1: []byte("one"), 2: []byte("two")}
	sl.write(t, set(0, absent(), want[0]), set(1, absent(), want[1]), set(2, absent(), want[2]))
	for wrong := range 3 {
		var changes []storage.ShareChange
		for num := range 3 {
			tests := begins(want[num])
			if num == wrong {
				tests = begins([]byte("no"))
			}
			changes = append(changes, set(num, tests, []byte("changed")))
		}
		sl.refused(t, append(changes, set(3, absent(), []byte("new")))...)
		sl.expect(t, want)
	}
	sl.refused(t,
		storage.ShareChange{Num: 0, Truncate: true},
		storage.ShareChange{Num: 1, Truncate: true, Length: 1},
		set(2, absent(), []byte("changed")))
	sl.expect(t, want)
	sl.write(t, set(0, begins(want[0]), []byte("ZERO")), set(1, begins(want[1]), []byte("ONE")))
	sl.expect(t, map[int][]byte{0: []byte("ZERO"), 1: []byte("ONE"), 2: []byte("two")})
}

// What is read with a change is what stood there before, on every share, mentioned or not.
func slotReadsFirst(t *testing.T, s transfer.Server) {
	sl := newSlot(s)
	sl.write(t, set(0, absent(), []byte("zero")), set(9, absent(), []byte("nine")))
	for _, tests := range [][]storage.Test{begins([]byte("no")), begins([]byte("zero"))} {
		r, err := sl.try(t, []storage.Range{{Offset: 0, Length: 2}, {Offset: 3, Length: 100}, {Offset: 80, Length: 1}},
			set(0, tests, []byte("changed")), set(1, absent(), []byte("new")))
		if err != nil {
			t.Fatal(err)
		}
		if len(r.Read) != 2 {
			t.Fatalf("read %d shares", len(r.Read))
		}
		for num, want := range map[int][]string{0: {"ze", "o", ""}, 9: {"ni", "e", ""}} {
			if len(r.Read[num]) != len(want) {
				t.Fatalf("share %d: %d ranges", num, len(r.Read[num]))
			}
			for i, part := range r.Read[num] {
				if string(part) != want[i] {
					t.Errorf("share %d: range %d is %q", num, i, part)
				}
			}
		}
	}
	sl.expect(t, map[int][]byte{0: []byte("changed"), 1: []byte("new"), 9: []byte("nine")})
}

// A write never shortens, a gap is zeros, a length cuts, a greater one does not.
func slotGrowAndShrink(t *testing.T, s transfer.Server) {
	sl := newSlot(s)
	data := random(2000)
	sl.write(t, set(0, absent(), data))
	sl.write(t, set(0, nil, []byte("short")))
	copy(data, "short")
	sl.expect(t, map[int][]byte{0: data})

	sl.write(t, storage.ShareChange{Num: 0, Truncate: true, Length: 700})
	sl.expect(t, map[int][]byte{0: data[:700]})
	sl.write(t, storage.ShareChange{Num: 0, Truncate: true, Length: 5000})
	sl.expect(t, map[int][]byte{0: data[:700]})

	// What was cut off does not come back.
	sl.write(t, storage.ShareChange{Num: 0, Writes: []storage.Change{{Offset: 1500, Data: []byte("far")}}})
	want := append(bytes.Clone(data[:700]), make([]byte, 800)...)
	want = append(want, "far"...)
	sl.expect(t, map[int][]byte{0: want})

	// The length counts after the writes.
	sl.write(t, storage.ShareChange{Num: 0, Writes: []storage.Change{{Offset: 0, Data: random(3000)}, {Offset: 0, Data: []byte("kept")}}, Truncate: true, Length: 4})
	sl.expect(t, map[int][]byte{0: []byte("kept")})
	sl.write(t, storage.ShareChange{Num: 8, Tests: absent(), Writes: []storage.Change{{Offset: 3, Data: []byte("gap")}}})
	sl.expect(t, map[int][]byte{0: []byte("kept"), 8: []byte("\x00\x00\x00gap")})
}

func slotRemove(t *testing.T, s transfer.Server) {
	sl := newSlot(s)
	sl.write(t, set(0, absent(), []byte("zero")), set(1, absent(), []byte("one")))
	sl.write(t, storage.ShareChange{Num: 0, Tests: begins([]byte("zero")), Truncate: true})
	sl.expect(t, map[int][]byte{1: []byte("one")})
	sl.write(t, storage.ShareChange{Num: 1, Truncate: true}, storage.ShareChange{Num: 2, Truncate: true})
	sl.expect(t, nil)
	// The place is free for another writer.
	sl.enabler = newSecret()
	sl.write(t, set(1, absent(), []byte("again")))
	sl.expect(t, map[int][]byte{1: []byte("again")})
}

// Nobody else writes, whatever their tests are, not even shares that are not there yet.
func slotEnabler(t *testing.T, s transfer.Server) {
	sl := newSlot(s)
	want := map[int][]byte{0: []byte("mine")}
	sl.write(t, set(0, absent(), want[0]))
	other := sl
	other.enabler = newSecret()
	for name, change := range map[string]storage.ShareChange{
		"overwrite": set(0, begins([]byte("mine")), []byte("theirs")),
		"test":      set(0, absent(), []byte("theirs")),
		"add":       set(1, absent(), []byte("theirs")),
		"remove":    {Num: 0, Truncate: true},
	} {
		if _, err := other.try(t, nil, change); !errors.Is(err, storage.ErrEnabler) {
			t.Errorf("%s: %v", name, err)
		}
	}
	sl.expect(t, want)
}

func slotBounds(t *testing.T, s transfer.Server) {
	sl := newSlot(s)
	tests := make([]storage.Test, storage.MaxSlotTests+1)
	for name, changes := range map[string][]storage.ShareChange{
		"no shares":      nil,
		"share -1":       {set(-1, nil, []byte("x"))},
		"share 256":      {set(256, nil, []byte("x"))},
		"share twice":    {set(3, nil, []byte("x")), set(3, nil, []byte("y"))},
		"many tests":     {set(3, tests, []byte("x"))},
		"long specimen":  {set(3, begins(random(storage.MaxSpecimenBytes+1)), []byte("x"))},
		"offset of 2^63": {{Num: 3, Writes: []storage.Change{{Offset: 1 << 63, Data: []byte("x")}}}},
		"offset of 2^64": {{Num: 3, Writes: []storage.Change{{Offset: 1<<64 - 1, Data: []byte("x")}}}},
	} {
		if r, err := sl.try(t, nil, changes...); err == nil {
			t.Errorf("%s: applied %v", name, r.Applied)
		}
	}
	if _, err := sl.try(t, make([]storage.Range, storage.MaxSlotTests+1), set(0, nil, []byte("x"))); err == nil {
		t.Error("many ranges: no error")
	}
	for name, test := range map[string]struct {
		nums   []int
		ranges []storage.Range
	}{
		"share -1":    {[]int{-1}, nil},
		"share 256":   {[]int{256}, nil},
		"share twice": {[]int{1, 1}, nil},
		"many ranges": {nil, make([]storage.Range, storage.MaxRanges+1)},
		"offset 2^64": {nil, []storage.Range{{Offset: 1<<64 - 1, Length: 1}}},
	} {
		if _, err := s.ReadSlot(t.Context(), sl.si, test.nums, test.ranges); err == nil {
			t.Errorf("reading %s: no error", name)
		}
	}
	sl.expect(t, nil)
}

// A share of several MiB, whole and in pieces.
func slotLarge(t *testing.T, s transfer.Server) {
	sl := newSlot(s)
	data := random(6<<20 + 11)
	sl.write(t, set(0, absent(), data), set(1, absent(), data[:3<<20]))
	sl.expect(t, map[int][]byte{0: data, 1: data[:3<<20]})
	var writes []storage.Change
	for off := 0; off < len(data); off += 128 << 10 {
		piece := random(min(1000, len(data)-off))
		copy(data[off:], piece)
		writes = append(writes, storage.Change{Offset: uint64(off), Data: piece})
	}
	sl.write(t, storage.ShareChange{Num: 0, Writes: writes})
	got, err := s.ReadSlot(t.Context(), sl.si, []int{0}, []storage.Range{{Offset: 0, Length: 5 << 20}, {Offset: 5 << 20, Length: 5 << 20}})
	if err != nil || !bytes.Equal(append(got[0][0], got[0][1]...), data) {
		t.Fatalf("the share differs (%v)", err)
	}
}

// Of writers who all test what they have read, one succeeds for each state, and none is lost.
func slotRace(t *testing.T, s transfer.Server) {
	sl := newSlot(s)
	sl.write(t, set(0, absent(), number(0)))
	const writers, each = 4, 10
	var applied atomic.Uint64
	var group sync.WaitGroup
	for range writers {
		group.Go(func() {
			for done := 0; done < each; {
				read, err := s.ReadSlot(t.Context(), sl.si, []int{0}, []storage.Range{{Offset: 0, Length: 8}})
				if err != nil {
					t.Error(err)
					return
				}
				was := read[0][0]
				r, err := sl.try(t, nil, set(0, begins(was), number(binary.BigEndian.Uint64(was)+1)))
				if err != nil {
					t.Error(err)
					return
				}
				if r.Applied {
					applied.Add(1)
					done++
				}
			}
		})
	}
	group.Wait()
	if applied.Load() == writers*each {
		sl.expect(t, map[int][]byte{0: number(writers * each)})
	}
}

// A reader never sees a part of one version and a part of another.
func slotWholeVersions(t *testing.T, s transfer.Server) {
	sl := newSlot(s)
	const size = 40_000
	version := func(i int) []byte { return bytes.Repeat([]byte{byte(i)}, size) }
	sl.write(t, set(0, absent(), version(0)))
	stop := make(chan struct{})
	var group sync.WaitGroup
	group.Go(func() {
		defer close(stop)
		for i := 1; i < 40; i++ {
			if r, err := sl.try(t, nil, set(0, nil, version(i))); err != nil || !r.Applied {
				t.Errorf("write %d: %v, %v", i, r.Applied, err)
				return
			}
		}
	})
	for range 2 {
		group.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				read, err := s.ReadSlot(t.Context(), sl.si, nil, []storage.Range{{Offset: 0, Length: size}})
				if err != nil {
					t.Error(err)
					return
				}
				if len(read[0]) != 1 || len(read[0][0]) != size || bytes.Count(read[0][0], read[0][0][:1]) != size {
					t.Error("a mixture of versions was read")
					return
				}
			}
		})
	}
	group.Wait()
}

// A storage index has shares of one sort.
func slotAndImmutable(t *testing.T, s transfer.Server) {
	sl := newSlot(s)
	sl.write(t, set(0, absent(), []byte("mutable")))
	if have, allocated, err := s.Allocate(t.Context(), sl.si, []int{0, 1}, 100, newSecret(), newSecret()); err == nil {
		t.Errorf("immutable shares in a slot: have %v, allocated %v", have, allocated)
	}
	if err := s.Read(t.Context(), sl.si, 0, []storage.Range{{Offset: 0, Length: 1}}, [][]byte{make([]byte, 1)}); err == nil {
		t.Error("a mutable share was read as an immutable one")
	}
	sl.expect(t, map[int][]byte{0: []byte("mutable")})

	f := newFile(t, 1000)
	f.put(t, s, 0)
	other := sl
	other.si = f.si
	if r, err := other.try(t, nil, set(0, absent(), []byte("mutable"))); err == nil && r.Applied {
		t.Error("an immutable share was written to")
	}
	if read, err := s.ReadSlot(t.Context(), f.si, nil, nil); err == nil && len(read) > 0 {
		t.Error("an immutable share is listed as a mutable one")
	}
	f.expect(t, s, 0)
}
