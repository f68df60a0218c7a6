package chk_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"trunkline/caps"
	"trunkline/grid/chk"
	"trunkline/grid/fec"
)

// small is a 3-of-10 file of three segments, the last one short and padded, in shares of about 1400 bytes.
func small(t testing.TB, version int) (file, []byte) {
	plain := plaintextOf("small", 592)
	return convergent(t, []byte("secret"), geometry(t, len(plain), 3, 10, 255), version, plain), plain
}

// span is a part of a share.
type span struct {
	name     string
	from, to uint64
}

// dontCare lists the parts of a share that nothing rests on: neither a reader nor the verifier looks at them. It is
// the same as Tahoe's. Every other bit is checked; TestEveryBit holds both directions.
func dontCare(l chk.Layout) []span {
	word := uint64(4)
	if l.Version == 2 {
		word = 8
	}
	return []span{
		{"block size in the header", 4, 4 + word},
		{"data size in the header", 4 + word, 4 + 2*word},
		{"offset of the plaintext tree", 4 + 3*word, 4 + 4*word},
		{"plaintext tree", l.PlaintextTree, l.CrypttextTree},
	}
}

func within(spans []span, at uint64) bool {
	for _, s := range spans {
		if at >= s.from && at < s.to {
			return true
		}
	}
	return false
}

// TestEveryBit flips every bit of every share. The verifier finds each flip outside the table above and none inside
// it. A reader that is given the flipped share, two good ones and one in reserve always ends with the right plaintext,
// and blames nobody but the flipped share, and that one only if the flip is outside the table.
func TestEveryBit(t *testing.T) {
	t.Parallel()
	for _, version := range []int{1, 2} {
		f, plain := small(t, version)
		ignored := dontCare(f.layout)
		for num := range f.geo.N {
			if version == 2 && num != 9 || testing.Short() && num%9 != 0 {
				continue // the versions differ in the header only; and a short run has a primary and a parity share
			}
			t.Run(fmt.Sprintf("v%d/share %d", version, num), func(t *testing.T) {
				t.Parallel()
				bad := bytes.Clone(f.shares[num])
				shares := f.subset((num+1)%10, (num+4)%10, (num+7)%10)
				shares[num] = bad
				code, err := fec.New(f.geo.K, f.geo.N)
				if err != nil {
					t.Fatal(err)
				}
				for at := range bad {
					free := within(ignored, uint64(at))
					for bit := range 8 {
						bad[at] ^= 1 << bit
						if err := verify(f, num, bad); free != (err == nil) || err != nil && !errors.Is(err, chk.ErrCorrupt) {
							t.Fatalf("byte %d bit %d: the verifier says %v", at, bit, err)
						}
						r := newReader(f.cap.Verify(), shares)
						r.code = code
						got, err := r.read()
						if err != nil {
							t.Fatalf("byte %d bit %d: %v with three good shares left", at, bit, err)
						}
						for n := range r.blame {
							if n != num || free {
								t.Fatalf("byte %d bit %d: share %d is blamed", at, bit, n)
							}
						}
						chk.Decrypt(f.cap.Key(), 0, got)
						if !bytes.Equal(got, plain) {
							t.Fatalf("byte %d bit %d: wrong plaintext", at, bit)
						}
						bad[at] ^= 1 << bit
					}
				}
			})
		}
	}
}

// TestNotEnoughGood flips a bit of a block in eight of ten shares: the reader gives up after the last good segment.
func TestNotEnoughGood(t *testing.T) {
	t.Parallel()
	f, plain := small(t, 0)
	shares := map[int][]byte{}
	for num, s := range f.shares {
		s = bytes.Clone(s)
		if num < 8 {
			at, _ := f.layout.BlockRange(f.geo, 1, 1)
			s[at+7] ^= 1
		}
		shares[num] = s
	}
	r := newReader(f.cap.Verify(), shares)
	got, err := r.read()
	if !errors.Is(err, errNoShares) {
		t.Errorf("%v, want %v", err, errNoShares)
	}
	chk.Decrypt(f.cap.Key(), 0, got)
	if !bytes.Equal(got, plain[:f.geo.SegmentLen(0)]) {
		t.Error("something else than the first segment came out")
	}
	if len(r.blame) != 8 || r.blame[8] != nil || r.blame[9] != nil {
		t.Errorf("blamed %v", r.blame)
	}
}

