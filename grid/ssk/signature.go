package ssk

import (
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"fmt"

	"trunkline/caps"
)

// VerifySignature checks that whoever holds the write cap published the version h: h is valid and of the cap's format,
// publicKey is the one the cap names, and signature is over h. It costs about as much as hashing 50 KB, so who reads
// many shares of one version checks equal bytes once.
//
// It does not say that the version is the newest.
//
// Errors: ErrFormat, ErrLayout, ErrPublicKey, ErrSignature.
//
// Source: tahoe-formats 6.1, 6.9.
func VerifySignature(v caps.MutableVerify, h Header, publicKey, signature []byte) error {
	if h.Format != FormatOf(v) {
		return fmt.Errorf("%w: %s", ErrFormat, h.Format)
	}
	if err := h.Validate(); err != nil {
		return fmt.Errorf("%w: %w", ErrLayout, err)
	}
	if len(publicKey) > MaxPublicKey || caps.Fingerprint(publicKey) != v.Fingerprint {
		return ErrPublicKey
	}
	key, err := x509.ParsePKIXPublicKey(publicKey)
	if err != nil {
		return fmt.Errorf("%w: and is unusable", ErrPublicKey)
	}
	public, ok := key.(*rsa.PublicKey)
	if !ok {
		return fmt.Errorf("%w: and is not RSA", ErrPublicKey)
	}
	sum := sha256.Sum256(h.Prefix())
	if err := rsa.VerifyPSS(public, crypto.SHA256, sum[:], signature, &pss); err != nil {
		return ErrSignature
	}
	return nil
}
