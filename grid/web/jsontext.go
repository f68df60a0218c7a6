package web

import (
	"bytes"
	"encoding/json"
	"fmt"
	"unicode/utf16"
	"unicode/utf8"
)

// jsonText is v as Tahoe prints JSON: indented by one space, ASCII alone, with a
// newline at the end. json.RawMessage and json.Number in v keep their digits.
func jsonText(v any) ([]byte, error) {
	line, err := jsonLine(v)
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	if err := json.Indent(&b, line, "", " "); err != nil {
		return nil, fmt.Errorf("printing JSON: %w", err)
	}
	return b.Bytes(), nil
}

// jsonLine is v as JSON on one line, ASCII alone, with a newline at the end.
func jsonLine(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, fmt.Errorf("printing JSON: %w", err)
	}
	return ascii(b.Bytes()), nil
}

// ascii writes the characters of JSON beyond ASCII, which stand in strings alone,
// as \u escapes.
func ascii(b []byte) []byte {
	if bytes.IndexFunc(b, func(r rune) bool { return r >= utf8.RuneSelf }) < 0 {
		return b
	}
	out := make([]byte, 0, len(b)+len(b)/4)
	for len(b) > 0 {
		r, n := utf8.DecodeRune(b)
		switch {
		case r < utf8.RuneSelf:
			out = append(out, b[0])
		case r > 0xffff:
			hi, lo := utf16.EncodeRune(r)
			out = fmt.Appendf(out, `\u%04x\u%04x`, hi, lo)
		default:
			out = fmt.Appendf(out, `\u%04x`, r)
		}
		b = b[n:]
	}
	return out
}
