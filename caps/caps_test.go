package caps_test

import (
	"crypto/ed25519"
	"encoding/binary"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"trunkline/caps"
)

// numberedLeaves are distinct leaves, the same every time.
func numberedLeaves(n int) []caps.Hash {
	leaves := make([]caps.Hash, n)
	for i := range leaves {
		leaves[i] = caps.BlockHash(binary.BigEndian.AppendUint32(nil, uint32(i)))
	}
	return leaves
}

// testKey is a valid public key, the same every time.
func testKey(seed byte) caps.PublicKey {
	private := ed25519.NewKeyFromSeed(append([]byte{seed}, make([]byte, 31)...))
	key, err := caps.ParsePublicKey(private.Public().(ed25519.PublicKey))
	if err != nil {
		panic(err)
	}
	return key
}

func testArea(seed byte) caps.AreaCode { return caps.NewAreaCode(testKey(seed)) }

func mustParse(tb testing.TB, text string) caps.Cap {
	tb.Helper()
	c, err := caps.Parse(text)
	if err != nil {
		tb.Fatalf("Parse: %v", err)
	}
	return c
}

// loadJSON reads one of Tahoe's outputs kept beside the tests.
func loadJSON(t *testing.T, name string, into any) {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", "tahoe", name))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, into); err != nil {
		t.Fatal(err)
	}
}

// vectorFile finds a file of the large vectors, which are not kept in the repository.
func vectorFile(t *testing.T, name string) string {
	t.Helper()
	dir := os.Getenv("TRUNKLINE_VECTORS")
	if dir == "" {
		dir = filepath.Join("..", "..", "shared", "vectors")
	}
	path := filepath.Join(dir, "tahoe", name)
	if _, err := os.Stat(path); err != nil {
		t.Skipf("vectors are missing: set TRUNKLINE_VECTORS to their folder (%v)", err)
	}
	return path
}
