package web

import (
	"errors"
	"strconv"
	"strings"
)

// errBeyond says that a range begins behind the end.
var errBeyond = errors.New("First beyond end of file") //nolint:staticcheck // what Tahoe's clients know it by

// span is a stretch of a file.
type span struct{ offset, length uint64 }

// parseRange reads a Range header for a file of that size. ok is false where
// there is none, or one that is to be ignored: of other units, reversed,
// unreadable, or open and from behind the end. Of several ranges the first
// counts.
//
// Errors: errBeyond.
//
// Source: tahoe-formats 9.3.
func parseRange(header string, size uint64) (s span, ok bool, err error) {
	units, set, found := strings.Cut(header, "=")
	if !found || units != "bytes" {
		return span{}, false, nil
	}
	for i, one := range strings.Split(set, ",") {
		parsed, sane := parseOneRange(strings.TrimSpace(one), size)
		if !sane {
			return span{}, false, nil
		}
		if i == 0 {
			s = parsed
		}
	}
	if s.offset >= size {
		return span{}, false, errBeyond
	}
	s.length = min(s.length, size-s.offset)
	return s, true, nil
}

// parseOneRange reads one range. length is not yet cut at the end of the file.
func parseOneRange(text string, size uint64) (span, bool) {
	first, last, found := strings.Cut(text, "-")
	if !found {
		return span{}, false
	}
	if first == "" {
		n, err := strconv.ParseUint(last, 10, 63)
		if err != nil || n == 0 || size == 0 {
			return span{}, false
		}
		n = min(n, size)
		return span{size - n, n}, true
	}
	from, err := strconv.ParseUint(first, 10, 63)
	if err != nil {
		return span{}, false
	}
	if last == "" {
		if from >= size {
			return span{}, false
		}
		return span{from, size - from}, true
	}
	to, err := strconv.ParseUint(last, 10, 63)
	if err != nil || to < from {
		return span{}, false
	}
	return span{from, to - from + 1}, true
}
