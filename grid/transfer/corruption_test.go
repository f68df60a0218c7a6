package transfer_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"testing"

	"trunkline/caps"
	"trunkline/grid/chk"
	"trunkline/grid/storage"
	"trunkline/grid/transfer"
	"trunkline/grid/transfer/gridtest"
)

// stored is a file whose share i is on server i alone.
type stored struct {
	data   []byte
	cipher []byte
	read   caps.CHKRead
	v      caps.CHKVerify
	shares [][]byte
}

// store makes a file of 3-of-10 shares with segments of the given size.
func store(t testing.TB, data []byte, segment uint64) stored {
	t.Helper()
	servers := gridtest.New(10)
	read, r := put(t, config(servers, 3, 10, 10, segment), data)
	st := stored{data: data, read: read, v: read.Verify(), shares: make([][]byte, 10)}
	for _, s := range servers {
		for share, key := range r.Placement {
			if key == s.Key() {
				st.shares[share] = s.Share(st.v.StorageIndex, share)
			}
		}
	}
	st.cipher = bytes.Clone(data)
	chk.Decrypt(read.Key(), 0, st.cipher)
	return st
}

// serve puts the shares named on servers of their own: share i on server i.
func (st stored) serve(shares ...int) []*gridtest.Server {
	servers := make([]*gridtest.Server, len(shares))
	for i, share := range shares {
		servers[i] = gridtest.NewServer(share)
		servers[i].Put(st.v.StorageIndex, share, st.shares[share])
	}
	return servers
}

// What becomes of a wrong byte in a share, when just k shares are there.
const (
	refused = 'R' // the share is not used, its server is named
	named   = 'N' // the share is used, its server is named all the same
	unread  = '-' // nobody notices, as nobody looks
)

// mapOf says it for a share of a 3-of-10 file with 3 segments, one letter
// with a count for each stretch. It is the catalogue that doc.go describes.
func mapOf(l chk.Layout, share []byte) string {
	m := bytes.Repeat([]byte{unread}, len(share))
	mark := func(from, to uint64, as byte) {
		for i := from; i < to; i++ {
			m[i] = as
		}
	}
	mark(0, 4, refused)   // version
	mark(12, 16, refused) // offset of the data
	mark(20, 36, refused) // offsets of what follows the unused tree
	mark(l.Data, l.PlaintextTree, refused)
	leaves := uint64(caps.TreeWidth(3)-1) * 32
	mark(l.CrypttextTree+leaves, l.CrypttextTree+leaves+3*32, named)
	mark(l.BlockTree+leaves, l.BlockTree+leaves+3*32, refused)
	mark(l.ShareChain, uint64(len(share)), refused)
	return string(m)
}

func TestEveryByteOfEveryShare(t *testing.T) {
	t.Parallel()
	st := store(t, plaintext(700), 300)
	layout, err := chk.ParseLayout(st.shares[0], uint64(len(st.shares[0])))
	if err != nil {
		t.Fatal(err)
	}
	want := mapOf(layout, st.shares[0])
	for share := range st.shares {
		t.Run(fmt.Sprintf("share-%d", share), func(t *testing.T) {
			t.Parallel()
			// One wrong and two good: the wrong one has to be looked at.
			others := []int{(share + 1) % 10, (share + 5) % 10}
			var got strings.Builder
			for at := range st.shares[share] {
				servers := st.serve(append([]int{share}, others...)...)
				servers[0].Put(st.v.StorageIndex, share, flip(st.shares[share], at, at))
				ciphertext, blamed, err := get(t.Context(), transfer.Config{Servers: all(servers)}, st.v)
				for _, b := range blamed {
					if b.Server != servers[0].Key() || b.Share != share || !b.Corrupt() {
						t.Fatalf("byte %d: %v is blamed", at, b)
					}
				}
				switch {
				case errors.Is(err, transfer.ErrNotEnoughShares) && len(blamed) == 1:
					got.WriteByte(refused)
				case err != nil:
					t.Fatalf("byte %d: %v, blamed %v", at, err, blamed)
				case len(blamed) == 1:
					got.WriteByte(named)
				default:
					got.WriteByte(unread)
				}
				if !bytes.Equal(ciphertext, st.cipher[:len(ciphertext)]) || err == nil && len(ciphertext) != len(st.cipher) {
					t.Fatalf("byte %d: wrong bytes came out", at)
				}
			}
			for at := range want {
				if got.String()[at] != want[at] {
					t.Fatalf("byte %d: %c, want %c", at, got.String()[at], want[at])
				}
			}
		})
	}
}

