package web

import (
	"net/url"
	"strings"
	"unicode/utf8"
)

// maxDepth is the most names in a path.
const maxDepth = 4096

// splitPath splits the escaped path of a URL into its segments, and decodes each
// afterwards: a name may hold a slash. slash tells whether it ends in one. Only
// the last segment may be empty.
func splitPath(escaped string) (segments []string, slash bool, err error) {
	rest, ok := strings.CutPrefix(escaped, "/")
	if !ok {
		return nil, false, badRequest("the path does not begin with a slash")
	}
	if rest == "" {
		return nil, true, nil
	}
	rest, slash = strings.CutSuffix(rest, "/")
	if strings.Count(rest, "/") >= maxDepth {
		return nil, false, badRequest("the path has more than %d names", maxDepth)
	}
	for s := range strings.SplitSeq(rest, "/") {
		if s == "" {
			return nil, false, badRequest("the path has an empty segment")
		}
		name, err := url.PathUnescape(s)
		if err != nil {
			return nil, false, badRequest("a segment is not percent-encoded as it should be")
		}
		if !utf8.ValidString(name) {
			return nil, false, badRequest("a name is not UTF-8")
		}
		segments = append(segments, name)
	}
	return segments, slash, nil
}

// joinPath is the escaped path of segments: what splitPath takes apart again.
func joinPath(segments ...string) string {
	var b strings.Builder
	for _, s := range segments {
		b.WriteByte('/')
		b.WriteString(escapeSegment(s))
	}
	return b.String()
}

// escapeSegment escapes a name for a path. The empty name, "." and ".." cannot be
// reached by a path: browsers take them out, escaped or not.
func escapeSegment(s string) string {
	e := url.PathEscape(s)
	// A cap reads better with its colons, and they are allowed there.
	return strings.ReplaceAll(e, "%3A", ":")
}
