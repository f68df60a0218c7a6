package storage_test

import (
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"trunkline/caps"
	"trunkline/grid/storage"
)

// bigVectors is the folder of Tahoe's share files that are too many to be kept here.
func bigVectors(t *testing.T) string {
	t.Helper()
	dir := os.Getenv("TRUNKLINE_VECTORS")
	if dir == "" {
		dir = filepath.Join("..", "..", "..", "shared", "vectors")
	}
	dir = filepath.Join(dir, "tahoe", "shares")
	if _, err := os.Stat(filepath.Join(dir, "manifest.json")); err != nil {
		t.Skipf("vectors are missing: set TRUNKLINE_VECTORS to their folder (%v)", err)
	}
	return dir
}

// A whole storage directory of Tahoe's is adopted as it is: every mutable share reads, has the enabler that Tahoe's client
// derives for this server, and its client can go on writing and renewing.
func TestTahoeSlotsAdopted(t *testing.T) {
	t.Parallel()
	dir := bigVectors(t)
	raw, err := os.ReadFile(filepath.Join(dir, "manifest.json"))
	if err != nil {
		t.Fatal(err)
	}
	var m struct {
		Server struct {
			NodeID string `json:"nodeid_hex"`
		} `json:"storage_server"`
		Entries []struct {
			ID, Kind string
			Index    string `json:"storage_index"`
			Lease    struct {
				Renew   string `json:"renew_secret"`
				Cancel  string `json:"cancel_secret"`
				Enabler string `json:"write_enabler"`
			}
			Shares []struct {
				Num    int    `json:"shnum"`
				Length uint64 `json:"data_length"`
				SHA256 string `json:"data_sha256"`
			}
		}
	}
	if err := json.Unmarshal(raw, &m); err != nil {
		t.Fatal(err)
	}
	id, err := hex.DecodeString(m.Server.NodeID)
	if err != nil || len(id) != 20 {
		t.Fatalf("node id %q: %v", m.Server.NodeID, err)
	}
	adopted := t.TempDir()
	if err := os.CopyFS(adopted, os.DirFS(filepath.Join(dir, "storage"))); err != nil {
		t.Fatal(err)
	}
	s := openStore(t, storage.Config{Dir: adopted, NodeID: [20]byte(id), Now: newClock().Now, NoSync: true})
	slots := 0
	for _, e := range m.Entries {
		if e.Lease.Enabler == "" || len(e.Shares) == 0 {
			continue // immutable, or left out for its size
		}
		si, err := caps.ParseStorageIndex(e.Index)
		if err != nil {
			t.Fatal(err)
		}
		read, err := s.ReadSlot(si, nil, []storage.Range{{Length: 1 << 40}})
		if err != nil || len(read) != len(e.Shares) {
			t.Fatalf("%s: %d shares, want %d: %v", e.ID, len(read), len(e.Shares), err)
		}
		slots++
		renew, cancel := secretOf(t, e.Lease.Renew), secretOf(t, e.Lease.Cancel)
		w := storage.TestWrite{Enabler: [32]byte(secretOf(t, e.Lease.Enabler)), Renew: renew, Cancel: cancel}
		for _, sh := range e.Shares {
			data := read[sh.Num][0]
			if sum(data) != sh.SHA256 || uint64(len(data)) != sh.Length {
				t.Errorf("%s: share %d is not what Tahoe has", e.ID, sh.Num)
			}
			w.Shares = append(w.Shares, storage.ShareChange{
				Num: sh.Num, Tests: []storage.Test{{Size: 41, Specimen: data[:41]}},
				Writes: []storage.Change{{Data: []byte(strings.Repeat("x", 41))}},
			})
		}
		if err := s.AddLease(si, renew, cancel); err != nil {
			t.Errorf("%s: renewing: %v", e.ID, err)
		}
		if r, err := s.TestWrite(si, w); err != nil || !r.Applied {
			t.Errorf("%s: writing: %v, %v", e.ID, r.Applied, err)
		}
		for _, sh := range e.Shares {
			if leases, err := s.Leases(si, sh.Num); err != nil || len(leases) != 1 {
				t.Errorf("%s: share %d has %d leases after its client renewed its own (%v)", e.ID, sh.Num, len(leases), err)
			}
		}
	}
	if slots < 14 {
		t.Errorf("only %d slots", slots)
	}
}
