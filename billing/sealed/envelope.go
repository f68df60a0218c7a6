package sealed

import (
	"crypto/ed25519"
	"encoding/binary"
	"fmt"
	"math"

	"trunkline/caps"
)

// The envelope is this protobuf message, as libp2p writes it; the numbers are
// the field tags.
//
//	0a 24  08 01  12 20  key[32]     public key: type Ed25519, 32 bytes
//	12     len(codec)    codec
//	1a     len(payload)  payload
//	2a 40  signature[64]
//
// Lengths are minimal unsigned varints. A protobuf decoder takes the fields in
// any order, twice, with others between; check takes this spelling only.
const (
	keyHead = "\x0a\x24\x08\x01\x12\x20"
	sigHead = "\x2a\x40"

	tagKey     = 0x0a
	tagCodec   = 0x12
	tagPayload = 0x1a
)

// overhead bounds what an envelope has besides codec and payload.
const overhead = len(keyHead) + ed25519.PublicKeySize + 2*(1+binary.MaxVarintLen32) + len(sigHead) + ed25519.SignatureSize

// check says whether b is a canonical envelope around codec, and whose. It does
// not look at the signature, nor into the payload.
func check(b, codec []byte, maxPayload int) (signer caps.PublicKey, err error) {
	var none caps.PublicKey
	if len(b) > overhead+len(codec)+maxPayload {
		return none, fmt.Errorf("%w: %d bytes, %d allowed", ErrTooLarge, len(b), overhead+len(codec)+maxPayload)
	}
	rest := b
	if len(rest) < len(keyHead)+ed25519.PublicKeySize || rest[0] != tagKey {
		return none, fmt.Errorf("%w: no public key", ErrShape)
	}
	if string(rest[:len(keyHead)]) != keyHead {
		return none, fmt.Errorf("%w: not an Ed25519 key", ErrKey)
	}
	rest = rest[len(keyHead):]
	key := rest[:ed25519.PublicKeySize]
	rest = rest[ed25519.PublicKeySize:]

	got, rest, err := field(rest, tagCodec)
	if err != nil {
		return none, err
	}
	if string(got) != string(codec) {
		return none, fmt.Errorf("%w: codec %.40q, want %q", ErrKind, got, codec)
	}
	payload, rest, err := field(rest, tagPayload)
	if err != nil {
		return none, err
	}
	if len(payload) > maxPayload {
		return none, fmt.Errorf("%w: payload of %d bytes, %d allowed", ErrTooLarge, len(payload), maxPayload)
	}
	if len(rest) != len(sigHead)+ed25519.SignatureSize || string(rest[:len(sigHead)]) != sigHead {
		return none, fmt.Errorf("%w: no signature at the end", ErrShape)
	}
	signer, err = caps.ParsePublicKey(key)
	if err != nil {
		return none, fmt.Errorf("%w: %w", ErrKey, err)
	}
	return signer, nil
}

// field cuts one non-empty length-delimited field off the front of b.
func field(b []byte, tag byte) (value, rest []byte, err error) {
	if len(b) == 0 || b[0] != tag {
		return nil, nil, fmt.Errorf("%w: field %d is missing", ErrShape, tag>>3)
	}
	n, w := binary.Uvarint(b[1:])
	if w <= 0 || n == 0 || n > math.MaxInt32 || w > 1 && b[w] == 0 {
		return nil, nil, fmt.Errorf("%w: length of field %d", ErrShape, tag>>3)
	}
	rest = b[1+w:]
	if n > uint64(len(rest)) {
		return nil, nil, fmt.Errorf("%w: field %d ends early", ErrShape, tag>>3)
	}
	return rest[:n:n], rest[n:], nil
}
