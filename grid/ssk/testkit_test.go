package ssk_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"trunkline/caps"
	"trunkline/grid/ssk"
)

// The vectors are what real Tahoe code made: the mutable part of its manifest and the share files that it names.
const vectors = "testdata/tahoe"

type entry struct {
	ID, Kind, Cap string
	VerifyCap     string `json:"verify_cap"`
	Note          string
	Contents      *[]byte `json:"contents_base64"`
	Keys          *struct {
		PrivateDER  []byte `json:"private_key_pkcs8_der"`
		Fingerprint string
		WriteKey    string `json:"writekey"`
	}
	Header *struct {
		Version     ssk.Format
		Seq         uint64 `json:"seqnum"`
		Root        string `json:"root_hash"`
		K, N        int
		SegmentSize uint64 `json:"segment_size"`
		Length      uint64 `json:"data_length"`
	}
	Prefix  string `json:"signed_prefix"`
	History []struct {
		Op     string
		Seed   []byte
		Length int
		Offset int
	}
	Plaintext *struct {
		Length int
		SHA256 string
	}
	Shares []struct {
		Num    int `json:"shnum"`
		Path   string
		Length int    `json:"data_length"`
		SHA256 string `json:"data_sha256"`
	}
}

func manifest(t testing.TB) []entry {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(vectors, "manifest.json"))
	if err != nil {
		t.Fatal(err)
	}
	var m struct{ Entries []entry }
	if err := json.Unmarshal(raw, &m); err != nil {
		t.Fatal(err)
	}
	if len(m.Entries) != 14 {
		t.Fatalf("%d mutable objects in the manifest", len(m.Entries))
	}
	return m.Entries
}

func vector(t testing.TB, id string) entry {
	t.Helper()
	for _, e := range manifest(t) {
		if e.ID == id {
			return e
		}
	}
	t.Fatalf("no vector %s", id)
	return entry{}
}

// shares are the entry's shares by number, as its server shows them: what a longer version left behind included.
func (e entry) shares(t testing.TB) map[int][]byte {
	t.Helper()
	all := make(map[int][]byte)
	for _, s := range e.Shares {
		raw, err := os.ReadFile(filepath.Join(vectors, s.Path))
		if err != nil {
			t.Fatal(err)
		}
		const header = 32 + 20 + 32 + 8 + 8 + 4*92
		if got := binary.BigEndian.Uint64(raw[84:]); got != uint64(s.Length) {
			t.Fatalf("%s: %d bytes of data", s.Path, got)
		}
		data := raw[header : header+s.Length]
		if sum := sha256.Sum256(data); fmt.Sprintf("%x", sum) != s.SHA256 {
			t.Fatalf("%s is not the file the manifest means", s.Path)
		}
		all[s.Num] = data
	}
	return all
}

// contents replays the history.
func (e entry) contents() []byte {
	if e.Contents != nil {
		return *e.Contents
	}
	var now []byte
	for _, w := range e.History {
		data := make([]byte, 0, w.Length+sha256.Size)
		for i := uint64(0); len(data) < w.Length; i++ {
			sum := sha256.Sum256(binary.BigEndian.AppendUint64(bytes.Clone(w.Seed), i))
			data = append(data, sum[:]...)
		}
		data = data[:w.Length]
		if w.Op == "write" {
			now = data
		} else {
			copy(now[w.Offset:], data)
		}
	}
	return now
}

