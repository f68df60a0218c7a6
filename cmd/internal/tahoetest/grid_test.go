package tahoetest_test

import (
	"strings"
	"testing"
)

// The stock command works on the grid, so what the other tests see is real.
func TestGrid(t *testing.T) {
	t.Parallel()
	g := tests.Shared(t)
	text := strings.Repeat("a file of some length. ", 100)
	file, err := g.Tahoe(t.Context(), strings.NewReader(text), "put", "-")
	if err != nil {
		t.Fatal(err)
	}
	got, err := g.Tahoe(t.Context(), nil, "get", strings.TrimSpace(file), "-")
	if err != nil || got != text {
		t.Fatalf("got %d bytes, %v", len(got), err)
	}
}
