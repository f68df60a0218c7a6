package caps_test

import (
	"crypto/ed25519"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"testing"

	"filippo.io/edwards25519"
	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/multiformats/go-multibase"
	"github.com/multiformats/go-multihash"

	"trunkline/caps"
)

// All encodings of the eight points of small order that Go's decoder accepts: eight
// canonical ones and six that are not.
var smallOrder = []string{
	"0100000000000000000000000000000000000000000000000000000000000000",
	"ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
	"0000000000000000000000000000000000000000000000000000000000000000",
	"0000000000000000000000000000000000000000000000000000000000000080",
	"26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
	"26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
	"c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
	"c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
	"0100000000000000000000000000000000000000000000000000000000000080",
	"ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
	"eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
	"eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
	"edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
	"edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
}

func TestSmallOrderKeys(t *testing.T) {
	t.Parallel()
	for _, text := range smallOrder {
		t.Run(text, func(t *testing.T) {
			t.Parallel()
			raw, err := hex.DecodeString(text)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := new(edwards25519.Point).SetBytes(raw); err != nil {
				t.Fatal("not a point at all, so it shows nothing")
			}
			if _, err := caps.ParsePublicKey(raw); !errors.Is(err, caps.ErrKeySmallOrder) || !errors.Is(err, caps.ErrKey) {
				t.Errorf("ParsePublicKey: %v", err)
			}
			// The zero key means "none" and prints as nothing; every other has a text form,
			// which a stranger may send.
			weak := caps.PublicKey(raw)
			if weak.IsZero() {
				return
			}
			if _, err := caps.ParsePeerID(weak.String()); !errors.Is(err, caps.ErrKeySmallOrder) {
				t.Errorf("ParsePeerID: %v", err)
			}
			code := caps.NewAreaCode(weak).String()
			if _, err := caps.ParseAreaCode(code); !errors.Is(err, caps.ErrKeySmallOrder) {
				t.Errorf("ParseAreaCode: %v", err)
			}
			_, err = caps.Parse("URI:LD:" + code + ":LIT:nbswy3dp")
			if !errors.Is(err, caps.ErrKeySmallOrder) || !errors.Is(err, caps.ErrMalformed) {
				t.Errorf("Parse of a long-distance cap: %v", err)
			}
		})
	}
}

// Encodings of y that are not reduced modulo p, of points whose order is large.
func TestNotCanonicalKeys(t *testing.T) {
	t.Parallel()
	p := new(big.Int).Sub(new(big.Int).Lsh(big.NewInt(1), 255), big.NewInt(19))
	tried := 0
	for y := int64(2); y < 19; y++ {
		for _, sign := range []byte{0, 0x80} {
			canonical, shifted := littleEndian(big.NewInt(y)), littleEndian(new(big.Int).Add(p, big.NewInt(y)))
			canonical[31] |= sign
			shifted[31] |= sign
			if _, err := caps.ParsePublicKey(canonical); err != nil {
				if !errors.Is(err, caps.ErrKeyNotPoint) {
					t.Errorf("y = %d: %v", y, err)
				}
				if _, err := caps.ParsePublicKey(shifted); !errors.Is(err, caps.ErrKeyNotPoint) {
					t.Errorf("y = p + %d: %v", y, err)
				}
				continue
			}
			tried++
			_, err := caps.ParsePublicKey(shifted)
			if !errors.Is(err, caps.ErrKeyNotCanonical) || !errors.Is(err, caps.ErrKey) {
				t.Errorf("y = p + %d: %v", y, err)
			}
		}
	}
	if tried == 0 || tried == 34 {
		t.Errorf("%d of 34 encodings were points: the test shows nothing", tried)
	}
}

func littleEndian(n *big.Int) []byte {
	b := n.FillBytes(make([]byte, 32))
	slices.Reverse(b)
	return b
}

func TestKeyLength(t *testing.T) {
	t.Parallel()
	good := testKey(1).Bytes()
	for _, b := range [][]byte{nil, good[:31], append(good, 0)} {
		if _, err := caps.ParsePublicKey(b); !errors.Is(err, caps.ErrKeyLength) {
			t.Errorf("%d bytes: %v", len(b), err)
		}
	}
	if k, err := caps.ParsePublicKey(good); err != nil || k != testKey(1) {
		t.Errorf("good key: %v", err)
	}
}