// Seven shares lie in the same byte and three are good, whichever three.
func TestThreeGoodSharesSuffice(t *testing.T) {
	t.Parallel()
	st := store(t, plaintext(700), 300)
	for part := range 4 {
		t.Run(fmt.Sprintf("part-%d", part), func(t *testing.T) {
			t.Parallel()
			for at := part; at < len(st.shares[0]); at += 4 {
				servers := st.serve(0, 1, 2, 3, 4, 5, 6, 7, 8, 9)
				for share, s := range servers {
					if g := (share - at) % 10; (g+10)%10 >= 3 {
						s.Put(st.v.StorageIndex, share, flip(st.shares[share], at, share))
					}
				}
				ciphertext, _, err := get(t.Context(), transfer.Config{Servers: all(servers)}, st.v)
				if err != nil || !bytes.Equal(ciphertext, st.cipher) {
					t.Fatalf("byte %d: %v, %d bytes", at, err, len(ciphertext))
				}
			}
		})
	}
}

// flip returns the share with one bit of one byte wrong; which one depends on
// bit.
func flip(share []byte, at, bit int) []byte {
	wrong := bytes.Clone(share)
	wrong[at] ^= 1 << (bit % 8)
	return wrong
}

// A share too long to be read whole at once takes another way in.
func TestLargeShares(t *testing.T) {
	t.Parallel()
	st := store(t, plaintext(600_000), 1000)
	length := len(st.shares[0])
	layout, err := chk.ParseLayout(st.shares[0], uint64(length))
	if err != nil {
		t.Fatal(err)
	}
	for part := range 4 {
		t.Run(fmt.Sprintf("part-%d", part), func(t *testing.T) {
			t.Parallel()
			for at := part * 97; at < length; at += 4 * 2999 {
				servers := st.serve(0, 1, 2, 3)
				servers[at%3].Put(st.v.StorageIndex, at%3, flip(st.shares[at%3], at, at))
				ciphertext, blamed, err := get(t.Context(), transfer.Config{Servers: all(servers)}, st.v)
				if err != nil || !bytes.Equal(ciphertext, st.cipher) {
					t.Fatalf("byte %d: %v, %d bytes", at, err, len(ciphertext))
				}
				if len(blamed) > 1 || len(blamed) == 1 && blamed[0].Server != servers[at%3].Key() {
					t.Fatalf("byte %d: blamed %v", at, blamed)
				}
				// Without the fourth the wrong share has to be used. What came before its lie stands.
				ciphertext, blamed, err = get(t.Context(), transfer.Config{Servers: all(servers[:3])}, st.v)
				if !bytes.Equal(ciphertext, st.cipher[:len(ciphertext)]) {
					t.Fatalf("byte %d: wrong bytes came out", at)
				}
				if uint64(at) >= layout.Data && uint64(at) < layout.PlaintextTree {
					if !errors.Is(err, transfer.ErrNotEnoughShares) || len(blamed) != 1 || !blamed[0].Corrupt() {
						t.Fatalf("byte %d of the blocks: %v, blamed %v", at, err, blamed)
					}
				}
			}
		})
	}
}

