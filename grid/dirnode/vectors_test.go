package dirnode_test

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"reflect"
	"testing"

	"golang.org/x/text/unicode/norm"

	"trunkline/caps"
	"trunkline/grid/dirnode"
)

func TestVectorsRead(t *testing.T) {
	t.Parallel()
	for _, v := range load(t).Directories {
		t.Run(v.ID, func(t *testing.T) {
			t.Parallel()
			d := mustParse(t, v.contents(t), v.options(t))
			if d.Len() != len(v.Children) || len(d.Names()) != len(v.Children) {
				t.Fatalf("%d children, want %d", d.Len(), len(v.Children))
			}
			for name, want := range v.Children {
				got, err := d.Get(name)
				if err != nil {
					t.Errorf("%q: %v", name, err)
					continue
				}
				read, write := texts(t, got.Pair)
				if read != deref(want.Read) || write != deref(want.Write) {
					t.Errorf("%q has other caps than Tahoe saw", name)
				}
				if !sameJSON(t, []byte(got.Metadata.Text()), want.Metadata) {
					t.Errorf("%q: metadata %s, want %s", name, got.Metadata.Text(), want.Metadata)
				}
			}
		})
	}
}

// TestVectorsReadOnly shows that a read cap of the directory gives the children's read caps and no more.
func TestVectorsReadOnly(t *testing.T) {
	t.Parallel()
	for _, v := range load(t).Directories {
		o := v.options(t)
		o.Write = nil
		d := mustParse(t, v.contents(t), o)
		for name, want := range v.Children {
			got, err := d.Get(name)
			if err != nil {
				t.Errorf("%s %q: %v", v.ID, name, err)
				continue
			}
			if read, write := texts(t, got.Pair); read != deref(want.Read) || write != "" {
				t.Errorf("%s %q gives another cap than its read cap", v.ID, name)
			}
		}
	}
}

func TestVectorsRepack(t *testing.T) {
	t.Parallel()
	for _, v := range load(t).Directories {
		contents, o := v.contents(t), v.options(t)
		if got := mustPack(t, mustParse(t, contents, o)); !bytes.Equal(got, contents) {
			t.Errorf("%s: read and packed again it is not the same", v.ID)
		}
		o.Write = nil
		if got := mustPack(t, mustParse(t, contents, o)); !bytes.Equal(got, contents) {
			t.Errorf("%s: read with the read cap and packed again it is not the same", v.ID)
		}
	}
}

// TestVectorsWrite builds what Tahoe built from the same children, byte for byte.
func TestVectorsWrite(t *testing.T) {
	t.Parallel()
	for _, v := range load(t).Directories {
		o := v.options(t)
		parsed := mustParse(t, v.contents(t), o)
		built := dirnode.New(o)
		for name, c := range v.Children {
			pair, err := caps.ParsePair(deref(c.Write), deref(c.Read), caps.Context{DeepImmutable: o.Immutable})
			if err != nil {
				t.Fatal(err)
			}
			stored, err := parsed.Get(name)
			if err != nil {
				t.Fatal(err)
			}
			// JSON in the manifest has another order of keys; the text is what ParseMetadata makes of itself.
			m := mustMetadata(t, stored.Metadata.Text())
			if m.Text() != stored.Metadata.Text() {
				t.Errorf("%s %q: metadata written as %s, by Tahoe as %s", v.ID, name, m.Text(), stored.Metadata.Text())
			}
			if err := built.Add(norm.NFD.String(name), dirnode.Entry{Pair: pair, Metadata: m}); err != nil {
				t.Fatalf("%s %q: %v", v.ID, name, err)
			}
		}
		if !bytes.Equal(mustPack(t, built), v.contents(t)) {
			t.Errorf("%s: built from its children it is not what Tahoe built", v.ID)
		}
	}
}

func TestRWCapVectors(t *testing.T) {
	t.Parallel()
	for _, v := range load(t).RWCaps {
		raw, err := hex.DecodeString(v.Key)
		if err != nil {
			t.Fatal(err)
		}
		key := caps.NewWriteKey([16]byte(raw))
		sealed := dirnode.SealWriteCap(key, v.Text)
		if hex.EncodeToString(sealed) != v.Field {
			t.Errorf("a cap of %d characters is sealed otherwise than by Tahoe", len(v.Text))
		}
		if opened, ok := dirnode.OpenWriteCap(key, sealed); !ok || string(opened) != v.Text {
			t.Errorf("a cap of %d characters is not opened again", len(v.Text))
		}
	}
}

// TestFlippedBytes shows that a directory changed anywhere is refused, or read without more authority than was given.
func TestFlippedBytes(t *testing.T) {
	t.Parallel()
	for _, v := range load(t).Directories {
		contents, o := v.contents(t), v.options(t)
		o.Write = nil
		for i := range contents {
			changed := bytes.Clone(contents)
			changed[i] ^= 1
			d, err := dirnode.Parse(changed, o)
			if err != nil {
				continue
			}
			for _, name := range d.Names() {
				e, err := d.Get(name)
				if err != nil {
					continue
				}
				if !e.Pair.Write.IsZero() || e.Pair.Read.Kind().CanWrite() || o.Immutable && e.Pair.Read.Kind().IsMutable() {
					t.Fatalf("%s: byte %d changed gives a %v", v.ID, i, e.Pair)
				}
			}
		}
	}
}

func texts(t *testing.T, p caps.Pair) (read, write string) {
	t.Helper()
	if p.Read.IsZero() && !p.Write.IsZero() {
		r, err := p.Write.ReadOnly()
		if err != nil {
			t.Fatal(err)
		}
		return r.Text(), p.Write.Text()
	}
	return p.Read.Text(), p.Write.Text()
}

func deref(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

func sameJSON(t *testing.T, a, b []byte) bool {
	t.Helper()
	var x, y any
	if err := json.Unmarshal(a, &x); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, &y); err != nil {
		t.Fatal(err)
	}
	return reflect.DeepEqual(x, y)
}
