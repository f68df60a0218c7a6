package dirnode

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"time"
	"unicode/utf8"
)

// The names of what Tahoe keeps in metadata.
const (
	keySystem   = "tahoe" // the directory's own, an object
	keyCreated  = "linkcrtime"
	keyModified = "linkmotime"
	keyOldTime  = "ctime" // what Tahoe before 1.4 had in place of linkcrtime
	keyNoWrite  = "no-write"
)

// Metadata is a JSON object about a link, kept as text so that nothing is lost: not the order of keys nor a number's last
// digit. It is an immutable value; the zero value is {}.
type Metadata struct{ text string }

// ParseMetadata reads a caller's JSON object and brings it into the text form in which Tahoe stores it.
//
// Errors: ErrMetadata.
func ParseMetadata(text []byte) (Metadata, error) {
	if len(text) > MaxMetadata {
		return Metadata{}, fmt.Errorf("%w: more than %d bytes", ErrMetadata, MaxMetadata)
	}
	written, err := pythonJSON(text)
	if err != nil {
		return Metadata{}, err
	}
	if written[0] != '{' {
		return Metadata{}, ErrMetadata
	}
	if len(written) > MaxMetadata {
		return Metadata{}, fmt.Errorf("%w: more than %d bytes", ErrMetadata, MaxMetadata)
	}
	return Metadata{string(written)}, nil
}

// Text is the JSON object, as it stands in the directory. What a directory says may be no JSON at all; see MarshalJSON.
func (m Metadata) Text() string {
	if m.text == "" {
		return "{}"
	}
	return m.text
}

// Get is the value of a top-level key as JSON.
func (m Metadata) Get(key string) (json.RawMessage, bool) {
	o, _ := parseObject(m.Text())
	return o.get(key)
}

// With is the metadata with a top-level key set to a JSON value.
//
// Errors: ErrMetadata.
func (m Metadata) With(key string, value json.RawMessage) (Metadata, error) {
	written, err := pythonJSON(value)
	if err != nil {
		return Metadata{}, err
	}
	o, _ := parseObject(m.Text())
	return Metadata{o.set(key, written).text()}, nil
}

// NoWrite says whether metadata ask that only the child's read cap be stored.
func (m Metadata) NoWrite() bool {
	value, ok := m.Get(keyNoWrite)
	if !ok {
		return false
	}
	switch string(value) {
	case "false", "null", "0", `""`, "[]", "{}":
		return false
	}
	return true
}

// Created is when the link was made under this name; false if metadata do not say.
func (m Metadata) Created() (time.Time, bool) { return m.systemTime(keyCreated) }

// Modified is when the link was last set; false if metadata do not say.
func (m Metadata) Modified() (time.Time, bool) { return m.systemTime(keyModified) }

func (m Metadata) systemTime(key string) (time.Time, bool) {
	system, ok := m.Get(keySystem)
	if !ok {
		return time.Time{}, false
	}
	o, _ := parseObject(string(system))
	value, ok := o.get(key)
	if !ok {
		return time.Time{}, false
	}
	seconds, err := strconv.ParseFloat(string(value), 64)
	if err != nil || math.Abs(seconds) > math.MaxInt32*1000.0 {
		return time.Time{}, false
	}
	whole, fraction := math.Modf(seconds)
	return time.Unix(int64(whole), int64(fraction*1e9)), true
}

// relinked is what metadata become when the link is set. Metadata that are no JSON object are lost then.
func (m Metadata) relinked(caller *Metadata, now time.Time) (Metadata, error) {
	old, _ := parseObject(m.Text())
	system, hadSystem := old.get(keySystem)
	fresh := old
	if caller != nil {
		given, ok := parseObject(caller.Text())
		if !ok {
			return Metadata{}, ErrMetadata
		}
		fresh = given.without(keySystem)
	}
	var times object
	if hadSystem {
		times, _ = parseObject(string(system))
	}
	seconds := json.RawMessage(pythonFloat(float64(now.UnixNano()) / 1e9))
	if _, ok := times.get(keyCreated); !ok {
		created := seconds
		if before, ok := old.get(keyOldTime); ok {
			created = before
		}
		times = times.set(keyCreated, created)
	}
	times = times.set(keyModified, seconds)
	return Metadata{fresh.set(keySystem, json.RawMessage(times.text())).text()}, nil
}

// MarshalJSON gives Text, or {} if that is no JSON object.
func (m Metadata) MarshalJSON() ([]byte, error) {
	if _, ok := parseObject(m.Text()); !ok {
		return []byte("{}"), nil
	}
	return []byte(m.Text()), nil
}

// UnmarshalJSON is ParseMetadata.
func (m *Metadata) UnmarshalJSON(text []byte) error {
	parsed, err := ParseMetadata(text)
	if err == nil {
		*m = parsed
	}
	return err
}

// object is a JSON object whose values are kept as text, in their order. It is not changed once made.
type object []member

type member struct {
	key   string
	value json.RawMessage
}

// parseObject reads an object. Of a key given twice the last value counts.
func parseObject(text string) (object, bool) {
	if !utf8.ValidString(text) || !json.Valid([]byte(text)) {
		return nil, false
	}
	decoder := json.NewDecoder(bytes.NewReader([]byte(text)))
	if open, err := decoder.Token(); err != nil || open != json.Delim('{') {
		return nil, false
	}
	var o object
	places := map[string]int{}
	for decoder.More() {
		token, err := decoder.Token()
		key, ok := token.(string)
		if err != nil || !ok {
			return nil, false
		}
		var value json.RawMessage
		if err := decoder.Decode(&value); err != nil {
			return nil, false
		}
		if at, twice := places[key]; twice {
			o[at].value = value
			continue
		}
		places[key] = len(o)
		o = append(o, member{key, value})
	}
	return o, true
}

func (o object) get(key string) (json.RawMessage, bool) {
	for _, m := range o {
		if m.key == key {
			return m.value, true
		}
	}
	return nil, false
}

func (o object) without(key string) object {
	var rest object
	for _, m := range o {
		if m.key != key {
			rest = append(rest, m)
		}
	}
	return rest
}

func (o object) set(key string, value json.RawMessage) object {
	fresh := make(object, 0, len(o)+1)
	found := false
	for _, m := range o {
		if m.key == key {
			m.value, found = value, true
		}
		fresh = append(fresh, m)
	}
	if !found {
		fresh = append(fresh, member{key, value})
	}
	return fresh
}

func (o object) text() string {
	b := []byte{'{'}
	for i, m := range o {
		if i > 0 {
			b = append(b, ", "...)
		}
		b = appendPythonString(b, m.key)
		b = append(b, ": "...)
		b = append(b, m.value...)
	}
	return string(append(b, '}'))
}