func TestLiars(t *testing.T) {
	t.Parallel()
	st := store(t, plaintext(700), 300)
	other := store(t, plaintext(1400)[700:], 300)
	si := st.v.StorageIndex
	for name, lie := range map[string]func(s *gridtest.Server){
		"share-of-another-file": func(s *gridtest.Server) { s.Put(si, 0, other.shares[0]) },
		"another-share-number":  func(s *gridtest.Server) { s.Put(si, 0, st.shares[7]) },
		"blocks-swapped": func(s *gridtest.Server) {
			wrong := bytes.Clone(st.shares[0])
			copy(wrong[36:136], st.shares[0][136:236])
			copy(wrong[136:236], st.shares[0][36:136])
			s.Put(si, 0, wrong)
		},
		"another-file's-blocks": func(s *gridtest.Server) {
			wrong := bytes.Clone(st.shares[0])
			copy(wrong[36:], other.shares[0][36:236])
			s.Put(si, 0, wrong)
		},
		"another-file's-blocks-and-tree": func(s *gridtest.Server) {
			wrong := bytes.Clone(other.shares[0])
			layout, _ := chk.ParseLayout(wrong, uint64(len(wrong)))
			copy(wrong[layout.ShareChain:], st.shares[0][layout.ShareChain:])
			s.Put(si, 0, wrong)
		},
		"claims-a-share-it-lacks": func(s *gridtest.Server) {
			s.Remove(si, 0)
			s.Set(gridtest.Faults{Claim: []storage.ShareInfo{{Num: 0, Size: uint64(len(st.shares[0]))}}})
		},
		"claims-nonsense": func(s *gridtest.Server) {
			s.Set(gridtest.Faults{Claim: []storage.ShareInfo{{Num: -1, Size: 1}, {Num: 300, Size: 1}, {Num: 1, Size: 1 << 63}, {Num: 2}, {Num: 0, Size: 0}}})
		},
		"good-until-the-blocks": func(s *gridtest.Server) {
			reads := 0
			s.Set(gridtest.Faults{Lie: func(_ caps.StorageIndex, _ int, _ uint64, data []byte) {
				if reads++; reads > 1 {
					data[len(data)/2] ^= 1
				}
			}})
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			servers := st.serve(0, 1, 2, 3)
			lie(servers[0])
			ciphertext, blamed, err := get(t.Context(), transfer.Config{Servers: all(servers)}, st.v)
			if err != nil || !bytes.Equal(ciphertext, st.cipher) {
				t.Fatalf("%v, %d bytes", err, len(ciphertext))
			}
			for _, b := range blamed {
				if b.Server != servers[0].Key() {
					t.Errorf("%v is blamed", b)
				}
			}
		})
	}
}

func TestTruncatedAndExtended(t *testing.T) {
	t.Parallel()
	st := store(t, plaintext(700), 300)
	for cut := 0; cut < len(st.shares[0]); cut += 3 {
		servers := st.serve(0, 1, 2, 3)
		servers[0].Put(st.v.StorageIndex, 0, st.shares[0][:cut])
		if ciphertext, _, err := get(t.Context(), transfer.Config{Servers: all(servers)}, st.v); err != nil || !bytes.Equal(ciphertext, st.cipher) {
			t.Fatalf("cut to %d: %v, %d bytes", cut, err, len(ciphertext))
		}
	}
	for _, more := range []int{1, 100, 5000, 100_000} {
		servers := st.serve(0, 1, 2)
		for i, s := range servers {
			s.Put(st.v.StorageIndex, i, append(bytes.Clone(st.shares[i]), make([]byte, more)...))
		}
		if ciphertext, _, err := get(t.Context(), transfer.Config{Servers: all(servers)}, st.v); err != nil || !bytes.Equal(ciphertext, st.cipher) {
			t.Fatalf("longer by %d: %v, %d bytes", more, err, len(ciphertext))
		}
	}
}

