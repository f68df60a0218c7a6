package caps_test

import (
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"os"
	"strings"
	"testing"

	"gopkg.in/yaml.v3"

	"trunkline/caps"
)

// parsed is what Tahoe's parser made of a text in one context.
type parsed struct {
	Kind         string
	Error        *string
	Canonical    string
	ReadOnly     string
	Verify       *string
	StorageIndex *string `json:"storage_index"`
	IsMutable    bool    `json:"is_mutable"`
	IsReadOnly   bool    `json:"is_readonly"`
}

var tahoeKinds = map[string]caps.Kind{
	"CHKFileURI":                    caps.KindCHK,
	"CHKFileVerifierURI":            caps.KindCHKVerify,
	"LiteralFileURI":                caps.KindLiteral,
	"WriteableSSKFileURI":           caps.KindSDMF,
	"ReadonlySSKFileURI":            caps.KindSDMFRead,
	"SSKVerifierURI":                caps.KindSDMFVerify,
	"WriteableMDMFFileURI":          caps.KindMDMF,
	"ReadonlyMDMFFileURI":           caps.KindMDMFRead,
	"MDMFVerifierURI":               caps.KindMDMFVerify,
	"DirectoryURI":                  caps.KindDirSDMF,
	"ReadonlyDirectoryURI":          caps.KindDirSDMFRead,
	"DirectoryURIVerifier":          caps.KindDirSDMFVerify,
	"MDMFDirectoryURI":              caps.KindDirMDMF,
	"ReadonlyMDMFDirectoryURI":      caps.KindDirMDMFRead,
	"MDMFDirectoryURIVerifier":      caps.KindDirMDMFVerify,
	"ImmutableDirectoryURI":         caps.KindDirCHK,
	"ImmutableDirectoryURIVerifier": caps.KindDirCHKVerify,
	"LiteralDirectoryURI":           caps.KindDirLiteral,
	"unknown":                       caps.KindUnknown,
}

var tahoeErrors = map[string]error{
	"BadURIError":              caps.ErrMalformed,
	"MustBeReadonlyError":      caps.ErrMustBeReadOnly,
	"MustBeDeepImmutableError": caps.ErrMustBeDeepImmutable,
}

func TestTahoeCaps(t *testing.T) {
	t.Parallel()
	var vectors struct {
		Caps []struct {
			Text          string
			Normal        parsed
			DeepImmutable parsed `json:"deep_immutable"`
		}
	}
	loadJSON(t, "caps.json", &vectors)
	if len(vectors.Caps) < 60 {
		t.Fatalf("only %d vectors", len(vectors.Caps))
	}
	seen := make(map[caps.Kind]bool)
	for _, v := range vectors.Caps {
		t.Logf("%.30q", v.Text)
		checkTahoe(t, v.Text, caps.Context{}, v.Normal, seen)
		checkTahoe(t, v.Text, caps.Context{DeepImmutable: true}, v.DeepImmutable, seen)
	}
	for _, k := range tahoeKinds {
		if !seen[k] {
			t.Errorf("no vector of kind %s", k)
		}
	}
}

func checkTahoe(t *testing.T, text string, ctx caps.Context, want parsed, seen map[caps.Kind]bool) {
	t.Helper()
	c, err := caps.ParseIn(text, ctx)
	if want.Error != nil {
		if wantErr := tahoeErrors[*want.Error]; wantErr == nil || !errors.Is(err, wantErr) || !c.IsZero() {
			t.Errorf("%+v: error %v, want %s", ctx, err, *want.Error)
		}
		return
	}
	kind, ok := tahoeKinds[want.Kind]
	if err != nil || !ok || c.Kind() != kind {
		t.Errorf("%+v: kind %s, error %v, want %s", ctx, c.Kind(), err, want.Kind)
		return
	}
	seen[kind] = true
	si, hasSI := c.StorageIndex()
	verify, hasVerify := c.VerifyCap()
	if kind == caps.KindUnknown {
		if c.Text() != text || hasSI || hasVerify {
			t.Errorf("%+v: an unknown cap was not kept as it came", ctx)
		}
		return
	}
	if c.Text() != want.Canonical {
		t.Errorf("%+v: printed %s, want %s", ctx, c.Text(), want.Canonical)
	}
	if r, err := c.ReadOnly(); err != nil || r.Text() != want.ReadOnly {
		t.Errorf("%+v: read-only %s, %v, want %s", ctx, r.Text(), err, want.ReadOnly)
	}
	if hasVerify != (want.Verify != nil) || hasVerify && verify.Text() != *want.Verify {
		t.Errorf("%+v: verify %s, want %v", ctx, verify.Text(), want.Verify)
	}
	if hasSI != (want.StorageIndex != nil) || hasSI && si.String() != *want.StorageIndex {
		t.Errorf("%+v: storage index %s, want %v", ctx, si, want.StorageIndex)
	}
	if kind.IsMutable() != want.IsMutable || kind.CanWrite() == want.IsReadOnly {
		t.Errorf("%+v: mutable %t, can write %t", ctx, kind.IsMutable(), kind.CanWrite())
	}
	if c.IsDirectory() != strings.Contains(want.Kind, "Directory") {
		t.Errorf("%+v: directory %t", ctx, c.IsDirectory())
	}
}

