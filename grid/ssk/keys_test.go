package ssk_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	"strings"
	"testing"

	"trunkline/caps"
	"trunkline/grid/ssk"
)

func TestGenerateKeys(t *testing.T) {
	t.Parallel()
	k, err := ssk.GenerateKeys()
	if err != nil {
		t.Fatal(err)
	}
	if n := len(k.PublicDER()); n != 294 {
		t.Errorf("public key of %d bytes", n)
	}
	if n := len(k.PrivateDER()); n < 1210 || n > 1220 {
		t.Errorf("private key of %d bytes, for which MDMF shares have 1220", n)
	}
	again, err := ssk.ParsePrivateKey(k.PrivateDER())
	if err != nil {
		t.Fatal(err)
	}
	if !again.WriteKey().Equal(k.WriteKey()) || again.Fingerprint() != k.Fingerprint() {
		t.Error("another pair came back")
	}
	opened, err := ssk.OpenKeys(k.WriteKey(), k.Sealed())
	if err != nil || opened.Fingerprint() != k.Fingerprint() {
		t.Errorf("sealed and opened: %v", err)
	}
	if bytes.Contains(k.Sealed(), k.PrivateDER()[:32]) {
		t.Error("the private key is not sealed")
	}
	for kind, ok := range map[caps.Kind]bool{
		caps.KindSDMF: true, caps.KindMDMF: true, caps.KindDirSDMF: true, caps.KindDirMDMF: true,
		caps.KindSDMFRead: false, caps.KindCHK: false,
	} {
		if _, err := k.Cap(kind); (err == nil) != ok {
			t.Errorf("%v: %v", kind, err)
		}
	}
	h := ssk.Header{Format: ssk.MDMF, Seq: 1, K: 3, N: 10, SegmentSize: 131073}
	sig, err := k.Sign(h)
	if err != nil {
		t.Fatal(err)
	}
	v := verifyCap(t, capOf(t, k, ssk.MDMF))
	if err := ssk.VerifySignature(v, h, k.PublicDER(), sig); err != nil {
		t.Error(err)
	}
	h.Seq++
	if err := ssk.VerifySignature(v, h, k.PublicDER(), sig); !errors.Is(err, ssk.ErrSignature) {
		t.Errorf("another version: %v", err)
	}
}

