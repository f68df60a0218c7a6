package area_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/crypto"

	"trunkline/caps"
	"trunkline/p2p"
	"trunkline/p2p/area"
)

func openCache(t testing.TB, dir string, c *clock) *area.Cache {
	t.Helper()
	cache, err := area.OpenCache(area.CacheConfig{Dir: dir, Now: c.Now})
	if err != nil {
		t.Fatal(err)
	}
	return cache
}

// TestRatchet offers a second record after a first, in the same process and
// after a restart.
func TestRatchet(t *testing.T) {
	t.Parallel()
	g := newGrid(t)
	type version struct {
		by   crypto.PrivKey
		d, s uint64
	}
	const day = 24 * time.Hour
	for _, tc := range []struct {
		name          string
		first, second version
		age           time.Duration // how long before the first the second was signed
		turn          time.Duration // of the clock in between
		want          error
		d, s          uint64 // what stands afterwards
		newer         bool
	}{
		{"the same again", version{g.delegate, 3, 7}, version{g.delegate, 3, 7}, 0, 0, nil, 3, 7, false},
		{"newer sheet", version{g.delegate, 3, 7}, version{g.delegate, 3, 8}, 0, 0, nil, 3, 8, true},
		{"newer delegation", version{g.delegate, 3, 7}, version{g.delegate, 4, 7}, 0, 0, nil, 4, 7, true},
		{"both newer", version{g.delegate, 3, 7}, version{g.delegate, 4, 8}, 0, 0, nil, 4, 8, true},
		{"older sheet", version{g.delegate, 3, 7}, version{g.delegate, 3, 6}, 0, 0, area.ErrRollback, 3, 7, false},
		{"older delegation", version{g.delegate, 3, 7}, version{g.delegate, 2, 7}, 0, 0, area.ErrRollback, 3, 7, false},
		{"both older", version{g.delegate, 3, 7}, version{g.delegate, 2, 6}, 0, 0, area.ErrRollback, 3, 7, false},
		{"newer delegation with an older sheet joins", version{g.delegate, 3, 7}, version{g.delegate, 4, 6}, 0, 0, nil, 4, 7, true},
		{"newer sheet under an older delegation joins", version{g.delegate, 3, 7}, version{g.delegate, 2, 8}, 0, 0, nil, 3, 8, true},
		{"same numbers, signed earlier", version{g.delegate, 3, 7}, version{g.delegate, 3, 7}, time.Hour, 0, area.ErrRollback, 3, 7, false},
		{"a new delegate starts anew", version{g.delegate, 3, 7}, version{g.other, 4, 1}, 0, 0, nil, 4, 1, true},
		{"the old delegate is out", version{g.other, 4, 1}, version{g.delegate, 3, 100}, 0, 0, area.ErrRollback, 4, 1, false},
		{"two delegates of one number", version{g.delegate, 3, 7}, version{g.other, 3, 9}, 0, 0, area.ErrRollback, 3, 7, false},
		{"older sheet, clock two days back", version{g.delegate, 3, 7}, version{g.delegate, 3, 6}, 0, -2 * day, area.ErrRollback, 3, 7, false},
		{"older sheet signed to last, clock two days on", version{g.delegate, 3, 7}, version{g.delegate, 3, 6}, -2 * day, 2 * day, area.ErrRollback, 0, 0, false},
		{"newer sheet, clock two days on", version{g.delegate, 3, 7}, version{g.delegate, 3, 8}, -2 * day, 2 * day, nil, 3, 8, true},
		{"old delegation with a newer sheet, clock forty days on", version{g.delegate, 3, 7}, version{g.delegate, 2, 8}, -40 * day, 40 * day, area.ErrRollback, 0, 0, false},
	} {
		for _, restart := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/restart=%v", tc.name, restart), func(t *testing.T) {
				t.Parallel()
				c, dir := newClock(), t.TempDir()
				cache := openCache(t, dir, c)
				first := g.record(tc.first.by, tc.first.d, tc.first.s, start)
				if _, newer, err := cache.Put(g.area, first); err != nil || !newer {
					t.Fatalf("the first: %v, %v", newer, err)
				}
				if restart {
					cache = openCache(t, dir, c)
				}
				c.turn(tc.turn)
				second := g.record(tc.second.by, tc.second.d, tc.second.s, start.Add(-tc.age))
				got, newer, err := cache.Put(g.area, second)
				if !errors.Is(err, tc.want) || newer != tc.newer {
					t.Fatalf("got %v and newer %v, want %v and %v", err, newer, tc.want, tc.newer)
				}
				if err == nil && (got.DelegationSeq != tc.d || got.SheetSeq != tc.s) {
					t.Fatalf("put returns %d and %d, want %d and %d", got.DelegationSeq, got.SheetSeq, tc.d, tc.s)
				}
				info, err := cache.Get(g.area)
				if tc.d == 0 {
					if !errors.Is(err, area.ErrExpired) {
						t.Fatalf("got %v, want ErrExpired", err)
					}
					return
				}
				if err != nil || info.DelegationSeq != tc.d || info.SheetSeq != tc.s {
					t.Fatalf("what stands is %d and %d, %v; want %d and %d", info.DelegationSeq, info.SheetSeq, err, tc.d, tc.s)
				}
				if _, err := info.Record.Open(g.area, c.Now()); err != nil {
					t.Fatalf("what stands does not prove itself: %v", err)
				}
			})
		}
	}
}

