package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"trunkline/billing"
	"trunkline/billing/ledger"
	"trunkline/caps"
)

const accountColumns = `account, name, currency, deposit, credit_line, suspended, balance, reserved`

// scanAccount reads a row of accountColumns.
func scanAccount(scan func(...any) error) (a ledger.Account, err error) {
	var key []byte
	err = scan(&key, &a.Name, &a.Currency, &a.Deposit, &a.CreditLine, &a.Suspended, &a.Balance, &a.Reserved)
	copy(a.Key[:], key)
	return a, err
}

// Account implements ledger.Store.
func (s *Store) Account(ctx context.Context, account caps.PublicKey) (ledger.Account, error) {
	row := s.read.QueryRowContext(ctx, `SELECT `+accountColumns+` FROM accounts WHERE account = ?1`, account[:])
	a, err := scanAccount(row.Scan)
	if errors.Is(err, sql.ErrNoRows) {
		return ledger.Account{}, fmt.Errorf("%w: %v", ledger.ErrNoAccount, account)
	}
	if err != nil {
		return ledger.Account{}, fmt.Errorf("sqlite: reading an account: %w", err)
	}
	return a, nil
}

// Accounts implements ledger.Store.
func (s *Store) Accounts(ctx context.Context) ([]ledger.Account, error) {
	return accounts(ctx, s.read)
}

// querier is a *sql.DB or a *sql.Tx.
type querier interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

func accounts(ctx context.Context, q querier) ([]ledger.Account, error) {
	var list []ledger.Account
	err := each(ctx, q, func(rows *sql.Rows) error {
		a, err := scanAccount(rows.Scan)
		list = append(list, a)
		return err
	}, `SELECT `+accountColumns+` FROM accounts ORDER BY account`)
	if err != nil {
		return nil, fmt.Errorf("sqlite: reading accounts: %w", err)
	}
	return list, nil
}

// each runs a query and calls f with each row.
func each(ctx context.Context, q querier, f func(*sql.Rows) error, query string, args ...any) (err error) {
	rows, err := q.QueryContext(ctx, query, args...)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		if err := f(rows); err != nil {
			return err
		}
	}
	return rows.Err()
}

// account reads an account for a change; a missing one is a refusal.
func (w *writer) account(key caps.PublicKey) (ledger.Account, error) {
	a, err := scanAccount(func(dest ...any) error {
		return w.queryRow(`SELECT `+accountColumns+` FROM accounts WHERE account = ?1`, []any{key[:]}, dest...)
	})
	if errors.Is(err, sql.ErrNoRows) {
		return a, refuse(fmt.Errorf("%w: %v", ledger.ErrNoAccount, key))
	}
	return a, err
}

// cover refuses to reserve asked on top of what is reserved on a, beyond what
// a's owner has paid in, is granted and has earned.
func cover(a ledger.Account, asked billing.Credits) error {
	if asked <= a.Available() {
		return nil
	}
	return refuse(&ledger.CreditError{
		Limit: a.Deposit + a.CreditLine, Used: -a.Balance, Reserved: a.Reserved, Asked: asked,
	})
}

// Admit implements ledger.Store.
func (s *Store) Admit(ctx context.Context, account caps.PublicKey, terms ledger.Terms) error {
	if _, err := caps.ParsePublicKey(account[:]); err != nil {
		return fmt.Errorf("%w: %w", ledger.ErrTerms, err)
	}
	if err := terms.Check(); err != nil {
		return err
	}
	return s.change(ctx, func(w *writer) error { return w.admit(account, terms) })
}

func (w *writer) admit(key caps.PublicKey, terms ledger.Terms) error {
	a, err := w.account(key)
	switch {
	case errors.Is(err, ledger.ErrNoAccount):
	case err != nil:
		return err
	case a.Currency != terms.Currency:
		return refuse(fmt.Errorf("%w: account is in %s", ledger.ErrCurrency, a.Currency))
	default:
		a.Terms = terms
		if err := cover(a, 0); err != nil {
			return err
		}
	}
	return w.exec(context.Background(), `
		INSERT INTO accounts (account, name, currency, deposit, credit_line, suspended)
		VALUES (?1, ?2, ?3, ?4, ?5, ?6)
		ON CONFLICT (account) DO UPDATE SET
			name = excluded.name, deposit = excluded.deposit,
			credit_line = excluded.credit_line, suspended = excluded.suspended`,
		key[:], terms.Name, terms.Currency, int64(terms.Deposit), int64(terms.CreditLine), terms.Suspended)
}

// Epoch implements ledger.Store.
func (s *Store) Epoch(ctx context.Context) (uint64, error) {
	var epoch uint64
	if err := s.read.QueryRowContext(ctx, selectEpoch).Scan(&epoch); err != nil {
		return 0, fmt.Errorf("sqlite: reading the epoch: %w", err)
	}
	return epoch, nil
}

const selectEpoch = `SELECT coalesce(max(epoch), 0) FROM revocations`

// Revoke implements ledger.Store.
func (s *Store) Revoke(ctx context.Context, key caps.PublicKey, at time.Time) (uint64, error) {
	return ask(ctx, s, func(w *writer) (uint64, error) { return w.revoke(key, at) })
}

func (w *writer) revoke(key caps.PublicKey, at time.Time) (epoch uint64, err error) {
	err = w.queryRow(`SELECT epoch FROM revocations WHERE key = ?1`, []any{key[:]}, &epoch)
	if !errors.Is(err, sql.ErrNoRows) {
		return epoch, err
	}
	if err := w.queryRow(selectEpoch, nil, &epoch); err != nil {
		return 0, err
	}
	epoch++
	return epoch, w.exec(context.Background(),
		`INSERT INTO revocations (key, epoch, revoked_at) VALUES (?1, ?2, ?3)`, key[:], int64(epoch), at.Unix())
}
