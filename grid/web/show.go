package web

import (
	"fmt"
	"strconv"
	"unicode"
	"unicode/utf8"
)

// hides says whether a character of a name would hide, turn or break the text
// around it.
func hides(r rune) bool {
	if r == utf8.RuneError || r == ' ' {
		return r == utf8.RuneError
	}
	return !unicode.IsPrint(r) || unicode.Is(unicode.Cf, r)
}

// sizeText is a size for people: three digits at most.
func sizeText(n uint64) string {
	if n < 1000 {
		return strconv.FormatUint(n, 10) + " B"
	}
	f := float64(n)
	for _, unit := range []string{"kB", "MB", "GB", "TB", "PB", "EB"} {
		f /= 1000
		if f < 9.95 {
			return fmt.Sprintf("%.1f %s", f, unit)
		}
		if f < 999.5 {
			return fmt.Sprintf("%.0f %s", f, unit)
		}
	}
	return fmt.Sprintf("%.0f ZB", f/1000)
}

// grouped is a number with its thousands apart.
func grouped(n uint64) string {
	s := strconv.FormatUint(n, 10)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + " " + s[i:]
	}
	return s
}
