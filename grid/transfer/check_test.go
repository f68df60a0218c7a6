package transfer_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"trunkline/caps"
	"trunkline/grid/storage"
	"trunkline/grid/transfer"
	"trunkline/grid/transfer/gridtest"
)

func check(t testing.TB, servers []*gridtest.Server, v caps.CHKVerify, o transfer.CheckOptions) transfer.Health {
	t.Helper()
	h, err := transfer.Check(t.Context(), transfer.Config{Servers: all(servers)}, v, o)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// What a check finds, with and without reading the shares.
func TestCheck(t *testing.T) {
	t.Parallel()
	st := store(t, plaintext(700), 300)
	big := store(t, plaintext(5_000_000), 1<<20)
	for _, c := range []struct {
		name         string
		big          bool
		spoil        func(s []*gridtest.Server)
		good         int // shares found without reading
		verified     int // and when read
		corrupt      int // shares, when read
		listed       int // of them those that the list shows already
		failed       int // servers or shares that did not answer
		summary      string
		recoverable  bool
		hurt         bool // even if nothing is read
		onlyWhenRead bool // failed counts when read alone
	}{
		{name: "healthy", good: 10, verified: 10, summary: "Healthy", recoverable: true},
		{name: "healthy and large", big: true, good: 10, verified: 10, summary: "Healthy", recoverable: true},
		{
			name: "three gone", spoil: func(s []*gridtest.Server) { drop(st, s, 1, 2, 3) },
			good: 7, verified: 7, summary: "Not Healthy: 7 shares (enc 3-of-10)", recoverable: true, hurt: true,
		},
		{
			name: "eight gone", spoil: func(s []*gridtest.Server) { drop(st, s, 0, 1, 2, 3, 4, 5, 6, 7) },
			good: 2, verified: 2, summary: "Not Healthy! Unrecoverable: 2 shares (enc 3-of-10)", hurt: true,
		},
		{
			name: "all gone", spoil: func(s []*gridtest.Server) { drop(st, s, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9) },
			good: 0, verified: 0, summary: "Not Healthy! Unrecoverable: 0 shares (enc 3-of-10)", hurt: true,
		},
		{
			name: "one byte", spoil: func(s []*gridtest.Server) { s[4].Put(st.v.StorageIndex, 4, flip(st.shares[4], 100, 0)) },
			good: 10, verified: 9, corrupt: 1, summary: "Not Healthy: 1 corrupt, 9 shares (enc 3-of-10)", recoverable: true,
		},
		{
			name: "one byte of a large one", big: true,
			spoil: func(s []*gridtest.Server) {
				s[9].Put(big.v.StorageIndex, 9, flip(big.shares[9], len(big.shares[9])/2, 0))
			},
			good: 10, verified: 9, corrupt: 1, summary: "Not Healthy: 1 corrupt, 9 shares (enc 3-of-10)", recoverable: true,
		},
		{
			name: "another share's bytes", spoil: func(s []*gridtest.Server) { s[4].Put(st.v.StorageIndex, 4, st.shares[5]) },
			good: 10, verified: 9, corrupt: 1, summary: "Not Healthy: 1 corrupt, 9 shares (enc 3-of-10)", recoverable: true,
		},
		{
			name: "cut short", spoil: func(s []*gridtest.Server) { s[4].Put(st.v.StorageIndex, 4, st.shares[4][:100]) },
			good: 9, verified: 9, corrupt: 1, listed: 1, summary: "Not Healthy: 1 corrupt, 9 shares (enc 3-of-10)", recoverable: true, hurt: true,
		},
		{
			name: "claimed longer than it is",
			spoil: func(s []*gridtest.Server) {
				s[4].Remove(st.v.StorageIndex, 4)
				s[4].Set(gridtest.Faults{Claim: []storage.ShareInfo{{Num: 4, Size: uint64(len(st.shares[4]))}}})
			},
			good: 10, verified: 9, failed: 1, onlyWhenRead: true, summary: "Not Healthy: 9 shares (enc 3-of-10)", recoverable: true,
		},
		{
			name: "impossible numbers",
			spoil: func(s []*gridtest.Server) {
				s[4].Set(gridtest.Faults{Claim: []storage.ShareInfo{{Num: -1, Size: 1 << 20}, {Num: 10, Size: 1 << 20}, {Num: 1 << 40, Size: 5}}})
			},
			good: 10, verified: 10, summary: "Healthy", recoverable: true,
		},
		{
			name: "two down", spoil: func(s []*gridtest.Server) {
				s[0].Set(gridtest.Faults{Down: gridtest.ErrDown})
				s[1].Set(gridtest.Faults{Down: gridtest.ErrDown})
			},
			good: 8, verified: 8, failed: 2, summary: "Not Healthy: 8 shares (enc 3-of-10)", recoverable: true, hurt: true,
		},
		{
			name: "cannot be read", spoil: func(s []*gridtest.Server) {
				s[0].Set(gridtest.Faults{DownFor: map[string]error{"Read": gridtest.ErrDown}})
			},
			good: 10, verified: 9, failed: 1, onlyWhenRead: true, summary: "Not Healthy: 9 shares (enc 3-of-10)", recoverable: true,
		},
		{
			name: "two copies", spoil: func(s []*gridtest.Server) { s[0].Put(st.v.StorageIndex, 9, st.shares[9]) },
			good: 10, verified: 10, summary: "Healthy", recoverable: true,
		},
	} {
		for _, verify := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s-verify-%t", c.name, verify), func(t *testing.T) {
				file := st
				if c.big {
					file = big
				}
				servers := file.serve(0, 1, 2, 3, 4, 5, 6, 7, 8, 9)
				if c.spoil != nil {
					c.spoil(servers)
				}
				h := check(t, servers, file.v, transfer.CheckOptions{Verify: verify})
				want, corrupt, failed := c.good, c.listed, c.failed
				if verify {
					want, corrupt = c.verified, c.corrupt
				} else if c.onlyWhenRead {
					failed = 0
				}
				if len(h.Good) != want || len(h.Corrupt) != corrupt || len(h.Failed) != failed {
					t.Errorf("%d good, %v corrupt, %v failed", len(h.Good), h.Corrupt, h.Failed)
				}
				if h.Recoverable() != c.recoverable || h.Needed != 3 || h.Expected != 10 || h.Versions != nil || !h.Cap.Equal(file.v.Cap()) {
					t.Errorf("recoverable %t, %d of %d", h.Recoverable(), h.Needed, h.Expected)
				}
				if verify || c.hurt {
					if h.Summary() != c.summary {
						t.Errorf("summary: %s", h.Summary())
					}
				} else if !h.Healthy() {
					t.Errorf("summary: %s", h.Summary())
				}
				if h.Happiness != want {
					t.Errorf("happiness %d", h.Happiness)
				}
				for _, l := range h.Corrupt {
					i := slices.IndexFunc(servers, func(s *gridtest.Server) bool { return s.Key() == l.Server })
					if i != l.Num || !errors.Is(l.Reason, transfer.ErrCorrupt) {
						t.Errorf("share %d of server %d: %v", l.Num, i, l.Reason)
					}
					if servers[i].Counts().Advised != 1 {
						t.Error("the server was not told")
					}
				}
				for i, s := range servers {
					if n := s.Counts().BytesRead; !verify && n != 0 {
						t.Errorf("%d bytes read from server %d", n, i)
					}
				}
			})
		}
	}
}

