package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"trunkline/billing/ledger"
)

// maxBatch is how many changes share a transaction at most.
const maxBatch = 512

// job is one change. run reads, decides, and writes, in this order: once it has
// written, it returns a refusal no more. It may be run again, after all was
// rolled back.
type job struct {
	ctx  context.Context
	run  func(*writer) error
	done chan error // capacity 1
}

// refusal marks an error as a decision taken before anything was written.
type refusal struct{ error }

func (r refusal) Unwrap() error { return r.error }

func refuse(err error) error { return refusal{err} }

// change has the writer run a change and returns when it is on disk.
func (s *Store) change(ctx context.Context, run func(*writer) error) error {
	j := job{ctx: ctx, run: run, done: make(chan error, 1)}
	if err := s.enqueue(ctx, j); err != nil {
		return err
	}
	select {
	case err := <-j.done:
		return err
	case <-ctx.Done():
		return fmt.Errorf("%w: %w", ledger.ErrUnknown, ctx.Err())
	}
}

// ask is change, for a change that has a result.
func ask[T any](ctx context.Context, s *Store, run func(*writer) (T, error)) (T, error) {
	// Given up on, a change may still run; its result then goes nowhere.
	result := new(T)
	err := s.change(ctx, func(w *writer) (err error) {
		*result, err = run(w)
		return err
	})
	if err != nil {
		return *new(T), err
	}
	return *result, nil
}

func (s *Store) enqueue(ctx context.Context, j job) error {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.closed {
		return ledger.ErrClosed
	}
	select {
	case s.jobs <- j:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// writer is the one that writes; its methods are the changes. Only its own
// goroutine uses it, and its statements run on one connection.
type writer struct {
	conn   *sql.Conn
	stmts  map[string]*sql.Stmt
	broken error // a failure after which memory and disk may differ
}

// newWriter takes db's connection.
func newWriter(ctx context.Context, db *sql.DB) (*writer, error) {
	conn, err := db.Conn(ctx)
	if err != nil {
		return nil, fmt.Errorf("sqlite: connecting the writer: %w", err)
	}
	return &writer{conn: conn, stmts: make(map[string]*sql.Stmt)}, nil
}

// run does jobs until there are no more, as many as are waiting at a time.
func (w *writer) run(jobs <-chan job) {
	defer w.close()
	batch := make([]job, 0, maxBatch)
	for j := range jobs {
		batch = append(batch[:0], j)
	more:
		for len(batch) < maxBatch {
			select {
			case j, ok := <-jobs:
				if !ok {
					break more
				}
				batch = append(batch, j)
			default:
				break more
			}
		}
		w.do(batch)
	}
}

// do runs a batch in one transaction, or, if one of its jobs fails in an
// unforeseen way, each in its own.
func (w *writer) do(batch []job) {
	results, err := w.transact(batch)
	if err == nil {
		for i, j := range batch {
			j.done <- results[i]
		}
		return
	}
	if len(batch) == 1 || errors.Is(err, ledger.ErrUnknown) || w.broken != nil {
		for _, j := range batch {
			j.done <- err
		}
		return
	}
	for i := range batch {
		w.do(batch[i : i+1])
	}
}

// transact runs jobs and commits. It returns what each of them came to: nil, a
// refusal, or its context's error. If err is not nil nothing is committed, or,
// if it is ErrUnknown, perhaps all.
func (w *writer) transact(batch []job) (results []error, err error) {
	if w.broken != nil {
		return nil, fmt.Errorf("sqlite: store must be opened again: %w", w.broken)
	}
	// The batch is many callers': one that gives up does not stop the others.
	ctx := context.Background()
	if err := w.exec(ctx, "BEGIN IMMEDIATE"); err != nil {
		return nil, fmt.Errorf("sqlite: beginning: %w", err)
	}
	results = make([]error, len(batch))
	for i, j := range batch {
		if err := j.ctx.Err(); err != nil {
			results[i] = err
			continue
		}
		err := j.run(w)
		if r, ok := errors.AsType[refusal](err); ok {
			results[i] = r.error
		} else if err != nil {
			return nil, w.rollback(ctx, err)
		}
	}
	if err := w.exec(ctx, "COMMIT"); err != nil {
		return nil, fmt.Errorf("%w: %w", ledger.ErrUnknown, w.rollback(ctx, err))
	}
	return results, nil
}

// rollback ends the transaction that err made unusable, and returns err.
func (w *writer) rollback(ctx context.Context, err error) error {
	if isFatal(err) {
		w.broken = err
	}
	// SQLite has rolled back by itself after some errors; then this one says so.
	if rerr := w.exec(ctx, "ROLLBACK"); rerr != nil && isFatal(rerr) {
		w.broken = rerr
	}
	return err
}

// isFatal reports errors after which nobody knows what the disk holds: asking
// to sync again would say yes without having done it.
func isFatal(err error) bool {
	e, ok := errors.AsType[*sqlite.Error](err)
	if !ok {
		return false
	}
	switch e.Code() & 0xff {
	case sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_INTERNAL:
		return true
	}
	return false
}

// exec runs a statement that nothing more is asked of.
func (w *writer) exec(ctx context.Context, query string, args ...any) error {
	st, err := w.prepare(ctx, query) //nolint:sqlclosecheck // kept for next time; close closes it
	if err != nil {
		return err
	}
	_, err = st.ExecContext(ctx, args...)
	return err
}

// queryRow runs a query for one row.
func (w *writer) queryRow(query string, args []any, dest ...any) error {
	ctx := context.Background()
	st, err := w.prepare(ctx, query) //nolint:sqlclosecheck // kept for next time; close closes it
	if err != nil {
		return err
	}
	return st.QueryRowContext(ctx, args...).Scan(dest...)
}

// prepare keeps each statement from its first use on.
func (w *writer) prepare(ctx context.Context, query string) (*sql.Stmt, error) {
	if st, ok := w.stmts[query]; ok {
		return st, nil
	}
	st, err := w.conn.PrepareContext(ctx, query)
	if err != nil {
		return nil, err
	}
	w.stmts[query] = st
	return st, nil
}

func (w *writer) close() {
	for _, st := range w.stmts {
		_ = st.Close()
	}
	_ = w.conn.Close()
}
