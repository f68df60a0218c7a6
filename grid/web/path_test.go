package web

import (
	"slices"
	"strings"
	"testing"
)

func TestSplitPath(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		path  string
		want  []string
		slash bool
		err   int
	}{
		{"/", nil, true, 0},
		{"/uri", []string{"uri"}, false, 0},
		{"/uri/", []string{"uri"}, true, 0},
		{"/uri/URI%3ALIT%3A", []string{"uri", "URI:LIT:"}, false, 0},
		{"/uri/URI:LIT:/a%2Fb/c", []string{"uri", "URI:LIT:", "a/b", "c"}, false, 0},
		{"/uri/x/caf%C3%A9/", []string{"uri", "x", "café"}, true, 0},
		{"/uri/x/a+b", []string{"uri", "x", "a+b"}, false, 0},
		{"/uri/x/%00", []string{"uri", "x", "\x00"}, false, 0},
		{"//", nil, false, 400},
		{"/uri//x", nil, false, 400},
		{"/uri/x//", nil, false, 400},
		{"//uri/x", nil, false, 400},
		{"/uri/x/%ff", nil, false, 400},
		{"/uri/x/%2", nil, false, 400},
		{"uri", nil, false, 400},
		{"", nil, false, 400},
		{strings.Repeat("/a", maxDepth+1), nil, false, 400},
	} {
		got, slash, err := splitPath(c.path)
		if !slices.Equal(got, c.want) || (err == nil && slash != c.slash) || status(err) != c.err {
			t.Errorf("%.60q: %q, %v, %v, want %q, %v, %v", c.path, got, slash, err, c.want, c.slash, c.err)
		}
	}
}

// What joinPath writes splitPath takes apart again.
func FuzzJoinPath(f *testing.F) {
	f.Add("URI:LIT:nbswy3dpbi", "a/b")
	f.Fuzz(func(t *testing.T, a, b string) {
		got, slash, err := splitPath(joinPath(a, b))
		if a == "" || b == "" || strings.ToValidUTF8(a+b, "") != a+b {
			return
		}
		if err != nil || slash || !slices.Equal(got, []string{a, b}) {
			t.Fatalf("%q, %q gave %q, which splits into %q, %v, %v", a, b, joinPath(a, b), got, slash, err)
		}
	})
}

// status is how an error is answered; 0 for none.
func status(err error) int {
	if err == nil {
		return 0
	}
	s, _ := statusOf(err)
	return s
}