// Our few bytes of CID and multihash are libp2p's.
func TestNamesAgreeWithLibp2p(t *testing.T) {
	t.Parallel()
	for seed := range byte(20) {
		key := testKey(seed)
		theirs, err := crypto.UnmarshalEd25519PublicKey(key.Bytes())
		if err != nil {
			t.Fatal(err)
		}
		id, err := peer.IDFromPublicKey(theirs)
		if err != nil {
			t.Fatal(err)
		}
		if got := key.String(); got != id.String() {
			t.Errorf("peer ID %s, libp2p has %s", got, id)
		}
		name, err := peer.ToCid(id).StringOfBase(multibase.Base36)
		if err != nil {
			t.Fatal(err)
		}
		code := caps.NewAreaCode(key)
		if code.String() != name {
			t.Errorf("area code %s, go-cid has %s", code, name)
		}
		if back, err := caps.ParsePeerID(id.String()); err != nil || back != key {
			t.Errorf("peer ID read as %s: %v", back, err)
		}
		if back, err := caps.ParseAreaCode(name); err != nil || back != code || back.Key() != key {
			t.Errorf("area code read as %s: %v", back, err)
		}
	}
}

func TestPeerIDSpellings(t *testing.T) {
	t.Parallel()
	good := testKey(1).String()
	id, err := peer.Decode(good)
	if err != nil {
		t.Fatal(err)
	}
	b36, _ := peer.ToCid(id).StringOfBase(multibase.Base36)
	_, rsaLike, err := crypto.GenerateKeyPair(crypto.ECDSA, 0)
	if err != nil {
		t.Fatal(err)
	}
	other, err := peer.IDFromPublicKey(rsaLike)
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"empty":          "",
		"CID":            b36,
		"CID_base32":     peer.ToCid(id).String(),
		"hashed_key":     other.String(),
		"space_before":   " " + good,
		"space_after":    good + " ",
		"leading_one":    "1" + good,
		"missing_one":    good[1:],
		"one_for_two":    "2" + good[1:],
		"letter_O":       good[:20] + "O" + good[21:],
		"letter_l":       good[:20] + "l" + good[21:],
		"lower_case":     strings.ToLower(good),
		"too_large":      "1" + strings.Repeat("z", 51),
		"multibase_z":    "z" + good,
		"zeros_in_front": "11" + good[2:],
		"not_ascii":      good[:50] + "é",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if k, err := caps.ParsePeerID(text); !errors.Is(err, caps.ErrKey) || !k.IsZero() {
				t.Errorf("%q: %v", text, err)
			}
		})
	}
}

func TestAreaCodeSpellings(t *testing.T) {
	t.Parallel()
	key := testKey(1)
	good := caps.NewAreaCode(key).String()
	id, err := peer.Decode(key.String())
	if err != nil {
		t.Fatal(err)
	}
	spell := func(c cid.Cid, base multibase.Encoding) string {
		s, err := c.StringOfBase(base)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	hashed, err := multihash.Sum([]byte(id), multihash.SHA2_256, -1)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := multihash.Sum(key.Bytes(), multihash.IDENTITY, -1)
	if err != nil {
		t.Fatal(err)
	}
	tests := map[string]string{
		"empty":             "",
		"peer_ID":           key.String(),
		"base32":            spell(peer.ToCid(id), multibase.Base32),
		"base58":            spell(peer.ToCid(id), multibase.Base58BTC),
		"base64":            spell(peer.ToCid(id), multibase.Base64url),
		"hex":               spell(peer.ToCid(id), multibase.Base16),
		"base36_upper":      spell(peer.ToCid(id), multibase.Base36Upper),
		"upper_case":        strings.ToUpper(good),
		"lead_of_upper":     "K" + good[1:],
		"mixed_case":        good[:30] + strings.ToUpper(good[30:]),
		"codec_raw":         spell(cid.NewCidV1(cid.Raw, multihash.Multihash(id)), multibase.Base36),
		"codec_dag_pb":      spell(cid.NewCidV1(cid.DagProtobuf, multihash.Multihash(id)), multibase.Base36),
		"hashed_key":        spell(cid.NewCidV1(cid.Libp2pKey, hashed), multibase.Base36),
		"bare_key":          spell(cid.NewCidV1(cid.Libp2pKey, raw), multibase.Base36),
		"zero_in_front":     "k0" + good[1:],
		"zero_for_digit":    "k0" + good[2:],
		"path":              "/ipns/" + good,
		"space_after":       good + " ",
		"newline_after":     good + "\n",
		"short":             good[:61],
		"largest":           "k" + strings.Repeat("z", 61),
		"not_ascii":         good[:60] + "é",
		"underscore":        good[:61] + "_",
		"forged_code_one":   "k51qzi5uqu5dg7hin2celae34lqmtp708tkh0v7o8txgmu84ry3v0utr3zifwg",
		"forged_code_two":   "k51qzi5uqu5dm51929uk66vs4sy3b4alj4zrl25c3ad0uyc612u1renvoot9xb",
		"key_all_zero_area": zeroKeyCode(t),
	}
	for name, text := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a, err := caps.ParseAreaCode(text)
			if !errors.Is(err, caps.ErrKey) || !a.IsZero() {
				t.Errorf("%q: %v", text, err)
			}
			if strings.HasPrefix(name, "forged") && !errors.Is(err, caps.ErrKeySmallOrder) {
				t.Errorf("%q: %v, want ErrKeySmallOrder", text, err)
			}
		})
	}
}

