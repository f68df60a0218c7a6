package caps

import (
	"fmt"
	"log/slog"
)

// MutableVerify is what finds and checks the shares of one mutable file, or of the mutable
// file that a directory is kept in: what goes on the wire to gateways and contact points. It
// cannot hold a key. It is comparable.
type MutableVerify struct {
	StorageIndex StorageIndex
	Fingerprint  Hash // of the RSA public key; see [Fingerprint]
	MDMF         bool // the encoding; false is SDMF
}

// MutableVerify is the verify cap of a mutable file or directory, of any strength; ok is false
// for all other kinds.
func (c Cap) MutableVerify() (v MutableVerify, ok bool) {
	shape := c.kind.facts().shape
	if shape != shapeSDMF && shape != shapeMDMF {
		return MutableVerify{}, false
	}
	si, ok := c.StorageIndex()
	return MutableVerify{si, c.open().hash, shape == shapeMDMF}, ok
}

// Cap is the verify cap as a capability of kind KindSDMFVerify or KindMDMFVerify.
func (v MutableVerify) Cap() Cap {
	kind := KindSDMFVerify
	if v.MDMF {
		kind = KindMDMFVerify
	}
	return newCap(kind, &body{key: v.StorageIndex, hash: v.Fingerprint})
}

// Text is the full text, URI:SSK-Verifier:… or URI:MDMF-Verifier:….
func (v MutableVerify) Text() string { return v.Cap().Text() }

// String is the kind and a fingerprint.
func (v MutableVerify) String() string { return v.Cap().String() }

// GoString is what String gives.
func (v MutableVerify) GoString() string { return v.String() }

// Format writes what String gives, whatever the verb.
func (v MutableVerify) Format(f fmt.State, verb rune) { format(f, verb, v.String()) }

// LogValue is what String gives.
func (v MutableVerify) LogValue() slog.Value { return slog.StringValue(v.String()) }

// MarshalText refuses with ErrNotMarshalled: use Text.
func (MutableVerify) MarshalText() ([]byte, error) { return nil, ErrNotMarshalled }
