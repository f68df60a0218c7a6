package storage_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"trunkline/caps"
	"trunkline/grid/storage"
	"trunkline/p2p"
)

func upload(t testing.TB, r *storage.Remote, si caps.StorageIndex, num int, data []byte) {
	t.Helper()
	_, allocated, err := r.Allocate(t.Context(), si, []int{num}, uint64(len(data)), renew, cancel)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(allocated, []int{num}) {
		t.Fatalf("allocated %v", allocated)
	}
	if err := r.Write(t.Context(), si, num, 0, data); err != nil {
		t.Fatal(err)
	}
	if err := r.Commit(t.Context(), si, num); err != nil {
		t.Fatal(err)
	}
}

func TestRemoteRoundTrip(t *testing.T) {
	t.Parallel()
	w := newWire(t, storage.Config{}, everybody)
	ctx := t.Context()
	data := pattern(9<<20 + 17) // more than two reads and several writes
	infos, err := w.remote.Shares(ctx, index(1))
	if err != nil || len(infos) != 0 {
		t.Fatalf("shares of nothing: %v, %v", infos, err)
	}
	have, allocated, err := w.remote.Allocate(ctx, index(1), []int{5, 0, 255}, uint64(len(data)), renew, cancel)
	if err != nil || len(have) != 0 || !slices.Equal(allocated, []int{0, 5, 255}) {
		t.Fatalf("have %v, allocated %v, %v", have, allocated, err)
	}
	if infos, err = w.remote.Shares(ctx, index(1)); err != nil || len(infos) != 0 {
		t.Fatalf("shares in progress are listed: %v, %v", infos, err)
	}
	// In pieces, out of order, interleaved.
	const piece = 349526
	for off := len(data) / piece * piece; off >= 0; off -= piece {
		for _, num := range allocated {
			if err := w.remote.Write(ctx, index(1), num, uint64(off), data[off:min(off+piece, len(data))]); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, num := range allocated {
		if err := w.remote.Commit(ctx, index(1), num); err != nil {
			t.Fatal(err)
		}
		mustEqual(t, contents(t, w.store, index(1), num), data)
	}
	infos, err = w.remote.Shares(ctx, index(1))
	want := []storage.ShareInfo{{Num: 0, Size: uint64(len(data))}, {Num: 5, Size: uint64(len(data))}, {Num: 255, Size: uint64(len(data))}}
	if err != nil || !slices.Equal(infos, want) {
		t.Fatalf("shares %v, %v", infos, err)
	}
	have, allocated, err = w.remote.Allocate(ctx, index(1), []int{5, 6}, uint64(len(data)), renew, cancel)
	if err != nil || !slices.Equal(have, []int{5}) || !slices.Equal(allocated, []int{6}) {
		t.Fatalf("have %v, allocated %v, %v", have, allocated, err)
	}
	if err := w.remote.Abort(ctx, index(1), 6); err != nil {
		t.Fatal(err)
	}
	whole := make([]byte, len(data))
	if err := w.remote.Read(ctx, index(1), 5, []storage.Range{{0, uint64(len(data))}}, [][]byte{whole}); err != nil {
		t.Fatal(err)
	}
	mustEqual(t, whole, data)
}

func TestRemoteManyRanges(t *testing.T) {
	t.Parallel()
	w := newWire(t, storage.Config{}, everybody)
	data := pattern(1 << 20)
	put(t, w.store, index(1), 3, data)
	var group sync.WaitGroup
	for worker := range 8 {
		group.Go(func() {
			var ranges []storage.Range
			var dst [][]byte
			for i := range 1000 {
				off := uint64((i*7919 + worker*104729) % (len(data) - 4096))
				n := uint64(i % 4096) // empty ones among them
				ranges = append(ranges, storage.Range{Offset: off, Length: n})
				dst = append(dst, make([]byte, n))
			}
			if err := w.remote.Read(t.Context(), index(1), 3, ranges, dst); err != nil {
				t.Error(err)
				return
			}
			for i, g := range ranges {
				if !slices.Equal(dst[i], data[g.Offset:g.Offset+g.Length]) {
					t.Errorf("worker %d: range %d differs", worker, i)
					return
				}
			}
		})
	}
	group.Wait()
}

func TestRemoteErrors(t *testing.T) {
	t.Parallel()
	w := newWire(t, storage.Config{}, everybody)
	ctx := t.Context()
	put(t, w.store, index(1), 0, pattern(100))
	read := func(si caps.StorageIndex, num int, off, n uint64) error {
		return w.remote.Read(ctx, si, num, []storage.Range{{off, n}}, [][]byte{make([]byte, n)})
	}
	second := func(_, _ any, err error) error { return err }
	tests := map[string]struct {
		err  error
		want error
		kind error
	}{
		"no bucket":          {read(index(9), 0, 0, 1), storage.ErrNotFound, p2p.ErrNotFound},
		"no share":           {read(index(1), 1, 0, 1), storage.ErrNotFound, p2p.ErrNotFound},
		"past the end":       {read(index(1), 0, 90, 11), storage.ErrRange, p2p.ErrTooLarge},
		"far past the end":   {read(index(1), 0, 1<<40, 1), storage.ErrRange, p2p.ErrTooLarge},
		"offset near 2^63":   {read(index(1), 0, 1<<63-1, 1), storage.ErrInvalid, p2p.ErrMalformed},
		"offset near 2^64":   {read(index(1), 0, 1<<64-1, 1), storage.ErrInvalid, p2p.ErrMalformed},
		"range beyond 2^64":  {read(index(1), 0, 1<<64-1, 2), storage.ErrInvalid, p2p.ErrMalformed},
		"share 256":          {read(index(1), 256, 0, 1), storage.ErrInvalid, p2p.ErrMalformed},
		"share -1":           {read(index(1), -1, 0, 1), storage.ErrInvalid, p2p.ErrMalformed},
		"buffer mismatch":    {w.remote.Read(ctx, index(1), 0, []storage.Range{{0, 2}}, [][]byte{{0}}), storage.ErrInvalid, nil},
		"no upload to write": {w.remote.Write(ctx, index(1), 7, 0, []byte("x")), storage.ErrNoUpload, nil},
		"no upload to end":   {w.remote.Commit(ctx, index(1), 7), storage.ErrNoUpload, nil},
		"no upload to abort": {w.remote.Abort(ctx, index(1), 7), storage.ErrNoUpload, nil},
		"lease on nothing":   {w.remote.AddLease(ctx, index(9), renew, cancel), storage.ErrNotFound, p2p.ErrNotFound},
		"advise on nothing":  {w.remote.Advise(ctx, index(9), 0, "bad"), storage.ErrNotFound, p2p.ErrNotFound},
		"advise nothing":     {w.remote.Advise(ctx, index(1), 0, ""), storage.ErrInvalid, p2p.ErrMalformed},
		"allocate nothing":   {second(w.remote.Allocate(ctx, index(1), nil, 1, renew, cancel)), storage.ErrInvalid, nil},
		"allocate no bytes":  {second(w.remote.Allocate(ctx, index(1), []int{1}, 0, renew, cancel)), storage.ErrInvalid, p2p.ErrMalformed},
		"allocate 2^64-1":    {second(w.remote.Allocate(ctx, index(1), []int{1}, 1<<64-1, renew, cancel)), storage.ErrInvalid, p2p.ErrMalformed},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if !errors.Is(test.err, test.want) {
				t.Errorf("got %v, want %v", test.err, test.want)
			}
			if test.kind != nil && !errors.Is(test.err, test.kind) {
				t.Errorf("%v has not the kind %v", test.err, test.kind)
			}
		})
	}
}

