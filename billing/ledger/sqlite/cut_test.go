package sqlite_test

import (
	"os"
	"path/filepath"
	"testing"

	"trunkline/billing/ledger/sqlite"
)

// Books that were cut, or in which a page is overwritten, are not opened: they
// would answer as if what is missing had never been owed.
func TestOpenDamaged(t *testing.T) {
	t.Parallel()
	const page = 4096
	for name, damage := range map[string]func(b []byte) []byte{
		"cut":         func(b []byte) []byte { return b[:len(b)/2/page*page] },
		"overwritten": func(b []byte) []byte { clear(b[len(b)-2*page : len(b)-page]); return b },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "books.db")
			s, _ := filled(t, path)
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			b, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, damage(b), 0o600); err != nil {
				t.Fatal(err)
			}
			s, err = sqlite.Open(t.Context(), path)
			if err == nil {
				err = s.Close()
				t.Errorf("opened; closed with %v", err)
			}
		})
	}
}
