// Package durable replaces a small file so that a crash leaves the old content
// or the new, whole, and never loses what was reported as written.
package durable

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// WriteFile replaces the file at path with data, mode 0600.
//
// When it returns nil, data is on disk under that name: written to a temporary
// file in the same folder, fsynced, renamed, and the folder fsynced. When it
// fails, the old content is still there, or the new one if the last step failed;
// then the outcome is unknown and the caller has to stop and reload. Callers of
// one path must not overlap.
func WriteFile(path string, data []byte) (err error) {
	dir := filepath.Dir(path)
	f, err := os.CreateTemp(dir, "."+filepath.Base(path)+".*")
	if err != nil {
		return fmt.Errorf("creating temporary file: %w", err)
	}
	tmp := f.Name()
	defer func() {
		if err != nil {
			_ = f.Close()
			_ = os.Remove(tmp)
		}
	}()
	// CreateTemp makes the file 0600 already.
	if _, err = f.Write(data); err != nil {
		return fmt.Errorf("writing %s: %w", filepath.Base(path), err)
	}
	if err = f.Sync(); err != nil {
		return fmt.Errorf("syncing %s: %w", filepath.Base(path), err)
	}
	if err = f.Close(); err != nil {
		return fmt.Errorf("closing %s: %w", filepath.Base(path), err)
	}
	if err = os.Rename(tmp, path); err != nil {
		return fmt.Errorf("renaming %s: %w", filepath.Base(path), err)
	}
	return SyncDir(dir)
}

// CreateFile is [WriteFile] for a file that must not exist yet: it matches
// fs.ErrExist if it does.
func CreateFile(path string, data []byte) error {
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		if err == nil {
			err = &fs.PathError{Op: "create", Path: path, Err: fs.ErrExist}
		}
		return err
	}
	return WriteFile(path, data)
}

// SyncDir makes the names in a folder durable.
func SyncDir(dir string) error {
	d, err := os.Open(dir) //nolint:gosec // G304: the folder is the caller's own
	if err != nil {
		return fmt.Errorf("opening folder: %w", err)
	}
	if err := d.Sync(); err != nil {
		_ = d.Close()
		return fmt.Errorf("syncing folder: %w", err)
	}
	if err := d.Close(); err != nil {
		return fmt.Errorf("closing folder: %w", err)
	}
	return nil
}

var (
	// ErrTooLarge means that a file has more bytes than its reader allows.
	ErrTooLarge = errors.New("file is too large")
	// ErrPermissions means that a file with a secret may be read by others.
	ErrPermissions = errors.New("readable by others")
)

// ReadFile reads a file of at most limit bytes. Errors: fs.ErrNotExist;
// ErrTooLarge.
func ReadFile(path string, limit int64) ([]byte, error) { return read(path, limit, false) }

// ReadSecret reads a file of at most limit bytes that only its owner may read.
// Errors: fs.ErrNotExist; ErrPermissions; ErrTooLarge.
func ReadSecret(path string, limit int64) ([]byte, error) { return read(path, limit, true) }

func read(path string, limit int64, secret bool) ([]byte, error) {
	f, err := os.Open(path) //nolint:gosec // G304: the path is the operator's own
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if secret {
		info, err := f.Stat()
		if err != nil {
			return nil, err
		}
		if info.Mode().Perm()&0o077 != 0 {
			return nil, fmt.Errorf("%s has mode %04o: %w; run chmod 600 on it", path, info.Mode().Perm(), ErrPermissions)
		}
	}
	b, err := io.ReadAll(io.LimitReader(f, limit+1)) //nolint:forbidigo // bounded
	if err != nil {
		return nil, err
	}
	if int64(len(b)) > limit {
		return nil, fmt.Errorf("%s has more than the %d bytes allowed: %w", path, limit, ErrTooLarge)
	}
	return b, nil
}
