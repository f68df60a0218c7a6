package ssk_test

import (
	"bytes"
	"crypto/sha256"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"gopkg.in/yaml.v3"

	"trunkline/grid/ssk"
)

// TestTahoeShares reads what Tahoe wrote: every share verifies, any k of them decrypt to the contents, and the private
// key opens.
func TestTahoeShares(t *testing.T) {
	t.Parallel()
	for _, e := range manifest(t) {
		t.Run(e.ID, func(t *testing.T) {
			t.Parallel()
			c := parseCap(t, e.Cap)
			v := verifyCap(t, c)
			if v.Text() != parseCap(t, e.VerifyCap).Text() && verifyCap(t, parseCap(t, e.VerifyCap)) != v {
				t.Error("another verify cap than Tahoe's")
			}
			key, ok := c.MutableReadKey()
			write, writable := c.WriteKey()
			if !ok || !writable {
				t.Fatal("no keys")
			}
			shares, want := e.shares(t), e.contents()
			if e.Plaintext != nil && fmt.Sprintf("%x", sha256.Sum256(want)) != e.Plaintext.SHA256 {
				t.Fatal("history does not lead to the contents")
			}
			var one ssk.Head
			for num, raw := range shares {
				head, err := ssk.VerifyShare(bytes.NewReader(raw), uint64(len(raw)), v, num)
				if err != nil {
					t.Fatalf("share %d: %v", num, err)
				}
				if one != (ssk.Head{}) && head != one {
					t.Errorf("share %d has another head", num)
				}
				one = head
				e.checkHeader(t, head, raw)
				if !bytes.Equal(head.Bytes(), raw[:len(head.Bytes())]) {
					t.Errorf("share %d: head comes out differently", num)
				}
				sealed, _ := section(raw, head.PrivateKey())
				keys, err := ssk.OpenKeys(write, sealed)
				if err != nil {
					t.Fatalf("share %d: %v", num, err)
				}
				public, _ := section(raw, head.PublicKey())
				if !bytes.Equal(keys.PublicDER(), public) || !bytes.Equal(keys.Sealed(), sealed) {
					t.Errorf("share %d: keys come out differently", num)
				}
				if e.Keys != nil && !bytes.Equal(keys.PrivateDER(), e.Keys.PrivateDER) {
					t.Errorf("share %d: another private key", num)
				}
				if _, err := ssk.VerifyShare(bytes.NewReader(raw), uint64(len(raw)), v, (num+1)%head.N); head.N > 1 && err == nil {
					t.Errorf("share %d verifies under another number", num)
				}
			}
			for _, descending := range []bool{false, true} {
				got, h, blame, err := read(v, key, shares, numbers(shares, descending))
				if err != nil || len(blame) > 0 {
					t.Fatalf("read: %v, blamed %v", err, blame)
				}
				if !bytes.Equal(got, want) {
					t.Error("other contents than Tahoe's")
				}
				if h.Seq == 0 {
					t.Error("no sequence number")
				}
			}
		})
	}
}

func (e entry) checkHeader(t *testing.T, h ssk.Head, raw []byte) {
	t.Helper()
	if e.Prefix != "" && fmt.Sprintf("%x", h.Prefix()) != e.Prefix {
		t.Error("another signed prefix")
	}
	if check := h.Checkstring(); !bytes.Equal(check, raw[:len(check)]) {
		t.Error("another checkstring")
	}
	if w := e.Header; w != nil {
		if h.Format != w.Version || h.Seq != w.Seq || h.K != w.K || h.N != w.N || h.SegmentSize != w.SegmentSize ||
			h.Length != w.Length || fmt.Sprintf("%x", h.Root[:]) != w.Root {
			t.Errorf("header is %+v", h.Header)
		}
		if h.SegmentSize != ssk.SegmentSize(h.Format, h.Length, h.K) {
			t.Error("another segment size than ours")
		}
	}
}

