package sqlite_test

import (
	"path/filepath"
	"testing"

	"trunkline/billing/ledger"
	"trunkline/billing/ledger/ledgertest"
	"trunkline/billing/ledger/sqlite"
)

func TestStore(t *testing.T) {
	t.Parallel()
	ledgertest.Run(t, func(dir string) (ledger.Store, error) {
		return sqlite.Open(t.Context(), filepath.Join(dir, "books.db"))
	})
}
