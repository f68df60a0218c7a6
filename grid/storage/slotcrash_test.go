package storage_test

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"golang.org/x/crypto/blake2b"

	"trunkline/caps"
	"trunkline/grid/storage"
)

// slotState is the shares of one slot.
type slotState map[int]string

func (s slotState) equal(o slotState) bool { return maps.Equal(s, o) }

func (s slotState) after(changes []storage.ShareChange) slotState {
	next := maps.Clone(s)
	for _, c := range changes {
		if c.Truncate && c.Length == 0 {
			delete(next, c.Num)
			continue
		}
		data := []byte(next[c.Num])
		for _, w := range c.Writes {
			if grow := int(w.Offset) + len(w.Data) - len(data); grow > 0 {
				data = append(data, make([]byte, grow)...)
			}
			copy(data[w.Offset:], w.Data)
		}
		if c.Truncate && c.Length < uint64(len(data)) {
			data = data[:c.Length]
		}
		next[c.Num] = string(data)
	}
	return next
}

// slotStory is what a slot goes through, and what it may be afterwards: after what was acknowledged one thing, after
// what failed this or that.
type slotStory struct {
	states []slotState
	leases map[caps.Secret]bool // stored renew secrets: whether adding it to every share there is was acknowledged
	err    error                // the first
}

// slotSteps change one share, several at once, take some away, and begin anew.
func slotSteps() [][]storage.ShareChange {
	p := pattern(9000)
	write := func(num, off, n, from int) storage.ShareChange {
		return storage.ShareChange{Num: num, Writes: []storage.Change{{Offset: uint64(off), Data: p[from : from+n]}}}
	}
	cut := func(num, length int) storage.ShareChange {
		return storage.ShareChange{Num: num, Truncate: true, Length: uint64(length)}
	}
	return [][]storage.ShareChange{
		{write(0, 0, 900, 0)},
		{write(0, 100, 300, 1000)},
		{write(1, 0, 700, 2000), write(0, 0, 1200, 3000)},
		{write(0, 5, 10, 4000), write(1, 600, 300, 4100), write(2, 10, 50, 4500)},
		{cut(0, 0)},
		{cut(1, 100), cut(2, 0), write(3, 0, 500, 5000)},
		{cut(1, 0), cut(3, 0)},
		{write(1, 0, 800, 6000), write(4, 0, 10, 7000)},
	}
}

func (st *slotStory) note(err error) bool {
	if err != nil && st.err == nil {
		st.err = err
	}
	return err == nil
}

// newSlotStory begins in a state in which the slot is.
func newSlotStory(states ...slotState) *slotStory {
	st := &slotStory{states: states, leases: map[caps.Secret]bool{blake2b.Sum256(renew[:]): false}}
	for _, more := range []caps.Secret{{9}, {0, 2}, {1, 2}, {2, 2}, {3, 2}, {4, 2}, {5, 2}} {
		st.leases[blake2b.Sum256(more[:])] = false
	}
	return st
}

func (st *slotStory) run(t *testing.T, d *memDisk, clock *clock) {
	t.Helper()
	s, err := storage.TestingOnlyOpen(storage.Config{Now: clock.Now, NodeID: [20]byte{7}}, d)
	if !st.note(err) {
		return
	}
	there, err := slotOf(s)
	if err != nil || !slices.ContainsFunc(st.states, there.equal) {
		t.Fatalf("the slot has shares %v, none of %d states it may be in (%v)", lengths(there), len(st.states), err)
	}
	st.states = []slotState{there}
	for i, changes := range slotSteps() {
		clock.Add(3600e9)
		dark := d.dark()
		r, err := s.TestWrite(index(1), storage.TestWrite{Enabler: [32]byte{5}, Renew: renew, Cancel: cancel, Shares: changes})
		if err == nil && !r.Applied {
			err = errors.New("tests that are none did not hold")
		}
		ok := st.note(err)
		if dark || errors.Is(err, storage.ErrFailed) {
			continue // nothing can have happened
		}
		var next []slotState
		for _, state := range st.states {
			next = append(next, state.after(changes))
		}
		if !ok {
			next = append(next, st.states...)
		}
		st.states = next
		if i == 2 {
			st.note(s.AddLease(index(1), caps.Secret{9}, cancel))
		}
	}
	for i := range byte(6) { // into the slots that are left, then behind them
		more := caps.Secret{i, 2}
		if st.note(s.AddLease(index(1), more, cancel)) {
			st.leases[blake2b.Sum256(more[:])] = true
		}
	}
	st.note(s.AddLease(index(1), renew, cancel))
	st.note(s.Close())
}

