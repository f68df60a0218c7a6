package fec_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"testing"

	"trunkline/grid/fec"
)

// vectors are the answers of the real zfec.
type vectors struct {
	Matrices     map[string][][]int
	MatrixSHA256 map[string]string `json:"matrix_sha256"`
	Encode       []struct {
		Required, Total int
		Pieces, Blocks  []string
	}
}

func load(t *testing.T) vectors {
	t.Helper()
	raw, err := os.ReadFile("testdata/zfec.json")
	if err != nil {
		t.Fatal(err)
	}
	var v vectors
	if err := json.Unmarshal(raw, &v); err != nil {
		t.Fatal(err)
	}
	if len(v.Matrices) == 0 || len(v.MatrixSHA256) == 0 || len(v.Encode) == 0 {
		t.Fatal("testdata/zfec.json: a section is empty")
	}
	return v
}

func parameters(t *testing.T, name string) (k, n int) {
	t.Helper()
	if _, err := fmt.Sscanf(name, "%d-of-%d", &k, &n); err != nil {
		t.Fatal(err)
	}
	return k, n
}

func TestMatrixIsZfecs(t *testing.T) {
	t.Parallel()
	v := load(t)
	for name, want := range v.Matrices {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			k, n := parameters(t, name)
			got, err := fec.Matrix(k, n)
			if err != nil {
				t.Fatal(err)
			}
			for r, row := range want {
				for c, x := range row {
					if int(got[r][c]) != x {
						t.Errorf("row %d column %d is %d, zfec has %d", r, c, got[r][c], x)
					}
				}
			}
		})
	}
	for name, want := range v.MatrixSHA256 {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			k, n := parameters(t, name)
			got, err := fec.Matrix(k, n)
			if err != nil {
				t.Fatal(err)
			}
			sum := sha256.Sum256(bytes.Join(got, nil))
			if hex.EncodeToString(sum[:]) != want {
				t.Error("the rows hash to another value than zfec's")
			}
		})
	}
}

func TestEncodeIsZfecs(t *testing.T) {
	t.Parallel()
	for _, v := range load(t).Encode {
		t.Run(fmt.Sprintf("%d-of-%d", v.Required, v.Total), func(t *testing.T) {
			t.Parallel()
			code, err := fec.New(v.Required, v.Total)
			if err != nil {
				t.Fatal(err)
			}
			blocks := make([][]byte, v.Total)
			for i := range blocks {
				blocks[i] = make([]byte, len(v.Pieces[0])/2)
			}
			for i, p := range v.Pieces {
				copy(blocks[i], unhex(t, p))
			}
			if err := code.Encode(blocks); err != nil {
				t.Fatal(err)
			}
			for i, want := range v.Blocks {
				if !bytes.Equal(blocks[i], unhex(t, want)) {
					t.Errorf("block %d differs from zfec's", i)
				}
			}
		})
	}
}