// twoFiles puts shares of two files under one UEB, as an uploader can: every
// block then proves true, and only the ciphertext tree tells.
func twoFiles(t *testing.T) stored {
	t.Helper()
	a := store(t, plaintext(700), 300)
	b := store(t, plaintext(1400)[700:], 300)
	layout, err := chk.ParseLayout(a.shares[0], uint64(len(a.shares[0])))
	if err != nil {
		t.Fatal(err)
	}
	mixed := make([][]byte, 10)
	roots := make([]caps.Hash, 10)
	for i := range mixed {
		mixed[i] = bytes.Clone(a.shares[i])
		if i >= 5 {
			mixed[i] = bytes.Clone(b.shares[i])
			copy(mixed[i][layout.CrypttextTree:layout.BlockTree], a.shares[i][layout.CrypttextTree:])
		}
		roots[i] = caps.Hash(mixed[i][layout.BlockTree:])
	}
	_, rawA, err := layout.SplitTail(a.shares[0][layout.ShareChain:])
	if err != nil {
		t.Fatal(err)
	}
	honest, err := chk.ParseUEB(rawA, a.v)
	if err != nil {
		t.Fatal(err)
	}
	tree := caps.NewTree(roots)
	root := tree.Root()
	raw := bytes.Replace(rawA, honest.ShareRoot[:], root[:], 1)
	for i := range mixed {
		chain := append(tree.Chain(i), caps.Node{Number: 15 + i, Hash: roots[i]})
		at := layout.ShareChain
		for _, n := range chain {
			binary.BigEndian.PutUint16(mixed[i][at:], uint16(n.Number))
			copy(mixed[i][at+2:], n.Hash[:])
			at += 34
		}
		copy(mixed[i][layout.ShareLen(0):], raw)
	}
	v := a.v
	v.UEBHash = caps.UEBHash(raw)
	return stored{v: v, shares: mixed, cipher: a.cipher}
}

func TestTwoFilesUnderOneUEB(t *testing.T) {
	t.Parallel()
	file := twoFiles(t)
	v := file.v
	if got, _, err := get(t.Context(), transfer.Config{Servers: all(file.serve(0, 2, 4))}, v); err != nil || !bytes.Equal(got, file.cipher) {
		t.Fatalf("shares of the file that the tree is of: %v", err)
	}
	for _, shares := range [][]int{{0, 1, 5}, {4, 5, 6}, {5, 6, 7}, {0, 7, 8}} {
		got, blamed, err := get(t.Context(), transfer.Config{Servers: all(file.serve(shares...))}, v)
		if !errors.Is(err, transfer.ErrInconsistent) || len(got) != 0 || len(blamed) != 0 {
			t.Errorf("shares %v: %v, %d bytes, blamed %v", shares, err, len(got), blamed)
		}
	}
}

// A UEB that the cap names and that contradicts itself is no server's fault,
// and no further server is asked.
func TestUEBOfAMaliciousUploader(t *testing.T) {
	t.Parallel()
	st := store(t, plaintext(700), 300)
	v := st.v
	servers := st.serve(0, 1, 2, 3, 4, 5, 6, 7, 8, 9)
	for i, s := range servers {
		wrong := bytes.Replace(st.shares[i], []byte("num_segments:1:3,"), []byte("num_segments:1:4,"), 1)
		layout, err := chk.ParseLayout(wrong, uint64(len(wrong)))
		if err != nil {
			t.Fatal(err)
		}
		v.UEBHash = caps.UEBHash(wrong[layout.ShareLen(0):])
		s.Put(v.StorageIndex, i, wrong)
	}
	_, err := transfer.Open(t.Context(), transfer.Config{Servers: all(servers)}, v)
	if !errors.Is(err, transfer.ErrInconsistent) || !errors.Is(err, chk.ErrUEB) {
		t.Errorf("%v", err)
	}
	for i, s := range servers {
		if n := s.Counts().Advised; n != 0 {
			t.Errorf("server %d is told that it lied", i)
		}
	}
}

func TestLiarIsTold(t *testing.T) {
	t.Parallel()
	st := store(t, plaintext(700), 300)
	servers := st.serve(0, 1, 2)
	servers[0].Put(st.v.StorageIndex, 0, flip(st.shares[0], 100, 0))
	if _, _, err := get(t.Context(), transfer.Config{Servers: all(servers)}, st.v); !errors.Is(err, transfer.ErrNotEnoughShares) {
		t.Fatal(err)
	}
	for i, s := range servers {
		if got, want := s.Counts().Advised, map[bool]int{true: 1}[i == 0]; got != want {
			t.Errorf("server %d got %d advisories, want %d", i, got, want)
		}
	}
}
