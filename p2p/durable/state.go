package durable

import (
	"encoding/json"
	"errors"
	"fmt"
)

// ErrState means that a state file is damaged or was written by a newer program.
var ErrState = errors.New("state file cannot be used")

// WriteState replaces the file at path with v as JSON, by [WriteFile]. v has a
// field "schema" with the number that [ReadState] asks for.
func WriteState(path string, v any) error {
	b, err := json.MarshalIndent(v, "", "\t")
	if err != nil {
		return fmt.Errorf("writing state: %w", err)
	}
	if err := WriteFile(path, b); err != nil {
		return fmt.Errorf("writing state: %w", err)
	}
	return nil
}

// ReadState reads into v what [WriteState] wrote, at most limit bytes.
//
// Errors: fs.ErrNotExist; ErrState if it is too long, not JSON of this shape, or
// of another schema.
func ReadState(path string, limit int64, schema int, v any) error {
	b, err := ReadFile(path, limit)
	switch {
	case errors.Is(err, ErrTooLarge):
		return fmt.Errorf("%w: %w", ErrState, err)
	case err != nil:
		return fmt.Errorf("reading state: %w", err)
	}
	var head struct {
		Schema int `json:"schema"`
	}
	if err := json.Unmarshal(b, &head); err != nil {
		return fmt.Errorf("%w: %w", ErrState, err)
	}
	if head.Schema != schema {
		return fmt.Errorf("%w: it has schema %d, this program knows %d", ErrState, head.Schema, schema)
	}
	if err := json.Unmarshal(b, v); err != nil {
		return fmt.Errorf("%w: %w", ErrState, err)
	}
	return nil
}
