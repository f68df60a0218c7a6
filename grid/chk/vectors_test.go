package chk_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sort"
	"testing"

	"trunkline/caps"
	"trunkline/grid/chk"
)

// The vectors are what real Tahoe code made: testdata/tahoe/manifest.json and the share files it names, for the
// immutable kinds. Those of mutable files are tested in package ssk.
const vectors = "testdata/tahoe"

type manifest struct {
	Fixtures []struct {
		Path   string
		SameAs string `json:"same_share_as"`
		Length int    `json:"data_length"`
		SHA256 string `json:"data_sha256"`
	} `json:"container_fixtures"`
	Entries []entry
}

type entry struct {
	ID, Kind, Cap string
	VerifyCap     string `json:"verify_cap"`
	StorageIndex  string `json:"storage_index"`
	Layout        int    `json:"layout_version"`
	Key           string
	Convergence   *string
	UEB           []byte `json:"ueb_base64"`
	Encoding      struct {
		Required, Total int
		MaxSegment      uint64 `json:"max_segment_size"`
	}
	Plaintext struct {
		Length       int
		Seed, SHA256 string
	}
	Shares []struct {
		Num    int `json:"shnum"`
		Path   string
		Length int    `json:"data_length"`
		SHA256 string `json:"data_sha256"`
	}
}

func loadJSON(t testing.TB, path string, to any) {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(vectors, path))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(raw, to); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
}

// elsewhere is the folder of the full set of vectors, for the few files that are too large to keep here: the
// environment variable TRUNKLINE_VECTORS, or shared/vectors beside the repository.
func elsewhere() string {
	if dir := os.Getenv("TRUNKLINE_VECTORS"); dir != "" {
		return filepath.Join(dir, "tahoe", "shares")
	}
	return filepath.Join("..", "..", "..", "shared", "vectors", "tahoe", "shares")
}

