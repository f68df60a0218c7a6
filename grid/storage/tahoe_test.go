package storage_test

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/blake2b"

	"trunkline/caps"
	"trunkline/grid/storage"
	"trunkline/p2p"
)

// manifest is testdata/tahoe/manifest.json: what Tahoe's code says about its share files.
type manifest struct {
	NodeID      string `json:"nodeid"`
	LeaseSecret string `json:"lease_secret"`
	Containers  []tahoeContainer
}

type tahoeContainer struct {
	Path            string
	StorageIndex    string `json:"storage_index"`
	Share           int
	Version         int
	Mutable         bool
	DataLength      uint64 `json:"data_length"`
	DataSHA256      string `json:"data_sha256"`
	ContainerSHA256 string `json:"container_sha256"`
	Leases          []struct {
		Owner, Expiration uint32
		Renew, Cancel     string
	}
}

func (c tahoeContainer) index(t testing.TB) caps.StorageIndex {
	t.Helper()
	si, err := caps.ParseStorageIndex(c.StorageIndex)
	if err != nil {
		t.Fatal(err)
	}
	return si
}

// dir is the storage directory that the container is in.
func (c tahoeContainer) dir() string {
	dir, _, _ := strings.Cut(c.Path, "/")
	return dir
}

func tahoe(t testing.TB) manifest {
	t.Helper()
	b, err := os.ReadFile("testdata/tahoe/manifest.json")
	if err != nil {
		t.Fatal(err)
	}
	var m manifest
	if err := json.Unmarshal(b, &m); err != nil {
		t.Fatal(err)
	}
	if len(m.Containers) < 10 {
		t.Fatalf("only %d containers", len(m.Containers))
	}
	return m
}

func secretOf(t testing.TB, text string) caps.Secret {
	t.Helper()
	b, err := hex.DecodeString(text)
	if err != nil || len(b) != 32 {
		t.Fatalf("bad secret: %v", err)
	}
	return caps.Secret(b)
}

func sum(b []byte) string {
	h := sha256.Sum256(b)
	return hex.EncodeToString(h[:])
}