// TestCut truncates a share at every length, and extends it.
func TestCut(t *testing.T) {
	t.Parallel()
	for _, version := range []int{1, 2} {
		f, _ := small(t, version)
		share := f.shares[4]
		for n := range share {
			if err := verify(f, 4, share[:n]); !errors.Is(err, chk.ErrCorrupt) {
				t.Errorf("version %d cut to %d bytes: %v", version, n, err)
			}
			// The server says it has all of it, and then has not.
			err := chk.VerifyShare(bytes.NewReader(share[:n]), uint64(len(share)), f.cap.Verify(), 4)
			if err == nil {
				t.Errorf("version %d claimed whole and cut to %d bytes: verifies", version, n)
			}
		}
		if err := verify(f, 4, append(bytes.Clone(share), 1, 2, 3)); err != nil {
			t.Errorf("bytes after the UEB: %v", err)
		}
	}
}

// liar rebuilds parts of a share that hashes hang on, as somebody would who has read the format.
type liar struct {
	f     file
	num   int
	share []byte
}

func newLiar(f file, num int) *liar { return &liar{f, num, bytes.Clone(f.shares[num])} }

func (x *liar) block(seg int) []byte {
	at, n := x.f.layout.BlockRange(x.f.geo, seg, 1)
	return x.share[at : at+n]
}

// tree is one of the hash tree sections.
func (x *liar) tree(offset uint64) []byte {
	return x.share[offset : offset+uint64(32*caps.TreeNodes(x.f.geo.Segments))]
}

// rehash makes the block tree fit the blocks.
func (x *liar) rehash() caps.Hash {
	leaves := make([]caps.Hash, x.f.geo.Segments)
	for seg := range leaves {
		leaves[seg] = caps.BlockHash(x.block(seg))
	}
	return x.write(x.f.layout.BlockTree, leaves)
}

// write stores a tree over leaves.
func (x *liar) write(offset uint64, leaves []caps.Hash) caps.Hash {
	t := caps.NewTree(leaves)
	for i, h := range t {
		copy(x.tree(offset)[32*i:], h[:])
	}
	return t.Root()
}

// chain returns the entries of the share hash chain.
func (x *liar) chain() map[int][]byte {
	out := map[int][]byte{}
	section := x.share[x.f.layout.ShareChain:x.f.layout.UEBLength]
	for i := 0; i < len(section); i += 34 {
		out[int(binary.BigEndian.Uint16(section[i:]))] = section[i+2 : i+34]
	}
	return out
}

