package dirnode_test

import (
	"bytes"
	"encoding/json"
	"reflect"
	"slices"
	"testing"

	"trunkline/grid/dirnode"
)

// FuzzParse: whatever contents are, reading and packing them settles at once, a change leaves the other entries alone, and
// nobody gets more authority than the directory's cap gives.
func FuzzParse(f *testing.F) {
	for _, v := range load(f).Directories {
		f.Add(v.contents(f), true)
		f.Add(v.contents(f), false)
	}
	f.Fuzz(func(t *testing.T, contents []byte, immutable bool) {
		o := writer()
		if immutable {
			o = dirnode.Options{Immutable: true}
		}
		d, err := dirnode.Parse(contents, o)
		if err != nil {
			return
		}
		packed := mustPack(t, d)
		if len(packed) != len(contents) {
			t.Fatalf("%d bytes became %d", len(contents), len(packed))
		}
		again := mustParse(t, packed, o)
		if !bytes.Equal(mustPack(t, again), packed) || !slices.Equal(again.Names(), d.Names()) {
			t.Fatal("packing does not settle")
		}
		readable := mustParse(t, contents, dirnode.Options{Immutable: immutable})
		for _, name := range d.Names() {
			if e, err := readable.Get(name); err == nil && (!e.Pair.Write.IsZero() || e.Pair.Read.Kind().CanWrite()) {
				t.Fatal("a read cap gave a write cap")
			}
			e, err := d.Get(name)
			if err != nil {
				continue
			}
			if immutable && (!e.Pair.Write.IsZero() || e.Pair.Read.Kind().IsMutable()) {
				t.Fatal("an immutable directory has a mutable child")
			}
			if text, err := json.Marshal(e.Metadata); err != nil || !json.Valid(text) {
				t.Fatalf("metadata %q: %v", e.Metadata.Text(), err)
			}
			if err := d.Add("copy of "+name, e); err == nil {
				if c, err := d.Get("copy of " + name); err != nil || !c.Pair.Write.Equal(e.Pair.Write) || !c.Pair.Read.Equal(e.Pair.Read) {
					t.Fatalf("a copy is not the same: %v", err)
				}
				if _, err := d.Remove("copy of " + name); err != nil {
					t.Fatal(err)
				}
			}
		}
		if !d.Has("copy of ") && !bytes.Equal(mustPack(t, d), packed) && d.Len() == again.Len() {
			t.Fatal("adding and removing left a trace")
		}
	})
}

// FuzzMetadata: what is written is JSON of the same meaning, and stays as it is when written again.
func FuzzMetadata(f *testing.F) {
	for _, seed := range []string{`{}`, `{"a": [1.50, -0, 1e300, "é\ud83d\ude00\u0000"], "tahoe": {"linkcrtime": 1}}`, `{"a": 1, "a": {"b": null}}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		m, err := dirnode.ParseMetadata(text)
		if err != nil {
			return
		}
		var before, after any
		if json.Unmarshal(text, &before) == nil { // which a number beyond a float64 prevents
			if err := json.Unmarshal([]byte(m.Text()), &after); err != nil || !reflect.DeepEqual(before, after) {
				t.Fatalf("%s became %s: %v", text, m.Text(), err)
			}
		}
		again, err := dirnode.ParseMetadata([]byte(m.Text()))
		if err != nil || again != m {
			t.Fatalf("%s became %s: %v", m.Text(), again.Text(), err)
		}
		d := dirnode.New(writer())
		if err := d.Set("x", child(1), &m, now); err != nil && len(m.Text()) < dirnode.MaxMetadata/2 {
			t.Fatal(err)
		}
	})
}