// TestReturningDelegate brings a delegate back: its old sheets stay old.
func TestReturningDelegate(t *testing.T) {
	t.Parallel()
	g, c, dir := newGrid(t), newClock(), t.TempDir()
	cache := openCache(t, dir, c)
	put := func(by crypto.PrivKey, d, s uint64, want error) {
		t.Helper()
		if _, _, err := cache.Put(g.area, g.record(by, d, s, start)); !errors.Is(err, want) {
			t.Fatalf("%d, %d: %v, want %v", d, s, err, want)
		}
	}
	put(g.delegate, 1, 50, nil)
	put(g.other, 2, 1, nil)
	put(g.another, 3, 1, nil)
	cache = openCache(t, dir, c)
	put(g.delegate, 4, 49, area.ErrRollback)
	put(g.delegate, 4, 51, nil)
}

func TestCacheGet(t *testing.T) {
	t.Parallel()
	g, c := newGrid(t), newClock()
	for name, dir := range map[string]string{"disk": t.TempDir(), "memory": ""} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cache := openCache(t, dir, c)
			if _, err := cache.Get(g.area); !errors.Is(err, area.ErrUnknownArea) {
				t.Fatalf("got %v, want ErrUnknownArea", err)
			}
			if _, _, err := cache.Put(g.area, g.record(g.delegate, 1, 1, start.Add(-area.SheetLife-1))); !errors.Is(err, area.ErrExpired) {
				t.Fatalf("an expired one: %v", err)
			}
			if _, _, err := cache.Put(g.area, g.record(g.delegate, 1, 1, start)); err != nil {
				t.Fatal(err)
			}
			if info, err := cache.Get(g.area); err != nil || info.SheetSeq != 1 {
				t.Fatalf("got %+v, %v", info, err)
			}
		})
	}
}

func TestCacheDamaged(t *testing.T) {
	t.Parallel()
	g, c := newGrid(t), newClock()
	for _, damage := range []string{"flip", "cut", "empty", "huge"} {
		t.Run(damage, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			cache := openCache(t, dir, c)
			if _, _, err := cache.Put(g.area, g.record(g.delegate, 5, 5, start)); err != nil {
				t.Fatal(err)
			}
			file := filepath.Join(dir, g.area.String()+".area")
			b, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			switch damage {
			case "flip":
				b[len(b)/3] ^= 1
			case "cut":
				b = b[:len(b)-20]
			case "empty":
				b = nil
			case "huge":
				b = make([]byte, 1<<20)
			}
			if err := os.WriteFile(file, b, 0o600); err != nil {
				t.Fatal(err)
			}
			cache = openCache(t, dir, c)
			// Neither served, nor silently begun anew with an older record.
			if _, err := cache.Get(g.area); !errors.Is(err, area.ErrCacheDamaged) || !strings.Contains(err.Error(), file[len(dir)+1:]) {
				t.Fatalf("Get: %v", err)
			}
			if _, _, err := cache.Put(g.area, g.record(g.delegate, 1, 1, start)); !errors.Is(err, area.ErrCacheDamaged) {
				t.Fatalf("Put: %v", err)
			}
		})
	}
}

func TestCacheFull(t *testing.T) {
	t.Parallel()
	g, c := newGrid(t), newClock()
	cache, err := area.OpenCache(area.CacheConfig{Dir: t.TempDir(), MaxAreas: 1, Now: c.Now})
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := cache.Put(g.area, g.record(g.delegate, 1, 1, start)); err != nil {
		t.Fatal(err)
	}
	second := *g
	second.key = testKey(t, 50)
	second.area = caps.NewAreaCode(publicKey(t, second.key))
	if _, _, err := cache.Put(second.area, second.record(g.delegate, 1, 1, start)); !errors.Is(err, area.ErrCacheFull) || !errors.Is(err, p2p.ErrBusy) {
		t.Fatalf("got %v, want ErrCacheFull", err)
	}
	if _, _, err := cache.Put(g.area, g.record(g.delegate, 1, 2, start)); err != nil {
		t.Fatalf("an area that is known: %v", err)
	}
}

// TestCacheWriteFails leaves the old record standing.
func TestCacheWriteFails(t *testing.T) {
	t.Parallel()
	g, c, dir := newGrid(t), newClock(), t.TempDir()
	cache := openCache(t, dir, c)
	if _, _, err := cache.Put(g.area, g.record(g.delegate, 1, 1, start)); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	if _, _, err := cache.Put(g.area, g.record(g.delegate, 1, 2, start)); err == nil {
		t.Fatal("accepted what could not be written")
	}
	if info, err := cache.Get(g.area); err != nil || info.SheetSeq != 1 {
		t.Fatalf("what stands is %d, %v", info.SheetSeq, err)
	}
}
