package alias

import (
	"errors"
	"fmt"
	"runtime"
	"strings"

	"trunkline/caps"
	"trunkline/cmd/internal/names"
)

// Location is what is typed where a file or directory is meant: of one of the three
// forms, and no more than that; nothing is looked up.
type Location struct {
	// Local is a path on this machine.
	Local string
	// Alias is the name before the colon.
	Alias string
	// Cap is the cap itself. Zero for the other two forms.
	Cap caps.Cap
	// Stdin says that the cap is the first line of standard input.
	Stdin bool
	// Path is below the alias or the cap. Slash says that it ended in one, or that it
	// is empty, so that a directory is meant.
	Path  []string
	Slash bool
}

// IsLocal tells a path on this machine.
func (l Location) IsLocal() bool { return l.Alias == "" && l.Cap.IsZero() && !l.Stdin }

// Name is what the file or directory is called; empty for the top of an alias or cap.
func (l Location) Name() string {
	if len(l.Path) == 0 {
		return ""
	}
	return l.Path[len(l.Path)-1]
}

// String shows where it is, for people. Of a cap it shows kind and fingerprint.
func (l Location) String() string {
	switch {
	case l.IsLocal():
		return l.Local
	case l.Alias != "":
		return l.Alias + ":" + names.Path(l.Path)
	case l.Stdin:
		return strings.TrimSuffix("-/"+names.Path(l.Path), "/")
	}
	return strings.TrimSuffix(l.Cap.String()+"/"+names.Path(l.Path), "/")
}

// ErrPath: the path is not one.
var ErrPath = errors.New("this path can't be used")

// Options say how Locate reads.
type Options struct {
	// Local takes what has neither alias nor cap for a path on this machine; otherwise
	// it is below the alias Default.
	Local bool
	// Escaped takes names as names.Show writes them.
	Escaped bool
}

// Locate takes apart "alias:path", "URI:…/path", "-", "-/path", and a bare path.
//
// Before the colon of an alias stands no slash, so that "./a:b" is a bare path.
//
// Errors: ErrPath; names.ErrEscape; caps.Parse's.
func Locate(text string, o Options) (Location, error) {
	if head, ok := capHead(text); ok {
		c, err := caps.Parse(strings.TrimSuffix(head, ":."))
		if err != nil {
			return Location{}, err
		}
		l := Location{Cap: c}
		return l.below(text[len(head):], o)
	}
	if !o.Local && (text == "-" || strings.HasPrefix(text, "-/")) {
		l := Location{Stdin: true}
		return l.below(text[1:], o)
	}
	name, rest, colon := strings.Cut(text, ":")
	if colon && strings.Contains(name, "/") {
		colon = false
	}
	if colon && o.Local && len(name) == 1 && runtime.GOOS == "windows" {
		colon = false
	}
	switch {
	case colon:
		if err := CheckName(name); err != nil {
			return Location{}, err
		}
		l := Location{Alias: name}
		return l.below(rest, o)
	case o.Local && text == "":
		return Location{}, fmt.Errorf("%w: it is empty", ErrPath)
	case o.Local:
		return Location{Local: text, Slash: strings.HasSuffix(text, "/")}, nil
	}
	l := Location{Alias: Default}
	return l.below(text, o)
}

// capHead is the cap that a text begins with. No cap holds a slash.
func capHead(text string) (string, bool) {
	head, _, _ := strings.Cut(text, "/")
	return head, strings.HasPrefix(strings.TrimPrefix(strings.TrimPrefix(head, "ro."), "imm."), "URI:")
}

// Below adds a path to a location.
//
// Errors: ErrPath; names.ErrEscape.
func (l Location) Below(path string, o Options) (Location, error) { return l.below(path, o) }

func (l Location) below(path string, o Options) (Location, error) {
	l.Slash = path == "" || strings.HasSuffix(path, "/")
	l.Path = append([]string(nil), l.Path...)
	for name := range strings.SplitSeq(path, "/") {
		switch name {
		case "", ".":
			continue
		case "..":
			return l, fmt.Errorf("%w: \"..\" is not followed; name the directory from the top", ErrPath)
		}
		if o.Escaped {
			var err error
			if name, err = names.Read(name); err != nil {
				return l, fmt.Errorf("%w: %w", ErrPath, err)
			}
		}
		l.Path = append(l.Path, name)
	}
	if len(l.Path) == 0 {
		l.Slash = true
	}
	return l, nil
}