func parseCap(t testing.TB, text string) caps.Cap {
	t.Helper()
	c, err := caps.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func verifyCap(t testing.TB, c caps.Cap) caps.MutableVerify {
	t.Helper()
	v, ok := c.MutableVerify()
	if !ok {
		t.Fatal("no mutable cap")
	}
	return v
}

// testKeys are those of a vector, since making a pair is slow.
func testKeys(t testing.TB) *ssk.Keys {
	t.Helper()
	k, err := ssk.ParsePrivateKey(vector(t, "sdmf-1000-2of3").Keys.PrivateDER)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func kindOf(f ssk.Format) caps.Kind {
	if f == ssk.MDMF {
		return caps.KindMDMF
	}
	return caps.KindSDMF
}

func capOf(t testing.TB, k *ssk.Keys, f ssk.Format) caps.Cap {
	t.Helper()
	c, err := k.Cap(kindOf(f))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// contents that differ in every byte position.
func pattern(seed string, n int) []byte {
	out := make([]byte, 0, n+sha256.Size)
	for i := uint64(0); len(out) < n; i++ {
		sum := sha256.Sum256(binary.BigEndian.AppendUint64([]byte(seed), i))
		out = append(out, sum[:]...)
	}
	return out[:n]
}

// encode makes all shares of a version.
func encode(t testing.TB, cfg ssk.EncoderConfig, plaintext []byte) (map[int][]byte, *ssk.Encoded) {
	t.Helper()
	cfg.Length = uint64(len(plaintext))
	e, err := ssk.NewEncoder(cfg)
	if err != nil {
		t.Fatal(err)
	}
	h := e.Header()
	data := make([][]byte, h.N)
	for seg := range h.Segments() {
		at := h.SegmentOffset(seg)
		b, err := e.Encode(seg, plaintext[at:at+uint64(h.SegmentLen(seg))])
		if err != nil {
			t.Fatal(err)
		}
		for i, entry := range b.Data {
			data[i] = append(data[i], entry...)
		}
		b.Release()
	}
	x, err := e.Finish()
	if err != nil {
		t.Fatal(err)
	}
	shares := make(map[int][]byte)
	for i := range h.N {
		shares[i] = append(append(x.Front(i), data[i]...), x.Back(i)...)
		if uint64(len(shares[i])) != x.Head().Size() {
			t.Fatalf("share of %d bytes, should have %d", len(shares[i]), x.Head().Size())
		}
	}
	return shares, x
}

func section(share []byte, s ssk.Section) ([]byte, bool) {
	if s.Offset > uint64(len(share)) || s.Length > uint64(len(share))-s.Offset {
		return nil, false
	}
	return share[s.Offset : s.Offset+s.Length], true
}

var errShort = errors.New("share ends early")

// source is one share, opened by a reader.
type source struct {
	raw   []byte
	head  ssk.Head
	share *ssk.Share
}

func openSource(v caps.MutableVerify, num int, raw []byte) (*source, error) {
	h, err := ssk.ParseHead(raw[:min(len(raw), ssk.HeadMax)])
	if err != nil {
		return nil, err
	}
	var parts [4][]byte
	for i, s := range []ssk.Section{h.PublicKey(), h.Signature(), h.ShareChain(), h.BlockTreeNode(0)} {
		var ok bool
		if parts[i], ok = section(raw, s); !ok {
			return nil, errShort
		}
	}
	if err := ssk.VerifySignature(v, h.Header, parts[0], parts[1]); err != nil {
		return nil, err
	}
	chain, err := ssk.ParseChain(parts[2])
	if err != nil {
		return nil, err
	}
	s, err := ssk.NewShare(h.Header, num, caps.Hash(parts[3]), chain)
	if err != nil {
		return nil, err
	}
	return &source{raw, h, s}, nil
}

// entry reads and checks one entry with the nodes that are still missing.
func (s *source) entry(seg int) ([]byte, error) {
	e, ok := section(s.raw, s.head.Entry(seg))
	if !ok {
		return nil, errShort
	}
	var nodes []caps.Node
	for _, n := range s.share.Missing(seg) {
		raw, ok := section(s.raw, s.head.BlockTreeNode(n))
		if !ok {
			return nil, errShort
		}
		nodes = append(nodes, ssk.Nodes(n, raw)...)
	}
	return e, s.share.Check(seg, e, nodes)
}

// read is a download engine reduced to its decisions: the shares in the order of nums, dropped at their first lie; the
// newest version that k of them have.
func read(v caps.MutableVerify, key caps.MutableReadKey, shares map[int][]byte, nums []int) (plain []byte, h ssk.Header, blame map[int]error, err error) {
	blame = make(map[int]error)
	versions := make(map[ssk.Header][]*source)
	for _, num := range nums {
		s, err := openSource(v, num, shares[num])
		if err != nil {
			blame[num] = err
			continue
		}
		versions[s.head.Header] = append(versions[s.head.Header], s)
	}
	for o, list := range versions {
		if len(list) >= o.K && (h.K == 0 || o.Compare(h) > 0) {
			h = o
		}
	}
	if h.K == 0 {
		return nil, h, blame, ssk.ErrTooFew
	}
	d, err := ssk.NewDecoder(h, nil)
	if err != nil {
		return nil, h, blame, err
	}
	for seg := range h.Segments() {
		var blocks []ssk.Block
		for _, s := range versions[h] {
			if len(blocks) == h.K || blame[s.share.Num()] != nil {
				continue
			}
			e, err := s.entry(seg)
			if err != nil {
				blame[s.share.Num()] = err
				continue
			}
			blocks = append(blocks, ssk.Block{Num: s.share.Num(), Entry: e})
		}
		crypttext, salt, err := d.Decode(seg, nil, blocks)
		if err != nil {
			return nil, h, blame, err
		}
		ssk.Decrypt(key, salt, 0, crypttext, crypttext)
		plain = append(plain, crypttext...)
	}
	return plain, h, blame, nil
}

func numbers(shares map[int][]byte, descending bool) []int {
	var nums []int
	for i := range ssk.MaxShares {
		if _, ok := shares[i]; ok {
			nums = append(nums, i)
		}
	}
	if descending {
		for i, j := 0, len(nums)-1; i < j; i, j = i+1, j-1 {
			nums[i], nums[j] = nums[j], nums[i]
		}
	}
	return nums
}
