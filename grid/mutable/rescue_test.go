package mutable_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"trunkline/caps"
	"trunkline/grid/mutable"
	"trunkline/grid/ssk"
	"trunkline/grid/storage"
	"trunkline/grid/transfer"
	"trunkline/grid/transfer/gridtest"
)

// hookServer calls before ahead of every write, and fails reads while away says so.
type hookServer struct {
	transfer.Server
	before func()
	away   func() bool
}

func (s hookServer) TestWrite(ctx context.Context, si caps.StorageIndex, w storage.TestWrite) (storage.TestWriteResult, error) {
	s.before()
	if s.away() {
		return storage.TestWriteResult{}, gridtest.ErrDown
	}
	return s.Server.TestWrite(ctx, si, w)
}

func (s hookServer) ReadSlot(ctx context.Context, si caps.StorageIndex, nums []int, ranges []storage.Range) (map[int][][]byte, error) {
	if s.away() {
		return nil, gridtest.ErrDown
	}
	return s.Server.ReadSlot(ctx, si, nums, ranges)
}

// Two writers cut each other's versions to pieces, the other one crashes, and the server that could tell goes away for longer
// than remains must settle. What the file held is then with the one writer alone, which waits for the server instead of giving up.
func TestRescue(t *testing.T) {
	t.Parallel()
	const settle = 200 * time.Millisecond
	servers := gridtest.New(5)
	edit := func(c *mutable.Config) { c.K, c.N, c.Happy, c.Settle = 3, 5, 3, settle }
	f := newFiles(t, servers, edit)
	file := create(t, f, ssk.SDMF, []byte("old"))
	v := verifyCap(t, file)
	write, _ := file.WriteKey()
	slots := func() (all []map[int][]byte) {
		for _, s := range transfer.Permute(v.StorageIndex, fleet(servers)()) {
			all = append(all, s.(*gridtest.Server).Slot(v.StorageIndex))
		}
		return all
	}
	old := slots()
	if _, err := overwrite(f, file, []byte("rival")); err != nil {
		t.Fatal(err)
	}
	rival := slots()
	put := func(i int, slot map[int][]byte) {
		s := transfer.Permute(v.StorageIndex, fleet(servers)())[i].(*gridtest.Server)
		s.PutSlot(v.StorageIndex, write.WriteEnabler(s.PeerID20()), slot)
	}
	for i := range servers {
		put(i, old[i])
	}

	var mu sync.Mutex
	var writes int
	var gone time.Time
	before := func() {
		mu.Lock()
		defer mu.Unlock()
		if writes++; writes == 2 { // the first is through alone
			put(2, rival[2])
			put(3, rival[3])
			gone = time.Now()
		}
	}
	hooked := make([]transfer.Server, 0, len(servers))
	for i, s := range transfer.Permute(v.StorageIndex, fleet(servers)()) {
		hooked = append(hooked, hookServer{s, before, func() bool {
			mu.Lock()
			defer mu.Unlock()
			return i == 4 && !gone.IsZero() && time.Since(gone) < 5*settle
		}})
	}
	writer := newFiles(t, servers, func(c *mutable.Config) {
		edit(c)
		c.Servers = func() []transfer.Server { return hooked }
	})
	if _, err := writer.Modify(context.Background(), file, func(old []byte) ([]byte, error) {
		return append(old, " and mine"...), nil
	}); err != nil {
		t.Fatalf("changing: %v", err)
	}
	mustRead(t, newFiles(t, servers, edit), file, []byte("old and mine"))
}
