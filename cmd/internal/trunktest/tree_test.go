package trunktest_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// root is the folder of go.mod, as this package's tests see it.
const root = "../../.."

// sources calls fn with every Go file of ours, by path and syntax.
func sources(t *testing.T, fn func(path string, f *ast.File)) {
	t.Helper()
	files := 0
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && (d.Name() == "testdata" || d.Name() == "pb" || strings.HasPrefix(d.Name(), ".") && path != root):
			return fs.SkipDir
		case d.IsDir() || !strings.HasSuffix(path, ".go"):
			return nil
		}
		f, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		files++
		fn(path, f)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if files < 200 {
		t.Fatalf("looked at %d files only", files)
	}
}

// TestFuzzTargetsHaveSeeds: a target without stored seeds tests nothing in an ordinary run, and passes.
func TestFuzzTargetsHaveSeeds(t *testing.T) {
	t.Parallel()
	targets := 0
	sources(t, func(path string, f *ast.File) {
		for _, d := range f.Decls {
			fn, ok := d.(*ast.FuncDecl)
			if !ok || fn.Recv != nil || !strings.HasPrefix(fn.Name.Name, "Fuzz") || !strings.HasSuffix(path, "_test.go") {
				continue
			}
			targets++
			folder := filepath.Join(filepath.Dir(path), "testdata", "fuzz", fn.Name.Name)
			if seeds, err := os.ReadDir(folder); err != nil || len(seeds) < 2 {
				t.Errorf("%s has %d seeds (%v)", folder, len(seeds), err)
			}
		}
	})
	if targets < 30 {
		t.Errorf("found %d fuzz targets only", targets)
	}
}

// TestPackageComments: one for each package, in one file, so that there is one sentence that says what it is.
func TestPackageComments(t *testing.T) {
	t.Parallel()
	comments := make(map[string]int)
	sources(t, func(path string, f *ast.File) {
		dir := filepath.Dir(path)
		if strings.HasSuffix(path, "_test.go") {
			return
		}
		comments[dir] += 0
		if f.Doc != nil && strings.TrimSpace(f.Doc.Text()) != "" {
			comments[dir]++
		}
	})
	for dir, n := range comments {
		if n != 1 {
			t.Errorf("%s has %d package comments", dir, n)
		}
	}
}

// TestGoroutinesAreWatched: where goroutines are started, the tests look for those that were left behind.
func TestGoroutinesAreWatched(t *testing.T) {
	t.Parallel()
	starts, watched := make(map[string]bool), make(map[string]bool)
	sources(t, func(path string, f *ast.File) {
		dir := filepath.Dir(path)
		if strings.HasSuffix(path, "_test.go") {
			for _, imp := range f.Imports {
				watched[dir] = watched[dir] || imp.Path.Value == `"go.uber.org/goleak"`
			}
			return
		}
		ast.Inspect(f, func(n ast.Node) bool {
			sel, called := n.(*ast.SelectorExpr)
			if _, ok := n.(*ast.GoStmt); ok || called && sel.Sel.Name == "Go" {
				starts[dir] = true
			}
			return true
		})
	})
	for dir := range starts {
		// The harnesses of other processes and of other packages' tests have none of their own.
		switch filepath.Base(dir) {
		case "bench", "e2e", "trunktest", "tahoetest", "ledgertest", "gridtest", "servertest", "treetest":
			continue
		}
		if !watched[dir] {
			t.Errorf("%s starts goroutines, and its tests do not look for those left behind", dir)
		}
	}
}

// TestProtocolsAreWritten: each PROTOCOL.md has the parts that a reader looks for, and README leads to it.
func TestProtocolsAreWritten(t *testing.T) {
	t.Parallel()
	readme, err := os.ReadFile(filepath.Join(root, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	var linked []string
	for _, m := range regexp.MustCompile(`\]\(([^)#:]+)\)`).FindAllStringSubmatch(string(readme), -1) {
		linked = append(linked, m[1])
		if _, err := os.Stat(filepath.Join(root, m[1])); err != nil {
			t.Errorf("README.md leads to %s: %v", m[1], err)
		}
	}
	found := 0
	err = filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.Name() != "PROTOCOL.md" {
			return err
		}
		found++
		rel, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		if !strings.Contains(strings.Join(linked, "\n"), rel) {
			t.Errorf("README.md does not lead to %s", rel)
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		parts := []string{"What a stranger can see", "Worked example", "Changes"}
		if regexp.MustCompile("(?m)^# .*`/trunkline/").Match(text) {
			parts = append(parts, "Order", "Messages", "Limits and deadlines", "Failures")
		}
		for _, part := range parts {
			if !regexp.MustCompile(`(?m)^## ` + part + `$`).Match(text) {
				t.Errorf("%s has no part %q", rel, part)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if found < 7 {
		t.Errorf("found %d files only", found)
	}
}
