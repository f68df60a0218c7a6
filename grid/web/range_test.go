package web

import (
	"errors"
	"testing"
)

func TestParseRange(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		header string
		size   uint64
		want   span
		ok     bool
		err    error
	}{
		{"bytes=10-19", 1000, span{10, 10}, true, nil},
		{"bytes=990-", 1000, span{990, 10}, true, nil},
		{"bytes=-5", 1000, span{995, 5}, true, nil},
		{"bytes=-2000", 1000, span{0, 1000}, true, nil},
		{"bytes=995-2000", 1000, span{995, 5}, true, nil},
		{"bytes=0-0", 1000, span{0, 1}, true, nil},
		{"bytes=0-1,5-6", 1000, span{0, 2}, true, nil},
		{"bytes=0-1, 5-6", 1000, span{0, 2}, true, nil},
		{"bytes=0-1,junk", 1000, span{}, false, nil},
		{"bytes=1000-", 1000, span{}, false, nil},
		{"bytes=-0", 1000, span{}, false, nil},
		{"bytes=20-10", 1000, span{}, false, nil},
		{"lines=0-1", 1000, span{}, false, nil},
		{"bytes", 1000, span{}, false, nil},
		{"", 1000, span{}, false, nil},
		{"bytes=-", 1000, span{}, false, nil},
		{"bytes=--5", 1000, span{}, false, nil},
		{"bytes=0-18446744073709551615", 1000, span{}, false, nil},
		{"bytes=0-9223372036854775807", 1000, span{0, 1000}, true, nil},
		{"bytes=1000-2000", 1000, span{}, false, errBeyond},
		{"bytes=0-0", 0, span{}, false, errBeyond},
		{"bytes=-1", 0, span{}, false, nil},
	} {
		got, ok, err := parseRange(c.header, c.size)
		if got != c.want || ok != c.ok || !errors.Is(err, c.err) {
			t.Errorf("%q of %d: %v, %v, %v, want %v, %v, %v", c.header, c.size, got, ok, err, c.want, c.ok, c.err)
		}
	}
}

// Whatever a range says, it lies within the file and is not empty.
func FuzzParseRange(f *testing.F) {
	f.Add("bytes=5-9", uint64(10))
	f.Fuzz(func(t *testing.T, header string, size uint64) {
		size &= 1<<63 - 1
		s, ok, err := parseRange(header, size)
		if ok != (s.length > 0) || (ok && err != nil) || s.offset > size || s.length > size-s.offset {
			t.Fatalf("%q of %d gave %+v, %v, %v", header, size, s, ok, err)
		}
	})
}
