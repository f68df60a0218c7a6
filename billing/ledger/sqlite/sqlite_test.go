package sqlite_test

import (
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"trunkline/billing"
	"trunkline/billing/billingtest"
	"trunkline/billing/ledger"
	"trunkline/billing/ledger/ledgertest"
	"trunkline/billing/ledger/sqlite"
	"trunkline/billing/sealed"
)

func TestMain(m *testing.M) {
	if path := os.Getenv(crashEnv); path != "" {
		postUntilKilled(path)
	}
	goleak.VerifyTestMain(m)
}

func TestStore(t *testing.T) {
	t.Parallel()
	ledgertest.Run(t, func(dir string) (ledger.Store, error) {
		return sqlite.Open(t.Context(), filepath.Join(dir, "books.db"))
	})
}

// filled opens a store at path with one channel, on which 30 of 100 are owed.
func filled(t testing.TB, path string) (*sqlite.Store, sealed.Sealed[billing.Approval]) {
	t.Helper()
	s, err := sqlite.Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"payer grid", "payee grid"} {
		if err := s.Admit(t.Context(), billingtest.Public(name), ledger.Terms{Name: name, Currency: "EUR", Deposit: 1_000_000 * billing.Unit}); err != nil {
			t.Fatal(err)
		}
	}
	tariff := ledgertest.UnitTariff(t)
	a := billingtest.Approval(t, tariff, nil)
	if err := s.Reserve(t.Context(), ledger.Reservation{Approval: a, Tariff: tariff}); err != nil {
		t.Fatal(err)
	}
	for n := range uint64(3) {
		if _, err := s.Post(t.Context(), billingtest.Voucher(t, a, tariff, 10*(n+1), 0), time.Unix(billingtest.Start, 0)); err != nil {
			t.Fatal(err)
		}
	}
	return s, a
}

// TestOpenNames: a path is a path, whatever is in it, and the file is private.
func TestOpenNames(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"books.db", "a b", "100%", "what?", "c#", "d&_pragma=synchronous(off)", "ü"} {
		path := filepath.Join(t.TempDir(), name)
		s, _ := filled(t, path)
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		info, err := os.Stat(path)
		if err != nil {
			t.Fatalf("%q: %v", name, err)
		}
		if info.Mode().Perm() != 0o600 || info.Size() == 0 {
			t.Errorf("%q: mode %v, %d bytes", name, info.Mode(), info.Size())
		}
	}
}

func TestOpenRefuses(t *testing.T) {
	t.Parallel()
	t.Run("no folder", func(t *testing.T) {
		t.Parallel()
		if _, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "none", "books.db")); !errors.Is(err, os.ErrNotExist) {
			t.Error(err)
		}
	})
	t.Run("not a database", func(t *testing.T) {
		t.Parallel()
		path := filepath.Join(t.TempDir(), "books.db")
		if err := os.WriteFile(path, make([]byte, 4096), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := sqlite.Open(t.Context(), path); err == nil {
			t.Error("opened")
		}
	})
	t.Run("newer", func(t *testing.T) {
		t.Parallel()
		path := filepath.Join(t.TempDir(), "books.db")
		s, _ := filled(t, path)
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		tamper(t, path, `INSERT INTO goose_db_version (version_id, is_applied) VALUES (999, 1)`)
		if _, err := sqlite.Open(t.Context(), path); !errors.Is(err, sqlite.ErrNewer) {
			t.Error(err)
		}
	})
}

func tamper(t *testing.T, path, query string) {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+path)
	if err != nil {
		t.Fatal(err)
	}
	r, err := db.ExecContext(t.Context(), query)
	if err == nil {
		var n int64
		if n, err = r.RowsAffected(); n == 0 {
			t.Errorf("%s: changed nothing", query)
		}
	}
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
}