// The error of a pipelined write surfaces in the commit, and leaves no upload behind.
func TestRemoteWriteErrorSurfaces(t *testing.T) {
	t.Parallel()
	w := newWire(t, storage.Config{}, everybody)
	ctx := t.Context()
	if _, _, err := w.remote.Allocate(ctx, index(1), []int{0}, 10, renew, cancel); err != nil {
		t.Fatal(err)
	}
	if err := w.remote.Write(ctx, index(1), 0, 5, []byte("too long")); err != nil && !errors.Is(err, storage.ErrRange) {
		t.Fatal(err)
	}
	if err := w.remote.Commit(ctx, index(1), 0); !errors.Is(err, storage.ErrRange) {
		t.Fatalf("commit: %v", err)
	}
	if n, _ := w.store.TestingOnlyUploads(); n != 0 {
		t.Fatalf("%d uploads are left", n)
	}
	upload(t, w.remote, index(1), 0, pattern(10))
}

func TestRemoteIncompleteCommit(t *testing.T) {
	t.Parallel()
	w := newWire(t, storage.Config{}, everybody)
	ctx := t.Context()
	data := pattern(100)
	if _, _, err := w.remote.Allocate(ctx, index(1), []int{0}, 100, renew, cancel); err != nil {
		t.Fatal(err)
	}
	for _, cut := range [][2]int{{0, 50}, {51, 99}} {
		if err := w.remote.Write(ctx, index(1), 0, uint64(cut[0]), data[cut[0]:cut[1]]); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.remote.Commit(ctx, index(1), 0); !errors.Is(err, storage.ErrIncomplete) {
		t.Fatalf("a share with a hole: %v", err)
	}
	if err := w.remote.Write(ctx, index(1), 0, 50, data[50:51]); err != nil {
		t.Fatal(err)
	}
	if err := w.remote.Commit(ctx, index(1), 0); !errors.Is(err, storage.ErrIncomplete) {
		t.Fatalf("a share without its end: %v", err)
	}
	if err := w.remote.Write(ctx, index(1), 0, 99, data[99:]); err != nil {
		t.Fatal(err)
	}
	if err := w.remote.Commit(ctx, index(1), 0); err != nil {
		t.Fatal(err)
	}
	mustEqual(t, contents(t, w.store, index(1), 0), data)
}

// Of two uploaders the second is told "in progress"; when the first goes away it can begin.
func TestRemoteTwoUploaders(t *testing.T) {
	t.Parallel()
	w := newWire(t, storage.Config{}, everybody)
	ctx := t.Context()
	first, second := w.remote, w.newRemote(t)
	if _, allocated, err := first.Allocate(ctx, index(1), []int{0}, 10, renew, cancel); err != nil || len(allocated) != 1 {
		t.Fatalf("first: %v, %v", allocated, err)
	}
	have, allocated, err := second.Allocate(ctx, index(1), []int{0, 1}, 10, renew, cancel)
	if err != nil || len(have) != 0 || !slices.Equal(allocated, []int{1}) {
		t.Fatalf("second: have %v, allocated %v, %v", have, allocated, err)
	}
	if err := second.Write(ctx, index(1), 0, 0, pattern(10)); !errors.Is(err, storage.ErrNoUpload) {
		t.Fatalf("the second wrote the first's share: %v", err)
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() bool {
		_, allocated, err = second.Allocate(ctx, index(1), []int{0}, 10, renew, cancel)
		return err != nil || len(allocated) == 1
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := first.Allocate(ctx, index(1), []int{0}, 10, renew, cancel); !errors.Is(err, storage.ErrClosed) {
		t.Fatalf("a closed remote: %v", err)
	}
}

// An uploader that disconnects leaves nothing behind.
func TestRemoteDisconnect(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	w := newWire(t, storage.Config{Dir: dir}, everybody)
	ctx := t.Context()
	nums := make([]int, 256)
	for i := range nums {
		nums[i] = i
	}
	if _, allocated, err := w.remote.Allocate(ctx, index(1), nums, 1<<20, renew, cancel); err != nil || len(allocated) != 256 {
		t.Fatalf("%d allocated, %v", len(allocated), err)
	}
	if err := w.remote.Write(ctx, index(1), 9, 0, pattern(1000)); err != nil {
		t.Fatal(err)
	}
	if err := w.remote.Close(); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() bool { return w.server.TestingOnlyPeers() == 0 })
	if n, promised := w.store.TestingOnlyUploads(); n != 0 || promised != 0 {
		t.Fatalf("%d uploads are left, %d bytes promised", n, promised)
	}
	for name := range tree(t, dir) {
		if name != "shares" && name != "shares/incoming" && name != "trunkline.lock" {
			t.Errorf("%s is left", name)
		}
	}
}

// A revocation ends what the peer has under way.
func TestRemoteRevoked(t *testing.T) {
	t.Parallel()
	var revoked atomic.Bool
	w := newWire(t, storage.Config{}, func(caps.PublicKey) error {
		if revoked.Load() {
			return errors.New("not on the roster")
		}
		return nil
	})
	put(t, w.store, index(1), 0, pattern(10))
	b := make([]byte, 10)
	read := func() error {
		return w.remote.Read(t.Context(), index(1), 0, []storage.Range{{0, 10}}, [][]byte{b})
	}
	if err := read(); err != nil {
		t.Fatal(err)
	}
	if _, _, err := w.remote.Allocate(t.Context(), index(2), []int{0}, 10, renew, cancel); err != nil {
		t.Fatal(err)
	}
	revoked.Store(true)
	if err := read(); !errors.Is(err, p2p.ErrDenied) {
		t.Fatalf("read after revocation: %v", err)
	}
	if err := w.remote.Commit(t.Context(), index(2), 0); !errors.Is(err, p2p.ErrDenied) {
		t.Fatalf("commit after revocation: %v", err)
	}
	eventually(t, func() bool { n, _ := w.store.TestingOnlyUploads(); return n == 0 })
	revoked.Store(false)
	if err := read(); err != nil {
		t.Fatalf("the next call did not reconnect: %v", err)
	}
}

// A cancelled call leaves the others on its stream alone, and nothing in the caller's memory afterwards.
func TestRemoteCancel(t *testing.T) {
	t.Parallel()
	w := newWire(t, storage.Config{}, everybody)
	data := pattern(4 << 20)
	put(t, w.store, index(1), 0, data)
	var group sync.WaitGroup
	for worker := range 4 {
		group.Go(func() {
			for i := range 20 {
				ctx, stop := context.WithCancel(t.Context())
				b := make([]byte, len(data))
				done := make(chan error)
				go func() {
					done <- w.remote.Read(ctx, index(1), 0, []storage.Range{{0, uint64(len(b))}}, [][]byte{b})
				}()
				if worker%2 == 0 {
					if i%3 == 0 {
						_, _ = w.remote.Shares(t.Context(), index(1))
					}
					stop()
					if err := <-done; err != nil && !errors.Is(err, context.Canceled) {
						t.Errorf("cancelled: %v", err)
					}
					clear(b) // the race detector sees a late write
					continue
				}
				if err := <-done; err != nil {
					t.Errorf("not cancelled: %v", err)
				} else if !slices.Equal(b, data) {
					t.Error("bytes differ")
				}
				stop()
			}
		})
	}
	group.Wait()
}

// What a cancelled allocation opened is given up.
func TestRemoteCancelAllocate(t *testing.T) {
	t.Parallel()
	w := newWire(t, storage.Config{}, everybody)
	for i := range 100 {
		ctx, stop := context.WithCancel(t.Context())
		go func() {
			if i%2 == 0 {
				_, _ = w.remote.Shares(t.Context(), index(2))
			}
			stop()
		}()
		_, allocated, err := w.remote.Allocate(ctx, index(1), []int{i}, 100, renew, cancel)
		if err == nil && len(allocated) == 1 {
			err = w.remote.Abort(t.Context(), index(1), i)
		}
		if err != nil && !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
		<-ctx.Done()
	}
	eventually(t, func() bool { n, _ := w.store.TestingOnlyUploads(); return n == 0 })
}

// An upload whose end was cancelled is given up all the same.
func TestRemoteCancelEnd(t *testing.T) {
	t.Parallel()
	w := newWire(t, storage.Config{}, everybody)
	gone, stop := context.WithCancel(t.Context())
	stop()
	if _, _, err := w.remote.Allocate(t.Context(), index(1), []int{0, 1}, 100, renew, cancel); err != nil {
		t.Fatal(err)
	}
	if err := w.remote.Abort(gone, index(1), 0); !errors.Is(err, context.Canceled) {
		t.Fatalf("abort: %v", err)
	}
	if err := w.remote.Commit(gone, index(1), 1); !errors.Is(err, context.Canceled) {
		t.Fatalf("commit: %v", err)
	}
	eventually(t, func() bool { n, _ := w.store.TestingOnlyUploads(); return n == 0 })
}

// When the server dies everything that waits fails, and when it is back the next call works.
func TestRemoteServerGone(t *testing.T) {
	t.Parallel()
	w := newWire(t, storage.Config{}, everybody)
	if _, err := w.remote.Shares(t.Context(), index(1)); err != nil {
		t.Fatal(err)
	}
	if _, _, err := w.remote.Allocate(t.Context(), index(1), []int{0}, 10, renew, cancel); err != nil {
		t.Fatal(err)
	}
	if err := w.host.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := w.remote.Shares(t.Context(), index(1)); !errors.Is(err, p2p.ErrUnavailable) && !errors.Is(err, p2p.ErrUnreachable) {
		t.Fatalf("list: %v", err)
	}
	if err := w.remote.Commit(t.Context(), index(1), 0); !errors.Is(err, p2p.ErrUnavailable) {
		t.Fatalf("commit: %v", err)
	}
}

func TestRemoteAdviseAndLease(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	w := newWire(t, storage.Config{Dir: dir}, everybody)
	put(t, w.store, index(1), 4, pattern(10))
	if err := w.remote.Advise(t.Context(), index(1), 4, "block 3 is not \xff\x1b[31mwhat its hash says"); err != nil {
		t.Fatal(err)
	}
	found := false
	for name, f := range tree(t, dir) {
		if f.data != "" && len(name) > 23 && name[:22] == "corruption-advisories/" {
			found = true
			want := "report: Share Corruption\ntype: immutable\nstorage_index: " + index(1).String() +
				"\nshare_number: 4\n\nblock 3 is not ? [31mwhat its hash says\n\n"
			if f.data != want {
				t.Errorf("advisory:\n%q\nwant\n%q", f.data, want)
			}
		}
	}
	if !found {
		t.Error("no advisory was written")
	}
	if err := w.remote.AddLease(t.Context(), index(1), caps.Secret{1}, caps.Secret{2}); err != nil {
		t.Fatal(err)
	}
	leases, err := w.store.Leases(index(1), 4)
	if err != nil || len(leases) != 2 || leases[0].Owner != 0 || leases[1].Owner != 1 {
		t.Fatalf("leases %v, %v", leases, err)
	}
}
