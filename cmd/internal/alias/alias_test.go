package alias_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"trunkline/caps"
	"trunkline/cmd/internal/alias"
	"trunkline/cmd/internal/names"
	"trunkline/p2p/durable"
)

const (
	dirText = "URI:DIR2:qjkmgknjfbipnvjz3u3w6saw5y:euxrbsbwcdv4ugqftqf25asv5orpsw7e2hl3z6uj24sivawz6eiq"
	litText = "URI:LIT:nbswy3dp"
)

func parse(t *testing.T, text string) caps.Cap {
	t.Helper()
	c, err := caps.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestFile(t *testing.T) {
	t.Parallel()
	f := alias.File{Path: filepath.Join(t.TempDir(), "private", "aliases")}
	if list, err := f.List(); err != nil || len(list) != 0 {
		t.Fatalf("no file: %v, %v", list, err)
	}
	if _, err := f.Get("docs"); !errors.Is(err, alias.ErrUnknown) {
		t.Errorf("without a file: %v", err)
	}
	if err := f.Add("docs", parse(t, dirText)); err != nil {
		t.Fatal(err)
	}
	if err := f.Add("docs", parse(t, litText)); !errors.Is(err, alias.ErrTaken) {
		t.Errorf("the same name again: %v", err)
	}
	if err := f.Add("words", parse(t, litText)); err != nil {
		t.Fatal(err)
	}
	raw, err := os.ReadFile(f.Path)
	if err != nil || string(raw) != "docs: "+dirText+"\nwords: "+litText+"\n" {
		t.Errorf("the file is %q, %v", raw, err)
	}
	if info, err := os.Stat(f.Path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	if c, err := f.Get("docs"); err != nil || c.Text() != dirText {
		t.Errorf("docs is %v, %v", c, err)
	}
	if err := os.Chmod(f.Path, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := f.List(); !errors.Is(err, durable.ErrPermissions) {
		t.Errorf("a file that others may read: %v", err)
	}
}

// What Tahoe-LAFS and a person's editor leave there stays as it is.
func TestFileKeepsWhatItFinds(t *testing.T) {
	t.Parallel()
	f := alias.File{Path: filepath.Join(t.TempDir(), "aliases")}
	old := "# mine\n\n  tahoe:" + dirText + "  \ntwice: " + dirText + "\ntwice: " + litText + "\nlater: URI:NEW:abc"
	if err := os.WriteFile(f.Path, []byte(old), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := f.Add("words", parse(t, litText)); err != nil {
		t.Fatal(err)
	}
	raw, err := os.ReadFile(f.Path)
	if err != nil || string(raw) != old+"\nwords: "+litText+"\n" {
		t.Errorf("the file is %q, %v", raw, err)
	}
	list, err := f.List()
	if err != nil || len(list) != 4 || list[0].Name != "tahoe" || list[1].Cap.Text() != litText || list[2].Name != "later" {
		t.Errorf("%v, %v", list, err)
	}
}

func TestFileDamaged(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{
		"no_colon": "docs\n", "bad_cap": "docs: URI:DIR2:zzz\n", "no_cap": "docs:\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := alias.Parse([]byte(text))
			if !errors.Is(err, alias.ErrFile) || !strings.Contains(fmt.Sprint(err), "line 1") || strings.Contains(fmt.Sprint(err), "zzz") {
				t.Errorf("%v", err)
			}
		})
	}
}

// Of names added at once none is lost.
func TestFileAddAtOnce(t *testing.T) {
	t.Parallel()
	f := alias.File{Path: filepath.Join(t.TempDir(), "aliases")}
	var wg sync.WaitGroup
	for i := range 20 {
		wg.Go(func() {
			if err := f.Add(fmt.Sprintf("a%d", i), parse(t, litText)); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if list, err := f.List(); err != nil || len(list) != 20 {
		t.Errorf("%d are left, %v", len(list), err)
	}
}

func TestCheckName(t *testing.T) {
	t.Parallel()
	for _, good := range []string{"docs", "home-2", "büro", "a"} {
		if err := alias.CheckName(good); err != nil {
			t.Errorf("%q: %v", good, err)
		}
	}
	for _, bad := range []string{"", "a:b", "a b", "a/b", `a\b`, "#a", "URI", "-", ".a", "a\x1bb", "a\u202eb", strings.Repeat("x", 65)} {
		if err := alias.CheckName(bad); !errors.Is(err, alias.ErrName) {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

func TestLocate(t *testing.T) {
	t.Parallel()
	grid, local, escaped := alias.Options{}, alias.Options{Local: true}, alias.Options{Escaped: true}
	for name, tt := range map[string]struct {
		text  string
		o     alias.Options
		shown string
		path  []string
		slash bool
		err   error
	}{
		"alias":              {"docs:", grid, "docs:", nil, true, nil},
		"alias_path":         {"docs:a/b", grid, "docs:a/b", []string{"a", "b"}, false, nil},
		"alias_root":         {"docs:/a", grid, "docs:a", []string{"a"}, false, nil},
		"slash":              {"docs:a/", grid, "docs:a", []string{"a"}, true, nil},
		"dots":               {"docs:./a/./b", grid, "docs:a/b", []string{"a", "b"}, false, nil},
		"double_slash":       {"docs:a//b", grid, "docs:a/b", []string{"a", "b"}, false, nil},
		"up":                 {"docs:a/../b", grid, "", nil, false, alias.ErrPath},
		"colon_in_path":      {"docs:a:b", grid, "docs:a:b", []string{"a:b"}, false, nil},
		"default":            {"a/b", grid, "tahoe:a/b", []string{"a", "b"}, false, nil},
		"nothing":            {"", grid, "tahoe:", nil, true, nil},
		"default_colon":      {"a/b:c", grid, "tahoe:a/b:c", []string{"a", "b:c"}, false, nil},
		"cap":                {dirText, grid, "", nil, true, nil},
		"cap_path":           {dirText + "/a/b", grid, "", []string{"a", "b"}, false, nil},
		"cap_old_path":       {dirText + ":./a", grid, "", []string{"a"}, false, nil},
		"cap_local":          {dirText + "/a", local, "", []string{"a"}, false, nil},
		"bad_cap":            {"URI:DIR2:x/a", grid, "", nil, false, caps.ErrMalformed},
		"stdin":              {"-", grid, "-", nil, true, nil},
		"stdin_path":         {"-/a", grid, "-/a", []string{"a"}, false, nil},
		"local":              {"a/b", local, "a/b", nil, false, nil},
		"local_slash":        {"a/", local, "a/", nil, true, nil},
		"local_colon":        {"./a:b", local, "./a:b", nil, false, nil},
		"local_alias":        {"a:b", local, "a:b", []string{"b"}, false, nil},
		"local_empty":        {"", local, "", nil, false, alias.ErrPath},
		"bad_alias":          {"a b:c", grid, "", nil, false, alias.ErrName},
		"escaped":            {`docs:a\x2fb/\x2e\x2e`, escaped, `docs:a\x2fb/\x2e\x2e`, []string{"a/b", ".."}, false, nil},
		"escaped_empty_name": {`docs:\.`, escaped, `docs:\.`, []string{""}, false, nil},
		"escaped_bad":        {`docs:a\q`, escaped, "", nil, false, names.ErrEscape},
		"backslash":          {`docs:a\b`, grid, `docs:a\\b`, []string{`a\b`}, false, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l, err := alias.Locate(tt.text, tt.o)
			if !errors.Is(err, tt.err) {
				t.Fatalf("error %v, want %v", err, tt.err)
			}
			if err != nil {
				return
			}
			if tt.shown != "" && l.String() != tt.shown {
				t.Errorf("shown as %q, want %q", l.String(), tt.shown)
			}
			if !slices.Equal(l.Path, tt.path) || l.Slash != tt.slash {
				t.Errorf("path %q, slash %v", l.Path, l.Slash)
			}
			if strings.HasPrefix(tt.text, dirText) && (l.Cap.Text() != dirText || strings.Contains(l.String(), "qjkmg")) {
				t.Errorf("cap %v", l)
			}
			if l.IsLocal() != (tt.o.Local && l.Alias == "" && l.Cap.IsZero()) {
				t.Errorf("local: %v", l.IsLocal())
			}
		})
	}
}

// Whatever is typed, a cap is not shown, and a path has no name that climbs unless it
// was written so on purpose.
func FuzzLocate(f *testing.F) {
	f.Add("docs:a/b", false, false)
	f.Fuzz(func(t *testing.T, text string, local, escaped bool) {
		l, err := alias.Locate(text, alias.Options{Local: local, Escaped: escaped})
		if err != nil {
			return
		}
		if !escaped && slices.ContainsFunc(l.Path, func(n string) bool { return n == "" || n == "." || n == ".." || strings.Contains(n, "/") }) {
			t.Fatalf("%q has the path %q", text, l.Path)
		}
		if !l.Cap.IsZero() && strings.Contains(l.String(), l.Cap.Text()) {
			t.Fatalf("%q is shown as %q", text, l)
		}
	})
}
