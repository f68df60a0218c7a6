package mutable_test

import (
	"bytes"
	"context"
	"fmt"
	"sync/atomic"
	"testing"

	"trunkline/caps"
	"trunkline/grid/mutable"
	"trunkline/grid/ssk"
	"trunkline/grid/storage"
	"trunkline/grid/transfer"
	"trunkline/grid/transfer/gridtest"
)

// cutServer takes writes as long as any are left, and then cuts the writer off.
type cutServer struct {
	transfer.Server
	left *atomic.Int64
	cut  context.CancelFunc
}

func (s cutServer) TestWrite(ctx context.Context, si caps.StorageIndex, w storage.TestWrite) (storage.TestWriteResult, error) {
	if s.left.Add(-1) < 0 {
		s.cut()
		return storage.TestWriteResult{}, gridtest.ErrDown
	}
	return s.Server.TestWrite(ctx, si, w)
}

// A writer that is cut off after any number of servers leaves the old version or the new one, also where some servers were away
// when the old one was written, and where one has several shares.
func TestCutOff(t *testing.T) {
	t.Parallel()
	// What the servers have of the newest version, in permuted order; stale ones have a share of the one before.
	layouts := map[string]struct {
		shares [5][]int
		stale  map[int]int
	}{
		"even":            {shares: [5][]int{{0}, {1}, {2}, {3}, {4}}},
		"two-on-first":    {shares: [5][]int{{0, 4}, {2}, {}, {}, {3}}, stale: map[int]int{3: 1}},
		"two-on-last":     {shares: [5][]int{{2}, {3}, {}, {}, {0, 4}}, stale: map[int]int{2: 1}},
		"four-on-three":   {shares: [5][]int{{0, 4}, {2}, {}, {}, {3}}},
		"three-of-five":   {shares: [5][]int{{0}, {1}, {2}, {}, {}}, stale: map[int]int{3: 3, 4: 4}},
		"five-on-two":     {shares: [5][]int{{0, 1}, {2, 3, 4}, {}, {}, {}}},
		"three-on-two":    {shares: [5][]int{{0, 1}, {2}, {}, {}, {}}},
		"three-and-three": {shares: [5][]int{{0, 1, 2}, {2, 3, 4}, {}, {}, {}}},
	}
	for name, layout := range layouts {
		for n := range int64(7) {
			t.Run(fmt.Sprintf("%s-%d", name, n), func(t *testing.T) {
				t.Parallel()
				servers := gridtest.New(5)
				edit := func(c *mutable.Config) { c.K, c.N, c.Happy = 3, 5, 3 }
				f := newFiles(t, servers, edit)
				file := create(t, f, ssk.SDMF, []byte("before"))
				v, write := verifyCap(t, file), func() caps.WriteKey { k, _ := file.WriteKey(); return k }()
				before := slotsOf(servers, v.StorageIndex)
				if _, err := overwrite(f, file, []byte("old")); err != nil {
					t.Fatal(err)
				}
				old := slotsOf(servers, v.StorageIndex)
				permuted := make([]*gridtest.Server, 0, len(servers))
				for _, s := range transfer.Permute(v.StorageIndex, fleet(servers)()) {
					permuted = append(permuted, s.(*gridtest.Server))
				}
				for i, s := range permuted {
					slot := make(map[int][]byte)
					for _, num := range layout.shares[i] {
						slot[num] = old[num]
					}
					if num, ok := layout.stale[i]; ok {
						slot[num] = before[num]
					}
					s.PutSlot(v.StorageIndex, write.WriteEnabler(s.PeerID20()), slot)
				}
				mustRead(t, newFiles(t, servers, edit), file, []byte("old"))

				ctx, cancel := context.WithCancel(context.Background())
				defer cancel()
				var left atomic.Int64
				left.Store(n)
				var fleet []transfer.Server
				for _, s := range servers {
					fleet = append(fleet, cutServer{s, &left, cancel})
				}
				writer := newFiles(t, servers, func(c *mutable.Config) {
					edit(c)
					c.Servers = func() []transfer.Server { return fleet }
				})
				_, err := writer.Overwrite(ctx, file, bytes.NewReader([]byte("new")), 3)

				got := read(t, newFiles(t, servers, edit), file)
				if string(got) != "new" && (string(got) != "old" || err == nil) {
					t.Errorf("found %q after %d writes; overwriting said %v", got, n, err)
				}
			})
		}
	}
}

// slotsOf are all shares of a file.
func slotsOf(servers []*gridtest.Server, si caps.StorageIndex) map[int][]byte {
	all := make(map[int][]byte)
	for _, s := range servers {
		for num, data := range s.Slot(si) {
			all[num] = data
		}
	}
	return all
}
