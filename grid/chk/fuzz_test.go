package chk_test

import (
	"bytes"
	"errors"
	"strconv"
	"testing"

	"trunkline/caps"
	"trunkline/grid/chk"
)

// The seeds of these targets are in testdata/fuzz; TestTahoe… and the corruption tests are the tables beside them.

// FuzzParseUEB: what parses has a geometry within bounds, and printing it as Tahoe does and parsing that gives the
// same again.
func FuzzParseUEB(f *testing.F) {
	f.Fuzz(func(t *testing.T, raw []byte, k, n uint8, size uint64) {
		v := caps.CHKVerify{UEBHash: caps.UEBHash(raw), K: int(k), N: int(n), Size: size}
		u, err := chk.ParseUEB(raw, v)
		if err != nil {
			if !errors.Is(err, chk.ErrCorrupt) && v.Validate() == nil {
				t.Fatalf("refused for no reason: %v", err)
			}
			return
		}
		g := u.Geometry
		if g.K != v.K || g.N != v.N || g.Size != v.Size || !bytes.Equal(u.Raw, raw) {
			t.Fatalf("%+v is not the cap's", g)
		}
		if g.Segments < 1 || g.Segments > chk.MaxSegments || g.PaddedLen(0) > chk.MaxSegment+g.K {
			t.Fatalf("%+v is out of bounds", g)
		}
		codec := func(size uint64) string {
			return strconv.FormatUint(size, 10) + "-" + strconv.Itoa(g.K) + "-" + strconv.Itoa(g.N)
		}
		canonical := ueb(
			"codec_name", "crs",
			"codec_params", codec(g.SegmentSize),
			"crypttext_hash", string(u.CrypttextHash[:]),
			"crypttext_root_hash", string(u.CrypttextRoot[:]),
			"needed_shares", strconv.Itoa(g.K),
			"num_segments", strconv.Itoa(g.Segments),
			"segment_size", strconv.FormatUint(g.SegmentSize, 10),
			"share_root_hash", string(u.ShareRoot[:]),
			"size", strconv.FormatUint(g.Size, 10),
			"tail_codec_params", codec(g.PaddedTail),
			"total_shares", strconv.Itoa(g.N),
		)
		if len(canonical) != chk.UEBLen(g) {
			t.Fatalf("%d bytes, predicted %d", len(canonical), chk.UEBLen(g))
		}
		v.UEBHash = caps.UEBHash(canonical)
		again, err := chk.ParseUEB(canonical, v)
		if err != nil {
			t.Fatal(err)
		}
		if again.Geometry != g || again.CrypttextRoot != u.CrypttextRoot || again.ShareRoot != u.ShareRoot || again.CrypttextHash != u.CrypttextHash {
			t.Fatalf("%+v came back as %+v", u, again)
		}
	})
}

// FuzzParseLayout: what parses lies within the share, prints as it was, and its tail splits within bounds.
func FuzzParseLayout(f *testing.F) {
	f.Fuzz(func(t *testing.T, head []byte, shareLen uint64, tail []byte) {
		l, err := chk.ParseLayout(head, shareLen)
		if err != nil {
			if !errors.Is(err, chk.ErrLayout) {
				t.Fatal(err)
			}
			return
		}
		if h := l.Header(); !bytes.Equal(h, head[:len(h)]) {
			t.Fatalf("header %x came back as %x", head[:len(h)], h)
		}
		for _, at := range []uint64{l.Data, l.CrypttextTree, l.BlockTree, l.ShareChain, l.UEBLength} {
			if at > shareLen {
				t.Fatalf("%+v is not within %d bytes", l, shareLen)
			}
		}
		chain, ueb, err := l.SplitTail(tail)
		if err == nil && (uint64(len(chain)) != l.UEBLength-l.ShareChain || len(chain) > chk.MaxChain || len(ueb) > chk.MaxUEB) {
			t.Fatalf("chain of %d bytes, UEB of %d", len(chain), len(ueb))
		}
		if err != nil && !errors.Is(err, chk.ErrLayout) {
			t.Fatal(err)
		}
	})
}

// FuzzShareChain: only the right entries are accepted, in whatever order.
func FuzzShareChain(f *testing.F) {
	file, _ := small(f, 1)
	_, u, err := newReader(file.cap.Verify(), file.subset(4)).open(4)
	if err != nil {
		f.Fatal(err)
	}
	right := file.shares[4]
	f.Fuzz(func(t *testing.T, chain []byte) {
		if _, err := chk.NewShare(u, 4, chain); err != nil {
			if !errors.Is(err, chk.ErrShareChain) {
				t.Fatal(err)
			}
			return
		}
		got := bytes.Clone(right)
		copy(got[file.layout.ShareChain:], chain)
		if len(chain) != int(file.layout.UEBLength-file.layout.ShareChain) || !bytes.Equal(ascending(t, got), right) {
			t.Fatalf("accepted %x", chain)
		}
	})
}

// FuzzVerifyShare patches a good share. It is still good only if nothing changed outside the table of parts that
// nothing rests on, and whatever it is, a reader never takes a wrong byte from it.
func FuzzVerifyShare(f *testing.F) {
	file, plain := small(f, 1)
	ignored := dontCare(file.layout)
	f.Fuzz(func(t *testing.T, at uint16, patch []byte, cut uint16) {
		share := bytes.Clone(file.shares[4])
		if int(at) < len(share) {
			copy(share[at:], patch)
		}
		share = share[:len(share)-min(int(cut), len(share))]
		err := verify(file, 4, share)
		if err != nil && !errors.Is(err, chk.ErrCorrupt) {
			t.Fatal(err)
		}
		same := len(share) == len(file.shares[4])
		for i := range share {
			same = same && (share[i] == file.shares[4][i] || within(ignored, uint64(i)))
		}
		if same != (err == nil) && !bytes.Equal(sorted(t, file, share), file.shares[4]) {
			t.Fatalf("%d bytes patched at %d, %d cut off: %v", len(patch), at, cut, err)
		}
		r := newReader(file.cap.Verify(), map[int][]byte{4: share, 0: file.shares[0], 7: file.shares[7]})
		got, err := r.read()
		if err != nil && !errors.Is(err, errNoShares) {
			t.Fatal(err)
		}
		chk.Decrypt(file.cap.Key(), 0, got)
		if !bytes.HasPrefix(plain, got) || err == nil && len(got) != len(plain) {
			t.Fatal("wrong plaintext")
		}
	})
}

// sorted is ascending where that is possible: the order of the chain is nobody's concern.
func sorted(t *testing.T, f file, share []byte) []byte {
	if len(share) != len(f.shares[4]) || !bytes.Equal(share[:f.layout.Data], f.shares[4][:f.layout.Data]) {
		return nil
	}
	return ascending(t, share)
}
