// Package alias keeps the short names that a user gives to caps, and takes apart
// what is typed where a file or directory is meant.
package alias

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"unicode"
	"unicode/utf8"

	"trunkline/caps"
	"trunkline/p2p/durable"
)

// Default is the alias that is meant when none is named, as in Tahoe-LAFS.
const Default = "tahoe"

// maxFile bounds an aliases file.
const maxFile = 4 << 20

// Alias is a short name for a cap.
type Alias struct {
	Name string
	Cap  caps.Cap
}

// File is an aliases file: lines "name: cap", as Tahoe-LAFS keeps them in
// private/aliases; empty lines and lines that begin with # are left as they are.
// It holds caps, so only its owner may read it.
type File struct{ Path string }

var (
	// ErrUnknown: no alias has that name.
	ErrUnknown = errors.New("no such alias")
	// ErrTaken: an alias has that name already.
	ErrTaken = errors.New("there is an alias of that name already")
	// ErrName: no alias can have that name.
	ErrName = errors.New("this can't be the name of an alias")
	// ErrFile: the file is damaged.
	ErrFile = errors.New("the aliases file can't be read")
)

// List reads the aliases in the order of the file. Of two with one name the later
// one counts, as in Tahoe-LAFS. No file is no aliases.
//
// Errors: ErrFile; durable.ErrPermissions for a file that others may read.
func (f File) List() ([]Alias, error) {
	raw, err := f.read()
	if err != nil {
		return nil, err
	}
	return Parse(raw)
}

// Parse reads the contents of an aliases file.
//
// Errors: ErrFile.
func Parse(raw []byte) ([]Alias, error) {
	var list []Alias
	at := map[string]int{}
	sc := bufio.NewScanner(bytes.NewReader(raw))
	sc.Buffer(nil, maxFile)
	for number := 1; sc.Scan(); number++ {
		line := strings.TrimSpace(sc.Text())
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		name, text, ok := strings.Cut(line, ":")
		if !ok {
			return nil, fmt.Errorf("%w: line %d is not \"name: cap\"", ErrFile, number)
		}
		c, err := caps.Parse(strings.TrimSpace(text))
		if err != nil && !errors.Is(err, caps.ErrUnknownKind) {
			return nil, fmt.Errorf("%w: line %d: %w", ErrFile, number, err)
		}
		if i, ok := at[name]; ok {
			list[i].Cap = c
			continue
		}
		at[name] = len(list)
		list = append(list, Alias{name, c})
	}
	if err := sc.Err(); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrFile, err)
	}
	return list, nil
}

// Get finds one alias.
//
// Errors: ErrUnknown, and List's.
func (f File) Get(name string) (caps.Cap, error) {
	list, err := f.List()
	if err != nil {
		return caps.Cap{}, err
	}
	for _, a := range list {
		if a.Name == name {
			return a.Cap, nil
		}
	}
	return caps.Cap{}, fmt.Errorf("%w: %s", ErrUnknown, name)
}

// Add appends an alias, durably, and makes the file and its folder where there are
// none. Others who add at the same time wait.
//
// Errors: ErrTaken, ErrName, and List's.
func (f File) Add(name string, c caps.Cap) error {
	if err := CheckName(name); err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(f.Path), 0o700); err != nil {
		return fmt.Errorf("making the folder of the aliases: %w", err)
	}
	unlock, err := lock(f.Path + ".lock")
	if err != nil {
		return fmt.Errorf("locking the aliases file: %w", err)
	}
	defer unlock()
	raw, err := f.read()
	if err != nil {
		return err
	}
	list, err := Parse(raw)
	if err != nil {
		return err
	}
	for _, a := range list {
		if a.Name == name {
			return fmt.Errorf("%w: %s", ErrTaken, name)
		}
	}
	if len(raw) > 0 && raw[len(raw)-1] != '\n' {
		raw = append(raw, '\n')
	}
	return durable.WriteFile(f.Path, append(raw, name+": "+c.Text()+"\n"...))
}

func (f File) read() ([]byte, error) {
	raw, err := durable.ReadSecret(f.Path, maxFile)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrFile, err)
	}
	return raw, nil
}

// CheckName says whether an alias may be called so: without colons, slashes, blanks
// and what is not seen, and not what a cap begins with.
//
// Errors: ErrName.
func CheckName(name string) error {
	switch {
	case name == "":
		return fmt.Errorf("%w: it is empty", ErrName)
	case len(name) > 64 || !utf8.ValidString(name):
		return fmt.Errorf("%w: it is longer than 64 bytes, or not text", ErrName)
	case strings.ContainsFunc(name, func(r rune) bool { return strings.ContainsRune(`:/\#`, r) || !unicode.IsPrint(r) || unicode.IsSpace(r) }):
		return fmt.Errorf("%w: it may hold no colon, slash, backslash, blank or #", ErrName)
	case name == "URI" || name == "-" || strings.HasPrefix(name, "."):
		return fmt.Errorf("%w: it would be taken for something else", ErrName)
	}
	return nil
}