// TestLiars lets a server change something and recompute every hash it can below the deepest value that the cap pins.
func TestLiars(t *testing.T) {
	t.Parallel()
	f, plain := small(t, 0)
	other := convergent(t, []byte("another secret"), f.geo, 0, plain)
	leaf := caps.TreeWidth(f.geo.N) - 1
	for _, c := range []struct {
		name string
		num  int
		lie  func(x *liar)
		want error
	}{
		{"block", 2, func(x *liar) { x.block(1)[0]++ }, chk.ErrBlock},
		{"block and its tree", 2, func(x *liar) { x.block(1)[0]++; x.rehash() }, chk.ErrBlock},
		{"block, its tree and the share's root", 2, func(x *liar) {
			x.block(1)[0]++
			root := x.rehash()
			copy(x.chain()[leaf+2], root[:])
		}, chk.ErrShareChain},
		{"block, its tree, the share's root and its sibling", 2, func(x *liar) {
			x.block(1)[0]++
			root := x.rehash()
			copy(x.chain()[leaf+2], root[:])
			copy(x.chain()[leaf+3], root[:])
		}, chk.ErrShareChain},
		{"two blocks swapped", 2, func(x *liar) {
			a := bytes.Clone(x.block(0))
			copy(x.block(0), x.block(1))
			copy(x.block(1), a)
		}, chk.ErrBlock},
		{"two blocks swapped with their hashes", 2, func(x *liar) {
			a := bytes.Clone(x.block(0))
			copy(x.block(0), x.block(1))
			copy(x.block(1), a)
			x.rehash()
		}, chk.ErrBlock},
		{"block of another share", 2, func(x *liar) { copy(x.block(0), f.shares[3][f.layout.Data:]) }, chk.ErrBlock},
		{"blocks and tree of another share", 2, func(x *liar) {
			copy(x.share[:f.layout.ShareChain], f.shares[3])
		}, chk.ErrBlock},
		{"all of another share", 2, func(x *liar) { copy(x.share, f.shares[5]) }, chk.ErrShareChain},
		// The chain of a share proves its sibling's root as well, so only the blocks give this one away.
		{"all of the share beside it", 2, func(x *liar) { copy(x.share, f.shares[3]) }, chk.ErrBlock},
		{"all of the first share", 9, func(x *liar) { copy(x.share, f.shares[0]) }, chk.ErrShareChain},
		{"share of another file", 2, func(x *liar) { copy(x.share, other.shares[2]) }, chk.ErrUEBHash},
		{"share of another file under this one's UEB", 2, func(x *liar) {
			copy(x.share[:f.layout.UEBLength], other.shares[2])
		}, chk.ErrShareChain},
		{"node of the block tree", 2, func(x *liar) { x.tree(f.layout.BlockTree)[32*2]++ }, chk.ErrBlock},
		{"root of the block tree", 2, func(x *liar) { x.tree(f.layout.BlockTree)[0]++ }, chk.ErrBlock},
		{"padding leaf of the block tree", 2, func(x *liar) { x.tree(f.layout.BlockTree)[32*6]++ }, chk.ErrBlock},
		{"leaf of the crypttext tree", 2, func(x *liar) { x.tree(f.layout.CrypttextTree)[32*4]++ }, chk.ErrCrypttextTree},
		{"leaf of the crypttext tree and all above", 2, func(x *liar) {
			leaves := make([]caps.Hash, 3)
			leaves[1][0] = 1
			x.write(f.layout.CrypttextTree, leaves)
		}, chk.ErrCrypttextTree},
		{"crypttext tree of another file", 2, func(x *liar) {
			copy(x.tree(f.layout.CrypttextTree), other.shares[2][f.layout.CrypttextTree:])
		}, chk.ErrCrypttextTree},
		{"padding leaf of the crypttext tree", 2, func(x *liar) { x.tree(f.layout.CrypttextTree)[32*6]++ }, chk.ErrCrypttextTree},
		{"chain entry twice", 2, func(x *liar) {
			c := x.share[f.layout.ShareChain:]
			copy(c[:34], c[34:68])
		}, chk.ErrShareChain},
		{"chain node out of range", 2, func(x *liar) {
			binary.BigEndian.PutUint16(x.share[f.layout.ShareChain:], 31)
		}, chk.ErrShareChain},
		{"chain node far out of range", 2, func(x *liar) {
			binary.BigEndian.PutUint16(x.share[f.layout.ShareChain:], 65535)
		}, chk.ErrShareChain},
		{"chain of the root alone", 2, func(x *liar) {
			for i := f.layout.ShareChain; i < f.layout.UEBLength; i += 34 {
				binary.BigEndian.PutUint16(x.share[i:], 0)
			}
		}, chk.ErrShareChain},
		{"everything zero but the header", 2, func(x *liar) { clear(x.share[f.layout.Data:]) }, chk.ErrUEBHash},
		{"UEB longer than allowed", 2, func(x *liar) {
			binary.BigEndian.PutUint32(x.share[f.layout.UEBLength:], chk.MaxUEB+1)
		}, chk.ErrLayout},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			x := newLiar(f, c.num)
			c.lie(x)
			if err := verify(f, c.num, x.share); !errors.Is(err, c.want) || !errors.Is(err, chk.ErrCorrupt) {
				t.Errorf("the verifier says %v, want %v", err, c.want)
			}
			// Three good shares beside it: the plaintext is right, and at most the liar is blamed.
			shares := f.subset(4, 5, 7)
			shares[c.num] = x.share
			r := newReader(f.cap.Verify(), shares)
			got, err := r.read()
			if err != nil {
				t.Fatal(err)
			}
			chk.Decrypt(f.cap.Key(), 0, got)
			if !bytes.Equal(got, plain) {
				t.Error("wrong plaintext")
			}
			if delete(r.blame, c.num); len(r.blame) > 0 {
				t.Errorf("also blamed: %v", r.blame)
			}
		})
	}
}

