package mutable_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"trunkline/caps"
	"trunkline/grid/mutable"
	"trunkline/grid/transfer"
	"trunkline/grid/transfer/gridtest"
)

// vectors are shares that Tahoe wrote; grid/ssk keeps them.
const vectors = "../ssk/testdata/tahoe"

type tahoeFile struct {
	ID        string `json:"id"`
	Cap       string `json:"cap"`
	Plaintext *struct {
		SHA256 string `json:"sha256"`
	} `json:"plaintext"`
	Shares []struct {
		Num  int    `json:"shnum"`
		Path string `json:"path"`
	} `json:"shares"`
}

// What Tahoe wrote is read, changed in place, checked, repaired.
func TestTahoeFiles(t *testing.T) {
	t.Parallel()
	raw, err := os.ReadFile(filepath.Join(vectors, "manifest.json"))
	if err != nil {
		t.Fatal(err)
	}
	var manifest struct {
		Entries []tahoeFile `json:"entries"`
	}
	if err := json.Unmarshal(raw, &manifest); err != nil || len(manifest.Entries) == 0 {
		t.Fatalf("%d entries, %v", len(manifest.Entries), err)
	}
	for _, e := range manifest.Entries {
		t.Run(e.ID, func(t *testing.T) {
			t.Parallel()
			c, err := caps.Parse(e.Cap)
			if err != nil {
				t.Fatal(err)
			}
			v, write, servers := verifyCap(t, c), writeKey(t, c), gridtest.New(10)
			slots := make([]map[int][]byte, len(servers))
			for i := range slots {
				slots[i] = make(map[int][]byte)
			}
			for _, s := range e.Shares {
				container, err := os.ReadFile(filepath.Join(vectors, s.Path))
				if err != nil {
					t.Fatal(err)
				}
				slots[s.Num%10][s.Num] = container[468 : 468+binary.BigEndian.Uint64(container[84:])]
			}
			for i, s := range servers {
				s.PutSlot(v.StorageIndex, write.WriteEnabler(s.PeerID20()), slots[i])
			}
			f := newFiles(t, servers, func(cfg *mutable.Config) { cfg.K, cfg.N, cfg.Happy = 1, 1, 1 })
			before := read(t, f, c)
			if sum := fmt.Sprintf("%x", sha256.Sum256(before)); e.Plaintext != nil && sum != e.Plaintext.SHA256 {
				t.Error("other contents than Tahoe's")
			}
			patch := []byte("changed")
			if _, err := f.WriteAt(context.Background(), c, bytes.NewReader(patch), 3, uint64(len(patch))); err != nil {
				t.Fatal(err)
			}
			after := append(bytes.Clone(before), make([]byte, max(0, 3+len(patch)-len(before)))...)
			copy(after[3:], patch)
			mustRead(t, f, c, after)
			_, h, err := f.Repair(context.Background(), c, transfer.CheckOptions{Verify: true})
			if err != nil || !h.Healthy() {
				t.Errorf("%s, %v", h.Summary(), err)
			}
			mustRead(t, f, c, after)
		})
	}
}

func writeKey(tb testing.TB, c caps.Cap) caps.WriteKey {
	tb.Helper()
	w, ok := c.WriteKey()
	if !ok {
		tb.Fatal("no write cap")
	}
	return w
}
