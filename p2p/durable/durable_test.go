package durable_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"trunkline/p2p/durable"
)

func TestWriteFileReplaces(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "state")
	for _, want := range []string{"one", "two, longer", ""} {
		if err := durable.WriteFile(path, []byte(want)); err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(path)
		if err != nil || string(got) != want {
			t.Fatalf("read %q, %v; want %q", got, err, want)
		}
		info, err := os.Stat(path)
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Fatalf("mode %v, %v; want 0600", info.Mode(), err)
		}
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 1 {
		t.Errorf("%d files are left, %v; want 1", len(entries), err)
	}
}

func TestWriteFileFailureLeavesOldContent(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "state")
	if err := os.Mkdir(path, 0o700); err != nil { // a folder in the way: rename fails
		t.Fatal(err)
	}
	if err := durable.WriteFile(path, []byte("x")); err == nil {
		t.Fatal("replaced a folder")
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 1 {
		t.Errorf("%d files are left, %v; want the folder alone", len(entries), err)
	}
}

func TestCreateFileRefusesToReplace(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "key")
	if err := durable.CreateFile(path, []byte("first")); err != nil {
		t.Fatal(err)
	}
	if err := durable.CreateFile(path, []byte("second")); !errors.Is(err, fs.ErrExist) {
		t.Errorf("got %v, want fs.ErrExist", err)
	}
	if got, _ := os.ReadFile(path); string(got) != "first" {
		t.Errorf("content is %q", got)
	}
}

func TestReadSecretRefusesWhatOthersCanRead(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "key")
	if err := durable.WriteFile(path, []byte("secret")); err != nil {
		t.Fatal(err)
	}
	if b, err := durable.ReadSecret(path, 100); err != nil || string(b) != "secret" {
		t.Fatalf("got %q, %v", b, err)
	}
	if _, err := durable.ReadSecret(path, 5); !errors.Is(err, durable.ErrTooLarge) {
		t.Errorf("got %v, want ErrTooLarge", err)
	}
	if err := os.Chmod(path, 0o640); err != nil {
		t.Fatal(err)
	}
	if _, err := durable.ReadSecret(path, 100); !errors.Is(err, durable.ErrPermissions) {
		t.Errorf("got %v, want ErrPermissions", err)
	}
	if b, err := durable.ReadFile(path, 6); err != nil || string(b) != "secret" {
		t.Errorf("what is no secret: got %q, %v", b, err)
	}
	if _, err := durable.ReadSecret(path+"x", 100); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v, want fs.ErrNotExist", err)
	}
}
