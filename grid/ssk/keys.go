package ssk

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"fmt"
	"log/slog"

	"trunkline/caps"
)

// keyBits is the size of the keys that Tahoe makes and accepts.
const keyBits = 2048

// pss is how versions are signed.
var pss = rsa.PSSOptions{SaltLength: 32, Hash: crypto.SHA256}

// Keys is the RSA key pair of one mutable file. The file's caps follow from it alone, so it is made for one file and
// no other. It prints as "[secret]", and encoders refuse it. Safe for concurrent use.
type Keys struct {
	open func() *secretKeys // a closure, so that no fmt verb finds the key
}

type secretKeys struct {
	private    *rsa.PrivateKey
	privateDER []byte
	publicDER  []byte
	write      caps.WriteKey
}

// GenerateKeys makes a new pair. It takes 40 ms of one core on average and now and then five times as long, so keep one
// ready.
func GenerateKeys() (*Keys, error) {
	private, err := rsa.GenerateKey(rand.Reader, keyBits)
	if err != nil {
		return nil, fmt.Errorf("making an RSA key: %w", err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return nil, fmt.Errorf("making an RSA key: %w", err)
	}
	return newKeys(private, der)
}

// ParsePrivateKey reads a private key in the form that shares keep sealed: PKCS#8, not encrypted. der is copied, and
// kept as it is: the write key is its hash.
//
// Errors: ErrKeys.
func ParsePrivateKey(der []byte) (*Keys, error) {
	key, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		return nil, ErrKeys // the error of x509 may tell about the key
	}
	private, ok := key.(*rsa.PrivateKey)
	if !ok || private.N.BitLen() != keyBits {
		return nil, ErrKeys
	}
	return newKeys(private, append([]byte(nil), der...))
}

func newKeys(private *rsa.PrivateKey, der []byte) (*Keys, error) {
	public, err := x509.MarshalPKIXPublicKey(&private.PublicKey)
	if err != nil {
		return nil, ErrKeys
	}
	s := &secretKeys{private, der, public, caps.WriteKeyOf(der)}
	return &Keys{func() *secretKeys { return s }}, nil
}

// OpenKeys opens the private key that a share keeps, with the write key. It is accepted if it is the one that the
// write key was made from. sealed is not changed.
//
// Errors: ErrPrivateKey; ErrKeys for a key that is the file's own and yet unusable.
func OpenKeys(w caps.WriteKey, sealed []byte) (*Keys, error) {
	if len(sealed) > MaxPrivateKey {
		return nil, ErrPrivateKey
	}
	der := make([]byte, len(sealed))
	counter(w.Bytes(), 0).XORKeyStream(der, sealed)
	if !caps.WriteKeyOf(der).Equal(w) {
		return nil, ErrPrivateKey
	}
	return ParsePrivateKey(der)
}

// Sealed is the private key as shares keep it, encrypted with the write key. The caller owns the result.
//
// Source: tahoe-formats 6.1.
func (k *Keys) Sealed() []byte {
	s := k.open()
	sealed := make([]byte, len(s.privateDER))
	counter(s.write.Bytes(), 0).XORKeyStream(sealed, s.privateDER)
	return sealed
}

// PrivateDER is the private key itself, PKCS#8. The caller owns the result, keeps it out of logs and files others
// can read.
func (k *Keys) PrivateDER() []byte { return append([]byte(nil), k.open().privateDER...) }

// PublicDER is the public key, SubjectPublicKeyInfo. The caller owns the result.
func (k *Keys) PublicDER() []byte { return append([]byte(nil), k.open().publicDER...) }

// WriteKey is the authority that write caps carry.
func (k *Keys) WriteKey() caps.WriteKey { return k.open().write }

// Fingerprint is the hash of the public key that all caps of the file carry.
func (k *Keys) Fingerprint() caps.Hash { return caps.Fingerprint(k.open().publicDER) }

// Cap is the write cap of the file with these keys: of a file, KindSDMF or KindMDMF, or of the directory over one.
//
// Errors: caps.ErrWrongKind.
func (k *Keys) Cap(kind caps.Kind) (caps.Cap, error) {
	return caps.NewMutable(kind, k.WriteKey(), k.Fingerprint())
}

// Sign signs a version. All shares of it carry the same signature, because Sign gives another one each time.
func (k *Keys) Sign(h Header) ([]byte, error) {
	sum := sha256.Sum256(h.Prefix())
	sig, err := rsa.SignPSS(rand.Reader, k.open().private, crypto.SHA256, sum[:], &pss)
	if err != nil {
		return nil, fmt.Errorf("signing a version: %w", err)
	}
	return sig, nil
}

// signatureLen is the length of what Sign gives.
func (k *Keys) signatureLen() int { return k.open().private.Size() }

const hidden = "[secret]"

// String is "[secret]".
func (*Keys) String() string { return hidden }

// GoString is "[secret]".
func (*Keys) GoString() string { return hidden }

// Format writes "[secret]" whatever the verb.
func (*Keys) Format(f fmt.State, _ rune) { fmt.Fprint(f, hidden) }

// LogValue is "[secret]".
func (*Keys) LogValue() slog.Value { return slog.StringValue(hidden) }

// MarshalText refuses with caps.ErrNotMarshalled.
func (*Keys) MarshalText() ([]byte, error) { return nil, caps.ErrNotMarshalled }
