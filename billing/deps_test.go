package billing_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// allowed is what each package below this folder may import besides the standard
// library's harmless part. A package that is not here may import nothing.
var allowed = map[string][]string{
	".": {"trunkline/caps", "trunkline/billing/sealed"},
	"sealed": {
		"trunkline/caps",
		"github.com/libp2p/go-libp2p/core/crypto", "github.com/libp2p/go-libp2p/core/record",
	},
	"billingtest": {"trunkline/caps", "trunkline/billing", "trunkline/billing/sealed", "github.com/libp2p/go-libp2p/core/crypto", "testing"},
	"ledger":      {"trunkline/caps", "trunkline/billing", "trunkline/billing/sealed"},
	"ledger/ledgertest": {
		"trunkline/caps", "trunkline/billing", "trunkline/billing/sealed", "trunkline/billing/billingtest", "trunkline/billing/ledger",
		"pgregory.net/rapid", "testing", "os",
	},
	"ledger/sqlite": {
		"trunkline/caps", "trunkline/billing", "trunkline/billing/sealed", "trunkline/billing/ledger",
		"github.com/pressly/goose/v3", "modernc.org/sqlite", "modernc.org/sqlite/lib",
		"database/sql", "embed", "io/fs", "net/url", "os", "path/filepath", "runtime",
	},
}

// harmless is what every package here may import: no network, files, processes
// or logs.
var harmless = []string{
	"bytes", "cmp", "context", "crypto/ed25519", "crypto/sha256", "encoding/binary", "encoding/hex", "errors", "fmt",
	"math", "math/bits", "math/rand/v2", "slices", "strconv", "strings", "sync", "sync/atomic", "time", "unicode", "unicode/utf8",
}

// TestDeps: billing never imports libp2p's hosts or streams, nor package net,
// and nothing in it asks what time it is.
func TestDeps(t *testing.T) {
	t.Parallel()
	files := 0
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		files++
		f, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		folder := filepath.ToSlash(filepath.Dir(path))
		for _, imp := range f.Imports {
			name, err := strconv.Unquote(imp.Path.Value)
			if err != nil {
				return err
			}
			if !slices.Contains(harmless, name) && !slices.Contains(allowed[folder], name) {
				t.Errorf("%s imports %s", path, name)
			}
		}
		ast.Inspect(f, func(n ast.Node) bool {
			if sel, ok := n.(*ast.SelectorExpr); ok {
				if pkg, ok := sel.X.(*ast.Ident); ok && pkg.Name == "time" && slices.Contains([]string{"Now", "Since", "Until", "Sleep", "After"}, sel.Sel.Name) {
					t.Errorf("%s asks for time.%s", path, sel.Sel.Name)
				}
			}
			return true
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if files < 10 {
		t.Errorf("looked at %d files only", files)
	}
}
