package names_test

import (
	"errors"
	"strings"
	"testing"
	"unicode"

	"trunkline/cmd/internal/names"
)

func TestShow(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct{ in, want string }{
		"plain":       {"thesis.pdf", "thesis.pdf"},
		"spaces":      {"my thesis", "my thesis"},
		"umlauts":     {"Müller – Öl", "Müller – Öl"},
		"hebrew":      {"שלום", "שלום"},
		"emoji":       {"🎉", "🎉"},
		"empty":       {"", `\.`},
		"dot":         {".", `\x2e`},
		"dots":        {"..", `\x2e\x2e`},
		"three_dots":  {"...", "..."},
		"slash":       {"a/b", `a\x2fb`},
		"backslash":   {`a\b`, `a\\b`},
		"escape":      {"a\x1b[2Jb", `a\x1b[2Jb`},
		"newline":     {"a\nb", `a\x0ab`},
		"c1":          {"a\u009bb", `a\u009bb`},
		"override":    {"a\u202egpj.exe", `a\u202egpj.exe`},
		"zero_width":  {"a\u200bb", `a\u200bb`},
		"nbsp":        {"a\u00a0b", `a\u00a0b`},
		"tag":         {"a\U000e0041", `a\U000e0041`},
		"invalid":     {"a\xffb", `a\xffb`},
		"replacement": {"a\ufffdb", "a\ufffdb"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := names.Show(tt.in); got != tt.want {
				t.Errorf("shown as %q, want %q", got, tt.want)
			}
			if back, err := names.Read(tt.want); err != nil || back != tt.in {
				t.Errorf("read back as %q, %v", back, err)
			}
		})
	}
}

func TestReadRefuses(t *testing.T) {
	t.Parallel()
	for _, in := range []string{`\`, `a\q`, `\x`, `\x1`, `\xzz`, `\u12`, `\U00110000`, `a\.`} {
		if got, err := names.Read(in); !errors.Is(err, names.ErrEscape) {
			t.Errorf("%q was read as %q, %v", in, got, err)
		}
	}
}

func TestLocal(t *testing.T) {
	t.Parallel()
	for _, good := range []string{"a", "thesis.pdf", "...", ".bashrc", "שלום", `a\b`, strings.Repeat("x", 255)} {
		if err := names.Local(good); err != nil {
			t.Errorf("%q: %v", good, err)
		}
	}
	for _, bad := range []string{"", ".", "..", "/", "a/b", "../a", "/etc/passwd", "a\x00b", "a\nb", "\x1b]0;", "\u202ea", "\xff", strings.Repeat("x", 256)} {
		if err := names.Local(bad); !errors.Is(err, names.ErrLocal) {
			t.Errorf("%q: %v", bad, err)
		}
		if err := names.Local(names.Escaped(bad)); err != nil {
			t.Errorf("%q escaped: %v", bad, err)
		}
	}
}

func TestText(t *testing.T) {
	t.Parallel()
	if got := names.Text("no\x1b[2J room\u202e\nhere\xff"); got != "no\ufffd[2J room\ufffd\nhere\ufffd" {
		t.Errorf("%q", got)
	}
}

// What is shown reads back to the same name, and holds nothing that is not seen.
func FuzzShow(f *testing.F) {
	f.Add("a\x1bb")
	f.Fuzz(func(t *testing.T, name string) {
		shown := names.Show(name)
		if strings.ContainsFunc(shown, func(r rune) bool { return !unicode.IsPrint(r) }) || strings.Contains(shown, "/") {
			t.Fatalf("%q is shown as %q", name, shown)
		}
		if back, err := names.Read(shown); err != nil || back != name {
			t.Fatalf("%q is shown as %q and read back as %q, %v", name, shown, back, err)
		}
		if err := names.Local(names.Escaped(name)); err != nil {
			t.Fatal(err)
		}
	})
}