// TestShareChainIsWhole: an empty chain, one that stops short and one with too much all fail, also where the share's
// root alone would be enough to go on.
func TestShareChainIsWhole(t *testing.T) {
	t.Parallel()
	for _, n := range []int{1, 2, 10, 256} {
		f := convergent(t, nil, geometry(t, 100, 1, n, 0), 0, plaintextOf("chain", 100))
		share := f.shares[n-1]
		_, u, err := newReader(f.cap.Verify(), map[int][]byte{n - 1: share}).open(n - 1)
		if err != nil {
			t.Fatal(err)
		}
		chain := share[f.layout.ShareChain:f.layout.UEBLength]
		if _, err := chk.NewShare(u, n-1, chain); err != nil {
			t.Errorf("n %d: %v", n, err)
		}
		for cut := 0; cut < len(chain); cut++ {
			if _, err := chk.NewShare(u, n-1, chain[:cut]); !errors.Is(err, chk.ErrShareChain) {
				t.Errorf("n %d: the first %d bytes of the chain: %v", n, cut, err)
			}
			if cut%34 == 0 {
				without := append(bytes.Clone(chain[:cut]), chain[cut+34:]...)
				if _, err := chk.NewShare(u, n-1, without); !errors.Is(err, chk.ErrShareChain) {
					t.Errorf("n %d: the chain without entry %d: %v", n, cut/34, err)
				}
			}
		}
		if _, err := chk.NewShare(u, n-1, append(bytes.Clone(chain), chain[:34]...)); !errors.Is(err, chk.ErrShareChain) {
			t.Errorf("n %d: an entry too much: %v", n, err)
		}
		for _, num := range []int{-1, n} {
			if _, err := chk.NewShare(u, num, chain); !errors.Is(err, chk.ErrNoSegment) {
				t.Errorf("n %d: share %d: %v", n, num, err)
			}
		}
		if n > 2 { // of two shares, each has the other's leaf in its chain
			if _, err := chk.NewShare(u, 0, chain); !errors.Is(err, chk.ErrShareChain) {
				t.Errorf("n %d: the last share as share 0: %v", n, err)
			}
		}
	}
}

// ueb writes fields as Tahoe does. It is written apart from the encoder's on purpose.
func ueb(fields ...string) []byte {
	var b strings.Builder
	for i := 0; i < len(fields); i += 2 {
		fmt.Fprintf(&b, "%s:%d:%s,", fields[i], len(fields[i+1]), fields[i+1])
	}
	return []byte(b.String())
}

