package web

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"trunkline/caps"
	"trunkline/grid/dirnode"
	"trunkline/grid/tree"
)

// maxChildren is the most bytes of a list of children: more than fit into a
// directory.
const maxChildren = 128 << 20

// parseChildren reads {name: [type, {"rw_uri":…, "ro_uri":…, "metadata": {…}}]}.
// type and other keys mean nothing. An empty text is no children.
//
// Source: tahoe-formats 9.5.
func parseChildren(text []byte, immutable bool) ([]tree.NewChild, error) {
	if len(bytes.TrimSpace(text)) == 0 {
		return nil, nil
	}
	d := json.NewDecoder(bytes.NewReader(text))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return nil, badRequest("the children must be a JSON object")
	}
	var out []tree.NewChild
	for d.More() {
		t, err := d.Token()
		if err != nil {
			return nil, badRequest("the children are not valid JSON")
		}
		name, _ := t.(string) // a key always is one
		var entry []json.RawMessage
		if err := d.Decode(&entry); err != nil || len(entry) != 2 {
			return nil, badRequest("the child %s must be a list of a type and an object", quoted(name))
		}
		c, err := parseChild(name, entry[1], immutable)
		if err != nil {
			return nil, err
		}
		out = append(out, c)
	}
	if _, err := d.Token(); err != nil {
		return nil, badRequest("the children are not valid JSON")
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, badRequest("something follows the children")
	}
	return out, nil
}

func parseChild(name string, text []byte, immutable bool) (tree.NewChild, error) {
	var fields struct {
		Write    string          `json:"rw_uri"`
		Read     string          `json:"ro_uri"`
		Metadata json.RawMessage `json:"metadata"`
	}
	if err := json.Unmarshal(text, &fields); err != nil {
		return tree.NewChild{}, badRequest("the child %s is not described as it should be", quoted(name))
	}
	c := tree.NewChild{Name: name}
	if len(fields.Metadata) > 0 && string(fields.Metadata) != "null" {
		m, err := dirnode.ParseMetadata(fields.Metadata)
		if err != nil {
			return tree.NewChild{}, badRequest("the metadata of the child %s cannot be used: %w", quoted(name), err)
		}
		c.Metadata = &m
	}
	var err error
	if c.Pair, err = parsePair(name, fields.Write, fields.Read, immutable); err != nil {
		return tree.NewChild{}, err
	}
	return c, nil
}

// parsePair reads the caps of a child that is to be linked under a name.
func parsePair(name, write, read string, immutable bool) (caps.Pair, error) {
	p, err := caps.ParsePair(write, read, caps.Context{DeepImmutable: immutable})
	switch {
	case err == nil && p.Write.IsZero() && p.Read.IsZero():
		err = caps.ErrNoCap
	case err == nil:
		for _, c := range []caps.Cap{p.Write, p.Read} {
			if !c.IsZero() && c.Kind() != caps.KindUnknown && err == nil {
				err = c.Validate()
			}
		}
	}
	if err == nil {
		return p, nil
	}
	class := ""
	switch {
	case errors.Is(err, caps.ErrMustNotBeUnknownRW):
		class = "MustNotBeUnknownRWError: "
	case errors.Is(err, caps.ErrMustBeDeepImmutable):
		class = "MustBeDeepImmutableError: "
	case errors.Is(err, caps.ErrMustBeReadOnly):
		class = "MustBeReadonlyError: "
	}
	return caps.Pair{}, badRequest("%s", fmt.Errorf("%sthe child named %s: %w", class, quoted(name), err))
}