func drop(st stored, servers []*gridtest.Server, shares ...int) {
	for _, n := range shares {
		servers[n].Remove(st.v.StorageIndex, n)
	}
}

// Leases go where shares are, and nowhere else.
func TestCheckAddsLeases(t *testing.T) {
	t.Parallel()
	st := store(t, plaintext(700), 300)
	servers := append(st.serve(0, 1, 2, 3, 4), gridtest.NewServer(11))
	secret := [32]byte{7}
	for _, lease := range []*[32]byte{nil, &secret} {
		check(t, servers, st.v, transfer.CheckOptions{AddLease: lease})
		for i, s := range servers {
			want := 0
			if lease != nil && i < 5 {
				want = 1
			}
			if n := s.Counts().Leases; n != want {
				t.Errorf("%d leases on server %d, want %d", n, i, want)
			}
		}
	}
	servers[2].Set(gridtest.Faults{DownFor: map[string]error{"AddLease": gridtest.ErrDown}})
	h := check(t, servers, st.v, transfer.CheckOptions{AddLease: &secret})
	if len(h.Good) != 5 || len(h.Failed) != 1 || !errors.Is(h.Failed[0].Reason, gridtest.ErrDown) {
		t.Errorf("%d good, failed %v", len(h.Good), h.Failed)
	}
}

