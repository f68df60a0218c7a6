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
