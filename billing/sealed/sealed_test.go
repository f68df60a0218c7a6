package sealed_test

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"os"
	"slices"
	"testing"

	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/record"

	"trunkline/billing/billingtest"
	"trunkline/billing/sealed"
	"trunkline/caps"
)

// note is the smallest object there can be.
type note struct{ Text string }

var errNote = errors.New("notes begin with n")

func (*note) Domain() string                   { return "trunkline/test-note/v1" }
func (*note) Codec() []byte                    { return []byte("/trunkline/test-note/1") }
func (*note) MaxRecord() int                   { return 300 }
func (n *note) MarshalRecord() ([]byte, error) { return []byte(n.Text), n.check() }
func (n *note) UnmarshalRecord(b []byte) error {
	*n = note{string(b)}
	return n.check()
}

func (n *note) check() error {
	if n.Text == "" || n.Text[0] != 'n' {
		return errNote
	}
	return nil
}

// otherDomain is a note with its codec, but signed for another domain.
type otherDomain struct{ note }

func (*otherDomain) Domain() string { return "trunkline/test-other/v1" }

// owned may be signed by one key only.
type owned struct{ note }

func (*owned) CheckSigner(k caps.PublicKey) error {
	if k != billingtest.Public("owner") {
		return errors.New("not the owner")
	}
	return nil
}

func seal(t *testing.T, text string) sealed.Sealed[note] {
	t.Helper()
	return billingtest.Seal(t, "signer", note{text})
}

func TestRoundTrip(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"n", "note", string(bytes.Repeat([]byte("n"), 127)), string(bytes.Repeat([]byte("n"), 128)), string(bytes.Repeat([]byte("n"), 300))} {
		s := seal(t, text)
		if s.Value.Text != text || s.Signer != billingtest.Public("signer") || !s.Verified() {
			t.Fatalf("sealed %+v", s)
		}
		got, err := sealed.Open[note](s.Bytes)
		if err != nil {
			t.Fatal(err)
		}
		if got.Value != s.Value || got.Signer != s.Signer || !bytes.Equal(got.Bytes, s.Bytes) || got.Hash() != s.Hash() || !got.Verified() {
			t.Fatalf("opened %+v, sealed %+v", got, s)
		}
		// The library reads what we write.
		if _, err := record.ConsumeTypedEnvelope(s.Bytes, &note{}); err != nil {
			t.Fatal(err)
		}
	}
	if (sealed.Sealed[note]{Value: note{"n"}}).Verified() {
		t.Error("a literal counts as verified")
	}
}

func TestOpenKeepsACopy(t *testing.T) {
	t.Parallel()
	b := seal(t, "note").Bytes
	s, err := sealed.Open[note](b)
	if err != nil {
		t.Fatal(err)
	}
	b[len(b)-1] ^= 1
	if _, err := sealed.Open[note](s.Bytes); err != nil {
		t.Errorf("changed with the caller's bytes: %v", err)
	}
}

// TestEveryByte changes each byte of an envelope to each other value, and cuts
// and extends it at each place.
func TestEveryByte(t *testing.T) {
	t.Parallel()
	good := seal(t, "note").Bytes
	for i := range good {
		for x := 1; x < 256; x++ {
			if testing.Short() && x&(x-1) != 0 {
				continue
			}
			b := bytes.Clone(good)
			b[i] ^= byte(x)
			if _, err := sealed.Open[note](b); err == nil {
				t.Fatalf("byte %d changed by %#x is accepted", i, x)
			}
		}
		if _, err := sealed.Open[note](good[:i]); err == nil {
			t.Fatalf("the first %d bytes are accepted", i)
		}
		if _, err := sealed.Open[note](slices.Insert(bytes.Clone(good), i, 0)); err == nil {
			t.Fatalf("a byte inserted at %d is accepted", i)
		}
	}
	if _, err := sealed.Open[note](append(bytes.Clone(good), 0)); !errors.Is(err, sealed.ErrShape) {
		t.Errorf("trailing byte: %v", err)
	}
}

func TestRefused(t *testing.T) {
	t.Parallel()
	good := seal(t, "note").Bytes
	const keyEnd = 38
	codec := len((*note)(nil).Codec())
	payloadAt := keyEnd + 2 + codec
	resign := func(v record.Record, key crypto.PrivKey) []byte {
		env, err := record.Seal(v, key)
		if err != nil {
			t.Fatal(err)
		}
		b, err := env.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	rsa, _, err := crypto.GenerateRSAKeyPair(2048, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tests := map[string]struct {
		b    []byte
		want error
	}{
		"empty":               {nil, sealed.ErrShape},
		"too long":            {make([]byte, 1000), sealed.ErrTooLarge},
		"payload too long":    {resign(&owned{note{string(bytes.Repeat([]byte("n"), 301))}}, billingtest.Key("signer")), sealed.ErrTooLarge},
		"other domain":        {resign(&otherDomain{note{"note"}}, billingtest.Key("signer")), sealed.ErrSignature},
		"rsa key":             {resign(&note{"note"}, rsa), sealed.ErrTooLarge},
		"fields swapped":      {slices.Concat(good[keyEnd:payloadAt], good[:keyEnd], good[payloadAt:]), sealed.ErrShape},
		"field twice":         {slices.Concat(good[:payloadAt], good[keyEnd:]), sealed.ErrShape},
		"unknown field":       {slices.Concat(good[:keyEnd], []byte{0x32, 1, 'x'}, good[keyEnd:]), sealed.ErrShape},
		"unknown field last":  {slices.Concat(good, []byte{0x32, 1, 'x'}), sealed.ErrShape},
		"length not minimal":  {slices.Concat(good[:payloadAt], []byte{0x1a, 0x84, 0x00}, good[payloadAt+2:]), sealed.ErrShape},
		"length of 2^64 - 1":  {slices.Concat(good[:payloadAt], []byte{0x1a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01}, good[payloadAt+2:]), sealed.ErrShape},
		"length past the end": {slices.Concat(good[:payloadAt], []byte{0x1a, 0xff, 0x01}, good[payloadAt+2:]), sealed.ErrShape},
		"wrong key type":      {slices.Concat(good[:3], []byte{2}, good[4:]), sealed.ErrKey},
		"other codec":         {slices.Concat(good[:payloadAt-1], []byte{'2'}, good[payloadAt:]), sealed.ErrKind},
		"signature changed":   {slices.Concat(good[:len(good)-1], []byte{good[len(good)-1] ^ 1}), sealed.ErrSignature},
		"other signer":        {slices.Concat(good[:6], keyBytes("somebody"), good[keyEnd:]), sealed.ErrSignature},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, err := sealed.Open[note](tt.b)
			if !errors.Is(err, tt.want) {
				t.Errorf("got %v, want %v", err, tt.want)
			}
			if s.Value != (note{}) || s.Verified() {
				t.Errorf("a value comes with the error: %+v", s)
			}
		})
	}
	t.Run("payload refused", func(t *testing.T) {
		t.Parallel()
		if _, err := sealed.Open[note](resign(&anything{}, billingtest.Key("signer"))); !errors.Is(err, sealed.ErrPayload) || !errors.Is(err, errNote) {
			t.Error(err)
		}
	})
}

