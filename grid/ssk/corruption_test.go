package ssk_test

import (
	"bytes"
	"errors"
	"fmt"
	"testing"

	"trunkline/caps"
	"trunkline/grid/ssk"
)

// What becomes of a wrong byte in a share.
const (
	refused = 'R' // the share is refused by all who have a verify cap
	private = 'K' // it is refused, or the private key in it is, by those who have the write cap; readers do not care
	unread  = '-' // nobody notices, as nobody looks
)

// mapOf says it for a share as it lies in a slot.
func mapOf(h ssk.Head, share []byte) []byte {
	m := bytes.Repeat([]byte{refused}, len(share))
	mark := func(from, to uint64, as byte) {
		for i := from; i < to; i++ {
			m[i] = as
		}
	}
	key := h.PrivateKey()
	mark(key.Offset, key.Offset+key.Length, private)
	if h.Format == ssk.SDMF {
		mark(99, 107, private) // end of the share, which is the end of the private key
	} else {
		mark(59, 67, private) // offset of the private key, before which nothing is
		public := h.PublicKey()
		mark(public.Offset+public.Length, h.Front().Length, unread)
	}
	mark(h.Size(), uint64(len(share)), unread)
	return m
}

func flip(share []byte, at int, by byte) []byte {
	bad := bytes.Clone(share)
	bad[at] ^= by
	return bad
}

// corruptible are the small files whose every byte is turned: Tahoe's and ours.
func corruptible(t *testing.T) map[string]entryShares {
	t.Helper()
	all := make(map[string]entryShares)
	for _, id := range []string{"sdmf-0-3of10", "sdmf-1000-2of3", "sdmf-1000-1of1", "mdmf-0-3of10", "mdmf-1000-2of3", "dir-sdmf", "dir-mdmf"} {
		e := vector(t, id)
		all[id] = entryShares{parseCap(t, e.Cap), e.contents(), e.shares(t)}
	}
	keys := testKeys(t)
	for _, f := range []ssk.Format{ssk.SDMF, ssk.MDMF} {
		plain := pattern("corrupt", 2000)
		shares, _ := encode(t, ssk.EncoderConfig{Keys: keys, Format: f, Seq: 3, K: 3, N: 5}, plain)
		all["our-"+f.String()] = entryShares{capOf(t, keys, f), plain, shares}
	}
	return all
}

type entryShares struct {
	cap    caps.Cap
	plain  []byte
	shares map[int][]byte
}

// TestEveryByteOfEveryShare turns each byte of each share of small files: VerifyShare refuses the share, or the byte
// stands in the map.
func TestEveryByteOfEveryShare(t *testing.T) {
	t.Parallel()
	for name, f := range corruptible(t) {
		v := verifyCap(t, f.cap)
		write, _ := f.cap.WriteKey()
		for num, share := range f.shares {
			if testing.Short() && num > 0 {
				continue
			}
			t.Run(fmt.Sprintf("%s-%d", name, num), func(t *testing.T) {
				t.Parallel()
				head, err := ssk.ParseHead(share)
				if err != nil {
					t.Fatal(err)
				}
				want := mapOf(head, share)
				for at := range share {
					bad := flip(share, at, 1<<(at%8))
					h, err := ssk.VerifyShare(bytes.NewReader(bad), uint64(len(bad)), v, num)
					if err != nil && !errors.Is(err, ssk.ErrCorrupt) {
						t.Fatalf("byte %d: %v is not of the family", at, err)
					}
					switch want[at] {
					case refused:
						if err == nil {
							t.Fatalf("byte %d: nobody notices", at)
						}
					case unread:
						if err != nil {
							t.Fatalf("byte %d: %v", at, err)
						}
					case private:
						sealed, ok := section(bad, h.PrivateKey())
						if err == nil && ok {
							_, err = ssk.OpenKeys(write, sealed)
						}
						if err == nil {
							t.Fatalf("byte %d: a private key opens that is another", at)
						}
					}
				}
			})
		}
	}
}

