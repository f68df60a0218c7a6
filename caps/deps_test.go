package caps_test

import (
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// caps is the ground floor. What it imports itself it could use; what it imports in the
// end must not hold a network. (fmt brings os, and log/slog, which has the type of
// LogValue, brings log.)
func TestDeps(t *testing.T) {
	t.Parallel()
	direct := goList(t, "-f", `{{join .Imports "\n"}}`, ".")
	for _, banned := range []string{"os", "log", "net", "time", "context", "io/fs", "crypto/x509", "math/rand", "unsafe"} {
		if slices.Contains(direct, banned) {
			t.Errorf("caps imports %s", banned)
		}
	}
	all := goList(t, "-deps", ".")
	if !slices.Contains(all, "filippo.io/edwards25519") {
		t.Fatal("go list does not show what caps is known to need")
	}
	for _, pkg := range all {
		if pkg == "net" || strings.HasPrefix(pkg, "net/") || strings.HasPrefix(pkg, "crypto/x509") || pkg == "os/exec" {
			t.Errorf("caps needs %s", pkg)
		}
		if first, _, _ := strings.Cut(pkg, "/"); strings.Contains(first, ".") && !strings.HasPrefix(pkg, "filippo.io/edwards25519") {
			t.Errorf("caps needs the module of %s", pkg)
		}
		if strings.HasPrefix(pkg, "trunkline/") && pkg != "trunkline/caps" {
			t.Errorf("caps needs %s, which is above it", pkg)
		}
	}
}

func goList(t *testing.T, args ...string) []string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", append([]string{"list"}, args...)...)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v: %s", err, stderr.String())
	}
	return strings.Fields(string(out))
}
