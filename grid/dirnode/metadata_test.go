package dirnode_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"trunkline/grid/dirnode"
)

// TestPythonJSON has what Python 3.11 prints for json.dumps(json.loads(text)), but for numbers beyond a float.
func TestPythonJSON(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ text, want string }{
		"empty":               {` { } `, `{}`},
		"separators":          {`{"a":1,"b":[1,2,{}],"c":{"d":null}}`, `{"a": 1, "b": [1, 2, {}], "c": {"d": null}}`},
		"order stays":         {`{"b":1,"a":2}`, `{"b": 1, "a": 2}`},
		"the last of a key":   {`{"a":1,"b":2,"a":3}`, `{"a": 3, "b": 2}`},
		"inner keys too":      {`{"x":{"a":1,"b":2,"a":3}}`, `{"x": {"a": 3, "b": 2}}`},
		"booleans":            {`[true,false,null]`, `[true, false, null]`},
		"latin":               {`"été"`, `"\u00e9t\u00e9"`},
		"astral":              {`"😀"`, `"\ud83d\ude00"`},
		"short escapes":       {`"\"\\\/\b\f\n\r\t"`, `"\"\\/\b\f\n\r\t"`},
		"other controls":      {"\"\\u0000\\u001f\u007f\"", `"\u0000\u001f\u007f"`},
		"html is not special": {`"<&>"`, `"<&>"`},
		"whole number":        {`12345678901234567890123`, `12345678901234567890123`},
		"minus nought":        {`-0`, `0`},
		"minus nought point":  {`-0.0`, `-0.0`},
		"time":                {`1202777696.7564139`, `1202777696.7564139`},
		"short":               {`1.50`, `1.5`},
		"point nought":        {`2.0`, `2.0`},
		"exponent":            {`1e16`, `1e+16`},
		"small exponent":      {`1E5`, `100000.0`},
		"negative exponent":   {`0.00001`, `1e-05`},
		"just plain":          {`0.0001`, `0.0001`},
		"too precise stays":   {`1202777696.75641391234567890`, `1202777696.75641391234567890`},
		"too large stays":     {`1e400`, `1e400`},
		"too small stays":     {`1e-99999999999999999999`, `1e-99999999999999999999`},
	} {
		got, err := dirnode.PythonJSON([]byte(c.text))
		if err != nil || string(got) != c.want {
			t.Errorf("%s: %s, %v; want %s", name, got, err, c.want)
		}
	}
}