// Tahoe's published vectors. That the CHK caps follow from their contents is tested in
// grid/chk; here they parse, print and weaken, and the mutable ones follow from their
// keys.
func TestTahoePublished(t *testing.T) {
	t.Parallel()
	b, err := os.ReadFile(vectorFile(t, "published.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var vectors struct {
		Vector []struct {
			Expected string
			Format   struct {
				Kind   string
				Params struct{ Format, Key string }
			}
			Sample struct{ Length uint64 }
			Zfec   struct{ Required, Total int }
		}
	}
	if err := yaml.Unmarshal(b, &vectors); err != nil {
		t.Fatal(err)
	}
	chk, mutable := 0, 0
	for i, v := range vectors.Vector {
		c, err := caps.Parse(v.Expected)
		if err != nil || c.Text() != v.Expected {
			t.Errorf("vector %d: %v", i, err)
			continue
		}
		if v.Format.Kind == "chk" {
			chk++
			read, ok := c.CHK()
			verify := read.Verify()
			if !ok || verify.K != v.Zfec.Required || verify.N != v.Zfec.Total || verify.Size != v.Sample.Length {
				t.Errorf("vector %d: read as %d of %d, %d bytes", i, verify.K, verify.N, verify.Size)
			}
			again, err := caps.NewCHKRead(read.Key(), verify.UEBHash, verify.K, verify.N, verify.Size)
			if err != nil || again.Cap().Text() != v.Expected {
				t.Errorf("vector %d: made again: %v", i, err)
			}
			if weak, ok := c.VerifyCap(); !ok || weak.Text() != verify.Text() {
				t.Errorf("vector %d: two ways to weaken differ", i)
			}
			continue
		}
		mutable++
		kind := map[string]caps.Kind{"sdmf": caps.KindSDMF, "mdmf": caps.KindMDMF}[v.Format.Params.Format]
		private, public := keyDER(t, v.Format.Params.Key)
		made, err := caps.NewMutable(kind, caps.WriteKeyOf(private), caps.Fingerprint(public))
		if err != nil || made.Text() != v.Expected {
			t.Errorf("vector %d: the key gives another cap: %v", i, err)
		}
	}
	if chk != 60 || mutable != 120 {
		t.Errorf("%d CHK and %d mutable vectors, want 60 and 120", chk, mutable)
	}
}

func keyDER(t *testing.T, text string) (private, public []byte) {
	t.Helper()
	block, _ := pem.Decode([]byte(text))
	if block == nil {
		t.Fatal("no PEM block")
	}
	var key *rsa.PrivateKey
	key, err := x509.ParsePKCS1PrivateKey(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	if private, err = x509.MarshalPKCS8PrivateKey(key); err != nil {
		t.Fatal(err)
	}
	if public, err = x509.MarshalPKIXPublicKey(&key.PublicKey); err != nil {
		t.Fatal(err)
	}
	return private, public
}

// The caps of all stored objects, and the keys that go with them.
func TestTahoeManifest(t *testing.T) {
	t.Parallel()
	b, err := os.ReadFile(vectorFile(t, "shares/manifest.json"))
	if err != nil {
		t.Fatal(err)
	}
	type entry struct {
		ID           string
		Cap          string
		ReadOnly     string  `json:"readonly_cap"`
		Verify       *string `json:"verify_cap"`
		StorageIndex *string `json:"storage_index"`
		Key          string
		Keys         struct {
			WriteKey, ReadKey, Fingerprint hexBytes
		}
	}
	var manifest struct{ Entries []entry }
	if err := json.Unmarshal(b, &manifest); err != nil {
		t.Fatal(err)
	}
	if len(manifest.Entries) < 30 {
		t.Fatalf("only %d objects", len(manifest.Entries))
	}
	for _, e := range manifest.Entries {
		c, err := caps.Parse(e.Cap)
		if err != nil || c.Text() != e.Cap {
			t.Errorf("%s: %v", e.ID, err)
			continue
		}
		if r, err := c.ReadOnly(); err != nil || r.Text() != e.ReadOnly {
			t.Errorf("%s: read-only cap: %v", e.ID, err)
		}
		if v, ok := c.VerifyCap(); ok != (e.Verify != nil) || ok && v.Text() != *e.Verify {
			t.Errorf("%s: verify cap", e.ID)
		}
		if si, ok := c.StorageIndex(); ok != (e.StorageIndex != nil) || ok && si.String() != *e.StorageIndex {
			t.Errorf("%s: storage index", e.ID)
		}
		if len(e.Keys.WriteKey) == 0 {
			continue
		}
		write, ok := c.WriteKey()
		if !ok || !write.Equal(caps.NewWriteKey(e.Keys.WriteKey.half())) {
			t.Errorf("%s: write key", e.ID)
		}
		read, ok := c.MutableReadKey()
		if !ok || !read.Equal(caps.NewMutableReadKey(e.Keys.ReadKey.half())) {
			t.Errorf("%s: read key", e.ID)
		}
		if fp, ok := c.KeyFingerprint(); !ok || fp != e.Keys.Fingerprint.hash() {
			t.Errorf("%s: fingerprint", e.ID)
		}
	}
}
