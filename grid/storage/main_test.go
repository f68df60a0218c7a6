package storage_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"io"
	"math"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"trunkline/caps"
	"trunkline/grid/storage"
	"trunkline/p2p"
	"trunkline/p2p/p2ptest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// clock is turned by hand.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func newClock() *clock { return &clock{now: time.Unix(1_800_000_000, 0)} }

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) Add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// index is the storage index of test number n.
func index(n byte) caps.StorageIndex { return caps.StorageIndex{0: n, 15: n} }

// pattern is n bytes in which no two places look alike.
func pattern(n int) []byte {
	b := make([]byte, 0, n+sha256.Size)
	for i := uint64(0); len(b) < n; i++ {
		h := sha256.Sum256(binary.BigEndian.AppendUint64(nil, i))
		b = append(b, h[:]...)
	}
	return b[:n]
}

var (
	renew  = caps.Secret{0: 'r', 31: 1}
	cancel = caps.Secret{0: 'c', 31: 1}
)

func openStore(t testing.TB, cfg storage.Config) *storage.Store {
	t.Helper()
	if cfg.Dir == "" {
		cfg.Dir = t.TempDir()
	}
	s, err := storage.Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("closing the store: %v", err)
		}
	})
	return s
}

// put stores one share.
func put(t testing.TB, s *storage.Store, si caps.StorageIndex, num int, data []byte) {
	t.Helper()
	u := allocate(t, s, si, num, uint64(len(data)))
	if err := u.WriteAt(data, 0); err != nil {
		t.Fatal(err)
	}
	if err := u.Commit(); err != nil {
		t.Fatal(err)
	}
}

func allocate(t testing.TB, s *storage.Store, si caps.StorageIndex, num int, size uint64) *storage.Upload {
	t.Helper()
	_, uploads, err := s.Allocate(si, []int{num}, size, renew, cancel)
	if err != nil {
		t.Fatal(err)
	}
	if len(uploads) != 1 {
		t.Fatalf("share %d was not allocated", num)
	}
	return uploads[0]
}

// contents reads a whole share.
func contents(t testing.TB, s *storage.Store, si caps.StorageIndex, num int) []byte {
	t.Helper()
	share, err := s.OpenShare(si, num)
	if err != nil {
		t.Fatal(err)
	}
	defer share.Close()
	b, err := io.ReadAll(io.NewSectionReader(share, 0, math.MaxInt64))
	if err != nil {
		t.Fatal(err)
	}
	if uint64(len(b)) != share.Size() {
		t.Fatalf("read %d bytes of a share of %d", len(b), share.Size())
	}
	return b
}

// wire is a store behind a server on one host, and a client on another.
type wire struct {
	store  *storage.Store
	server *storage.Server
	host   *p2p.Host // the server's
	client *p2p.Host
	remote *storage.Remote
}

func everybody(caps.PublicKey) error { return nil }

func newWire(t testing.TB, cfg storage.Config, allow func(caps.PublicKey) error) *wire {
	t.Helper()
	w := &wire{store: openStore(t, cfg)}
	hosts := p2ptest.Hosts(t, 2)
	w.host, w.client = hosts[0], hosts[1]
	w.server = storage.NewServer(w.store, allow)
	w.server.Register(w.host)
	w.remote = w.newRemote(t)
	return w
}

func (w *wire) newRemote(t testing.TB) *storage.Remote {
	t.Helper()
	r := storage.NewRemote(w.client, w.host.Self(), [20]byte{1})
	t.Cleanup(func() {
		if err := r.Close(); err != nil {
			t.Errorf("closing the remote: %v", err)
		}
	})
	return r
}

func mustEqual(t testing.TB, got, want []byte) {
	t.Helper()
	if !bytes.Equal(got, want) {
		t.Fatalf("%d bytes differ from the %d wanted", len(got), len(want))
	}
}