// TestCheckFinds: whatever is changed in the books behind our back, Check finds.
func TestCheckFinds(t *testing.T) {
	t.Parallel()
	template := filepath.Join(t.TempDir(), "books.db")
	s, _ := filled(t, template)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	image, err := os.ReadFile(template)
	if err != nil {
		t.Fatal(err)
	}
	queries := []string{
		`UPDATE accounts SET balance = balance + 1 WHERE balance > 0`,
		`UPDATE accounts SET balance = 0`,
		`UPDATE accounts SET reserved = reserved - 1 WHERE reserved > 0`,
		`UPDATE accounts SET currency = 'USD'`,
		`UPDATE accounts SET deposit = 2000000000000000000`,
		`UPDATE channels SET payer = zeroblob(32)`,
		`UPDATE channels SET payer_account = payee_account, payee_account = payer_account`,
		`UPDATE channels SET limit_bytes = limit_bytes + 1`,
		`UPDATE channels SET limit_credits = limit_credits + 1`,
		`UPDATE channels SET period = period + 1`,
		`UPDATE channels SET grace_until = grace_until + 1`,
		`UPDATE channels SET reserved = reserved - 1`,
		`UPDATE channels SET released = 1`,
		`UPDATE channels SET entry = 2`,
		`UPDATE channels SET entry = 0`,
		`UPDATE channels SET bytes = bytes + 1`,
		`UPDATE channels SET lookups = 1`,
		`UPDATE channels SET credits = credits + 1`,
		`UPDATE channels SET approval = zeroblob(length(approval))`,
		`UPDATE tariffs SET envelope = zeroblob(length(envelope))`,
		`DELETE FROM entries WHERE entry = 3`,
		`DELETE FROM entries WHERE entry = 1`,
		`UPDATE entries SET entry = 4 WHERE entry = 3`,
		`UPDATE entries SET amount = amount + 1 WHERE entry = 2`,
		`UPDATE entries SET booked_at = booked_at + 1 WHERE entry = 2`,
		`UPDATE entries SET payer_account = payee_account, payee_account = payer_account WHERE entry = 2`,
		`UPDATE entries SET voucher = (SELECT voucher FROM entries WHERE entry = 1) WHERE entry = 2`,
		`UPDATE entries SET voucher = zeroblob(length(voucher)) WHERE entry = 2`,
		`UPDATE entries SET voucher_hash = zeroblob(32) WHERE entry = 2`,
		`UPDATE entries SET head = zeroblob(32) WHERE entry = 3`,
		`UPDATE entries SET channel = zeroblob(32) WHERE entry = 3`,
		`UPDATE tariffs SET per_gib = per_gib + 1`,
		`UPDATE tariffs SET per_lookup = per_lookup + 1`,
		`UPDATE tariffs SET free_bytes = free_bytes + 1`,
		`UPDATE tariffs SET toll_free = 1`,
	}
	for i, query := range queries {
		t.Run(query, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), fmt.Sprint(i))
			if err := os.WriteFile(path, image, 0o600); err != nil {
				t.Fatal(err)
			}
			check := func() error {
				s, err := sqlite.Open(t.Context(), path)
				if err != nil {
					t.Fatal(err)
				}
				return errors.Join(s.Check(t.Context()), s.Close())
			}
			if err := check(); err != nil {
				t.Fatalf("before: %v", err)
			}
			tamper(t, path, query)
			if err := check(); !errors.Is(err, ledger.ErrBroken) {
				t.Errorf("not found: %v", err)
			}
		})
	}
}

// TestOneFailureIsAlone: a change that fails in an unforeseen way is undone, and
// takes none of those along that share its transaction.
func TestOneFailureIsAlone(t *testing.T) {
	t.Parallel()
	s, a := filled(t, filepath.Join(t.TempDir(), "books.db"))
	defer func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}()
	tariff := ledgertest.UnitTariff(t)
	boom := errors.New("boom")
	var work sync.WaitGroup
	for i := range uint64(40) {
		work.Go(func() {
			if _, err := s.Post(t.Context(), billingtest.Voucher(t, a, tariff, 100+i, 0), time.Unix(billingtest.Start, 0)); err != nil {
				t.Error(err)
			}
		})
		if i%8 == 0 {
			work.Go(func() {
				if err := s.Fail(t.Context(), boom); !errors.Is(err, boom) {
					t.Errorf("failing change says %v", err)
				}
			})
		}
	}
	work.Wait()
	for _, name := range []string{"payer grid", "payee grid"} {
		got, err := s.Account(t.Context(), billingtest.Public(name))
		if err != nil || got.Name != name {
			t.Errorf("%s is now %q, %v", name, got.Name, err)
		}
	}
	if c, err := s.Channel(t.Context(), a.Value.Channel); err != nil || c.Last.Bytes != 139 {
		t.Errorf("%+v, %v", c, err)
	}
	if err := s.Check(t.Context()); err != nil {
		t.Error(err)
	}
}

// TestCommitFails: who shares a transaction whose end is unclear is told so, and
// asking again settles it.
func TestCommitFails(t *testing.T) {
	t.Parallel()
	s, a := filled(t, filepath.Join(t.TempDir(), "books.db"))
	defer func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}()
	if err := s.FailToCommit(t.Context()); !errors.Is(err, ledger.ErrUnknown) {
		t.Fatalf("commit failed: %v", err)
	}
	p, err := s.Post(t.Context(), billingtest.Voucher(t, a, ledgertest.UnitTariff(t), 50, 0), time.Unix(billingtest.Start, 0))
	if err != nil || p.Entry != 4 {
		t.Errorf("afterwards: %+v, %v", p, err)
	}
	if err := s.Check(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestSettings(t *testing.T) {
	t.Parallel()
	s, _ := filled(t, filepath.Join(t.TempDir(), "books.db"))
	defer func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}()
	for name, want := range map[string][2]string{
		"synchronous":  {"3", "3"},
		"journal_mode": {"wal", "wal"},
		"foreign_keys": {"1", "1"},
		"query_only":   {"0", "1"},
	} {
		write, read, err := s.Setting(t.Context(), name)
		if err != nil || write != want[0] || read != want[1] {
			t.Errorf("%s is %s for the writer and %s for readers, want %q: %v", name, write, read, want, err)
		}
	}
}

func BenchmarkStore(b *testing.B) {
	ledgertest.Bench(b, func(dir string) (ledger.Store, error) {
		return sqlite.Open(b.Context(), filepath.Join(dir, "books.db"))
	})
}