// TestUEBRefused: the hash fits, but the fields contradict the cap, each other, or the format. Then the file's maker
// lied, and a reader stops before it allocates anything.
func TestUEBRefused(t *testing.T) {
	t.Parallel()
	h := strings.Repeat("h", 32)
	good := []string{
		"codec_name", "crs", "codec_params", "102-3-10", "crypttext_hash", h, "crypttext_root_hash", h,
		"needed_shares", "3", "num_segments", "10", "segment_size", "102", "share_root_hash", h, "size", "1000",
		"tail_codec_params", "84-3-10", "total_shares", "10",
	}
	with := func(key, value string) []byte {
		f := append([]string(nil), good...)
		for i := 0; i < len(f); i += 2 {
			if f[i] == key {
				f[i+1] = value
			}
		}
		return ueb(f...)
	}
	without := func(key string) []byte {
		var f []string
		for i := 0; i < len(good); i += 2 {
			if good[i] != key {
				f = append(f, good[i], good[i+1])
			}
		}
		return ueb(f...)
	}
	parse := func(raw []byte) error {
		_, err := chk.ParseUEB(raw, caps.CHKVerify{UEBHash: caps.UEBHash(raw), K: 3, N: 10, Size: 1000})
		return err
	}
	for _, c := range []struct {
		name string
		raw  []byte
	}{
		{"all eleven", ueb(good...)},
		{"no crypttext hash", without("crypttext_hash")},
		{"no codec", without("codec_name")},
		{"no size", without("size")},
		{"the three required ones", ueb("crypttext_root_hash", h, "segment_size", "102", "share_root_hash", h)},
		{"fields of old files", ueb(append(append([]string(nil), good[:12]...), append([]string{"plaintext_hash", h, "plaintext_root_hash", h}, good[12:]...)...)...)},
		{"an unknown field", ueb(append(append([]string(nil), good...), "zebra", "stripes")...)},
	} {
		t.Run("good/"+c.name, func(t *testing.T) {
			t.Parallel()
			if err := parse(c.raw); err != nil {
				t.Error(err)
			}
		})
	}
	for _, c := range []struct {
		name string
		raw  []byte
	}{
		{"empty", nil},
		{"no segment size", without("segment_size")},
		{"no share root", without("share_root_hash")},
		{"no crypttext root", without("crypttext_root_hash")},
		{"short root", with("share_root_hash", h[1:])},
		{"long root", with("crypttext_root_hash", h+"h")},
		{"short crypttext hash", with("crypttext_hash", "")},
		{"another codec", with("codec_name", "xor")},
		{"another codec's parameters", with("codec_params", "102-3-11")},
		{"another tail", with("tail_codec_params", "85-3-10")},
		{"another k", with("needed_shares", "4")},
		{"another n", with("total_shares", "11")},
		{"another size", with("size", "1001")},
		{"another count of segments", with("num_segments", "9")},
		{"segment size no multiple of k", with("segment_size", "103")},
		{"segment size 0", with("segment_size", "0")},
		{"segment size negative", with("segment_size", "-102")},
		{"segment size with a sign", with("segment_size", "+102")},
		{"segment size with a zero before it", with("segment_size", "0102")},
		{"segment size with a space", with("segment_size", " 102")},
		{"segment size beyond memory", ueb("crypttext_root_hash", h, "segment_size", "4611686018427387903", "share_root_hash", h)},
		{"segment size beyond 64 bits", ueb("crypttext_root_hash", h, "segment_size", "99999999999999999999", "share_root_hash", h)},
		{"out of order", ueb("segment_size", "102", "crypttext_root_hash", h, "share_root_hash", h)},
		{"a field twice", ueb("crypttext_root_hash", h, "segment_size", "102", "segment_size", "102", "share_root_hash", h)},
		{"nameless field", ueb("", "x", "crypttext_root_hash", h, "segment_size", "102", "share_root_hash", h)},
		{"digit in a name", ueb("a1", "x", "crypttext_root_hash", h, "segment_size", "102", "share_root_hash", h)},
		{"cut off", ueb(good...)[:300]},
		{"without the last comma", bytes.TrimSuffix(ueb(good...), []byte(","))},
		{"something after it", append(ueb(good...), '\n')},
		{"length with a zero before it", bytes.Replace(ueb(good...), []byte("codec_name:3:"), []byte("codec_name:03:"), 1)},
		{"length too long", bytes.Replace(ueb(good...), []byte("codec_name:3:"), []byte("codec_name:999999:"), 1)},
		{"length too long for 64 bits", bytes.Replace(ueb(good...), []byte("codec_name:3:"), []byte("codec_name:99999999999999999999:"), 1)},
		{"length one off", bytes.Replace(ueb(good...), []byte("codec_name:3:"), []byte("codec_name:4:"), 1)},
	} {
		t.Run("bad/"+c.name, func(t *testing.T) {
			t.Parallel()
			if err := parse(c.raw); !errors.Is(err, chk.ErrUEB) {
				t.Errorf("%v, want %v", err, chk.ErrUEB)
			}
		})
	}
	long := ueb(append(append([]string(nil), good...), "zebra", strings.Repeat("z", 2000))...)
	if err := parse(long); !errors.Is(err, chk.ErrUEBHash) {
		t.Errorf("%d bytes: %v", len(long), err)
	}
	if _, err := chk.ParseUEB(ueb(good...), caps.CHKVerify{K: 3, N: 10, Size: 1000}); !errors.Is(err, chk.ErrUEBHash) {
		t.Errorf("another hash: %v", err)
	}
	if _, err := chk.ParseUEB(nil, caps.CHKVerify{}); !errors.Is(err, caps.ErrShareCounts) {
		t.Errorf("impossible cap: %v", err)
	}
}