// copyTahoe copies one of Tahoe's storage directories, with the times of its files.
func copyTahoe(t testing.TB, name string) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(filepath.Join("testdata/tahoe", name))); err != nil {
		t.Fatal(err)
	}
	old := time.Unix(1_600_000_000, 0)
	for name := range tree(t, dir) {
		if err := os.Chtimes(filepath.Join(dir, name), old, old); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// Tahoe's own share files read, and are served, as Tahoe has them; lease for lease.
func TestTahoeContainers(t *testing.T) {
	t.Parallel()
	wires := make(map[string]*wire)
	for _, name := range []string{"storage", "storage-v1", "storage-leases"} {
		wires[name] = newWire(t, storage.Config{Dir: copyTahoe(t, name), ReadOnly: true}, everybody)
	}
	for _, c := range tahoe(t).Containers {
		t.Run(strings.ReplaceAll(c.Path, "/", "_"), func(t *testing.T) {
			w, si := wires[c.dir()], c.index(t)
			if c.Mutable {
				if _, err := w.remote.Shares(t.Context(), si); !errors.Is(err, storage.ErrMutable) || !errors.Is(err, p2p.ErrUnsupported) {
					t.Errorf("list: %v", err)
				}
				err := w.remote.Read(t.Context(), si, c.Share, []storage.Range{{0, 1}}, [][]byte{{0}})
				if !errors.Is(err, storage.ErrMutable) {
					t.Errorf("read: %v", err)
				}
				checkTahoeSlot(t, w, c)
				return
			}
			infos, err := w.remote.Shares(t.Context(), si)
			if err != nil || !slices.Contains(infos, storage.ShareInfo{Num: c.Share, Size: c.DataLength}) {
				t.Fatalf("shares %v, %v", infos, err)
			}
			data := make([]byte, c.DataLength)
			if err := w.remote.Read(t.Context(), si, c.Share, []storage.Range{{0, c.DataLength}}, [][]byte{data}); err != nil {
				t.Fatal(err)
			}
			if got := sum(data); got != c.DataSHA256 {
				t.Errorf("data %s, want %s", got, c.DataSHA256)
			}
			leases, err := w.store.Leases(si, c.Share)
			if err != nil || len(leases) != len(c.Leases) {
				t.Fatalf("%d leases, %v", len(leases), err)
			}
			for i, want := range c.Leases {
				r, k := secretOf(t, want.Renew), secretOf(t, want.Cancel)
				if c.Version == 2 {
					r, k = blake2b.Sum256(r[:]), blake2b.Sum256(k[:])
				}
				got := leases[i]
				if got.Owner != want.Owner || got.Expiration != want.Expiration || !got.Renew.Equal(r) || !got.Cancel.Equal(k) {
					t.Errorf("lease %d differs", i)
				}
			}
		})
	}
}

// Given the same share and lease we write the same file as Tahoe, byte for byte.
func TestTahoeWritten(t *testing.T) {
	t.Parallel()
	for _, c := range tahoe(t).Containers {
		if c.Mutable || c.dir() != "storage" {
			continue
		}
		t.Run(strings.ReplaceAll(c.Path, "/", "_"), func(t *testing.T) {
			t.Parallel()
			original, err := os.ReadFile(filepath.Join("testdata/tahoe", c.Path))
			if err != nil {
				t.Fatal(err)
			}
			if sum(original) != c.ContainerSHA256 {
				t.Fatal("the file is not the one the manifest speaks of")
			}
			data := original[12 : 12+c.DataLength]
			lease := c.Leases[0]
			made := time.Unix(int64(lease.Expiration), 0).Add(-storage.LeaseDuration)
			dir := t.TempDir()
			s := openStore(t, storage.Config{Dir: dir, Now: func() time.Time { return made }})
			_, uploads, err := s.Allocate(c.index(t), []int{c.Share}, c.DataLength, secretOf(t, lease.Renew), secretOf(t, lease.Cancel))
			if err != nil || len(uploads) != 1 {
				t.Fatal(err)
			}
			if err := uploads[0].WriteAt(data, 0); err != nil {
				t.Fatal(err)
			}
			if err := uploads[0].Commit(); err != nil {
				t.Fatal(err)
			}
			_, place, _ := strings.Cut(c.Path, "/")
			written, err := os.ReadFile(filepath.Join(dir, place))
			if err != nil {
				t.Fatal(err)
			}
			if sum(written) != c.ContainerSHA256 {
				t.Errorf("container\n%x\nwant\n%x", written, original)
			}
		})
	}
}

// The lease secrets of Tahoe's client follow from its master secret and the server's id.
func TestTahoeLeaseSecrets(t *testing.T) {
	t.Parallel()
	m := tahoe(t)
	id, err := hex.DecodeString(m.NodeID)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range m.Containers {
		if c.dir() != "storage" {
			continue
		}
		r, k := caps.LeaseSecrets([32]byte(secretOf(t, m.LeaseSecret)), c.index(t), [20]byte(id))
		if !r.Equal(secretOf(t, c.Leases[0].Renew)) || !k.Equal(secretOf(t, c.Leases[0].Cancel)) {
			t.Errorf("%s: secrets differ", c.Path)
		}
	}
}

// Leases on Tahoe's containers: a known one is renewed in place, a new one added behind the others, and
// the container keeps its version.
func TestTahoeLeaseAdded(t *testing.T) {
	t.Parallel()
	for _, c := range tahoe(t).Containers {
		if c.Mutable || c.dir() == "storage" {
			continue
		}
		t.Run(c.dir(), func(t *testing.T) {
			t.Parallel()
			dir, si, clock := copyTahoe(t, c.dir()), c.index(t), newClock()
			s := openStore(t, storage.Config{Dir: dir, Now: clock.Now})
			last := c.Leases[len(c.Leases)-1]
			if err := s.AddLease(si, secretOf(t, last.Renew), secretOf(t, last.Cancel)); err != nil {
				t.Fatal(err)
			}
			if err := s.AddLease(si, renew, cancel); err != nil {
				t.Fatal(err)
			}
			leases, err := s.Leases(si, c.Share)
			if err != nil || len(leases) != len(c.Leases)+1 {
				t.Fatalf("%d leases, %v", len(leases), err)
			}
			want := uint32(clock.Now().Add(storage.LeaseDuration).Unix())
			stored := renew
			if c.Version == 2 {
				stored = blake2b.Sum256(renew[:])
			}
			added := leases[len(leases)-1]
			if leases[len(leases)-2].Expiration != want || added.Expiration != want || !added.Renew.Equal(stored) {
				t.Errorf("renewed or added wrongly")
			}
			if leases[0].Expiration != c.Leases[0].Expiration {
				t.Errorf("another lease changed")
			}
			if got := sum(contents(t, s, si, c.Share)); got != c.DataSHA256 {
				t.Errorf("data %s, want %s", got, c.DataSHA256)
			}
			_, place, _ := strings.Cut(c.Path, "/")
			if b, err := os.ReadFile(filepath.Join(dir, place)); err != nil || int(b[3]) != c.Version {
				t.Errorf("container version changed (%v)", err)
			}
		})
	}
}

func changed(_ storage.TestWriteResult, err error) error { return err }

// Read-only changes nothing: not a byte, not a time, not a name.
func TestReadOnlyTouchesNothing(t *testing.T) {
	t.Parallel()
	dir := copyTahoe(t, "storage")
	left := filepath.Join(dir, "shares/incoming/dh/dhwghgzvwsu4kbuqxkwv7qhm74")
	if err := os.MkdirAll(left, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{filepath.Join(left, "9"), filepath.Join(dir, "shares/incoming/x-0.1.trunkline")} {
		if err := os.WriteFile(name, []byte("in progress"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	before := tree(t, dir)
	w := newWire(t, storage.Config{Dir: dir, ReadOnly: true, MaxBytes: 1, ReservedBytes: 1}, everybody)
	for _, c := range tahoe(t).Containers {
		if c.dir() != "storage" {
			continue
		}
		si := c.index(t)
		_, _ = w.remote.Shares(t.Context(), si)
		_ = w.remote.Read(t.Context(), si, c.Share, []storage.Range{{0, 1}}, [][]byte{{0}})
		_, _, err := w.remote.Allocate(t.Context(), si, []int{0, 200}, 10, renew, cancel)
		for what, err := range map[string]error{
			"allocate": err,
			"lease":    w.remote.AddLease(t.Context(), si, renew, cancel),
			"advise":   w.remote.Advise(t.Context(), si, c.Share, "bad"),
			"change":   changed(w.remote.TestWrite(t.Context(), si, storage.TestWrite{Shares: []storage.ShareChange{{Num: c.Share, Truncate: true}}})),
		} {
			if !errors.Is(err, storage.ErrReadOnly) {
				t.Errorf("%s: %v", what, err)
			}
		}
	}
	if err := w.store.Close(); err != nil {
		t.Fatal(err)
	}
	after := tree(t, dir)
	for name, n := range before {
		if after[name] != n {
			t.Errorf("%s changed", name)
		}
	}
	if len(after) != len(before) {
		t.Errorf("%d names became %d", len(before), len(after))
	}
	if _, err := storage.Open(storage.Config{Dir: filepath.Join(dir, "missing"), ReadOnly: true}); err == nil {
		t.Error("a directory that is not there was opened read-only")
	}
}