// Keys that Tahoe refuses are refused here, and each with the same words: x509's would tell about the key.
func TestOtherKeys(t *testing.T) {
	t.Parallel()
	small, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	curve, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	good := testKeys(t)
	for name, key := range map[string]any{"small": small, "curve": curve} {
		der, err := x509.MarshalPKCS8PrivateKey(key)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := ssk.ParsePrivateKey(der); !errors.Is(err, ssk.ErrKeys) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, der := range map[string][]byte{
		"empty": nil, "garbage": []byte("garbage"), "cut": good.PrivateDER()[:1000],
	} {
		if _, err := ssk.ParsePrivateKey(der); !errors.Is(err, ssk.ErrKeys) || err.Error() != ssk.ErrKeys.Error() {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := ssk.OpenKeys(caps.NewWriteKey([16]byte{1}), good.Sealed()); !errors.Is(err, ssk.ErrPrivateKey) {
		t.Errorf("another write key: %v", err)
	}
	if _, err := ssk.OpenKeys(good.WriteKey(), make([]byte, ssk.MaxPrivateKey+1)); !errors.Is(err, ssk.ErrPrivateKey) {
		t.Errorf("too long: %v", err)
	}
}

// A public key with the exponent 3 is accepted, as old files have one: the fingerprint decides.
func TestOldExponent(t *testing.T) {
	t.Parallel()
	private := oldKey(t)
	der, err := x509.MarshalPKIXPublicKey(&private.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	v := caps.MutableVerify{Fingerprint: caps.Fingerprint(der)}
	h := ssk.Header{Seq: 1, K: 1, N: 1}
	sum := sha256.Sum256(h.Prefix())
	sig, err := rsa.SignPSS(rand.Reader, private, crypto.SHA256, sum[:], &rsa.PSSOptions{SaltLength: 32})
	if err != nil {
		t.Fatal(err)
	}
	if err := ssk.VerifySignature(v, h, der, sig); err != nil {
		t.Error(err)
	}
}

// oldKey makes a key with the exponent 3, which crypto/rsa does not offer.
func oldKey(t *testing.T) *rsa.PrivateKey {
	t.Helper()
	one := big.NewInt(1)
	for {
		key, err := rsa.GenerateKey(rand.Reader, 1024)
		if err != nil {
			t.Fatal(err)
		}
		p, q := key.Primes[0], key.Primes[1]
		phi := new(big.Int).Mul(new(big.Int).Sub(p, one), new(big.Int).Sub(q, one))
		d := new(big.Int).ModInverse(big.NewInt(3), phi)
		if d == nil {
			continue
		}
		old := &rsa.PrivateKey{PublicKey: rsa.PublicKey{N: key.N, E: 3}, D: d, Primes: key.Primes}
		old.Precompute()
		if err := old.Validate(); err != nil {
			t.Fatal(err)
		}
		return old
	}
}

func TestBadPublicKeys(t *testing.T) {
	t.Parallel()
	h := ssk.Header{Seq: 1, K: 1, N: 1}
	curve, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(&curve.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	for name, public := range map[string][]byte{
		"empty": nil, "garbage": []byte("garbage"), "curve": der, "long": make([]byte, ssk.MaxPublicKey+1),
	} {
		v := caps.MutableVerify{Fingerprint: caps.Fingerprint(public)}
		if err := ssk.VerifySignature(v, h, public, make([]byte, 256)); !errors.Is(err, ssk.ErrPublicKey) {
			t.Errorf("%s: %v", name, err)
		}
	}
	keys := testKeys(t)
	v := caps.MutableVerify{Fingerprint: keys.Fingerprint()}
	if err := ssk.VerifySignature(v, ssk.Header{Seq: 1}, keys.PublicDER(), nil); !errors.Is(err, ssk.ErrLayout) {
		t.Errorf("header out of range: %v", err)
	}
	for _, sig := range [][]byte{nil, make([]byte, 1), make([]byte, 256), make([]byte, 512)} {
		if err := ssk.VerifySignature(v, h, keys.PublicDER(), sig); !errors.Is(err, ssk.ErrSignature) {
			t.Errorf("signature of %d bytes: %v", len(sig), err)
		}
	}
}

// Nothing of a key pair shows when it is printed, wherever it lies.
func TestKeysDoNotPrint(t *testing.T) {
	t.Parallel()
	k := testKeys(t)
	key, der := k.WriteKey().Bytes(), k.PrivateDER()
	leaks := []string{
		hex.EncodeToString(key[:4]), fmt.Sprintf("%d %d %d", key[0], key[1], key[2]), caps.EncodeBase32(key[:])[:8],
		hex.EncodeToString(der[40:44]), fmt.Sprintf("%d %d %d", der[40], der[41], der[42]),
	}
	holder := struct {
		Shown  *ssk.Keys
		hidden *ssk.Keys
		config ssk.EncoderConfig
	}{k, k, ssk.EncoderConfig{Keys: k}}
	var out []string
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		out = append(out, fmt.Sprintf(verb, k), fmt.Sprintf(verb, *k), fmt.Sprintf(verb, holder), fmt.Sprintf(verb, &holder))
	}
	var log strings.Builder
	slog.New(slog.NewJSONHandler(&log, nil)).Info("keys", "key", k, "holder", holder)
	slog.New(slog.NewTextHandler(&log, nil)).Info("keys", "key", k, "holder", holder)
	out = append(out, log.String())
	if _, err := json.Marshal(k); !errors.Is(err, caps.ErrNotMarshalled) {
		t.Errorf("JSON: %v", err)
	}
	for _, text := range out {
		for _, leak := range leaks {
			if strings.Contains(text, leak) {
				t.Error("a key shows")
			}
		}
	}
}