// TestTwoFilesUnderOneUEB is the uploader who puts shares of two files under one UEB. Every share verifies, and which
// file comes out would depend on which shares a reader finds: only the crypttext tree tells.
func TestTwoFilesUnderOneUEB(t *testing.T) {
	t.Parallel()
	plain := plaintextOf("one", 592)
	g := geometry(t, len(plain), 3, 10, 255)
	key := caps.NewReadKey([16]byte{7})
	a := encode(t, chk.EncoderConfig{Key: key, Geometry: g}, plain)
	b := encode(t, chk.EncoderConfig{Key: key, Geometry: g}, plaintextOf("two", 592))
	shares, roots := make([][]byte, g.N), make([]caps.Hash, g.N)
	for i := range shares {
		from := a
		if i >= 5 {
			from = b
		}
		shares[i] = bytes.Clone(from.shares[i])
		copy(shares[i][a.layout.CrypttextTree:a.layout.BlockTree], a.shares[0][a.layout.CrypttextTree:])
		roots[i] = caps.Hash(shares[i][a.layout.BlockTree:])
	}
	tree := caps.NewTree(roots)
	leaf := caps.TreeWidth(g.N) - 1
	// The UEB of file a with the mixed tree's root.
	raw := bytes.Clone(a.shares[0][a.layout.UEBLength+4:])
	at := bytes.Index(raw, []byte("share_root_hash:32:")) + len("share_root_hash:32:")
	root := tree.Root()
	copy(raw[at:], root[:])
	mixed := file{geo: g, layout: a.layout, shares: shares}
	var err error
	if mixed.cap, err = caps.NewCHKRead(key, caps.UEBHash(raw), g.K, g.N, g.Size); err != nil {
		t.Fatal(err)
	}
	for i, s := range shares {
		var chain []byte
		for _, n := range append(tree.Chain(i), caps.Node{Number: leaf + i, Hash: tree[leaf+i]}) {
			chain = append(binary.BigEndian.AppendUint16(chain, uint16(n.Number)), n.Hash[:]...)
		}
		copy(s[a.layout.ShareChain:], chain)
		copy(s[a.layout.UEBLength+4:], raw)
		if err := verify(mixed, i, s); err != nil {
			t.Fatalf("share %d does not verify: %v", i, err)
		}
	}
	if got := plaintext(t, mixed.cap, mixed.subset(0, 1, 2)); !bytes.Equal(got, plain) {
		t.Error("shares of file one give another plaintext")
	}
	for _, nums := range [][]int{{5, 6, 7}, {0, 1, 9}, {4, 5, 6}} {
		r := newReader(mixed.cap.Verify(), mixed.subset(nums...))
		if got, err := r.read(); !errors.Is(err, chk.ErrSegment) || len(got) > 0 {
			t.Errorf("shares %v give %d bytes, %v", nums, len(got), err)
		}
	}
}

