package caps

import (
	"crypto/subtle"
	"fmt"
	"log/slog"
	"strconv"
)

// hidden is what secrets print as.
const hidden = "[secret]"

// key16 holds 16 secret bytes in a closure. fmt, slog and encoders reach the bytes of an
// array even where they cannot call methods (an unexported field, a pointer inside a
// struct); of a closure they can print an address at most.
type key16 struct{ open func() [16]byte }

func newKey16(b [16]byte) key16 { return key16{func() [16]byte { return b }} }

func (k key16) bytes() [16]byte {
	if k.open == nil {
		return [16]byte{}
	}
	return k.open()
}

func (k key16) equal(o key16) bool {
	a, b := k.bytes(), o.bytes()
	return subtle.ConstantTimeCompare(a[:], b[:]) == 1
}

func (key16) String() string                 { return hidden }
func (key16) GoString() string               { return hidden }
func (key16) Format(f fmt.State, verb rune)  { format(f, verb, hidden) }
func (key16) LogValue() slog.Value           { return slog.StringValue(hidden) }
func (key16) MarshalText() ([]byte, error)   { return nil, ErrNotMarshalled }
func (key16) MarshalBinary() ([]byte, error) { return nil, ErrNotMarshalled }

// format writes s in place of a secret: quoted under %q, else as it is, whatever the verb
// and its flags.
func format(f fmt.State, verb rune, s string) {
	if verb == 'q' {
		s = strconv.Quote(s)
	}
	fmt.Fprint(f, s)
}

// ReadKey is the AES-128 key of an immutable file. It prints as "[secret]" under every
// verb, in logs too, and encoders refuse it. The zero value is sixteen zero bytes.
type ReadKey struct{ key16 }

// NewReadKey wraps the bytes of a key.
func NewReadKey(b [16]byte) ReadKey { return ReadKey{newKey16(b)} }

// Bytes is the key itself. Do not log it or put it in an error.
func (k ReadKey) Bytes() [16]byte { return k.bytes() }

// Equal compares in constant time.
func (k ReadKey) Equal(o ReadKey) bool { return k.equal(o.key16) }

// StorageIndex is where the file with this key is kept.
func (k ReadKey) StorageIndex() StorageIndex { return StorageIndexOf(k) }

// Secret is a lease secret or a write enabler: 32 bytes between one client and one
// server. It prints as "[secret]" and encoders refuse it; but being an array, which the
// share protocol needs, it shows where fmt asks no method: as an unexported field of
// something that is printed, and under the mistaken verb %p. Keep it out of such structs.
type Secret [32]byte

// Equal compares in constant time.
func (s Secret) Equal(o Secret) bool { return subtle.ConstantTimeCompare(s[:], o[:]) == 1 }

// String is "[secret]".
func (Secret) String() string { return hidden }

// GoString is "[secret]".
func (Secret) GoString() string { return hidden }

// Format writes "[secret]" whatever the verb.
func (Secret) Format(f fmt.State, verb rune) { format(f, verb, hidden) }

// LogValue is "[secret]".
func (Secret) LogValue() slog.Value { return slog.StringValue(hidden) }

// MarshalText refuses with ErrNotMarshalled.
func (Secret) MarshalText() ([]byte, error) { return nil, ErrNotMarshalled }

// MarshalBinary refuses with ErrNotMarshalled.
func (Secret) MarshalBinary() ([]byte, error) { return nil, ErrNotMarshalled }