func unhex(t *testing.T, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestAnyKBlocksDecode encodes and decodes from many subsets, over the parameters where something special happens.
func TestAnyKBlocksDecode(t *testing.T) {
	t.Parallel()
	for _, p := range []struct{ k, n int }{
		{1, 1},
		{1, 2},
		{1, 10},
		{1, 256},
		{2, 2},
		{2, 3},
		{3, 3},
		{3, 10},
		{5, 9},
		{7, 7},
		{16, 32},
		{71, 255},
		{101, 256},
		{255, 256},
		{256, 256},
	} {
		for _, size := range []int{1, 2, 7, 64, 1000} {
			t.Run(fmt.Sprintf("%d-of-%d/%d", p.k, p.n, size), func(t *testing.T) {
				t.Parallel()
				testSubsets(t, p.k, p.n, size)
			})
		}
	}
}

func testSubsets(t *testing.T, k, n, size int) {
	rng := rand.New(rand.NewPCG(uint64(k)<<32|uint64(n), uint64(size)))
	code, err := fec.New(k, n)
	if err != nil {
		t.Fatal(err)
	}
	all := encode(t, code, size, rng)
	for try := range 12 {
		order := rng.Perm(n)
		switch try {
		case 0: // the highest numbers: as little as possible comes through unchanged
			for i := range order {
				order[i] = n - 1 - i
			}
		case 1: // the pieces themselves
			for i := range order {
				order[i] = i
			}
		}
		got := make([][]byte, n)
		space := make([]byte, k*size)
		for i := range k {
			got[i] = space[i*size : i*size : (i+1)*size]
		}
		for _, r := range order[:k] {
			got[r] = bytes.Clone(all[r])
		}
		if err := code.Decode(got); err != nil {
			t.Fatal(err)
		}
		for i := range k {
			if !bytes.Equal(got[i], all[i]) {
				t.Fatalf("from blocks %v: piece %d is wrong", order[:k], i)
			}
			if here := &got[i][0] == &space[i*size]; here == contains(order[:k], i) {
				t.Fatalf("from blocks %v: piece %d in the caller's memory: %v", order[:k], i, here)
			}
		}
		for i := k; i < n; i++ {
			if len(got[i]) != 0 && !contains(order[:k], i) {
				t.Fatalf("parity block %d was rebuilt unasked", i)
			}
		}
	}
}

func contains(s []int, x int) bool {
	for _, y := range s {
		if x == y {
			return true
		}
	}
	return false
}

// encode makes the n blocks of random pieces.
func encode(t testing.TB, code *fec.Code, size int, rng *rand.Rand) [][]byte {
	t.Helper()
	blocks := make([][]byte, code.N())
	for i := range blocks {
		blocks[i] = make([]byte, size)
		for j := range blocks[i] {
			blocks[i][j] = byte(rng.Uint32()) // parity starts as garbage: it must be overwritten, not added to
		}
	}
	if err := code.Encode(blocks); err != nil {
		t.Fatal(err)
	}
	return blocks
}

func TestParametersOutOfRange(t *testing.T) {
	t.Parallel()
	for _, p := range []struct{ k, n int }{{0, 0}, {0, 1}, {-1, 3}, {3, 2}, {1, 257}, {257, 257}, {1, -1}} {
		if _, err := fec.New(p.k, p.n); !errors.Is(err, fec.ErrParameters) {
			t.Errorf("New(%d, %d): %v", p.k, p.n, err)
		}
		if _, err := fec.Matrix(p.k, p.n); !errors.Is(err, fec.ErrParameters) {
			t.Errorf("Matrix(%d, %d): %v", p.k, p.n, err)
		}
	}
}

func TestBlocksThatDoNotFit(t *testing.T) {
	t.Parallel()
	b := func(sizes ...int) [][]byte {
		out := make([][]byte, len(sizes))
		for i, n := range sizes {
			out[i] = make([]byte, n)
		}
		return out
	}
	for _, c := range []struct {
		name   string
		k, n   int
		blocks [][]byte
		decode bool
		want   error
	}{
		{"encode/one block short", 3, 5, b(4, 4, 4, 4), false, fec.ErrBlocks},
		{"encode/unequal", 3, 5, b(4, 4, 4, 4, 5), false, fec.ErrBlocks},
		{"encode/unequal piece", 3, 5, b(4, 3, 4, 4, 4), false, fec.ErrBlocks},
		{"encode/empty", 3, 5, b(0, 0, 0, 0, 0), false, fec.ErrBlocks},
		{"encode/unequal with n equal k", 2, 2, b(4, 5), false, fec.ErrBlocks},
		{"encode/unequal with k 1", 1, 2, b(4, 5), false, fec.ErrBlocks},
		{"decode/one entry short", 3, 5, b(4, 4, 4, 4), true, fec.ErrBlocks},
		{"decode/unequal", 3, 5, b(0, 4, 4, 5, 0), true, fec.ErrBlocks},
		{"decode/too few", 3, 5, b(0, 4, 0, 4, 0), true, fec.ErrTooFew},
		{"decode/none", 3, 5, b(0, 0, 0, 0, 0), true, fec.ErrTooFew},
		{"decode/too few with n equal k", 2, 2, b(4, 0), true, fec.ErrTooFew},
		{"decode/none with k 1", 1, 1, b(0), true, fec.ErrTooFew},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			code, err := fec.New(c.k, c.n)
			if err != nil {
				t.Fatal(err)
			}
			do := code.Encode
			if c.decode {
				do = code.Decode
			}
			if err := do(c.blocks); !errors.Is(err, c.want) {
				t.Errorf("got %v, want %v", err, c.want)
			}
		})
	}
}