// TestNeverAWrongByte reads while one share has a wrong byte: what comes out is the contents, and nobody else is
// blamed. The byte is noticed where readers look.
func TestNeverAWrongByte(t *testing.T) {
	t.Parallel()
	for name, f := range corruptible(t) {
		v := verifyCap(t, f.cap)
		key, _ := f.cap.MutableReadKey()
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			nums := numbers(f.shares, false)
			share := f.shares[nums[0]]
			head, err := ssk.ParseHead(share)
			if err != nil {
				t.Fatal(err)
			}
			mapped := mapOf(head, share)
			for at := range share {
				shares := map[int][]byte{}
				for n, s := range f.shares {
					shares[n] = s
				}
				shares[nums[0]] = flip(share, at, 1<<(at%8))
				got, _, blame, err := read(v, key, shares, nums)
				if err != nil && (!errors.Is(err, ssk.ErrTooFew) || len(shares) > head.K) {
					t.Fatalf("byte %d: %v", at, err)
				}
				if err == nil && !bytes.Equal(got, f.plain) {
					t.Fatalf("byte %d: wrong bytes came out", at)
				}
				for n := range blame {
					if n != nums[0] {
						t.Fatalf("byte %d: share %d is blamed", at, n)
					}
				}
				inTree := uint64(at) >= head.BlockTree().Offset+32 && uint64(at) < head.BlockTree().Offset+head.BlockTree().Length
				if mapped[at] == refused && len(blame) == 0 && !inTree {
					t.Fatalf("byte %d: nobody notices", at)
				}
			}
		})
	}
}

// In a share of several segments every node of the block hash tree is looked at, whether readers need it or not.
func TestEveryByteOfTheTree(t *testing.T) {
	t.Parallel()
	keys := testKeys(t)
	shares, x := encode(t, ssk.EncoderConfig{Keys: keys, Format: ssk.MDMF, Seq: 1, K: 3, N: 3}, pattern("tree", 3*131073))
	v, tree := verifyCap(t, capOf(t, keys, ssk.MDMF)), x.Head().BlockTree()
	for at := tree.Offset; at < tree.Offset+tree.Length; at++ {
		bad := flip(shares[2], int(at), 1)
		if _, err := ssk.VerifyShare(bytes.NewReader(bad), uint64(len(bad)), v, 2); !errors.Is(err, ssk.ErrCorrupt) {
			t.Fatalf("byte %d of the tree: %v", at-tree.Offset, err)
		}
	}
}

// twoFaced shows the beginning and the tree's root of one share, and all else of another.
type twoFaced struct {
	front, rest *bytes.Reader
	head        ssk.Head
}

func (r twoFaced) ReadAt(p []byte, off int64) (int, error) {
	root := r.head.BlockTreeNode(0)
	if uint64(off) < r.head.Front().Length || uint64(off) == root.Offset && uint64(len(p)) == root.Length {
		return r.front.ReadAt(p, off)
	}
	return r.rest.ReadAt(p, off)
}

// A server that answers one question with a good share and the next with another's is found out.
func TestTwoFaces(t *testing.T) {
	t.Parallel()
	keys := testKeys(t)
	cfg := ssk.EncoderConfig{Keys: keys, Format: ssk.MDMF, Seq: 1, K: 3, N: 3}
	shares, x := encode(t, cfg, pattern("one", 3*131073))
	others, _ := encode(t, cfg, pattern("two", 3*131073))
	r := twoFaced{bytes.NewReader(shares[0]), bytes.NewReader(others[0]), x.Head()}
	if _, err := ssk.VerifyShare(r, uint64(len(shares[0])), verifyCap(t, capOf(t, keys, ssk.MDMF)), 0); !errors.Is(err, ssk.ErrBlock) {
		t.Errorf("%v", err)
	}
}

// Every truncation is refused, and so is what a longer share left behind if it is taken for the share.
func TestTruncated(t *testing.T) {
	t.Parallel()
	for name, f := range corruptible(t) {
		v := verifyCap(t, f.cap)
		for num, share := range f.shares {
			head, err := ssk.ParseHead(share)
			if err != nil {
				t.Fatal(err)
			}
			for size := range head.Size() {
				if _, err := ssk.VerifyShare(bytes.NewReader(share[:size]), size, v, num); !errors.Is(err, ssk.ErrCorrupt) {
					t.Fatalf("%s share %d cut to %d bytes: %v", name, num, size, err)
				}
			}
			break
		}
	}
}

// A version that somebody else signed, with keys of their own, is refused; so is the right one as another format.
func TestForeignVersion(t *testing.T) {
	t.Parallel()
	keys, mine := testKeys(t), vector(t, "mdmf-1000-2of3")
	shares, _ := encode(t, ssk.EncoderConfig{Keys: keys, Format: ssk.MDMF, Seq: 99, K: 2, N: 3}, pattern("foreign", 1000))
	v := verifyCap(t, parseCap(t, mine.Cap))
	if _, err := ssk.VerifyShare(bytes.NewReader(shares[0]), uint64(len(shares[0])), v, 0); !errors.Is(err, ssk.ErrPublicKey) {
		t.Errorf("another file's share: %v", err)
	}
	v = verifyCap(t, capOf(t, keys, ssk.SDMF))
	if _, err := ssk.VerifyShare(bytes.NewReader(shares[0]), uint64(len(shares[0])), v, 0); !errors.Is(err, ssk.ErrFormat) {
		t.Errorf("another format: %v", err)
	}
}
