package storage_test

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
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
)

// checkTahoeSlot holds one of Tahoe's mutable share files against what Tahoe says of it.
func checkTahoeSlot(t *testing.T, w *wire, c tahoeContainer) {
	t.Helper()
	si := c.index(t)
	read, err := w.remote.ReadSlot(t.Context(), si, []int{c.Share}, []storage.Range{{Offset: 0, Length: 1 << 40}})
	if err != nil || len(read) != 1 || len(read[c.Share]) != 1 {
		t.Fatalf("reading the slot: %d shares, %v", len(read), err)
	}
	if data := read[c.Share][0]; sum(data) != c.DataSHA256 || uint64(len(data)) != c.DataLength {
		t.Errorf("%d bytes of data, not the %d that Tahoe has", len(data), c.DataLength)
	}
	leases, err := w.store.Leases(si, c.Share)
	if err != nil || len(leases) != len(c.Leases) {
		t.Fatalf("%d leases, not %d: %v", len(leases), len(c.Leases), err)
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
}

// slotFile is a mutable share file taken apart, by its own reading of the format.
type slotFile struct {
	magic, node, enabler []byte
	data                 []byte
	fixed, extra         [][]byte // lease slots
}

func parseSlotFile(t testing.TB, b []byte) slotFile {
	t.Helper()
	d, x := binary.BigEndian.Uint64(b[84:]), binary.BigEndian.Uint64(b[92:])
	f := slotFile{magic: b[:32], node: b[32:52], enabler: b[52:84], data: b[468 : 468+d]}
	for i := range 4 {
		f.fixed = append(f.fixed, b[100+92*i:][:92])
	}
	for i := range int(binary.BigEndian.Uint32(b[x:])) {
		f.extra = append(f.extra, b[int(x)+4+92*i:][:92])
	}
	return f
}

func (c tahoeContainer) file(t testing.TB) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata/tahoe", c.Path))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// Given the same share, enabler and lease we write the same file as Tahoe, byte for byte.
func TestTahoeSlotWritten(t *testing.T) {
	t.Parallel()
	written := 0
	for _, c := range tahoe(t).Containers {
		if !c.Mutable || c.Version != 2 || len(c.Leases) != 1 {
			continue
		}
		original := c.file(t)
		parts := parseSlotFile(t, original)
		if sum(original) != c.ContainerSHA256 || len(original) != 468+len(parts.data)+4 {
			continue // one with slack behind the data: we leave none
		}
		written++
		t.Run(strings.ReplaceAll(c.Path, "/", "_"), func(t *testing.T) {
			t.Parallel()
			lease := c.Leases[0]
			made := time.Unix(int64(lease.Expiration), 0).Add(-storage.LeaseDuration)
			dir := t.TempDir()
			s := openStore(t, storage.Config{Dir: dir, NodeID: [20]byte(parts.node), Now: func() time.Time { return made }})
			half := len(parts.data) / 2
			for _, change := range []storage.ShareChange{
				{Num: c.Share, Tests: []storage.Test{{Size: 1}}, Writes: []storage.Change{{Data: parts.data[:half]}}},
				{Num: c.Share, Writes: []storage.Change{{Offset: uint64(half), Data: parts.data[half:]}}},
			} {
				r, err := s.TestWrite(c.index(t), storage.TestWrite{
					Enabler: [32]byte(parts.enabler), Renew: secretOf(t, lease.Renew), Cancel: secretOf(t, lease.Cancel),
					Shares: []storage.ShareChange{change},
				})
				if err != nil || !r.Applied {
					t.Fatalf("applied %v, %v", r.Applied, err)
				}
			}
			_, place, _ := strings.Cut(c.Path, "/")
			b, err := os.ReadFile(filepath.Join(dir, place))
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(b, original) {
				t.Errorf("the file differs from Tahoe's")
			}
		})
	}
	if written == 0 {
		t.Error("no file of Tahoe's was written again")
	}
}

// Writing to Tahoe's own share files: the container keeps its version, its node id, its enabler and its leases, whether
// the share grows or shrinks; nobody without the enabler changes a byte.
func TestTahoeSlotChanged(t *testing.T) {
	t.Parallel()
	for _, c := range tahoe(t).Containers {
		if !c.Mutable {
			continue
		}
		t.Run(strings.ReplaceAll(c.Path, "/", "_"), func(t *testing.T) {
			t.Parallel()
			dir, si, clock := copyTahoe(t, c.dir()), c.index(t), newClock()
			s := openStore(t, storage.Config{Dir: dir, Now: clock.Now, NodeID: [20]byte{9}})
			before := parseSlotFile(t, c.file(t))
			_, place, _ := strings.Cut(c.Path, "/")
			untouched := tree(t, dir)[place]
			change := storage.ShareChange{Num: c.Share, Tests: []storage.Test{{Size: 57, Specimen: before.data[:57]}}}
			last := c.Leases[len(c.Leases)-1]
			w := storage.TestWrite{Enabler: [32]byte{1}, Renew: secretOf(t, last.Renew), Cancel: secretOf(t, last.Cancel), Shares: []storage.ShareChange{change}}
			if _, err := s.TestWrite(si, w); !errors.Is(err, storage.ErrEnabler) {
				t.Fatalf("with another enabler: %v", err)
			}
			if _, _, err := s.Allocate(si, []int{c.Share, 9}, 10, renew, cancel); !errors.Is(err, storage.ErrMutable) {
				t.Fatalf("an immutable share beside it: %v", err)
			}
			if tree(t, dir)[place] != untouched {
				t.Fatal("the file changed")
			}
			w.Enabler = [32]byte(before.enabler)
			data := slices.Clone(before.data)
			for _, step := range []storage.ShareChange{
				{Writes: []storage.Change{{Offset: uint64(len(data) + 5), Data: []byte("grown")}}},
				{Writes: []storage.Change{{Data: []byte("again")}}, Truncate: true, Length: 60},
			} {
				step.Num, step.Tests = c.Share, w.Shares[0].Tests
				w.Shares[0] = step
				if r, err := s.TestWrite(si, w); err != nil || !r.Applied {
					t.Fatalf("applied %v, %v", r.Applied, err)
				}
				if step.Truncate {
					data = append([]byte("again"), data[5:60]...)
				} else {
					data = append(append(data, 0, 0, 0, 0, 0), "grown"...)
				}
				b, err := os.ReadFile(filepath.Join(dir, place))
				if err != nil {
					t.Fatal(err)
				}
				after := parseSlotFile(t, b)
				if !bytes.Equal(after.data, data) {
					t.Error("other data")
				}
				if !bytes.Equal(after.magic, before.magic) || !bytes.Equal(after.node, before.node) || !bytes.Equal(after.enabler, before.enabler) {
					t.Error("the header changed")
				}
				if len(after.extra) != len(before.extra) {
					t.Fatalf("%d extra leases became %d", len(before.extra), len(after.extra))
				}
				want := uint32(clock.Now().Add(storage.LeaseDuration).Unix())
				for i, slot := range slices.Concat(before.fixed, before.extra) {
					got := slices.Concat(after.fixed, after.extra)[i]
					if i == len(c.Leases)-1 {
						if binary.BigEndian.Uint32(got[4:]) != want {
							t.Error("the lease was not renewed")
						}
						slot, got = slices.Concat(slot[:4], slot[8:]), slices.Concat(got[:4], got[8:])
					}
					if !bytes.Equal(got, slot) {
						t.Errorf("lease slot %d changed", i)
					}
				}
			}
			addTahoeLeases(t, s, c, clock)
		})
	}
}

// addTahoeLeases adds leases until some stand in the extra area, and renews one of each sort.
func addTahoeLeases(t *testing.T, s *storage.Store, c tahoeContainer, clock *clock) {
	t.Helper()
	si := c.index(t)
	for i := range byte(5) {
		if err := s.AddLease(si, caps.Secret{i, 1}, cancel); err != nil {
			t.Fatal(err)
		}
	}
	clock.Add(time.Hour)
	want := uint32(clock.Now().Add(storage.LeaseDuration).Unix())
	for _, i := range []byte{0, 4} {
		if err := s.AddLease(si, caps.Secret{i, 1}, cancel); err != nil {
			t.Fatal(err)
		}
	}
	leases, err := s.Leases(si, c.Share)
	if err != nil || len(leases) != len(c.Leases)+5 {
		t.Fatalf("%d leases, %v", len(leases), err)
	}
	for i, l := range leases[len(c.Leases):] {
		secret := caps.Secret{byte(i), 1}
		if c.Version == 2 {
			secret = blake2b.Sum256(secret[:])
		}
		if l.Owner != 1 || !l.Renew.Equal(secret) || l.NodeID != [20]byte{9} {
			t.Errorf("lease %d is another's", i)
		}
		if renewed := i == 0 || i == 4; renewed != (l.Expiration == want) {
			t.Errorf("lease %d ends at %d", i, l.Expiration)
		}
	}
}

// The write enablers of Tahoe's shares are bound to the node that made them, which an adopted directory goes on being.
func TestTahoeNodeID(t *testing.T) {
	t.Parallel()
	m := tahoe(t)
	for _, c := range m.Containers {
		if c.Mutable && hex.EncodeToString(parseSlotFile(t, c.file(t)).node) != m.NodeID {
			t.Errorf("%s was made for another node", c.Path)
		}
	}
}