func TestMetadataRefused(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{
		"nothing":      ``,
		"a list":       `[]`,
		"null":         `null`,
		"a string":     `"{}"`,
		"two":          `{}{}`,
		"cut":          `{"a":`,
		"not a number": `{"a":NaN}`,
		"not UTF-8":    "{\"a\":\"\xff\"}",
		"deep":         `{"a":` + strings.Repeat("[", 200) + strings.Repeat("]", 200) + `}`,
		"deepest":      strings.Repeat(`{"a":`, 200000),
		"long":         `{"a":"` + strings.Repeat("x", dirnode.MaxMetadata) + `"}`,
	} {
		if _, err := dirnode.ParseMetadata([]byte(text)); !errors.Is(err, dirnode.ErrMetadata) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestRelink has the rules of tahoe-formats 7.3.
func TestRelink(t *testing.T) {
	t.Parallel()
	now := time.Unix(1795458809, 500_000_000)
	for name, c := range map[string]struct {
		old   string // "" for a new name
		given string // "" for none
		want  string
	}{
		"new, none given": {
			"", "",
			`{"tahoe": {"linkcrtime": 1795458809.5, "linkmotime": 1795458809.5}}`,
		},
		"new, given": {
			"", `{"a":1}`,
			`{"a": 1, "tahoe": {"linkcrtime": 1795458809.5, "linkmotime": 1795458809.5}}`,
		},
		"a caller's tahoe is ignored": {
			"", `{"tahoe":{"linkcrtime":1,"x":2},"a":1}`,
			`{"a": 1, "tahoe": {"linkcrtime": 1795458809.5, "linkmotime": 1795458809.5}}`,
		},
		"old ones stay": {
			`{"n": 1.00000000000000000001, "tahoe": {"x": [1,2], "linkcrtime": 7.25, "linkmotime": 8}, "z": 0}`, "",
			`{"n": 1.00000000000000000001, "tahoe": {"x": [1,2], "linkcrtime": 7.25, "linkmotime": 1795458809.5}, "z": 0}`,
		},
		"given replace old ones but tahoe": {
			`{"n": 1, "tahoe": {"linkcrtime": 7, "linkmotime": 8}}`, `{"tahoe":{"linkcrtime":1},"m":2}`,
			`{"m": 2, "tahoe": {"linkcrtime": 7, "linkmotime": 1795458809.5}}`,
		},
		"ctime of old times": {
			`{"ctime": 5.5, "mtime": 6}`, `{"ctime":9}`,
			`{"ctime": 9, "tahoe": {"linkcrtime": 5.5, "linkmotime": 1795458809.5}}`,
		},
		"hostile old ones": {
			`{"tahoe": 3}`, "",
			`{"tahoe": {"linkcrtime": 1795458809.5, "linkmotime": 1795458809.5}}`,
		},
		"no JSON at all": {
			`pickles`, "",
			`{"tahoe": {"linkcrtime": 1795458809.5, "linkmotime": 1795458809.5}}`,
		},
	} {
		d := dirnode.New(writer())
		if c.old != "" {
			d = mustParse(t, []byte(netstrings(netstrings("name", "URI:LIT:ey", string(make([]byte, 48)), c.old))), writer())
		}
		var given *dirnode.Metadata
		if c.given != "" {
			m := mustMetadata(t, c.given)
			given = &m
		}
		if err := d.Set("name", literal(t, "x"), given, now); err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if e, err := d.Get("name"); err != nil || e.Metadata.Text() != c.want {
			t.Errorf("%s: %s, %v; want %s", name, e.Metadata.Text(), err, c.want)
		}
	}
}

func TestMetadataValues(t *testing.T) {
	t.Parallel()
	m := mustMetadata(t, `{"a": 1, "tahoe": {"linkcrtime": 1202777696.5, "linkmotime": 1202777697}, "no-write": true}`)
	if v, ok := m.Get("a"); !ok || string(v) != "1" {
		t.Errorf("a is %s, %v", v, ok)
	}
	if _, ok := m.Get("b"); ok {
		t.Error("b is there")
	}
	if at, ok := m.Created(); !ok || !at.Equal(time.Unix(1202777696, 500_000_000)) {
		t.Errorf("created %v, %v", at, ok)
	}
	if at, ok := m.Modified(); !ok || !at.Equal(time.Unix(1202777697, 0)) {
		t.Errorf("modified %v, %v", at, ok)
	}
	if !m.NoWrite() {
		t.Error("no-write is not seen")
	}
	with, err := m.With("b", json.RawMessage(`"é"`))
	if err != nil || !strings.HasSuffix(with.Text(), `"no-write": true, "b": "\u00e9"}`) {
		t.Errorf("with: %s, %v", with.Text(), err)
	}
	if _, err := m.With("b", json.RawMessage(`nonsense`)); !errors.Is(err, dirnode.ErrMetadata) {
		t.Errorf("nonsense: %v", err)
	}

	var zero dirnode.Metadata
	if zero.Text() != "{}" || zero.NoWrite() {
		t.Errorf("the zero value is %s", zero.Text())
	}
	if _, ok := mustMetadata(t, `{"tahoe": {"linkcrtime": "soon"}}`).Created(); ok {
		t.Error("a time that is none is told")
	}
	if _, ok := mustMetadata(t, `{"tahoe": {"linkcrtime": 1e300}}`).Created(); ok {
		t.Error("a time beyond all time is told")
	}
}

func TestMetadataMarshal(t *testing.T) {
	t.Parallel()
	for stored, want := range map[string]string{
		`{"a": 1.10}`:            `{"a":1.10}`,
		`{"a": NaN}`:             `{}`,
		"{\"a\": \"\xff\"}":      `{}`,
		`[]`:                     `{}`,
		``:                       `{}`,
		`{"a": 1`:                `{}`,
		`{"tahoe": {"x": null}}`: `{"tahoe":{"x":null}}`,
	} {
		d := mustParse(t, []byte(netstrings(netstrings("n", "URI:LIT:ey", string(make([]byte, 48)), stored))), dirnode.Options{})
		e, err := d.Get("n")
		if err != nil {
			t.Fatal(err)
		}
		if got, err := json.Marshal(e.Metadata); err != nil || string(got) != want {
			t.Errorf("%s: %s, %v; want %s", stored, got, err, want)
		}
	}
}
