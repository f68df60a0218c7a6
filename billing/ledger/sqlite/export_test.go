package sqlite

import "context"

// Fail has the writer run a change that writes something and then fails in a
// way that nobody foresaw.
func (s *Store) Fail(ctx context.Context, err error) error {
	return s.change(ctx, func(w *writer) error {
		if werr := w.exec(ctx, `UPDATE accounts SET name = 'half done'`); werr != nil {
			return werr
		}
		return err
	})
}

// FailToCommit has the writer run a change that only COMMIT finds fault with.
func (s *Store) FailToCommit(ctx context.Context) error {
	return s.change(ctx, func(w *writer) error {
		if err := w.exec(ctx, `PRAGMA defer_foreign_keys = on`); err != nil {
			return err
		}
		return w.exec(ctx, `INSERT INTO entries (entry, channel, payer_account, payee_account, amount, voucher, voucher_hash, booked_at, head)
			VALUES (1000, zeroblob(32), x'', x'', 0, x'', x'', 0, zeroblob(32))`)
	})
}

// Setting asks the writer's connection and a reader's.
func (s *Store) Setting(ctx context.Context, name string) (write, read string, err error) {
	err = s.change(ctx, func(w *writer) error {
		return w.queryRow("PRAGMA "+name, nil, &write)
	})
	if err != nil {
		return "", "", err
	}
	return write, read, s.read.QueryRowContext(ctx, "PRAGMA "+name).Scan(&read)
}