// TestCheckBlockKeepsNothingBad: a refused batch leaves no trace, so that the next source starts clean.
func TestCheckBlockKeepsNothingBad(t *testing.T) {
	t.Parallel()
	f, _ := small(t, 0)
	s, u, err := newReader(f.cap.Verify(), f.subset(6)).open(6)
	if err != nil {
		t.Fatal(err)
	}
	at, n := f.layout.BlockRange(f.geo, 1, 1)
	block := s.data[at : at+n]
	good := nodes(s.data, f.layout.BlockTreeNode, s.share.Missing(1))
	bad := append([]caps.Node(nil), good...)
	bad[1].Hash[0]++
	for what, err := range map[string]error{
		"no nodes":       s.share.CheckBlock(1, block, nil),
		"one node":       s.share.CheckBlock(1, block, good[:1]),
		"a wrong node":   s.share.CheckBlock(1, block, bad),
		"another place":  s.share.CheckBlock(0, block, good),
		"a short block":  s.share.CheckBlock(1, block[1:], good),
		"learning wrong": s.share.Learn(bad),
	} {
		if !errors.Is(err, chk.ErrBlock) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if got := s.share.Missing(1); len(got) != len(good) {
		t.Errorf("nodes %v are missing after refusals", got)
	}
	if err := s.share.CheckBlock(1, block, good); err != nil {
		t.Error(err)
	}
	if got := s.share.Missing(1); len(got) != 0 {
		t.Errorf("nodes %v are missing after a good block", got)
	}
	if err := s.share.CheckBlock(1, append([]byte{block[0] + 1}, block[1:]...), nil); !errors.Is(err, chk.ErrBlock) {
		t.Errorf("a wrong block for a known leaf: %v", err)
	}
	for _, seg := range []int{-1, 3} {
		if err := s.share.CheckBlock(seg, nil, nil); !errors.Is(err, chk.ErrNoSegment) {
			t.Errorf("segment %d: %v", seg, err)
		}
		if err := chk.NewCrypttextTree(u).Check(seg, nil, nil); !errors.Is(err, chk.ErrNoSegment) {
			t.Errorf("crypttext segment %d: %v", seg, err)
		}
	}
}

// TestLearn takes whole trees in any order of nodes, padding leaves included, and nothing that lacks a leaf.
func TestLearn(t *testing.T) {
	t.Parallel()
	f, _ := small(t, 0)
	s, u, err := newReader(f.cap.Verify(), f.subset(6)).open(6)
	if err != nil {
		t.Fatal(err)
	}
	whole := chk.Nodes(0, s.data[f.layout.BlockTree:f.layout.ShareChain])
	if err := s.share.Learn(whole[:3]); !errors.Is(err, chk.ErrBlock) {
		t.Errorf("nodes without a leaf: %v", err)
	}
	slices.Reverse(whole)
	if err := s.share.Learn(whole); err != nil {
		t.Error(err)
	}
	for seg := range f.geo.Segments {
		if missing := s.share.Missing(seg); len(missing) > 0 {
			t.Errorf("segment %d still needs %v", seg, missing)
		}
	}
	tree := chk.NewCrypttextTree(u)
	if err := tree.Learn(whole); !errors.Is(err, chk.ErrCrypttextTree) {
		t.Errorf("the block tree as the crypttext tree: %v", err)
	}
	whole = chk.Nodes(0, s.data[f.layout.CrypttextTree:f.layout.BlockTree])
	slices.Reverse(whole)
	if err := tree.Learn(whole); err != nil {
		t.Error(err)
	}
	if _, err := tree.Chain(2); err != nil {
		t.Error(err)
	}
}

// TestSharesAreSafeForConcurrentUse checks all blocks of a share from many goroutines, for the race detector.
func TestSharesAreSafeForConcurrentUse(t *testing.T) {
	t.Parallel()
	plain := plaintextOf("concurrent", 3000)
	f := convergent(t, nil, geometry(t, len(plain), 3, 10, 60), 0, plain)
	r := newReader(f.cap.Verify(), f.subset(0, 5, 9))
	crypttext, err := r.read()
	if err != nil {
		t.Fatal(err)
	}
	s, u, err := r.open(5)
	if err != nil {
		t.Fatal(err)
	}
	tree := chk.NewCrypttextTree(u)
	var wg sync.WaitGroup
	for seg := range f.geo.Segments {
		wg.Go(func() {
			at, n := f.layout.BlockRange(f.geo, seg, 1)
			if err := s.share.CheckBlock(seg, s.data[at:at+n], nodes(s.data, f.layout.BlockTreeNode, s.share.Missing(seg))); err != nil {
				t.Error(err)
			}
			at = f.geo.SegmentOffset(seg)
			if err := tree.Check(seg, crypttext[at:at+uint64(f.geo.SegmentLen(seg))], nodes(s.data, f.layout.CrypttextTreeNode, tree.Missing(seg))); err != nil {
				t.Error(err)
			}
			chain, err := tree.Chain(seg)
			if err != nil {
				t.Error(err)
			}
			h := caps.CrypttextSegmentHash(crypttext[at : at+uint64(f.geo.SegmentLen(seg))])
			if err := caps.VerifyChain(u.CrypttextRoot, f.geo.Segments, seg, h, chain); err != nil {
				t.Errorf("chain of segment %d: %v", seg, err)
			}
		})
	}
	wg.Wait()
}

func TestDecoderRefuses(t *testing.T) {
	t.Parallel()
	f, _ := small(t, 0)
	d, err := chk.NewDecoder(f.geo, nil)
	if err != nil {
		t.Fatal(err)
	}
	block := func(num int) chk.Block {
		at, n := f.layout.BlockRange(f.geo, 0, 1)
		return chk.Block{Num: num, Data: f.shares[num][at : at+n]}
	}
	for _, c := range []struct {
		name   string
		seg    int
		buf    []byte
		blocks []chk.Block
		want   error
	}{
		{"no such segment", 3, nil, nil, chk.ErrNoSegment},
		{"nothing", 0, nil, nil, chk.ErrTooFew},
		{"too few", 0, nil, []chk.Block{block(1), block(9)}, chk.ErrTooFew},
		{"one twice", 0, nil, []chk.Block{block(1), block(9), block(1)}, chk.ErrBlocks},
		{"no such share", 0, nil, []chk.Block{block(1), block(9), {Num: 10, Data: block(0).Data}}, chk.ErrBlocks},
		{"negative share", 0, nil, []chk.Block{block(1), block(9), {Num: -1, Data: block(0).Data}}, chk.ErrBlocks},
		{"short block", 0, nil, []chk.Block{block(1), block(9), {Num: 3, Data: block(3).Data[1:]}}, chk.ErrBlocks},
		{"blocks of another segment", 2, nil, []chk.Block{block(1), block(9), block(3)}, chk.ErrBlocks},
		{"small buffer", 0, make([]byte, 10), []chk.Block{block(1), block(9), block(3)}, chk.ErrBlocks},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			if _, err := d.Decode(c.seg, c.buf, c.blocks); !errors.Is(err, c.want) {
				t.Errorf("%v, want %v", err, c.want)
			}
		})
	}
	// More than k is fine, and a buffer may be larger than needed.
	got, err := d.Decode(0, make([]byte, 1000), []chk.Block{block(1), block(9), block(3), block(0)})
	if err != nil || len(got) != f.geo.SegmentLen(0) {
		t.Errorf("four blocks: %d bytes, %v", len(got), err)
	}
}
