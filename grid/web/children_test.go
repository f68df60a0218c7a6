package web

import (
	"encoding/json"
	"testing"

	"trunkline/caps"
)

func TestParseChildren(t *testing.T) {
	t.Parallel()
	const dir = "URI:DIR2:aaaaaaaaaaaaaaaaaaaaaaaaaa:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
	for _, c := range []struct {
		name, text string
		immutable  bool
		children   int
		status     int
	}{
		{"nothing", "", false, 0, 0},
		{"spaces", " \n", false, 0, 0},
		{"none", "{}", false, 0, 0},
		{"one", `{"x":["filenode",{"ro_uri":"URI:LIT:nbuq"}]}`, false, 1, 0},
		{"write slot", `{"x":["dirnode",{"rw_uri":"` + dir + `"}]}`, false, 1, 0},
		{"read cap in the write slot", `{"x":["filenode",{"rw_uri":"URI:LIT:nbuq"}]}`, false, 1, 0},
		{"type means nothing", `{"x":[17,{"ro_uri":"URI:LIT:nbuq","more":1}]}`, false, 1, 0},
		{"metadata null", `{"x":["filenode",{"ro_uri":"URI:LIT:nbuq","metadata":null}]}`, false, 1, 0},
		{"write cap in the read slot", `{"x":["dirnode",{"ro_uri":"` + dir + `"}]}`, false, 0, 400},
		{"mutable in an immutable one", `{"x":["dirnode",{"rw_uri":"` + dir + `"}]}`, true, 0, 400},
		{"unknown without a read cap", `{"x":["filenode",{"rw_uri":"future"}]}`, false, 0, 400},
		{"no cap", `{"x":["filenode",{}]}`, false, 0, 400},
		{"metadata are no object", `{"x":["filenode",{"ro_uri":"URI:LIT:nbuq","metadata":[1]}]}`, false, 0, 400},
		{"a list", `[]`, false, 0, 400},
		{"short entry", `{"x":["filenode"]}`, false, 0, 400},
		{"cut", `{"x":["filenode",{"ro_uri":"URI:LIT:nbuq"}]`, false, 0, 400},
		{"something behind", `{} {}`, false, 0, 400},
		{"junk", `junk`, false, 0, 400},
		{"unusable numbers", `{"x":["filenode",{"ro_uri":"URI:CHK:aaaaaaaaaaaaaaaaaaaaaaaaaa:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa:9:3:10"}]}`, false, 0, 400},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			got, err := parseChildren([]byte(c.text), c.immutable)
			if len(got) != c.children || status(err) != c.status {
				t.Errorf("%d children, %v (%d), want %d, %d", len(got), err, status(err), c.children, c.status)
			}
		})
	}
}

// Whatever comes, a child that is accepted has a cap that is allowed in its place, and a refusal is the client's mistake.
func FuzzParseChildren(f *testing.F) {
	f.Add([]byte(`{"x":["filenode",{"ro_uri":"URI:LIT:nbuq"}]}`), true)
	f.Fuzz(func(t *testing.T, text []byte, immutable bool) {
		got, err := parseChildren(text, immutable)
		if err != nil {
			if status(err) != 400 {
				t.Fatalf("refused with %v", err)
			}
			return
		}
		for _, c := range got {
			if c.Pair.Read.IsZero() && c.Pair.Write.IsZero() {
				t.Fatalf("%q has no cap", c.Name)
			}
			if c.Pair.Read.Kind().CanWrite() || (immutable && (!c.Pair.Write.IsZero() || c.Pair.Read.Kind().IsMutable())) {
				t.Fatalf("%q may do more than its place allows", c.Name)
			}
			if c.Metadata != nil && !json.Valid([]byte(c.Metadata.Text())) {
				t.Fatalf("%q has metadata that are no JSON", c.Name)
			}
			if c.Pair.Write.Kind() != caps.KindUnknown && !c.Pair.Write.Kind().CanWrite() {
				t.Fatalf("%q has a read cap in its write slot", c.Name)
			}
		}
	})
}
