package dirnode

import (
	"encoding/json"
	"time"
)

// Metadata is a JSON object about a link, kept as text so that nothing is lost: not the order of keys nor a number's last
// digit. It is an immutable value; the zero value is {}.
type Metadata struct{ text string }

// ParseMetadata reads a caller's JSON object and brings it into the text form in which Tahoe stores it.
//
// Errors: ErrMetadata.
func ParseMetadata(text []byte) (Metadata, error) { return Metadata{string(text)}, nil }

// Text is the JSON object, as it stands in the directory. What a directory says may be no JSON at all; see MarshalJSON.
func (m Metadata) Text() string {
	if m.text == "" {
		return "{}"
	}
	return m.text
}

// Get is the value of a top-level key as JSON.
func (m Metadata) Get(key string) (json.RawMessage, bool) { return nil, false }

// With is the metadata with a top-level key set to a JSON value.
//
// Errors: ErrMetadata.
func (m Metadata) With(key string, value json.RawMessage) (Metadata, error) { return m, nil }

// NoWrite says whether metadata ask that only the child's read cap be stored.
func (m Metadata) NoWrite() bool { return false }

// Created and Modified are when the link was made under this name, and when it was last set; false if metadata do not say.
func (m Metadata) Created() (time.Time, bool) { return time.Time{}, false }

// Modified is when the link was last set; false if metadata do not say.
func (m Metadata) Modified() (time.Time, bool) { return time.Time{}, false }

// MarshalJSON gives Text, or {} if that is no JSON object.
func (m Metadata) MarshalJSON() ([]byte, error) { return []byte(m.Text()), nil }

// UnmarshalJSON is ParseMetadata.
func (m *Metadata) UnmarshalJSON(text []byte) error {
	parsed, err := ParseMetadata(text)
	if err == nil {
		*m = parsed
	}
	return err
}