// slotOf reads the whole slot.
func slotOf(s *storage.Store) (slotState, error) {
	read, err := s.ReadSlot(index(1), nil, []storage.Range{{Offset: 0, Length: 1 << 30}})
	state := slotState{}
	for num, parts := range read {
		state[num] = string(parts[0])
	}
	return state, err
}

// check opens the store again: the slot is in one of the states it may be in, its leases are what was added, nothing of
// ours is under incoming, and the story goes through from here.
func (st *slotStory) check(t *testing.T, d *memDisk, what string) {
	t.Helper()
	s, err := storage.TestingOnlyOpen(storage.Config{Now: newClock().Now}, d)
	if err != nil {
		t.Fatalf("%s: opening again: %v", what, err)
	}
	got, err := slotOf(s)
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
	for num := range got {
		leases, err := s.Leases(index(1), num)
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		found := make(map[caps.Secret]bool)
		for _, l := range leases {
			if _, ok := st.leases[l.Renew]; !ok || found[l.Renew] || l.Owner != 1 {
				t.Fatalf("%s: share %d has a lease that nobody added", what, num)
			}
			found[l.Renew] = true
		}
		for secret, acked := range st.leases {
			if acked && !found[secret] {
				t.Fatalf("%s: share %d lost a lease", what, num)
			}
		}
	}
	if !slices.ContainsFunc(st.states, got.equal) {
		t.Fatalf("%s: the slot has shares %v, none of %d states it may be in", what, lengths(got), len(st.states))
	}
	for name := range d.files() {
		if strings.HasPrefix(name, "shares/incoming/") && name != foreign {
			t.Fatalf("%s: %s is left", what, name)
		}
		if !strings.HasPrefix(name, "shares/") {
			t.Fatalf("%s: %s came from nowhere", what, name)
		}
	}
	// Whatever is there can be removed, and the story told again.
	for num := range got {
		r, err := s.TestWrite(index(1), storage.TestWrite{Enabler: [32]byte{5}, Shares: []storage.ShareChange{{Num: num, Truncate: true}}})
		if err != nil || !r.Applied {
			t.Fatalf("%s: removing share %d: %v, %v", what, num, r.Applied, err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	again := newSlotStory(slotState{})
	again.run(t, d, newClock())
	if again.err != nil {
		t.Fatalf("%s: the store does not work any more: %v", what, again.err)
	}
}

func lengths(s slotState) map[int]int {
	l := make(map[int]int)
	for num, data := range s {
		l[num] = len(data)
	}
	return l
}

// The power goes before each change of the disk in turn, and each time what was not synced survives in several mixtures:
// of all shares of the slot there is the last version that was acknowledged or the one that was being written, never some
// of both. With and without hard links.
func TestSlotPowerCut(t *testing.T) {
	t.Parallel()
	for _, noLinks := range []bool{false, true} {
		cuts := 0
		for cut := 1; ; cut++ {
			d := newMemDisk()
			d.plant(foreign, []byte("theirs"))
			d.failAt, d.dead, d.noLinks = cut, true, noLinks
			st := newSlotStory(slotState{})
			st.run(t, d, newClock())
			for seed := range uint64(8) {
				after := d.crash(rand.New(rand.NewPCG(uint64(cut), seed)))
				after.noLinks = noLinks
				st.check(t, after, fmt.Sprintf("cut at %d, mixture %d, links %v", cut, seed, !noLinks))
				cuts++
			}
			if st.err == nil {
				break
			}
		}
		if cuts < 800 {
			t.Errorf("only %d cuts: the story got short", cuts)
		}
	}
}

// The power goes again while the store is being opened after a cut.
func TestSlotPowerCutTwice(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(1, 2))
	twice := 0
	for cut := 1; ; cut++ {
		d := newMemDisk()
		d.plant(foreign, []byte("theirs"))
		d.failAt, d.dead = cut, true
		st := newSlotStory(slotState{})
		st.run(t, d, newClock())
		if st.err == nil {
			break
		}
		after := d.crash(rng)
		for second := 1; ; second++ {
			once := after.crash(rng) // a copy: all of it is durable
			once.failAt, once.dead = second, true
			s, err := storage.TestingOnlyOpen(storage.Config{Now: newClock().Now}, once)
			if err == nil {
				_ = s.Close()
				break
			}
			twice++
			st.check(t, once.crash(rng), fmt.Sprintf("cut at %d, then at %d", cut, second))
		}
	}
	if twice < 200 {
		t.Errorf("only %d second cuts", twice)
	}
}

// Each change fails once, refused or done but reported failed, and the process goes on.
func TestSlotDiskFaults(t *testing.T) {
	t.Parallel()
	for _, after := range []bool{false, true} {
		for at := 1; ; at++ {
			d := newMemDisk()
			d.plant(foreign, []byte("theirs"))
			d.failAt, d.after = at, after
			st := newSlotStory(slotState{})
			st.run(t, d, newClock())
			d.failAt = 0
			what := fmt.Sprintf("fault at %d, done=%v", at, after)
			for seed := range uint64(2) { // the power goes some time later
				st.check(t, d.crash(rand.New(rand.NewPCG(uint64(at), seed))), what+", then a cut")
			}
			st.check(t, d, what)
			if d.steps < at {
				break
			}
			if st.err != nil && !errors.Is(st.err, errInjected) {
				t.Errorf("%s: %v hides the cause", what, st.err)
			}
		}
	}
}

// After a cut or a fault the story goes on, from what is there, until the power goes another time: nothing of the first
// comes back over what was acknowledged since.
func TestSlotPowerCutLater(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(3, 4))
	for _, mode := range []string{"cut", "fault", "fault done"} {
		for at := 1; ; at++ {
			d := newMemDisk()
			d.plant(foreign, []byte("theirs"))
			d.failAt, d.dead, d.after = at, mode == "cut", mode == "fault done"
			st := newSlotStory(slotState{})
			if mode == "cut" {
				st.run(t, d, newClock())
				if st.err == nil {
					break
				}
			}
			for range 6 {
				what := fmt.Sprintf("%s at %d", mode, at)
				next, later := st, d
				if mode == "cut" {
					next, later = newSlotStory(st.states...), d.crash(rng)
					later.cutAt = 1 + rng.IntN(60)
				} else {
					later = newMemDisk()
					later.plant(foreign, []byte("theirs"))
					later.failAt, later.after, later.cutAt = at, d.after, at+1+rng.IntN(60)
					next = newSlotStory(slotState{})
				}
				next.run(t, later, newClock())
				next.check(t, later.crash(rng), fmt.Sprintf("%s, then cut at %d", what, later.cutAt))
			}
			if at > 250 {
				break
			}
		}
	}
}

// The disk fills up at each byte of a change: the error says so, the old version is whole, and nothing is left of the new.
func TestSlotDiskFull(t *testing.T) {
	t.Parallel()
	old, data := pattern(400), pattern(900)[500:]
	write := func(s *storage.Store, num int, data []byte) (storage.TestWriteResult, error) {
		return s.TestWrite(index(1), storage.TestWrite{Renew: renew, Shares: []storage.ShareChange{
			{Num: num, Writes: []storage.Change{{Offset: 100, Data: data}}},
		}})
	}
	for free := 0; ; free += 7 {
		d := newMemDisk()
		s, err := storage.TestingOnlyOpen(storage.Config{Now: newClock().Now}, d)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := write(s, 0, old); err != nil {
			t.Fatal(err)
		}
		before := d.files()
		d.free = free
		_, err = write(s, 0, data)
		if err == nil {
			if free < len(data) {
				t.Fatalf("it fit in %d bytes", free)
			}
			break
		}
		if !errors.Is(err, storage.ErrNoSpace) {
			t.Fatalf("%d bytes free: %v", free, err)
		}
		if !maps.EqualFunc(before, d.files(), bytes.Equal) {
			t.Fatalf("%d bytes free: files changed", free)
		}
		if n, promised := s.TestingOnlyStaged(); n != 0 || promised != 0 {
			t.Fatalf("%d bytes free: %d files, %d bytes promised", free, n, promised)
		}
		d.free = -1
		if r, err := write(s, 0, data); err != nil || !r.Applied {
			t.Fatalf("with room again: %v, %v", r.Applied, err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
