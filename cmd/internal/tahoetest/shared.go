package tahoetest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"testing"
)

// Tests is what runs a package's tests: *testing.M, or what wraps one.
type Tests interface{ Run() int }

// Main runs a package's tests where they reach nothing but loopback, with the grid that Shared gives them.
type Main struct {
	Tests Tests

	once sync.Once
	grid *Grid
	dir  string
	err  error
}

// Run implements Tests. It belongs into TestMain.
func (m *Main) Run() int {
	if os.Getenv(Environment) == "" {
		return m.Tests.Run()
	}
	code, done, err := Alone()
	if err != nil {
		fmt.Fprintln(os.Stderr, "tahoetest:", err)
		return 1
	}
	if done {
		return code
	}
	code = m.Tests.Run()
	if m.grid != nil {
		if err := m.grid.Stop(); err != nil {
			fmt.Fprintln(os.Stderr, "tahoetest:", err)
		}
	}
	if m.dir != "" {
		os.RemoveAll(m.dir)
	}
	return code
}

// Shared is the grid that all tests of the package share: the first that asks waits until it has started. Without a
// tahoe command the test is skipped.
func (m *Main) Shared(t testing.TB) *Grid {
	t.Helper()
	m.once.Do(func() {
		if os.Getenv(Environment) == "" {
			m.err = ErrNoTahoe
			return
		}
		if m.dir, m.err = os.MkdirTemp("", "tahoetest-"); m.err == nil {
			m.grid, m.err = Start(context.Background(), m.dir, Options{})
		}
	})
	if errors.Is(m.err, ErrNoTahoe) {
		t.Skip(m.err)
	}
	if m.err != nil {
		t.Fatal(m.err)
	}
	return m.grid
}
