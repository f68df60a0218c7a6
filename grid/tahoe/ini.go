package tahoe

import (
	"fmt"
	"strings"
	"unicode"
)

// ini is a file as Python's ConfigParser reads it: by section and lower-case key.
type ini map[string]map[string]string

// parseINI reads as much of Python's format as tahoe.cfg has: sections, "key = value" or "key: value", comments on lines
// of their own, values continued on indented lines, %% for a per cent sign. Of keys and sections given twice the later
// adds to and replaces the earlier.
//
// Errors: ErrNode.
func parseINI(text string) (ini, error) {
	file := make(ini)
	section, key := "", ""
	for i, line := range strings.Split(strings.TrimPrefix(text, "\ufeff"), "\n") {
		trimmed := strings.TrimSpace(line)
		switch {
		case trimmed == "" || trimmed[0] == '#' || trimmed[0] == ';':
			continue
		case key != "" && unicode.IsSpace(rune(line[0])):
			file[section][key] += "\n" + trimmed
			continue
		}
		if name, ok := strings.CutPrefix(trimmed, "["); ok {
			name, _, ok := strings.Cut(name, "]")
			if !ok {
				return nil, fmt.Errorf("%w: line %d is no section", ErrNode, i+1)
			}
			section, key = name, ""
			if file[section] == nil {
				file[section] = make(map[string]string)
			}
			continue
		}
		at := strings.IndexAny(trimmed, "=:")
		if at <= 0 || section == "" {
			return nil, fmt.Errorf("%w: line %d is neither a section nor a setting", ErrNode, i+1)
		}
		key = strings.ToLower(strings.TrimSpace(trimmed[:at]))
		file[section][key] = strings.TrimSpace(trimmed[at+1:])
	}
	for _, settings := range file {
		for k, v := range settings {
			settings[k] = strings.ReplaceAll(v, "%%", "%")
		}
	}
	return file, nil
}
