package transfer_test

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"trunkline/caps"
	"trunkline/grid/storage"
	"trunkline/grid/transfer"
	"trunkline/grid/transfer/gridtest"
)

func repair(t testing.TB, servers []*gridtest.Server, st stored, happy int) (transfer.RepairResult, error) {
	t.Helper()
	return transfer.Repair(t.Context(), transfer.Config{Servers: all(servers)},
		transfer.UploadConfig{Servers: all(servers), Happy: happy, MaxSegment: 12345, Secret: []byte("another"), CommitTimeout: 20 * time.Second},
		st.v, transfer.CheckOptions{Verify: true})
}

// sameShares checks that what the servers have is what was uploaded, byte for
// byte, but for the shares named by server and number.
func sameShares(t testing.TB, servers []*gridtest.Server, st stored, but map[int]int) {
	t.Helper()
	for i, s := range servers {
		for _, num := range s.Held(st.v.StorageIndex) {
			if bad, ok := but[i]; ok && bad == num {
				continue
			}
			if !bytes.Equal(s.Share(st.v.StorageIndex, num), st.shares[num]) {
				t.Errorf("share %d on server %d is another than was uploaded", num, i)
			}
		}
	}
}

// Shares that are gone come back as they were, from a verify cap alone.
func TestRepair(t *testing.T) {
	t.Parallel()
	small := store(t, plaintext(700), 300)
	large := store(t, plaintext(3_000_000), 1<<19)
	for _, c := range []struct {
		name    string
		servers int
		drop    []int
		spoil   map[int]int // server, which has the share of its own number, by byte
		ro      []int       // servers that take nothing
		happy   int
		made    int // shares stored
		after   int // happiness
		unhappy bool
		healthy bool // afterwards
	}{
		{name: "nothing to do", servers: 10, happy: 7, after: 10, healthy: true},
		{name: "one gone", servers: 10, drop: []int{4}, happy: 7, made: 1, after: 10, healthy: true},
		{name: "seven gone", servers: 10, drop: []int{0, 1, 2, 3, 4, 5, 6}, happy: 10, made: 7, after: 10, healthy: true},
		{name: "six gone, others have room", servers: 12, drop: []int{3, 4, 5, 7, 8, 9}, happy: 7, made: 6, after: 10, healthy: true},
		{name: "one corrupt", servers: 10, spoil: map[int]int{2: 100}, happy: 7, made: 1, after: 9},
		{name: "one corrupt, others have room", servers: 12, spoil: map[int]int{2: 100}, happy: 10, made: 1, after: 10},
		{name: "three corrupt and four gone", servers: 14, drop: []int{0, 1, 2, 3}, spoil: map[int]int{4: 0, 5: 50, 6: 60}, happy: 10, made: 7, after: 10},
		{name: "on three servers", servers: 3, drop: []int{1}, happy: 3, after: 3, healthy: true},
		{name: "too few take shares", servers: 10, drop: []int{0, 1, 2, 3, 4, 5}, ro: []int{0, 1, 2, 3, 4}, happy: 7, made: 6, after: 5, unhappy: true, healthy: true},
		{name: "none takes shares", servers: 10, drop: []int{0, 1, 2, 3, 4, 5}, ro: []int{0, 1, 2, 3, 4, 5, 6, 7, 8, 9}, happy: 7, after: 4, unhappy: true},
		{name: "none takes shares but enough are there", servers: 10, drop: []int{0}, ro: []int{0, 1, 2, 3, 4, 5, 6, 7, 8, 9}, happy: 7, after: 9},
	} {
		for size, st := range map[string]stored{"small": small, "large": large} {
			t.Run(c.name+"-"+size, func(t *testing.T) {
				t.Parallel()
				servers := gridtest.New(c.servers)
				here, made := 0, c.made
				for i, s := range servers {
					if i < 10 && !slices.Contains(c.drop, i) {
						s.Put(st.v.StorageIndex, i, st.shares[i])
						here++
					}
					if slices.Contains(c.ro, i) {
						s.Set(gridtest.Faults{ReadOnly: true})
					}
				}
				if c.servers < 4 { // all else is on the first
					for i := c.servers; i < 5; i++ {
						servers[0].Put(st.v.StorageIndex, i, st.shares[i])
						here++
					}
					made = 10 - here
				}
				for i, at := range c.spoil {
					servers[i].Put(st.v.StorageIndex, i, flip(st.shares[i], at, 3))
				}
				r, err := repair(t, servers, st, c.happy)
				if c.unhappy {
					var u *transfer.UnhappyError
					if !errors.As(err, &u) || u.Placed != c.after || u.Wanted != c.happy {
						t.Fatalf("%v", err)
					}
				} else if err != nil {
					t.Fatal(err)
				}
				if want := here - len(c.spoil); len(r.Before.Good) != want || len(r.Before.Corrupt) != len(c.spoil) {
					t.Errorf("before: %d good, want %d, corrupt %v", len(r.Before.Good), want, r.Before.Corrupt)
				}
				if got := len(r.After.Good) - len(r.Before.Good); got != made || r.After.Happiness != c.after {
					t.Errorf("%d shares made, happiness %d", got, r.After.Happiness)
				}
				if r.After.Healthy() != c.healthy {
					t.Errorf("after: %s", r.After.Summary())
				}
				sameShares(t, servers, st, spoiled(c.spoil))
				noneOpen(t, servers)
				// What a new check says is what the repair said.
				again := check(t, servers, st.v, transfer.CheckOptions{Verify: true})
				if fmt.Sprint(again.Good) != fmt.Sprint(r.After.Good) || again.Happiness != r.After.Happiness {
					t.Errorf("after: %v\nchecked again: %v", r.After.Good, again.Good)
				}
				if len(again.Good) == 10 {
					r, err := repair(t, servers, st, 1)
					if err != nil || r.Upload.Placement != nil {
						t.Errorf("repaired again: %v, %v", err, r.Upload)
					}
				}
			})
		}
	}
}