// FuzzRoundTrip: whatever the bytes, the parameters and the losses, k blocks give the pieces back.
func FuzzRoundTrip(f *testing.F) {
	f.Add(uint8(3), uint8(10), uint64(1), []byte("any k of n blocks"))
	f.Fuzz(func(t *testing.T, k, n uint8, seed uint64, data []byte) {
		code, err := fec.New(int(k), int(n))
		if err != nil {
			t.Skip()
		}
		size := len(data)/int(k) + 1
		blocks := make([][]byte, n)
		for i := range blocks {
			blocks[i] = make([]byte, size)
			if i < int(k) && i*size < len(data) {
				copy(blocks[i], data[i*size:])
			}
		}
		if err := code.Encode(blocks); err != nil {
			t.Fatal(err)
		}
		got := make([][]byte, n)
		for _, r := range rand.New(rand.NewPCG(seed, 0)).Perm(int(n))[:k] {
			got[r] = bytes.Clone(blocks[r])
		}
		if err := code.Decode(got); err != nil {
			t.Fatal(err)
		}
		for i := range int(k) {
			if !bytes.Equal(got[i], blocks[i]) {
				t.Fatalf("piece %d is wrong", i)
			}
		}
	})
}

func BenchmarkNew(b *testing.B) {
	for _, p := range []struct{ k, n int }{{3, 10}, {71, 255}, {128, 256}} {
		b.Run(fmt.Sprintf("%d-of-%d", p.k, p.n), func(b *testing.B) {
			for b.Loop() {
				if _, err := fec.New(p.k, p.n); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// benchmarks are the shapes of Tahoe's two default segment sizes, and of wide codes.
var benchmarks = []struct{ k, n, size int }{
	{3, 10, 43691}, {3, 10, 349526}, {16, 32, 8192}, {71, 255, 1847},
}

func BenchmarkEncode(b *testing.B) {
	for _, p := range benchmarks {
		b.Run(fmt.Sprintf("%d-of-%d/%d", p.k, p.n, p.size), func(b *testing.B) {
			code, err := fec.New(p.k, p.n)
			if err != nil {
				b.Fatal(err)
			}
			blocks := encode(b, code, p.size, rand.New(rand.NewPCG(1, 2)))
			b.SetBytes(int64(p.k * p.size))
			b.ReportAllocs()
			for b.Loop() {
				if err := code.Encode(blocks); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkDecode(b *testing.B) {
	for _, p := range benchmarks {
		for _, lost := range []int{0, 1, p.k} {
			b.Run(fmt.Sprintf("%d-of-%d/%d/lost=%d", p.k, p.n, p.size, lost), func(b *testing.B) {
				code, err := fec.New(p.k, p.n)
				if err != nil {
					b.Fatal(err)
				}
				all := encode(b, code, p.size, rand.New(rand.NewPCG(1, 2)))
				lost = min(lost, p.n-p.k)
				got := make([][]byte, p.n)
				b.SetBytes(int64(p.k * p.size))
				b.ReportAllocs()
				for b.Loop() {
					for i := range got {
						got[i] = nil
						switch {
						case i < lost:
							got[i] = all[i][:0]
						case i < p.k+lost:
							got[i] = all[i]
						}
					}
					if err := code.Decode(got); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
