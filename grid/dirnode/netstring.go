package dirnode

import (
	"bytes"
	"strconv"
)

// maxDigits is the most digits that a netstring's length has: enough for MaxContents.
const maxDigits = 8

// cutNetstring takes the first netstring off b, without copying.
func cutNetstring(b []byte) (value, rest []byte, ok bool) {
	digits := bytes.IndexByte(b[:min(len(b), maxDigits+1)], ':')
	if digits < 1 || digits > 1 && b[0] == '0' {
		return nil, nil, false
	}
	length := 0
	for _, c := range b[:digits] {
		if c < '0' || c > '9' {
			return nil, nil, false
		}
		length = length*10 + int(c-'0')
	}
	rest = b[digits+1:]
	if length >= len(rest) || rest[length] != ',' {
		return nil, nil, false
	}
	return rest[:length:length], rest[length+1:], true
}

func appendNetstring(b, value []byte) []byte {
	b = strconv.AppendInt(b, int64(len(value)), 10)
	b = append(b, ':')
	b = append(b, value...)
	return append(b, ',')
}

// netstringSize is how long the netstring of so many bytes is.
func netstringSize(length int) int {
	digits := 1
	for n := length; n >= 10; n /= 10 {
		digits++
	}
	return digits + 1 + length + 1
}
