// Package backupdb remembers what backups have sent, so that nothing unchanged is
// sent again.
//
// The file is the one that Tahoe-LAFS's backup command keeps, version 2 of its
// schema, and can be taken over from there. It holds caps: only its owner may read
// it. Losing it costs time, and nothing else.
package backupdb

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	_ "modernc.org/sqlite" // the driver "sqlite"

	"trunkline/caps"
)

const version = 2

const schema = `
CREATE TABLE version (version INTEGER);
CREATE TABLE local_files (
 path VARCHAR(1024) PRIMARY KEY, -- absolute
 size INTEGER,
 mtime NUMBER,
 ctime NUMBER,
 fileid INTEGER
);
CREATE TABLE caps (
 fileid INTEGER PRIMARY KEY AUTOINCREMENT,
 filecap VARCHAR(256) UNIQUE
);
CREATE TABLE last_upload (
 fileid INTEGER PRIMARY KEY,
 last_uploaded TIMESTAMP,
 last_checked TIMESTAMP
);
CREATE TABLE directories (
 dirhash varchar(256) PRIMARY KEY, -- base32
 dircap varchar(256),
 last_uploaded TIMESTAMP,
 last_checked TIMESTAMP
);
INSERT INTO version VALUES (2);
`

// ErrDatabase: the file is no backup database that this program can use.
var ErrDatabase = errors.New("backup database")

// DB is an open database. Safe for concurrent use.
type DB struct{ db *sql.DB }

// Open opens the database at path, making it and its folder where there are none.
//
// Errors: ErrDatabase.
func Open(ctx context.Context, path string) (_ *DB, err error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, fmt.Errorf("making the folder of the backup database: %w", err)
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("opening the backup database: %w", err)
	}
	// Tahoe-LAFS leaves its own for everybody to read, in a folder that is closed to them.
	if err := errors.Join(f.Chmod(0o600), f.Close()); err != nil {
		return nil, fmt.Errorf("opening the backup database: %w", err)
	}
	q := url.Values{"_txlock": {"immediate"}, "_pragma": {"busy_timeout(10000)", "synchronous(normal)", "journal_mode(wal)"}}
	pool, err := sql.Open("sqlite", (&url.URL{Scheme: "file", Opaque: (&url.URL{Path: filepath.ToSlash(path)}).EscapedPath(), RawQuery: q.Encode()}).String())
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrDatabase, err)
	}
	pool.SetMaxOpenConns(1)
	d := &DB{pool}
	if err := d.prepare(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("%w: %s: %w", ErrDatabase, path, err), pool.Close())
	}
	return d, nil
}

func (d *DB) prepare(ctx context.Context) error {
	return d.change(ctx, func(tx *sql.Tx) error {
		var tables int
		if err := tx.QueryRowContext(ctx, `SELECT count(*) FROM sqlite_master`).Scan(&tables); err != nil {
			return err
		}
		if tables == 0 {
			_, err := tx.ExecContext(ctx, schema)
			return err
		}
		var found int
		if err := tx.QueryRowContext(ctx, `SELECT version FROM version`).Scan(&found); err != nil {
			return err
		}
		if found != version {
			return fmt.Errorf("it is of version %d, and this program knows version %d", found, version)
		}
		return nil
	})
}

// Close closes the file.
func (d *DB) Close() error { return d.db.Close() }

func (d *DB) change(ctx context.Context, f func(*sql.Tx) error) error {
	tx, err := d.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	if err := f(tx); err != nil {
		return err
	}
	return tx.Commit()
}

// Known is something that was sent.
type Known struct {
	Cap     caps.Cap
	Checked time.Time
}

const (
	// checkFrom and checkBy are how old an upload or its last check is when the next one
	// is due: never before the first, always after the second, by chance in between, so
	// that not everything is due on one day. Leases last 31 days and are renewed by checks.
	checkFrom = 10 * 24 * time.Hour
	checkBy   = 24 * 24 * time.Hour
)

// Due says whether it should be checked, and its leases renewed, before it is relied
// on. roll is from 0 to 1, evenly.
func (k Known) Due(now time.Time, roll float64) bool {
	age := now.Sub(k.Checked)
	return roll*float64(checkBy-checkFrom) < float64(age-checkFrom)
}

// Stat is by what a file is known to be unchanged.
type Stat struct {
	Size         int64
	Mtime, Ctime time.Time
}

// File finds what was sent of the file at path, an absolute one, if it is as it was then.
func (d *DB) File(ctx context.Context, path string, s Stat) (Known, bool, error) {
	var size int64
	var mtime, ctime, checked any
	var text string
	row := d.db.QueryRowContext(ctx, `SELECT size, mtime, ctime, filecap, last_checked
		FROM local_files JOIN caps USING (fileid) JOIN last_upload USING (fileid) WHERE path = ?1`, path)
	switch err := row.Scan(&size, &mtime, &ctime, &text, &checked); {
	case errors.Is(err, sql.ErrNoRows):
		return Known{}, false, nil
	case err != nil:
		return Known{}, false, fmt.Errorf("%w: %w", ErrDatabase, err)
	}
	if size != s.Size || !sameTimes(mtime, s.Mtime, ctime, s.Ctime) {
		return Known{}, false, nil
	}
	return known(text, checked)
}

