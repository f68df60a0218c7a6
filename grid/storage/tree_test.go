package storage_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// node is one file or directory.
type node struct {
	mode fs.FileMode
	time time.Time
	data string
}

// tree is everything below dir.
func tree(t testing.TB, dir string) map[string]node {
	t.Helper()
	nodes := make(map[string]node)
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || path == dir {
			return err
		}
		fi, err := d.Info()
		if err != nil {
			return err
		}
		n := node{mode: fi.Mode(), time: fi.ModTime()}
		if d.Type().IsRegular() {
			b, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			n.data = string(b)
		}
		name, err := filepath.Rel(dir, path)
		nodes[filepath.ToSlash(name)] = n
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return nodes
}

// eventually waits for what another goroutine is about to do. The time only bounds a failure.
func eventually(t testing.TB, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !ok(); {
		if time.Now().After(end) {
			t.Fatal("it never happened")
		}
		time.Sleep(time.Millisecond)
	}
}