// TestTahoeLayout encodes what the vectors hold: our shares have the same head as Tahoe's, but for the root and the IV,
// and the same length.
func TestTahoeLayout(t *testing.T) {
	t.Parallel()
	for _, e := range manifest(t) {
		if e.Keys == nil {
			continue
		}
		t.Run(e.ID, func(t *testing.T) {
			t.Parallel()
			keys, err := ssk.ParsePrivateKey(e.Keys.PrivateDER)
			if err != nil {
				t.Fatal(err)
			}
			c := parseCap(t, e.Cap)
			if capOf(t, keys, e.Header.Version).Text() != c.Text() {
				t.Error("another cap than Tahoe's")
			}
			cfg := ssk.EncoderConfig{Keys: keys, Format: e.Header.Version, Seq: e.Header.Seq, K: e.Header.K, N: e.Header.N}
			shares, x := encode(t, cfg, e.contents())
			for num, theirs := range e.shares(t) {
				want, err := ssk.ParseHead(theirs)
				if err != nil {
					t.Fatal(err)
				}
				if want.Size() != uint64(len(shares[num])) {
					t.Errorf("share of %d bytes, Tahoe's has %d", len(shares[num]), want.Size())
				}
				want.Root, want.IV = x.Head().Root, x.Head().IV
				if want != x.Head() {
					t.Errorf("another layout than Tahoe's:\n%+v\n%+v", x.Head(), want)
				}
			}
			key, _ := c.MutableReadKey()
			got, _, _, err := read(verifyCap(t, c), key, shares, numbers(shares, true))
			if err != nil || !bytes.Equal(got, e.contents()) {
				t.Errorf("read back: %v", err)
			}
		})
	}
}

// TestTahoePublished makes every mutable file of Tahoe's published vectors from its key: the cap is the published one,
// and it opens what we encode.
func TestTahoePublished(t *testing.T) {
	t.Parallel()
	dir := os.Getenv("TRUNKLINE_VECTORS")
	if dir == "" {
		dir = filepath.Join("..", "..", "..", "shared", "vectors")
	}
	raw, err := os.ReadFile(filepath.Join(dir, "tahoe", "published.yaml"))
	if err != nil {
		t.Skipf("vectors are missing: set TRUNKLINE_VECTORS to their folder (%v)", err)
	}
	var all struct {
		Vector []struct {
			Expected string
			Format   struct {
				Kind   string
				Params struct{ Format, Key string }
			}
			Sample struct {
				Length int
				Seed   string
			}
			Zfec struct{ Required, Total int }
		}
	}
	if err := yaml.Unmarshal(raw, &all); err != nil {
		t.Fatal(err)
	}
	seen := 0
	for i, v := range all.Vector {
		if v.Format.Kind != "ssk" {
			continue
		}
		seen++
		t.Run(fmt.Sprintf("%d/%s-%d-%dof%d", i, v.Format.Params.Format, v.Sample.Length, v.Zfec.Required, v.Zfec.Total), func(t *testing.T) {
			t.Parallel()
			if testing.Short() && v.Sample.Length > 1<<20 {
				t.Skip("large plaintext in a short run")
			}
			block, _ := pem.Decode([]byte(v.Format.Params.Key))
			pkcs1, err := x509.ParsePKCS1PrivateKey(block.Bytes)
			if err != nil {
				t.Fatal(err)
			}
			der, err := x509.MarshalPKCS8PrivateKey(pkcs1)
			if err != nil {
				t.Fatal(err)
			}
			keys, err := ssk.ParsePrivateKey(der)
			if err != nil {
				t.Fatal(err)
			}
			format := map[string]ssk.Format{"sdmf": ssk.SDMF, "mdmf": ssk.MDMF}[v.Format.Params.Format]
			c := capOf(t, keys, format)
			if c.Text() != v.Expected {
				t.Error("another cap than Tahoe's")
			}
			plain := pattern(v.Sample.Seed, v.Sample.Length)
			shares, _ := encode(t, ssk.EncoderConfig{Keys: keys, Format: format, Seq: 1, K: v.Zfec.Required, N: v.Zfec.Total}, plain)
			key := keys.WriteKey().ReadKey()
			got, _, _, err := read(verifyCap(t, c), key, shares, numbers(shares, true))
			if err != nil || !bytes.Equal(got, plain) {
				t.Errorf("read back: %v", err)
			}
		})
	}
	if seen != 120 {
		t.Errorf("%d mutable vectors", seen)
	}
}