// zeroKeyCode is the area code that would name the zero key.
func zeroKeyCode(t *testing.T) string {
	t.Helper()
	mh, err := multihash.Sum(append([]byte("\x08\x01\x12\x20"), make([]byte, 32)...), multihash.IDENTITY, -1)
	if err != nil {
		t.Fatal(err)
	}
	s, err := cid.NewCidV1(cid.Libp2pKey, mh).StringOfBase(multibase.Base36)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestKeyText(t *testing.T) {
	t.Parallel()
	type config struct {
		Key  caps.PublicKey
		Area caps.AreaCode
		At   caps.StorageIndex
		None caps.PublicKey
	}
	in := config{Key: testKey(1), Area: testArea(2), At: caps.StorageIndex{1, 2, 3}}
	b, err := json.Marshal(in)
	if err != nil {
		t.Fatal(err)
	}
	want := fmt.Sprintf(`{"Key":%q,"Area":%q,"At":%q,"None":""}`, in.Key, in.Area, in.At)
	if string(b) != want {
		t.Errorf("JSON %s, want %s", b, want)
	}
	var out config
	if err := json.Unmarshal(b, &out); err != nil || out != in {
		t.Errorf("read back %+v: %v", out, err)
	}
	for _, bad := range []string{`{"Key":"x"}`, `{"Area":"x"}`, `{"At":"x"}`} {
		if err := json.Unmarshal([]byte(bad), &out); err == nil {
			t.Errorf("%s was accepted", bad)
		}
	}
	if short := in.Area.Short(); short == testArea(3).Short() || !strings.HasPrefix(short, "k51…") {
		t.Errorf("short area code %q", short)
	}
	if s := (caps.AreaCode{}).Short() + (caps.AreaCode{}).String(); s != "" {
		t.Errorf("zero area prints as %q", s)
	}
}

func FuzzPeerID(f *testing.F) {
	f.Fuzz(func(t *testing.T, text string) {
		k, err := caps.ParsePeerID(text)
		if err != nil {
			if !errors.Is(err, caps.ErrKey) || !k.IsZero() {
				t.Errorf("refused with %v and key %s", err, k)
			}
			return
		}
		if k.String() != text {
			t.Errorf("%q prints as %q", text, k)
		}
		if id, err := peer.Decode(text); err != nil || id.String() != text {
			t.Errorf("libp2p reads %q as %s: %v", text, id, err)
		}
	})
}

func FuzzAreaCode(f *testing.F) {
	f.Fuzz(func(t *testing.T, text string) {
		a, err := caps.ParseAreaCode(text)
		if err != nil {
			if !errors.Is(err, caps.ErrKey) || !a.IsZero() {
				t.Errorf("refused with %v and area %s", err, a)
			}
			return
		}
		if a.String() != text {
			t.Errorf("%q prints as %q", text, a)
		}
		if _, err := caps.ParsePublicKey(ed25519.PublicKey(a.Key().Bytes())); err != nil {
			t.Errorf("%q holds a bad key: %v", text, err)
		}
		if c, err := cid.Decode(text); err != nil || c.Type() != cid.Libp2pKey {
			t.Errorf("go-cid reads %q as %s: %v", text, c, err)
		}
	})
}
