package dirnode_test

import (
	"encoding/base64"
	"encoding/json"
	"os"
	"strconv"
	"testing"

	"trunkline/caps"
	"trunkline/grid/dirnode"
)

// vectors are directories that Tahoe-LAFS packed.
type vectors struct {
	Directories []directory
	RWCaps      []struct {
		Key   string `json:"dir_writekey"`
		Text  string `json:"rwcap_text"`
		Field string
	}
}

type directory struct {
	ID       string
	Cap      string
	Contents string `json:"contents_base64"`
	Children map[string]struct {
		Metadata json.RawMessage
		Read     *string `json:"read_cap"`
		Write    *string `json:"write_cap"`
	}
}

func load(t testing.TB) vectors {
	t.Helper()
	raw, err := os.ReadFile("testdata/directories.json")
	if err != nil {
		t.Fatal(err)
	}
	var v vectors
	if err := json.Unmarshal(raw, &v); err != nil {
		t.Fatal(err)
	}
	if len(v.Directories) == 0 || len(v.RWCaps) == 0 {
		t.Fatal("there are no vectors")
	}
	return v
}

func (d directory) contents(t testing.TB) []byte {
	t.Helper()
	raw, err := base64.StdEncoding.DecodeString(d.Contents)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// options are those of the directory's strongest cap.
func (d directory) options(t testing.TB) dirnode.Options {
	t.Helper()
	c := mustCap(t, d.Cap)
	if key, ok := c.WriteKey(); ok {
		return dirnode.Options{Write: &key}
	}
	return dirnode.Options{Immutable: true}
}

func mustCap(t testing.TB, text string) caps.Cap {
	t.Helper()
	c, err := caps.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func mustParse(t testing.TB, contents []byte, o dirnode.Options) *dirnode.Directory {
	t.Helper()
	d, err := dirnode.Parse(contents, o)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func mustPack(t testing.TB, d *dirnode.Directory) []byte {
	t.Helper()
	contents, err := d.Pack()
	if err != nil {
		t.Fatal(err)
	}
	return contents
}

func mustMetadata(t testing.TB, text string) dirnode.Metadata {
	t.Helper()
	m, err := dirnode.ParseMetadata([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// writer is the options of a directory with a write key that is made up.
func writer() dirnode.Options {
	key := caps.NewWriteKey([16]byte{1, 2, 3})
	return dirnode.Options{Write: &key}
}

// child is the write cap of a file that is made up.
func child(number byte) caps.Pair {
	c, err := caps.NewMutable(caps.KindSDMF, caps.NewWriteKey([16]byte{9, number}), caps.Hash{8, number})
	if err != nil {
		panic(err)
	}
	return caps.Pair{Write: c}
}

func literal(t testing.TB, text string) caps.Pair {
	t.Helper()
	c, err := caps.NewLiteral([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return caps.Pair{Read: c}
}

// netstrings joins fields.
func netstrings(fields ...string) string {
	s := ""
	for _, f := range fields {
		s += strconv.Itoa(len(f)) + ":" + f + ","
	}
	return s
}

// entry is an entry as it is stored, with a sealed write cap that is none.
func entry(name, read string) string {
	return netstrings(netstrings(name, read, string(make([]byte, 48)), "{}"))
}