func spoiled(at map[int]int) map[int]int {
	m := make(map[int]int)
	for i := range at {
		m[i] = i
	}
	return m
}

// Shares on servers that take none are read and counted, and new ones go to
// others: as in a grid of which some servers may not be written to.
func TestRepairOntoOtherServers(t *testing.T) {
	t.Parallel()
	st := store(t, plaintext(700), 300)
	for _, asked := range []bool{false, true} {
		old, fresh := st.serve(0, 1, 2, 3), gridtest.New(20)[10:]
		read := transfer.Config{Servers: all(old)}
		if asked {
			read.Servers = append(read.Servers, all(fresh)...)
		}
		r, err := transfer.Repair(t.Context(), read,
			transfer.UploadConfig{Servers: all(fresh), Happy: 7, LeaseSecret: [32]byte{3}}, st.v, transfer.CheckOptions{})
		if err != nil || r.After.Happiness != 10 {
			t.Fatalf("%v, happiness %d", err, r.After.Happiness)
		}
		for i, s := range old {
			if n := len(s.Held(st.v.StorageIndex)); n != 1 {
				t.Errorf("old server %d has %d shares", i, n)
			}
			if s.Counts().Leases != 1 {
				t.Errorf("old server %d: the lease was not renewed", i)
			}
		}
		sameShares(t, append(old, fresh...), st, nil)
	}
}

// Without k good shares nothing can be done, and the error says what is there.
func TestRepairOfTheUnrecoverable(t *testing.T) {
	t.Parallel()
	st := store(t, plaintext(700), 300)
	servers := st.serve(0, 1, 2)
	servers[1].Put(st.v.StorageIndex, 1, flip(st.shares[1], 200, 1))
	servers = append(servers, gridtest.NewServer(5))
	servers[3].Set(gridtest.Faults{Down: gridtest.ErrDown})
	r, err := repair(t, servers, st, 3)
	var few *transfer.NotEnoughSharesError
	if !errors.As(err, &few) || few.Found != 2 || few.Need != 3 || few.Asked != 4 || len(few.Blamed) != 2 {
		t.Errorf("%v", err)
	}
	if len(r.Before.Good) != 2 || len(r.Before.Corrupt) != 1 {
		t.Errorf("%+v", r.Before)
	}
	sameShares(t, servers, st, map[int]int{1: 1})
}

