package caps

import (
	"fmt"
	"log/slog"
	"strconv"
)

// MaxShares is the largest n of an immutable file.
const MaxShares = 256

// CHKVerify is what finds and checks the ciphertext of one immutable file: what goes on
// the wire to gateways and contact points. It cannot hold a key. It is comparable, and
// the zero value is invalid.
//
// A value made by hand or received is checked with Validate before use.
type CHKVerify struct {
	StorageIndex StorageIndex
	UEBHash      Hash   // hash of the URI extension block
	K, N         int    // needed and total shares: 1 <= K <= N <= MaxShares
	Size         uint64 // bytes of the file, 1 to 2^63-1
}

// Validate checks the numbers.
//
// Errors: ErrShareCounts, ErrSize.
func (v CHKVerify) Validate() error {
	if v.K < 1 || v.K > v.N || v.N > MaxShares {
		return ErrShareCounts
	}
	if v.Size < 1 || v.Size >= 1<<63 {
		return ErrSize
	}
	return nil
}

// Cap is the verify cap as a capability of kind KindCHKVerify, not checked.
func (v CHKVerify) Cap() Cap {
	return newCap(KindCHKVerify, &body{
		key:  v.StorageIndex,
		hash: v.UEBHash,
		k:    strconv.Itoa(v.K),
		n:    strconv.Itoa(v.N),
		size: strconv.FormatUint(v.Size, 10),
	})
}

// Text is the full text, URI:CHK-Verifier:….
func (v CHKVerify) Text() string { return v.Cap().Text() }

// String is the kind and a fingerprint.
func (v CHKVerify) String() string { return v.Cap().String() }

// GoString is what String gives.
func (v CHKVerify) GoString() string { return v.String() }

// Format writes what String gives, whatever the verb.
func (v CHKVerify) Format(f fmt.State, verb rune) { format(f, verb, v.String()) }

// LogValue is what String gives.
func (v CHKVerify) LogValue() slog.Value { return slog.StringValue(v.String()) }

// MarshalText refuses with ErrNotMarshalled: use Text.
func (CHKVerify) MarshalText() ([]byte, error) { return nil, ErrNotMarshalled }

// CHKRead is what opens one immutable file: a CHKVerify with the key. A value in hand has
// valid numbers, except the zero value. It prints as kind and fingerprint, and encoders
// refuse it.
type CHKRead struct {
	key    ReadKey
	verify CHKVerify
}

// NewCHKRead makes the read cap of a file from its key, the hash of its URI extension
// block, its share counts and its size in bytes.
//
// Errors: ErrShareCounts, ErrSize.
func NewCHKRead(key ReadKey, ueb Hash, k, n int, size uint64) (CHKRead, error) {
	v := CHKVerify{StorageIndex: key.StorageIndex(), UEBHash: ueb, K: k, N: n, Size: size}
	if err := v.Validate(); err != nil {
		return CHKRead{}, err
	}
	return CHKRead{key, v}, nil
}

// Key is the AES-128 key.
func (r CHKRead) Key() ReadKey { return r.key }

// Verify is the verify cap.
func (r CHKRead) Verify() CHKVerify { return r.verify }

// Cap is the read cap as a capability of kind KindCHK.
func (r CHKRead) Cap() Cap {
	c := r.verify.Cap()
	b := *c.open()
	b.key = r.key.Bytes()
	return newCap(KindCHK, &b)
}

// String is the kind and a fingerprint.
func (r CHKRead) String() string { return r.Cap().String() }

// GoString is what String gives.
func (r CHKRead) GoString() string { return r.String() }

// Format writes what String gives, whatever the verb.
func (r CHKRead) Format(f fmt.State, verb rune) { format(f, verb, r.String()) }

// LogValue is what String gives.
func (r CHKRead) LogValue() slog.Value { return slog.StringValue(r.String()) }

// MarshalText refuses with ErrNotMarshalled: use Cap().Text.
func (CHKRead) MarshalText() ([]byte, error) { return nil, ErrNotMarshalled }