// sameTimes compares with stored times. Tahoe-LAFS stores whole seconds, we store all
// of it.
func sameTimes(mtime any, m time.Time, ctime any, c time.Time) bool {
	mi, mWhole := mtime.(int64)
	ci, cWhole := ctime.(int64)
	if mWhole && cWhole {
		return mi == m.Unix() && ci == c.Unix()
	}
	return number(mtime) == seconds(m) && number(ctime) == seconds(c)
}

func seconds(t time.Time) float64 { return float64(t.Unix()) + float64(t.Nanosecond())/1e9 }

func number(v any) float64 {
	switch v := v.(type) {
	case int64:
		return float64(v)
	case float64:
		return v
	case []byte:
		f, _ := strconv.ParseFloat(string(v), 64)
		return f
	case string:
		f, _ := strconv.ParseFloat(v, 64)
		return f
	}
	return 0
}

// known is what a row says. A cap that can't be read is as good as none.
func known(text string, checked any) (Known, bool, error) {
	c, err := caps.Parse(text)
	if err != nil {
		return Known{}, false, nil //nolint:nilerr // it is sent again
	}
	sec := number(checked)
	return Known{c, time.Unix(int64(sec), 0)}, true, nil
}

// KeepFile remembers that the file at path, as s describes it, is stored under c.
func (d *DB) KeepFile(ctx context.Context, path string, s Stat, c caps.Cap, now time.Time) error {
	err := d.change(ctx, func(tx *sql.Tx) error {
		text := c.Text()
		if _, err := tx.ExecContext(ctx, `INSERT OR IGNORE INTO caps (filecap) VALUES (?1)`, text); err != nil {
			return err
		}
		var id int64
		if err := tx.QueryRowContext(ctx, `SELECT fileid FROM caps WHERE filecap = ?1`, text).Scan(&id); err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, `REPLACE INTO last_upload VALUES (?1, ?2, ?2)`, id, seconds(now)); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, `REPLACE INTO local_files VALUES (?1, ?2, ?3, ?4, ?5)`,
			path, s.Size, seconds(s.Mtime), seconds(s.Ctime), id)
		return err
	})
	if err != nil {
		return fmt.Errorf("%w: %w", ErrDatabase, err)
	}
	return nil
}

// Entry is one child of a directory.
type Entry struct {
	Name string
	Cap  caps.Cap
}

// Contents names a directory by the names and caps of its children. Metadata is left
// out: a directory whose files have only been touched is the same.
type Contents string

// ContentsOf names a directory. The order of children does not matter.
func ContentsOf(children []Entry) Contents {
	children = slices.Clone(children)
	slices.SortFunc(children, func(a, b Entry) int {
		if c := strings.Compare(a.Name, b.Name); c != 0 {
			return c
		}
		return strings.Compare(a.Cap.Text(), b.Cap.Text())
	})
	var data []byte
	for _, e := range children {
		for _, field := range []string{e.Name, e.Cap.Text()} {
			data = strconv.AppendInt(data, int64(len(field)), 10)
			data = append(data, ':')
			data = append(data, field...)
			data = append(data, ',')
		}
	}
	hash := caps.BackupDirectoryHash(data)
	return Contents(caps.EncodeBase32(hash[:]))
}

// Directory finds the immutable directory that was made with these children.
func (d *DB) Directory(ctx context.Context, c Contents) (Known, bool, error) {
	var text string
	var checked any
	row := d.db.QueryRowContext(ctx, `SELECT dircap, last_checked FROM directories WHERE dirhash = ?1`, string(c))
	switch err := row.Scan(&text, &checked); {
	case errors.Is(err, sql.ErrNoRows):
		return Known{}, false, nil
	case err != nil:
		return Known{}, false, fmt.Errorf("%w: %w", ErrDatabase, err)
	}
	return known(text, checked)
}

// KeepDirectory remembers that a directory with these children was made.
func (d *DB) KeepDirectory(ctx context.Context, contents Contents, c caps.Cap, now time.Time) error {
	_, err := d.db.ExecContext(ctx, `REPLACE INTO directories VALUES (?1, ?2, ?3, ?3)`, string(contents), c.Text(), seconds(now))
	if err != nil {
		return fmt.Errorf("%w: %w", ErrDatabase, err)
	}
	return nil
}

// KeepChecked remembers that a file or directory was found healthy.
func (d *DB) KeepChecked(ctx context.Context, c caps.Cap, now time.Time) error {
	err := d.change(ctx, func(tx *sql.Tx) error {
		// Tahoe-LAFS stores caps as blobs, which compare as different from the same text.
		_, err := tx.ExecContext(ctx, `UPDATE last_upload SET last_checked = ?2
			WHERE fileid IN (SELECT fileid FROM caps WHERE CAST(filecap AS TEXT) = ?1)`, c.Text(), seconds(now))
		if err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, `UPDATE directories SET last_checked = ?2 WHERE CAST(dircap AS TEXT) = ?1`, c.Text(), seconds(now))
		return err
	})
	if err != nil {
		return fmt.Errorf("%w: %w", ErrDatabase, err)
	}
	return nil
}
