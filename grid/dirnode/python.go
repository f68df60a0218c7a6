package dirnode

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// maxDepth is how deep JSON that is written may be nested.
const maxDepth = 100

// pythonJSON writes JSON as Python's json.dumps(json.loads(text)) does: what Tahoe stores. Keys stay in their order. A
// number that a float64 does not hold to the last digit stays as it is.
//
// Errors: ErrMetadata.
//
// Source: tahoe-formats 7.3.
func pythonJSON(text []byte) ([]byte, error) {
	if !json.Valid(text) || !utf8.Valid(text) {
		return nil, ErrMetadata
	}
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	written, err := appendPythonValue(nil, decoder, 0)
	if err != nil {
		return nil, err
	}
	if _, err := decoder.Token(); err != io.EOF {
		return nil, ErrMetadata
	}
	return written, nil
}

func appendPythonValue(b []byte, d *json.Decoder, depth int) ([]byte, error) {
	if depth > maxDepth {
		return nil, fmt.Errorf("%w: nested deeper than %d", ErrMetadata, maxDepth)
	}
	token, err := d.Token()
	if err != nil {
		return nil, ErrMetadata
	}
	switch v := token.(type) {
	case nil:
		return append(b, "null"...), nil
	case bool:
		return strconv.AppendBool(b, v), nil
	case string:
		return appendPythonString(b, v), nil
	case json.Number:
		return append(b, pythonNumber(v.String())...), nil
	case json.Delim:
		if v == '{' {
			return appendPythonObject(b, d, depth)
		}
		return appendPythonArray(b, d, depth)
	}
	return nil, ErrMetadata
}

func appendPythonArray(b []byte, d *json.Decoder, depth int) ([]byte, error) {
	b = append(b, '[')
	for first := true; d.More(); first = false {
		if !first {
			b = append(b, ", "...)
		}
		var err error
		if b, err = appendPythonValue(b, d, depth+1); err != nil {
			return nil, err
		}
	}
	_, err := d.Token()
	return append(b, ']'), err
}

func appendPythonObject(b []byte, d *json.Decoder, depth int) ([]byte, error) {
	var o object
	places := map[string]int{}
	for d.More() {
		token, err := d.Token()
		key, ok := token.(string)
		if err != nil || !ok {
			return nil, ErrMetadata
		}
		value, err := appendPythonValue(nil, d, depth+1)
		if err != nil {
			return nil, err
		}
		if at, twice := places[key]; twice {
			o[at].value = value
			continue
		}
		places[key] = len(o)
		o = append(o, member{key, value})
	}
	_, err := d.Token()
	return append(b, o.text()...), err
}

func appendPythonString(b []byte, s string) []byte {
	b = append(b, '"')
	for _, r := range s {
		switch {
		case r == '"', r == '\\':
			b = append(b, '\\', byte(r))
		case r == '\b':
			b = append(b, `\b`...)
		case r == '\f':
			b = append(b, `\f`...)
		case r == '\n':
			b = append(b, `\n`...)
		case r == '\r':
			b = append(b, `\r`...)
		case r == '\t':
			b = append(b, `\t`...)
		case r >= ' ' && r <= '~': // DEL is escaped, as Tahoe 1.20 does
			b = append(b, byte(r))
		case r > 0xffff:
			high, low := utf16.EncodeRune(r)
			b = fmt.Appendf(b, `\u%04x\u%04x`, high, low)
		default:
			b = fmt.Appendf(b, `\u%04x`, r)
		}
	}
	return append(b, '"')
}

// pythonNumber writes the text of a JSON number.
func pythonNumber(text string) string {
	if !strings.ContainsAny(text, ".eE") {
		if text == "-0" {
			return "0"
		}
		return text
	}
	f, err := strconv.ParseFloat(text, 64)
	if err != nil {
		return text // beyond a float64
	}
	short := pythonFloat(f)
	if decimalOf(short) != decimalOf(text) {
		return text
	}
	return short
}

// pythonFloat is Python's repr.
func pythonFloat(f float64) string {
	scientific := strconv.FormatFloat(f, 'e', -1, 64)
	_, exponent, _ := strings.Cut(scientific, "e")
	if e, err := strconv.Atoi(exponent); err != nil || e < -4 || e >= 16 {
		return scientific
	}
	s := strconv.FormatFloat(f, 'f', -1, 64)
	if !strings.Contains(s, ".") {
		s += ".0"
	}
	return s
}

// decimal is a number's value: its digits without zeros at either end, and the power of ten of the first.
type decimal struct {
	negative bool
	digits   string
	exponent int
}

// decimalOf reads the text of a JSON number.
func decimalOf(text string) decimal {
	var d decimal
	text, d.negative = strings.CutPrefix(text, "-")
	mantissa := text
	if at := strings.IndexAny(text, "eE"); at >= 0 {
		mantissa = text[:at]
		d.exponent, _ = strconv.Atoi(text[at+1:])
	}
	whole, fraction, _ := strings.Cut(mantissa, ".")
	d.exponent += len(whole)
	digits := whole + fraction
	d.digits = strings.TrimLeft(digits, "0")
	d.exponent -= len(digits) - len(d.digits)
	if d.digits = strings.TrimRight(d.digits, "0"); d.digits == "" {
		d.exponent = 0
	}
	return d
}
