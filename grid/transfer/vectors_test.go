package transfer_test

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"trunkline/caps"
	"trunkline/grid/chk"
	"trunkline/grid/transfer"
	"trunkline/grid/transfer/gridtest"
)

// The share files that real Tahoe wrote, which lie with the codec.
const vectors = "../chk/testdata/tahoe"

// Files stored by Tahoe come out whole: for every one of which k shares are
// here, each on a server of its own.
func TestTahoeFiles(t *testing.T) {
	t.Parallel()
	raw, err := os.ReadFile(filepath.Join(vectors, "manifest.json"))
	if err != nil {
		t.Fatal(err)
	}
	var manifest struct {
		Entries []struct {
			ID, Kind, Cap string
			Encoding      struct{ Required, Total int }
			Plaintext     struct {
				Length int
				SHA256 string
			}
			Shares []struct {
				Num    int `json:"shnum"`
				Path   string
				Length int `json:"data_length"`
			}
		}
	}
	if err := json.Unmarshal(raw, &manifest); err != nil {
		t.Fatal(err)
	}
	files := 0
	for _, e := range manifest.Entries {
		if e.Kind != "CHK" {
			continue
		}
		var servers []*gridtest.Server
		c, err := caps.Parse(e.Cap)
		if err != nil {
			t.Fatal(err)
		}
		read, ok := c.CHK()
		if !ok {
			t.Fatalf("%s is no CHK cap", e.ID)
		}
		for _, s := range e.Shares {
			container, err := os.ReadFile(filepath.Join(vectors, s.Path))
			if err != nil {
				continue // too large to be kept here
			}
			if v := binary.BigEndian.Uint32(container); v != 1 && v != 2 {
				t.Fatalf("%s: container version %d", s.Path, v)
			}
			server := gridtest.NewServer(s.Num)
			server.Put(read.Verify().StorageIndex, s.Num, container[12:12+s.Length])
			servers = append(servers, server)
		}
		if len(servers) < e.Encoding.Required {
			t.Logf("%s: only %d shares are here", e.ID, len(servers))
			continue
		}
		files++
		t.Run(e.ID, func(t *testing.T) {
			t.Parallel()
			ciphertext, blamed, err := get(t.Context(), transfer.Config{Servers: all(servers)}, read.Verify())
			if err != nil || len(blamed) != 0 {
				t.Fatalf("%v, blamed %v", err, blamed)
			}
			chk.Decrypt(read.Key(), 0, ciphertext)
			if sum := sha256.Sum256(ciphertext); hex.EncodeToString(sum[:]) != e.Plaintext.SHA256 || len(ciphertext) != e.Plaintext.Length {
				t.Errorf("%d bytes with another hash than the original", len(ciphertext))
			}
			// All of its shares can be made again, which leaves no server out.
			servers := append(servers, gridtest.New(300)[256:]...)
			r, err := transfer.Repair(t.Context(), transfer.Config{Servers: all(servers)},
				transfer.UploadConfig{Servers: all(servers), Happy: 1}, read.Verify(), transfer.CheckOptions{})
			if err != nil || len(r.After.Good) != e.Encoding.Total {
				t.Fatalf("repaired: %v, %s", err, r.After.Summary())
			}
			if h := check(t, servers, read.Verify(), transfer.CheckOptions{Verify: true}); !h.Healthy() {
				t.Errorf("after the repair: %s", h.Summary())
			}
		})
	}
	if files < 10 {
		t.Fatalf("only %d files", files)
	}
}
