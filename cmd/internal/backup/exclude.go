package backup

import (
	"bufio"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"
)

// Excludes makes a Config.Exclude of patterns as the shell knows them (*, ?, [a-z]). One
// without a slash is of names anywhere, one with a slash of paths below the folder.
//
// Errors: path.ErrBadPattern.
func Excludes(patterns []string) (func(at, name string) bool, error) {
	for _, p := range patterns {
		if _, err := path.Match(p, ""); err != nil {
			return nil, fmt.Errorf("pattern %q: %w", p, err)
		}
	}
	return func(at, name string) bool {
		return slices.ContainsFunc(patterns, func(p string) bool {
			subject := name
			if strings.Contains(strings.TrimSuffix(p, "/"), "/") {
				subject = at
			}
			ok, _ := path.Match(strings.Trim(p, "/"), subject)
			return ok
		})
	}, nil
}

// ReadPatterns reads one pattern a line; empty lines and those with # are none.
func ReadPatterns(r io.Reader) ([]string, error) {
	var list []string
	sc := bufio.NewScanner(r)
	for sc.Scan() {
		if line := strings.TrimSpace(sc.Text()); line != "" && !strings.HasPrefix(line, "#") {
			list = append(list, line)
		}
	}
	return list, sc.Err()
}

// VCS are the names that version control systems keep for themselves.
func VCS() []string {
	return []string{
		"CVS", "RCS", "SCCS", ".git", ".gitignore", ".cvsignore", ".svn", ".arch-ids", "{arch}", "=RELEASE-ID",
		"=meta-update", "=update", ".bzr", ".bzrignore", ".bzrtags", ".hg", ".hgignore", "_darcs",
	}
}