// Servers that hang are waited for a few seconds, not for as long as they like.
func TestCheckWithHungServers(t *testing.T) {
	t.Parallel()
	st := store(t, plaintext(700), 300)
	for _, c := range []struct {
		name   string
		hung   int
		faults gridtest.Faults
		verify bool
		good   int
		within time.Duration
	}{
		{"none", 0, gridtest.Faults{}, true, 10, time.Second},
		{"one", 1, gridtest.Faults{Hang: true}, true, 9, 4 * time.Second},
		{"five", 5, gridtest.Faults{Hang: true}, false, 5, 4 * time.Second},
		{"nine", 9, gridtest.Faults{Hang: true}, false, 1, 16 * time.Second},
		{"all", 10, gridtest.Faults{Hang: true}, false, 0, 16 * time.Second},
		{"over reading", 2, gridtest.Faults{HangFor: map[string]bool{"Read": true}}, true, 8, 16 * time.Second},
		{"over a lease", 2, gridtest.Faults{HangFor: map[string]bool{"AddLease": true}}, true, 10, 16 * time.Second},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				servers := st.serve(0, 1, 2, 3, 4, 5, 6, 7, 8, 9)
				for i, s := range servers {
					s.Set(gridtest.Faults{Latency: 10 * time.Millisecond})
					if i < c.hung {
						s.Set(c.faults)
					}
				}
				start := time.Now()
				h := check(t, servers, st.v, transfer.CheckOptions{Verify: c.verify, AddLease: new([32]byte)})
				if took := time.Since(start); took > c.within {
					t.Errorf("took %v", took)
				}
				if len(h.Good) != c.good || len(h.Failed) != c.hung || len(h.Corrupt) != 0 {
					t.Errorf("%d good, failed %v, corrupt %v", len(h.Good), h.Failed, h.Corrupt)
				}
			})
		})
	}
}

func TestCheckEnds(t *testing.T) {
	t.Parallel()
	st := store(t, plaintext(700), 300)
	synctest.Test(t, func(t *testing.T) {
		servers := st.serve(0, 1, 2)
		for _, s := range servers {
			s.Set(gridtest.Faults{Hang: true})
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := transfer.Check(ctx, transfer.Config{Servers: all(servers)}, st.v, transfer.CheckOptions{Verify: true})
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%v", err)
		}
	})
	if _, err := transfer.Check(t.Context(), transfer.Config{}, caps.CHKVerify{}, transfer.CheckOptions{}); !errors.Is(err, caps.ErrShareCounts) {
		t.Errorf("no cap: %v", err)
	}
	h := check(t, nil, st.v, transfer.CheckOptions{})
	if h.Recoverable() || len(h.Good) != 0 {
		t.Errorf("no servers: %+v", h)
	}
}

// Every byte of a share turned: verify names exactly those that chk.VerifyShare
// is there to name, however the share is cut into reads.
func TestCheckReadsEveryByte(t *testing.T) {
	t.Parallel()
	st := store(t, plaintext(3_000_000), 1<<20)
	share := st.shares[3]
	for _, at := range []int{0, 36, 40, len(share) / 3, 1 << 20, 1<<20 - 1, len(share) - 1, len(share) - 400} {
		if at >= len(share) {
			continue
		}
		servers := st.serve(3)
		servers[0].Put(st.v.StorageIndex, 3, flip(share, at, 1))
		if h := check(t, servers, st.v, transfer.CheckOptions{Verify: true}); len(h.Corrupt) != 1 {
			t.Errorf("byte %d of %d: %d corrupt, %d good", at, len(share), len(h.Corrupt), len(h.Good))
		}
	}
	servers := st.serve(3)
	h := check(t, servers, st.v, transfer.CheckOptions{Verify: true})
	if n := servers[0].Counts().BytesRead; len(h.Good) != 1 || n < int64(len(share)) || n > int64(2*len(share)) {
		t.Errorf("%d bytes read of a share of %d", n, len(share))
	}
	if !bytes.Equal(servers[0].Share(st.v.StorageIndex, 3), share) {
		t.Error("the share was changed")
	}
}