// container reads a share file as a storage server keeps it and takes the share out of it: a header of 12 bytes, the
// share, then leases.
func container(t testing.TB, path string, length int, sum string) []byte {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(vectors, path))
	if os.IsNotExist(err) {
		raw, err = os.ReadFile(filepath.Join(elsewhere(), path))
		if os.IsNotExist(err) {
			t.Skipf("share file %s is not kept in the repository for its size; TRUNKLINE_VECTORS names the folder that has it", path)
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	if len(raw) < 12+length {
		t.Fatalf("%s has %d bytes", path, len(raw))
	}
	share := raw[12 : 12+length]
	if got := sha256.Sum256(share); hex.EncodeToString(got[:]) != sum {
		t.Fatalf("%s is not the file the manifest means", path)
	}
	return share
}

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func unbase64(t testing.TB, s string) []byte {
	t.Helper()
	b, err := base64.StdEncoding.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// ascending returns a share with the entries of its hash chain sorted, the order in which we write them and Tahoe
// does not.
func ascending(t testing.TB, share []byte) []byte {
	t.Helper()
	l, err := chk.ParseLayout(share[:chk.HeaderMax], uint64(len(share)))
	if err != nil {
		t.Fatal(err)
	}
	out := bytes.Clone(share)
	chain := out[l.ShareChain:l.UEBLength]
	var entries [][]byte
	for i := 0; i < len(chain); i += 34 {
		entries = append(entries, bytes.Clone(chain[i:i+34]))
	}
	sort.Slice(entries, func(i, j int) bool {
		return binary.BigEndian.Uint16(entries[i]) < binary.BigEndian.Uint16(entries[j])
	})
	copy(chain, bytes.Join(entries, nil))
	return out
}

func TestTahoeShares(t *testing.T) {
	t.Parallel()
	var m manifest
	loadJSON(t, "manifest.json", &m)
	seen := 0
	for _, v := range m.Entries {
		if v.Kind != "CHK" {
			continue
		}
		seen++
		t.Run(v.ID, func(t *testing.T) {
			t.Parallel()
			testTahoeFile(t, v)
		})
	}
	if seen < 15 {
		t.Fatalf("the manifest names %d immutable files", seen)
	}
}

func testTahoeFile(t *testing.T, v entry) {
	plain := plaintextOf(string(unbase64(t, v.Plaintext.Seed)), v.Plaintext.Length)
	if sum := sha256.Sum256(plain); hex.EncodeToString(sum[:]) != v.Plaintext.SHA256 {
		t.Fatal("the recipe gives another plaintext")
	}
	tahoe := map[int][]byte{}
	for _, s := range v.Shares {
		tahoe[s.Num] = container(t, s.Path, s.Length, s.SHA256)
	}

	// Ours from the plaintext.
	g := geometry(t, len(plain), v.Encoding.Required, v.Encoding.Total, v.Encoding.MaxSegment)
	key := caps.NewReadKey([16]byte(unhex(t, v.Key)))
	if v.Convergence != nil {
		got, err := chk.ConvergenceKey(unbase64(t, *v.Convergence), g, bytes.NewReader(plain))
		if err != nil {
			t.Fatal(err)
		}
		if !got.Equal(key) {
			t.Error("the convergent key is another than Tahoe's")
		}
	}
	version := v.Layout
	if version == 1 {
		version = 0 // that is also what we choose
	}
	ours := encode(t, chk.EncoderConfig{Key: key, Geometry: g, LayoutVersion: version}, plain)
	if ours.cap.Cap().Text() != v.Cap {
		t.Error("the cap is another than Tahoe's")
	}
	if si := ours.cap.Verify().StorageIndex.String(); si != v.StorageIndex {
		t.Errorf("storage index %s, Tahoe's is %s", si, v.StorageIndex)
	}
	for num, want := range tahoe {
		if !bytes.Equal(ours.shares[num], ascending(t, want)) {
			t.Errorf("share %d differs from Tahoe's", num)
		}
	}

	// Tahoe's to the plaintext.
	for num, share := range tahoe {
		if err := verify(ours, num, share); err != nil {
			t.Errorf("verifying Tahoe's share %d: %v", num, err)
		}
	}
	for _, nums := range subsets(tahoe, g.K) {
		shares := map[int][]byte{}
		for _, n := range nums {
			shares[n] = tahoe[n]
		}
		if got := plaintext(t, ours.cap, shares); !bytes.Equal(got, plain) {
			t.Errorf("shares %v give another plaintext", nums)
		}
	}
}

// subsets lists some sets of k shares: the highest-numbered first, the lowest, and some at random.
func subsets(shares map[int][]byte, k int) [][]int {
	var nums []int
	for n := range shares {
		nums = append(nums, n)
	}
	sort.Ints(nums)
	out := [][]int{nums[len(nums)-k:], nums[:k]}
	rng := rand.New(rand.NewPCG(uint64(k), uint64(len(nums))))
	for range 4 {
		var set []int
		for _, i := range rng.Perm(len(nums))[:k] {
			set = append(set, nums[i])
		}
		out = append(out, set)
	}
	return out
}

// TestTahoeContainers reads the same share out of a version 1 container and out of one with six leases.
func TestTahoeContainers(t *testing.T) {
	t.Parallel()
	var m manifest
	loadJSON(t, "manifest.json", &m)
	if len(m.Fixtures) != 2 {
		t.Fatalf("%d container fixtures", len(m.Fixtures))
	}
	for _, c := range m.Fixtures {
		t.Run(filepath.Dir(c.Path), func(t *testing.T) {
			t.Parallel()
			share := container(t, c.Path, c.Length, c.SHA256)
			for _, v := range m.Entries {
				if v.ID == c.SameAs {
					if want := container(t, v.Shares[0].Path, v.Shares[0].Length, v.Shares[0].SHA256); !bytes.Equal(share, want) {
						t.Error("another share than the plain container has")
					}
					return
				}
			}
			t.Fatal("the manifest does not name the file it is a share of")
		})
	}
}

// TestTahoeUEB parses Tahoe's URI extension blocks and predicts their length.
func TestTahoeUEB(t *testing.T) {
	t.Parallel()
	var m manifest
	loadJSON(t, "manifest.json", &m)
	for _, v := range m.Entries {
		if v.Kind != "CHK" {
			continue
		}
		t.Run(v.ID, func(t *testing.T) {
			t.Parallel()
			g := geometry(t, v.Plaintext.Length, v.Encoding.Required, v.Encoding.Total, v.Encoding.MaxSegment)
			u, err := chk.ParseUEB(v.UEB, caps.CHKVerify{UEBHash: caps.UEBHash(v.UEB), K: g.K, N: g.N, Size: g.Size})
			if err != nil {
				t.Fatal(err)
			}
			if u.Geometry != g {
				t.Errorf("geometry %+v, want %+v", u.Geometry, g)
			}
			if got := chk.UEBLen(g); got != len(v.UEB) {
				t.Errorf("length %d predicted, it is %d", got, len(v.UEB))
			}
		})
	}
}

func TestTahoeLiterals(t *testing.T) {
	t.Parallel()
	var m manifest
	loadJSON(t, "manifest.json", &m)
	for _, v := range m.Entries {
		if v.Kind != "LIT" {
			continue
		}
		t.Run(v.ID, func(t *testing.T) {
			t.Parallel()
			plain := plaintextOf(string(unbase64(t, v.Plaintext.Seed)), v.Plaintext.Length)
			if len(plain) > chk.LiteralMax {
				t.Errorf("%d bytes are more than a literal has", len(plain))
			}
			c, err := caps.NewLiteral(plain)
			if err != nil {
				t.Fatal(err)
			}
			if c.Text() != v.Cap {
				t.Errorf("another cap than Tahoe's")
			}
			if c, err = caps.Parse(v.Cap); err != nil {
				t.Fatal(err)
			}
			if got, ok := c.Literal(); !ok || !bytes.Equal(got, plain) {
				t.Errorf("the literal reads as %q", got)
			}
		})
	}
}

// TestPublishedCaps makes the convergent caps of Tahoe's own published vectors, as far as they are of immutable files.
func TestPublishedCaps(t *testing.T) {
	t.Parallel()
	var all []struct {
		Convergence, Seed, Cap  string
		Length, Required, Total int
		MaxSegment              uint64 `json:"max_segment_size"`
	}
	loadJSON(t, "published-chk.json", &all)
	if len(all) != 60 {
		t.Fatalf("%d vectors", len(all))
	}
	for i, v := range all {
		t.Run(fmt.Sprintf("%d/%s", i, name(v.Required, v.Total, v.Length)), func(t *testing.T) {
			t.Parallel()
			if testing.Short() && v.Length > 1<<20 {
				t.Skip("large plaintext in a short run")
			}
			seed := unbase64(t, v.Seed)
			plain := bytes.Repeat(seed, v.Length/len(seed)+1)[:v.Length]
			g := geometry(t, len(plain), v.Required, v.Total, v.MaxSegment)
			key, err := chk.ConvergenceKey(unbase64(t, v.Convergence), g, bytes.NewReader(plain))
			if err != nil {
				t.Fatal(err)
			}
			e, err := chk.NewEncoder(chk.EncoderConfig{Key: key, Geometry: g})
			if err != nil {
				t.Fatal(err)
			}
			for seg := range g.Segments {
				b, err := e.EncodeFrom(seg, bytes.NewReader(plain))
				if err != nil {
					t.Fatal(err)
				}
				b.Release()
			}
			x, err := e.Finish()
			if err != nil {
				t.Fatal(err)
			}
			if x.Cap.Cap().Text() != v.Cap {
				t.Error("another cap than Tahoe's")
			}
		})
	}
}

func TestTahoeUnits(t *testing.T) {
	t.Parallel()
	var u struct {
		Convergence []struct {
			Required, Total        int
			SegmentSize            uint64 `json:"segment_size"`
			Secret, Plaintext, Key string
		}
		AES []struct{ Key, Plaintext, Ciphertext string } `json:"aes_ctr"`
	}
	loadJSON(t, "units.json", &u)
	if len(u.Convergence) == 0 || len(u.AES) == 0 {
		t.Fatal("units.json: a section is empty")
	}
	for i, v := range u.Convergence {
		t.Run(fmt.Sprintf("convergence/%d", i), func(t *testing.T) {
			t.Parallel()
			plain := unhex(t, v.Plaintext)
			g, err := chk.FromSegmentSize(uint64(len(plain)), v.Required, v.Total, v.SegmentSize)
			if err != nil {
				t.Fatal(err)
			}
			key, err := chk.ConvergenceKey(unhex(t, v.Secret), g, bytes.NewReader(plain))
			if err != nil {
				t.Fatal(err)
			}
			if !key.Equal(caps.NewReadKey([16]byte(unhex(t, v.Key)))) {
				t.Error("another key than Tahoe's")
			}
		})
	}
	for i, v := range u.AES {
		t.Run(fmt.Sprintf("aes-ctr/%d", i), func(t *testing.T) {
			t.Parallel()
			key := caps.NewReadKey([16]byte(unhex(t, v.Key)))
			data, want := unhex(t, v.Ciphertext), unhex(t, v.Plaintext)
			chk.Decrypt(key, 0, data)
			if !bytes.Equal(data, want) {
				t.Error("another plaintext than Tahoe's")
			}
			for from := range want {
				part := unhex(t, v.Ciphertext)[from:]
				chk.Decrypt(key, uint64(from), part)
				if !bytes.Equal(part, want[from:]) {
					t.Errorf("another plaintext from byte %d on", from)
				}
			}
		})
	}
}