// A file that its uploader made of two is not made worse.
func TestRepairOfTwoFilesUnderOneUEB(t *testing.T) {
	t.Parallel()
	st := twoFiles(t)
	servers := append(st.serve(0, 1, 2, 3), gridtest.New(20)[15:]...)
	if _, err := repair(t, servers, st, 5); !errors.Is(err, transfer.ErrInconsistent) {
		t.Errorf("%v", err)
	}
	for i, s := range servers {
		if n := len(s.Held(st.v.StorageIndex)); i >= 4 && n != 0 || s.Open() != 0 {
			t.Errorf("server %d has %d shares, %d open", i, n, s.Open())
		}
	}
}

// Whatever servers do, a repair ends soon, says no more than is true, and every
// share that is there in the end is the right one.
func TestRepairThroughFaults(t *testing.T) {
	t.Parallel()
	st := store(t, plaintext(40_000), 10_000)
	for seed := range uint64(60) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				rng := rand.New(rand.NewPCG(seed, 5))
				servers := gridtest.New(12)
				bad := make(map[int]int)
				for i, s := range servers {
					if i < 10 && rng.IntN(3) > 0 {
						s.Put(st.v.StorageIndex, i, st.shares[i])
						if rng.IntN(6) == 0 {
							s.Put(st.v.StorageIndex, i, flip(st.shares[i], rng.IntN(len(st.shares[i])), 1))
							bad[i] = i
						}
					}
					s.Set(someFault(rng))
				}
				start := time.Now()
				r, err := repair(t, servers, st, 7)
				if took := time.Since(start); took > 2*time.Minute {
					t.Errorf("took %v", took)
				}
				if err != nil && !errors.Is(err, transfer.ErrUnhappy) && !errors.Is(err, transfer.ErrNotEnoughShares) {
					t.Errorf("%v", err)
				}
				sameShares(t, servers, st, bad)
				for _, s := range servers {
					s.Set(gridtest.Faults{})
				}
				for num, keys := range r.After.Good {
					for _, key := range keys {
						i := slices.IndexFunc(servers, func(s *gridtest.Server) bool { return s.Key() == key })
						if !slices.Contains(servers[i].Held(st.v.StorageIndex), num) {
							t.Errorf("share %d is not on server %d", num, i)
						}
					}
				}
				if now := check(t, servers, st.v, transfer.CheckOptions{Verify: true}); err == nil && now.Happiness < r.After.Happiness {
					t.Errorf("happiness is %d, not %d", now.Happiness, r.After.Happiness)
				}
			})
		})
	}
}

func someFault(rng *rand.Rand) gridtest.Faults {
	f := gridtest.Faults{Latency: time.Duration(rng.IntN(50)) * time.Millisecond}
	calls := []string{"Shares", "Read", "Allocate", "Write", "Commit", "AddLease", "Abort"}
	call := calls[rng.IntN(len(calls))]
	switch rng.IntN(12) {
	case 0:
		f.Down = gridtest.ErrDown
	case 1:
		f.Hang = true
	case 2:
		f.DownFor = map[string]error{call: gridtest.ErrDown}
	case 3:
		f.HangFor = map[string]bool{call: true}
	case 4:
		f.ReadOnly = true
	case 5:
		f.DieAfter = 1 + rng.Int64N(30_000)
	case 6:
		f.CommitLost = gridtest.ErrLost
	case 7:
		f.Lie = func(_ caps.StorageIndex, _ int, offset uint64, data []byte) {
			if len(data) > 0 {
				data[offset%uint64(len(data))] ^= 1
			}
		}
	case 8:
		f.DownFor = map[string]error{"Allocate": storage.ErrNoSpace}
	}
	return f
}
