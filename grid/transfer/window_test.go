package transfer_test

import (
	"bytes"
	"fmt"
	"testing"

	"trunkline/caps"
	"trunkline/grid/chk"
	"trunkline/grid/transfer"
	"trunkline/grid/transfer/gridtest"
)

// Files whose hash trees are larger than a window: leaves are read and proven
// piece by piece, and the chains are those of the whole tree all the same.
func TestManySegments(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ k, n, segments int }{
		{3, 4, 4096},
		{3, 4, 4097},
		{3, 4, 9000},
		{16, 17, 1024},
		{16, 17, 1025},
		{16, 17, 5000},
	} {
		t.Run(fmt.Sprintf("%d-of-%d/%d-segments", c.k, c.n, c.segments), func(t *testing.T) {
			t.Parallel()
			servers := gridtest.New(c.n)
			data := plaintext(c.k*c.segments - 1)
			read, _ := put(t, config(servers, c.k, c.n, 1, uint64(c.k)), data)
			ciphertext, blamed, err := get(t.Context(), transfer.Config{Servers: all(servers)}, read.Verify())
			if err != nil || len(blamed) != 0 {
				t.Fatalf("%v, blamed %v", err, blamed)
			}
			decrypted(t, read, ciphertext, data, 0)
		})
	}
}

// Wrong nodes in the trees of such a file, everywhere: the liar is replaced,
// and named where it was looked at.
func TestManySegmentsLiar(t *testing.T) {
	t.Parallel()
	const segments = 9000
	servers := gridtest.New(4)
	data := plaintext(3*segments - 1)
	read, r := put(t, config(servers, 3, 4, 4, 3), data)
	v := read.Verify()
	si := v.StorageIndex
	liar := servers[0]
	share := -1
	for num, key := range r.Placement {
		if key == liar.Key() {
			share = num
		}
	}
	good := liar.Share(si, share)
	layout, err := chk.ParseLayout(good, uint64(len(good)))
	if err != nil {
		t.Fatal(err)
	}
	cipher := bytes.Clone(data)
	chk.Decrypt(read.Key(), 0, cipher)
	width := caps.TreeWidth(segments)
	for _, tree := range []uint64{layout.BlockTree, layout.CrypttextTree} {
		for _, node := range []int{0, 4, 5, width + 4000, width + 5000, 2*width - 2} {
			liar.Put(si, share, flip(good, int(tree)+32*node+7, 3))
			for _, count := range []int{len(servers), 3} {
				// With three of them the liar's blocks have to be read.
				ciphertext, blamed, err := get(t.Context(), transfer.Config{Servers: all(servers[:count])}, v)
				if !bytes.Equal(ciphertext, cipher[:len(ciphertext)]) || count == len(servers) && err != nil {
					t.Fatalf("node %d: %v, %d bytes", node, err, len(ciphertext))
				}
				for _, b := range blamed {
					if b.Server != liar.Key() || !b.Corrupt() {
						t.Errorf("node %d: %v is blamed", node, b)
					}
				}
				if tree == layout.BlockTree && node == width+4000 && count == 3 && (err == nil || len(blamed) != 1) {
					t.Errorf("a wrong leaf: %v, blamed %v", err, blamed)
				}
			}
		}
	}
}
