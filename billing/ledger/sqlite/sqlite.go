// Package sqlite keeps an approver's books in one SQLite file.
//
// Changes go through one writer, which takes whatever is asked for at the
// moment into one transaction and answers when that is on disk: the more
// callers, the fewer fsyncs each. Reading goes past it, on connections of its
// own, and sees what is committed.
//
// The file is opened with synchronous=EXTRA before it is switched to a
// write-ahead log; in the other order a power cut during the switch can lose
// the books. Settings are read back, and the store does not open with others.
// Keep the file on a local disk, together with its -wal and -shm.
package sqlite

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"sync"

	"github.com/pressly/goose/v3"
	_ "modernc.org/sqlite" // the driver "sqlite"; nothing else in the program knows which it is

	"trunkline/billing/ledger"
)

//go:embed migrations/*.sql
var migrations embed.FS

// ErrSettings means that SQLite did not take a setting on which durability
// rests, as on some network file systems.
var ErrSettings = errors.New("sqlite: setting refused")

// ErrNewer means that the file was written by a newer version of this program.
var ErrNewer = errors.New("sqlite: books are of a newer version")

// Store is a ledger.Store in one SQLite file.
type Store struct {
	write *sql.DB // one connection, the writer's
	read  *sql.DB

	mu     sync.RWMutex // held for reading while handing over to the writer
	closed bool
	jobs   chan job
	done   chan struct{} // closed when the writer has returned
}

var _ ledger.Store = (*Store)(nil)

// settings are applied in this order to each connection, and read back.
var settings = []struct{ name, set, got string }{
	{"busy_timeout", "5000", "5000"}, // ms; only other processes are ever waited for
	{"foreign_keys", "on", "1"},
	{"synchronous", "extra", "3"}, // before journal_mode, see above
	{"journal_mode", "wal", "wal"},
}

// Open opens the books at path and creates them if there are none; the folder
// must exist. Older books are brought up to date.
//
// Errors: ErrSettings, ErrNewer, ledger.ErrBroken, and what the file system or SQLite say.
func Open(ctx context.Context, path string) (_ *Store, err error) {
	path, err = filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("sqlite: finding the books: %w", err)
	}
	// Not world-readable, as SQLite would make it: balances are nobody's business.
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("sqlite: opening the books: %w", err)
	}
	if err := f.Close(); err != nil {
		return nil, fmt.Errorf("sqlite: opening the books: %w", err)
	}

	s := &Store{jobs: make(chan job, maxBatch), done: make(chan struct{})}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.closeFiles())
		}
	}()
	if s.write, err = connect(ctx, path, ""); err != nil {
		return nil, err
	}
	s.write.SetMaxOpenConns(1)
	if err := sound(ctx, s.write); err != nil {
		return nil, err
	}
	if err := migrate(ctx, s.write); err != nil {
		return nil, err
	}
	if err := syncDir(filepath.Dir(path)); err != nil {
		return nil, err
	}
	if s.read, err = connect(ctx, path, "query_only(on)"); err != nil {
		return nil, err
	}
	s.read.SetMaxOpenConns(max(4, runtime.GOMAXPROCS(0)))

	w, err := newWriter(ctx, s.write)
	if err != nil {
		return nil, err
	}
	go func() {
		defer close(s.done)
		w.run(s.jobs)
	}()
	return s, nil
}

// connect opens path with our settings, and a further one.
func connect(ctx context.Context, path, more string) (*sql.DB, error) {
	q := url.Values{"_txlock": {"immediate"}}
	for _, p := range settings {
		q.Add("_pragma", p.name+"("+p.set+")")
	}
	if more != "" {
		q.Add("_pragma", more)
		q.Del("_txlock")
	}
	dsn := url.URL{Scheme: "file", Path: path, RawQuery: q.Encode()}
	db, err := sql.Open("sqlite", dsn.String())
	if err != nil {
		return nil, fmt.Errorf("sqlite: opening the books: %w", err)
	}
	for _, p := range settings {
		var got string
		if err := db.QueryRowContext(ctx, "PRAGMA "+p.name).Scan(&got); err != nil {
			return nil, errors.Join(fmt.Errorf("sqlite: reading back %s: %w", p.name, err), db.Close())
		}
		if got != p.got {
			return nil, errors.Join(fmt.Errorf("%w: %s is %s instead of %s", ErrSettings, p.name, got, p.got), db.Close())
		}
	}
	return db, nil
}

// sound refuses a file that was cut or damaged: books that miss pages would
// answer as if what is missing had never been. [Store.Check] looks further.
func sound(ctx context.Context, db *sql.DB) error {
	var verdict string
	if err := db.QueryRowContext(ctx, `PRAGMA quick_check(1)`).Scan(&verdict); err != nil {
		return fmt.Errorf("%w: checking the file: %w", ledger.ErrBroken, err)
	}
	if verdict != "ok" {
		return fmt.Errorf("%w: file: %s", ledger.ErrBroken, verdict)
	}
	return nil
}

func migrate(ctx context.Context, db *sql.DB) error {
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return fmt.Errorf("sqlite: finding migrations: %w", err)
	}
	p, err := goose.NewProvider(goose.DialectSQLite3, db, files, goose.WithDisableGlobalRegistry(true))
	if err != nil {
		return fmt.Errorf("sqlite: reading migrations: %w", err)
	}
	has, known, err := p.GetVersions(ctx)
	if err != nil {
		return fmt.Errorf("sqlite: reading the version of the books: %w", err)
	}
	if has > known {
		return fmt.Errorf("%w: %d, this program knows %d", ErrNewer, has, known)
	}
	if _, err := p.Up(ctx); err != nil {
		return fmt.Errorf("sqlite: bringing the books up to date: %w", err)
	}
	return nil
}

// syncDir makes the names of new files durable.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("sqlite: opening the folder of the books: %w", err)
	}
	if err := errors.Join(d.Sync(), d.Close()); err != nil {
		return fmt.Errorf("sqlite: syncing the folder of the books: %w", err)
	}
	return nil
}

// Close implements ledger.Store.
func (s *Store) Close() error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil
	}
	s.closed = true
	close(s.jobs)
	s.mu.Unlock()
	<-s.done
	return s.closeFiles()
}

func (s *Store) closeFiles() error {
	var errs []error
	for _, db := range []*sql.DB{s.read, s.write} {
		if db != nil {
			errs = append(errs, db.Close())
		}
	}
	return errors.Join(errs...)
}
