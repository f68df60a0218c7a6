package keyfile_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"trunkline/p2p/keyfile"
)

func TestKeyFile(t *testing.T) {
	t.Parallel()
	key, id, err := keyfile.Generate()
	if err != nil {
		t.Fatal(err)
	}
	_, other, err := keyfile.Generate()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "key")
	if _, err := keyfile.Read(path, id); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("missing: got %v, want fs.ErrNotExist", err)
	}
	if err := keyfile.Write(path, key); err != nil {
		t.Fatal(err)
	}
	got, err := keyfile.Read(path, id)
	if err != nil || !got.Equals(key) {
		t.Errorf("read another key, %v", err)
	}
	if err := keyfile.Write(path, key); !errors.Is(err, fs.ErrExist) {
		t.Errorf("writing again: got %v, want fs.ErrExist", err)
	}
	if _, err := keyfile.Read(path, other); !errors.Is(err, keyfile.ErrKey) {
		t.Errorf("another's: got %v, want ErrKey", err)
	}
	if err := os.Chmod(path, 0o604); err != nil {
		t.Fatal(err)
	}
	if _, err := keyfile.Read(path, id); !errors.Is(err, keyfile.ErrKey) {
		t.Errorf("readable by others: got %v, want ErrKey", err)
	}
}
