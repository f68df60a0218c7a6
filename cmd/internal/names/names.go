// Package names shows names that somebody else chose, and reads them back.
//
// A directory's entries may be called anything: a name may hold what moves a
// terminal's cursor, turns the line around, or climbs out of a folder.
package names

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// empty is how the name without characters is shown.
const empty = `\.`

// Show writes a name of a directory entry so that it does nothing to a terminal
// and can be told from every other: characters that are not seen, "/", "\" and the
// names "", "." and ".." come with a backslash. Read undoes it.
func Show(name string) string {
	switch name {
	case "":
		return empty
	case ".", "..":
		return strings.Repeat(`\x2e`, len(name))
	}
	if !strings.ContainsFunc(name, odd) && utf8.ValidString(name) {
		return name
	}
	var b strings.Builder
	for rest := name; rest != ""; {
		r, n := utf8.DecodeRuneInString(rest)
		switch {
		case r == utf8.RuneError && n == 1:
			fmt.Fprintf(&b, `\x%02x`, rest[0])
		case r == '\\':
			b.WriteString(`\\`)
		case !odd(r):
			b.WriteRune(r)
		case r < 0x80:
			fmt.Fprintf(&b, `\x%02x`, r)
		case r <= 0xffff:
			fmt.Fprintf(&b, `\u%04x`, r)
		default:
			fmt.Fprintf(&b, `\U%08x`, r)
		}
		rest = rest[n:]
	}
	return b.String()
}

// Path is Show of each name, joined with "/".
func Path(path []string) string {
	shown := make([]string, len(path))
	for i, name := range path {
		shown[i] = Show(name)
	}
	return strings.Join(shown, "/")
}

// Text makes words from elsewhere, such as a server's message, fit for a terminal.
// It can't be undone.
func Text(s string) string {
	return strings.Map(func(r rune) rune {
		if r != '\n' && unsafe(r) {
			return utf8.RuneError
		}
		return r
	}, strings.ToValidUTF8(s, string(utf8.RuneError)))
}

// odd says whether a character is shown escaped.
func odd(r rune) bool { return r == '/' || r == '\\' || unsafe(r) }

// unsafe says whether a character is not seen as itself: controls, formatting such
// as the bidirectional overrides, blanks other than the space, what is not assigned.
func unsafe(r rune) bool { return r != ' ' && !unicode.IsPrint(r) }

// ErrEscape: an escaped name that Show does not write.
var ErrEscape = errors.New(`a backslash must be followed by \, ., xNN, uNNNN or UNNNNNNNN, as ls shows names`)

// Read is the name that Show shows so.
//
// Errors: ErrEscape.
func Read(shown string) (string, error) {
	if shown == empty {
		return "", nil
	}
	var b strings.Builder
	for {
		plain, rest, found := strings.Cut(shown, `\`)
		b.WriteString(plain)
		if !found {
			return b.String(), nil
		}
		digits := 0
		switch {
		case strings.HasPrefix(rest, `\`):
			b.WriteByte('\\')
			shown = rest[1:]
			continue
		case strings.HasPrefix(rest, "x"):
			digits = 2
		case strings.HasPrefix(rest, "u"):
			digits = 4
		case strings.HasPrefix(rest, "U"):
			digits = 8
		default:
			return "", ErrEscape
		}
		if len(rest) < 1+digits {
			return "", ErrEscape
		}
		n, err := strconv.ParseUint(rest[1:1+digits], 16, 32)
		if err != nil || n > unicode.MaxRune {
			return "", ErrEscape
		}
		if digits == 2 {
			b.WriteByte(byte(n))
		} else {
			b.WriteRune(rune(n))
		}
		shown = rest[1+digits:]
	}
}

// maxLocal is the longest name, in bytes, that common file systems take.
const maxLocal = 255

// ErrLocal: the name can't be that of a local file.
var ErrLocal = errors.New("this name can't be given to a local file")

// Local checks that a name from a directory may be given to a file or folder on this
// machine: that it names one inside its folder, and one that can be seen for what it
// is.
//
// Errors: ErrLocal.
func Local(name string) error {
	why := ""
	switch {
	case name == "":
		why = "it is empty"
	case name == "." || name == "..":
		why = "it names a folder above"
	case strings.ContainsRune(name, '/'):
		why = `it holds a "/"`
	case len(name) > maxLocal:
		why = fmt.Sprintf("it has %d bytes", len(name))
	case !utf8.ValidString(name):
		why = "it is not text"
	case strings.ContainsFunc(name, unsafe):
		why = "it holds characters that are not seen"
	default:
		return localHere(name)
	}
	return fmt.Errorf("%w: %s", ErrLocal, why)
}

// Escaped is a local name for an entry whose own is none: as Show writes it, cut
// to what a file system takes.
func Escaped(name string) string {
	shown := Show(name)
	if len(shown) > maxLocal {
		shown = strings.ToValidUTF8(shown[:maxLocal], "")
	}
	return shown
}
