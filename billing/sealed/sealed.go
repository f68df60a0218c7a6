package sealed

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"

	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/record"

	"trunkline/caps"
)

// DefaultMaxRecord is the longest payload, in bytes, of a kind of object that
// does not say otherwise with MaxRecord.
const DefaultMaxRecord = 4096

// Object is what a pointer to a sealable type T offers: its domain and codec,
// and its payload's encoder and decoder. The domain is "trunkline/<name>/v<n>"
// and belongs to this kind alone. UnmarshalRecord must refuse trailing bytes
// and every spelling but the one MarshalRecord writes.
//
// A kind may also have one or both of these methods:
//
//	MaxRecord() int                          // longest payload in bytes, instead of DefaultMaxRecord
//	CheckSigner(signer caps.PublicKey) error // may this key sign this value; asked by Seal and Open
type Object[T any] interface {
	*T
	record.Record
}

// Sealed is a value with the proof of who signed it. Only Seal and Open make
// one that Verified reports true for. Fields are for reading; Bytes is shared
// by all copies and must not be changed.
type Sealed[T any] struct {
	Value  T
	Signer caps.PublicKey
	Bytes  []byte // the envelope, verbatim

	verified bool
}

// Verified reports whether s came from Seal or Open in this process, rather
// than from a struct literal.
func (s Sealed[T]) Verified() bool { return s.verified }

// Hash is the SHA-256 of the envelope's bytes, the name of the object.
func (s Sealed[T]) Hash() [32]byte { return sha256.Sum256(s.Bytes) }

// Seal signs v with key, which must be an Ed25519 key.
//
// Errors: ErrKey, ErrPayload (v is not a valid object), ErrTooLarge, ErrSigner
// (key may not sign v).
func Seal[T any, P Object[T]](key crypto.PrivKey, v T) (Sealed[T], error) {
	var none Sealed[T]
	obj := P(&v)
	signer, err := signerOf(key)
	if err != nil {
		return none, err
	}
	if err := checkSigner(obj, signer); err != nil {
		return none, err
	}
	env, err := record.Seal(obj, key)
	if err != nil {
		// The library flattens the object's error to text.
		if _, cause := obj.MarshalRecord(); cause != nil {
			err = cause
		}
		return none, fmt.Errorf("%w: %w", ErrPayload, err)
	}
	if len(env.RawPayload) > maxRecord(obj) {
		return none, fmt.Errorf("%w: payload of %d bytes, %d allowed", ErrTooLarge, len(env.RawPayload), maxRecord(obj))
	}
	b, err := env.Marshal()
	if err != nil {
		return none, fmt.Errorf("sealed: encoding the envelope: %w", err)
	}
	// The library's encoder is another's code: what we hand out is what Open takes.
	if _, err := check(b, obj.Codec(), maxRecord(obj)); err != nil {
		return none, err
	}
	return Sealed[T]{Value: v, Signer: signer, Bytes: b, verified: true}, nil
}

// Open checks that b is an envelope around a valid T, and who signed it. The
// result keeps a copy of b. The value is T's zero value unless err is nil.
//
// Errors: ErrTooLarge, ErrShape, ErrKind, ErrKey, ErrSignature, ErrPayload,
// ErrSigner (from the object's own CheckSigner).
func Open[T any, P Object[T]](b []byte) (Sealed[T], error) {
	var none Sealed[T]
	var v T
	obj := P(&v)
	signer, err := check(b, obj.Codec(), maxRecord(obj))
	if err != nil {
		return none, err
	}
	if _, err := record.ConsumeTypedEnvelope(b, obj); err != nil {
		if errors.Is(err, record.ErrInvalidSignature) {
			return none, ErrSignature
		}
		return none, fmt.Errorf("%w: %w", ErrPayload, err)
	}
	if err := checkSigner(obj, signer); err != nil {
		return none, err
	}
	return Sealed[T]{Value: v, Signer: signer, Bytes: bytes.Clone(b), verified: true}, nil
}

// OpenFrom is Open, and the signer must be the one given; otherwise ErrSigner.
func OpenFrom[T any, P Object[T]](signer caps.PublicKey, b []byte) (Sealed[T], error) {
	s, err := Open[T, P](b)
	if err != nil {
		return Sealed[T]{}, err
	}
	if s.Signer != signer {
		return Sealed[T]{}, fmt.Errorf("%w: %v instead of %v", ErrSigner, s.Signer, signer)
	}
	return s, nil
}

func signerOf(key crypto.PrivKey) (caps.PublicKey, error) {
	if key == nil || key.Type() != crypto.Ed25519 {
		return caps.PublicKey{}, fmt.Errorf("%w: not an Ed25519 key", ErrKey)
	}
	raw, err := key.GetPublic().Raw()
	if err != nil {
		return caps.PublicKey{}, fmt.Errorf("%w: %w", ErrKey, err)
	}
	signer, err := caps.ParsePublicKey(raw)
	if err != nil {
		return caps.PublicKey{}, fmt.Errorf("%w: %w", ErrKey, err)
	}
	return signer, nil
}

func checkSigner(obj record.Record, signer caps.PublicKey) error {
	c, ok := obj.(interface{ CheckSigner(caps.PublicKey) error })
	if !ok {
		return nil
	}
	if err := c.CheckSigner(signer); err != nil {
		return fmt.Errorf("%w: %w", ErrSigner, err)
	}
	return nil
}

func maxRecord(obj record.Record) int {
	if m, ok := obj.(interface{ MaxRecord() int }); ok {
		return m.MaxRecord()
	}
	return DefaultMaxRecord
}