// anything passes for a note until it is read.
type anything struct{ note }

func (*anything) MarshalRecord() ([]byte, error) { return []byte("x"), nil }

func keyBytes(name string) []byte {
	k := billingtest.Public(name)
	return k[:]
}

// TestWeakKeys: for each point of small order there is a "signature" that Go's
// Ed25519 takes for good whatever is signed. None is a signer here.
func TestWeakKeys(t *testing.T) {
	t.Parallel()
	for _, weak := range []string{
		"0100000000000000000000000000000000000000000000000000000000000000",
		"ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
		"0000000000000000000000000000000000000000000000000000000000000000",
		"0000000000000000000000000000000000000000000000000000000000000080",
		"26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
		"c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
		"eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
	} {
		key, err := hex.DecodeString(weak)
		if err != nil {
			t.Fatal(err)
		}
		b := bytes.Clone(seal(t, "note").Bytes)
		copy(b[6:], key)
		sig := b[len(b)-64:]
		clear(sig)
		copy(sig, key) // R = A, S = 0
		if _, err := sealed.Open[note](b); !errors.Is(err, sealed.ErrKey) {
			t.Errorf("key %s: %v", weak, err)
		}
	}
}

func TestSigner(t *testing.T) {
	t.Parallel()
	s := seal(t, "note")
	if _, err := sealed.OpenFrom[note](s.Signer, s.Bytes); err != nil {
		t.Error(err)
	}
	if _, err := sealed.OpenFrom[note](billingtest.Public("somebody"), s.Bytes); !errors.Is(err, sealed.ErrSigner) {
		t.Errorf("expected from somebody else: %v", err)
	}
	if _, err := sealed.Seal(billingtest.Key("somebody"), owned{note{"note"}}); !errors.Is(err, sealed.ErrSigner) {
		t.Errorf("sealed by somebody else: %v", err)
	}
	if _, err := sealed.Open[owned](s.Bytes); !errors.Is(err, sealed.ErrSigner) {
		t.Errorf("opened from somebody else: %v", err)
	}
}

func TestSealRefuses(t *testing.T) {
	t.Parallel()
	rsa, _, err := crypto.GenerateRSAKeyPair(2048, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := sealed.Seal(rsa, note{"note"}); !errors.Is(err, sealed.ErrKey) {
		t.Errorf("rsa key: %v", err)
	}
	if _, err := sealed.Seal(nil, note{"note"}); !errors.Is(err, sealed.ErrKey) {
		t.Errorf("no key: %v", err)
	}
	if _, err := sealed.Seal(billingtest.Key("signer"), note{"xx"}); !errors.Is(err, sealed.ErrPayload) || !errors.Is(err, errNote) {
		t.Errorf("invalid value: %v", err)
	}
	if _, err := sealed.Seal(billingtest.Key("signer"), note{string(bytes.Repeat([]byte("n"), 301))}); !errors.Is(err, sealed.ErrTooLarge) {
		t.Errorf("too long: %v", err)
	}
}

func FuzzOpen(f *testing.F) {
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := sealed.Open[note](b)
		if err != nil {
			return
		}
		if !bytes.Equal(s.Bytes, b) {
			t.Fatal("bytes are not verbatim")
		}
		again, err := sealed.Open[note](s.Bytes)
		if err != nil || again.Value != s.Value || again.Signer != s.Signer {
			t.Fatalf("opened again: %+v, %v", again, err)
		}
	})
}

var update = flag.Bool("update", false, "write seeds anew")

// TestSeeds keeps the fuzz target's seeds.
func TestSeeds(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{"short": "n", "longer": string(bytes.Repeat([]byte("n"), 200))} {
		file := "testdata/fuzz/FuzzOpen/" + name
		want := fmt.Appendf(nil, "go test fuzz v1\n[]byte(%q)\n", seal(t, text).Bytes)
		if *update {
			if err := os.WriteFile(file, want, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if got, err := os.ReadFile(file); err != nil || !bytes.Equal(got, want) {
			t.Errorf("seed %s is missing or old (%v); run go test -run TestSeeds -update", file, err)
		}
	}
}
