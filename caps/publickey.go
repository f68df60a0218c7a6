package caps

import (
	"math/big"
	"strings"

	"filippo.io/edwards25519"
)

// PublicKey is an Ed25519 public key: of a node, an account, a delegate, or a grid. Its
// zero value means "none".
//
// Keys that come from outside pass through ParsePublicKey, ParsePeerID or ParseAreaCode,
// so that a value in hand is a canonically encoded point whose order is not small.
type PublicKey [32]byte

// ParsePublicKey checks that b is one: 32 bytes, a point of the curve, its one canonical
// encoding, and not of small order. The check matters: for a point of small order Go's
// Ed25519, and all that is built on it, accepts signatures that nobody made.
//
// Errors, all ErrKey: ErrKeyLength, ErrKeyNotPoint, ErrKeySmallOrder, ErrKeyNotCanonical.
func ParsePublicKey(b []byte) (PublicKey, error) {
	if len(b) != 32 {
		return PublicKey{}, ErrKeyLength
	}
	p, err := new(edwards25519.Point).SetBytes(b)
	if err != nil {
		return PublicKey{}, ErrKeyNotPoint
	}
	if new(edwards25519.Point).MultByCofactor(p).Equal(edwards25519.NewIdentityPoint()) == 1 {
		return PublicKey{}, ErrKeySmallOrder
	}
	k := PublicKey(b)
	if PublicKey(p.Bytes()) != k {
		return PublicKey{}, ErrKeyNotCanonical
	}
	return k, nil
}

// The bytes before a key: in a libp2p public key message (type Ed25519, 32 bytes) behind
// an identity multihash of 36 bytes; and that behind CIDv1, codec libp2p-key.
const (
	peerIDLead   = "\x00\x24\x08\x01\x12\x20"
	areaCodeLead = "\x01\x72" + peerIDLead

	peerIDChars   = 52
	areaCodeChars = 62

	base58Alphabet = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
	base36Alphabet = "0123456789abcdefghijklmnopqrstuvwxyz"
)

// ParsePeerID reads a libp2p peer ID of an Ed25519 key in its one accepted spelling:
// base58btc of the identity multihash, 52 characters that begin 12D3KooW.
//
// Errors, all ErrKey: ErrPeerID, and those of ParsePublicKey.
func ParsePeerID(s string) (PublicKey, error) {
	// The multihash begins with a zero byte, which base58btc writes as one '1'.
	if len(s) != peerIDChars || s[0] != '1' {
		return PublicKey{}, ErrPeerID
	}
	key, ok := decodeKey(s[1:], base58Alphabet, peerIDLead)
	if !ok {
		return PublicKey{}, ErrPeerID
	}
	return ParsePublicKey(key)
}

// String is the peer ID, which is public. The zero key gives "".
func (k PublicKey) String() string {
	if k.IsZero() {
		return ""
	}
	return "1" + encodeKey(k, base58Alphabet, peerIDLead)
}

// IsZero reports whether k is the zero key, which means "none".
func (k PublicKey) IsZero() bool { return k == PublicKey{} }

// Bytes is a copy of the 32 bytes.
func (k PublicKey) Bytes() []byte { return append([]byte(nil), k[:]...) }

// MarshalText writes what String gives.
func (k PublicKey) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// UnmarshalText reads what MarshalText wrote; an empty text is the zero key.
func (k *PublicKey) UnmarshalText(text []byte) error {
	if len(text) == 0 {
		*k = PublicKey{}
		return nil
	}
	parsed, err := ParsePeerID(string(text))
	if err != nil {
		return err
	}
	*k = parsed
	return nil
}

// encodeKey writes lead and key as one number in the base of the alphabet, without
// leading zeros.
func encodeKey(k PublicKey, alphabet, lead string) string {
	n := new(big.Int).SetBytes(append([]byte(lead), k[:]...))
	base, digit := big.NewInt(int64(len(alphabet))), new(big.Int)
	var out [64]byte
	i := len(out)
	for n.Sign() > 0 {
		n.DivMod(n, base, digit)
		i--
		out[i] = alphabet[digit.Int64()]
	}
	return string(out[i:])
}

// decodeKey reads what encodeKey wrote. The caller has checked the length of s: since the
// lead fixes the highest digits, a text of that length which decodes is the one spelling.
func decodeKey(s, alphabet, lead string) (key []byte, ok bool) {
	n, base, digit := new(big.Int), big.NewInt(int64(len(alphabet))), new(big.Int)
	for i := range len(s) {
		v := strings.IndexByte(alphabet, s[i])
		if v < 0 {
			return nil, false
		}
		n.Add(n.Mul(n, base), digit.SetInt64(int64(v)))
	}
	if n.BitLen() > 8*(len(lead)+32) {
		return nil, false
	}
	b := n.FillBytes(make([]byte, len(lead)+32))
	if string(b[:len(lead)]) != lead {
		return nil, false
	}
	return b[len(lead):], true
}
