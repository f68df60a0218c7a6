package interop_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// The stock tahoe command, command by command, against a Trunkline node.
func TestStockCommand(t *testing.T) {
	w := start(t)
	dir := t.TempDir()
	file, data := write(t, 300_000, 1)
	small := filepath.Join(dir, "small.txt")
	if err := os.WriteFile(small, []byte("hello\n"), 0o600); err != nil {
		t.Fatal(err)
	}

	w.stock(t, "create-alias", "t")
	if out := w.stock(t, "list-aliases"); !strings.Contains(out, "t: URI:DIR2:") {
		t.Fatalf("the alias is not a directory's: %.40s", out)
	}

	t.Run("put and get", func(t *testing.T) {
		cap := strings.TrimSpace(w.stock(t, "put", file))
		if !strings.HasPrefix(cap, "URI:CHK:") && !strings.HasPrefix(cap, "URI:LD:") {
			t.Fatalf("put printed %.12s", cap)
		}
		out := filepath.Join(dir, "out")
		w.stock(t, "get", cap, out)
		same(t, out, data)
		w.stock(t, "put", file, "t:a.bin")
		w.stock(t, "put", file, "t:a.bin") // again, in place
		w.stock(t, "put", small, "t:d1/d2/small.txt")
		w.stock(t, "get", "t:a.bin", out)
		same(t, out, data)
		if out, err := w.try(t, "get", "t:nosuch", out); err == nil {
			t.Fatalf("a file that is not there was got: %s", out)
		}
	})

	t.Run("mutable files", func(t *testing.T) {
		out := filepath.Join(dir, "mut")
		for _, format := range []string{"SDMF", "MDMF"} {
			w.stock(t, "put", "--format="+format, file, "t:mut-"+format)
			w.stock(t, "get", "t:mut-"+format, out)
			same(t, out, data)
			w.stock(t, "put", small, "t:mut-"+format)
			if got := w.stock(t, "get", "t:mut-"+format, "-"); got != "hello\n" {
				t.Fatalf("after the overwrite the file is %q", got)
			}
			cap := strings.TrimSpace(w.stock(t, "put", "--format="+format, small))
			w.stock(t, "put", file, cap)
			w.stock(t, "get", cap, out)
			same(t, out, data)
		}
	})

	t.Run("directories", func(t *testing.T) {
		w.stock(t, "mkdir", "t:newdir")
		w.stock(t, "mkdir", "t:newdir")
		w.stock(t, "mkdir", "--format=MDMF", "t:mdmfdir")
		if out := w.stock(t, "ls", "t:"); !slices.Contains(strings.Fields(out), "mdmfdir") {
			t.Fatalf("ls: %s", out)
		}
		w.stock(t, "ln", "t:a.bin", "t:linked")
		w.stock(t, "mv", "t:linked", "t:newdir/")
		if out, err := w.try(t, "mv", "t:a.bin", "t:newdir"); err == nil {
			t.Fatalf("a directory was overwritten by mv: %s", out)
		}
		if out := w.stock(t, "ls", "t:newdir"); strings.TrimSpace(out) != "linked" {
			t.Fatalf("ls newdir: %s", out)
		}
		w.stock(t, "unlink", "t:newdir/linked")
		if out, err := w.try(t, "unlink", "t:nosuch"); err == nil {
			t.Fatalf("what is not there was unlinked: %s", out)
		}
		if out := w.stock(t, "ls", "t:newdir"); strings.TrimSpace(out) != "" {
			t.Fatalf("ls newdir: %s", out)
		}
		long := w.stock(t, "ls", "-l", "t:")
		if !strings.Contains(long, "300000") {
			t.Fatalf("ls -l: %s", long)
		}
		var listed []any
		if err := json.Unmarshal([]byte(w.stock(t, "ls", "--json", "t:")), &listed); err != nil || listed[0] != "dirnode" {
			t.Fatalf("ls --json: %v", err)
		}
	})

	t.Run("cp", func(t *testing.T) {
		tree := filepath.Join(dir, "tree")
		if err := os.MkdirAll(filepath.Join(tree, "sub", "deep"), 0o700); err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"one", "sub/two", "sub/deep/th\u00f6rn \u2603"} {
			if err := os.WriteFile(filepath.Join(tree, name), []byte(strings.Repeat(name, 50)), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		w.stock(t, "cp", "-r", tree, "t:cpdir")
		w.stock(t, "cp", "-r", "t:cpdir", "t:cpdir2")
		back := filepath.Join(dir, "back")
		w.stock(t, "cp", "-r", "t:cpdir2", back)
		var found []string
		err := filepath.WalkDir(back, func(path string, d os.DirEntry, err error) error {
			if err == nil && !d.IsDir() {
				found = append(found, filepath.Base(path))
			}
			return err
		})
		slices.Sort(found)
		if want := []string{"one", "th\u00f6rn \u2603", "two"}; err != nil || !slices.Equal(found, want) {
			t.Fatalf("came back: %q, %v", found, err)
		}
		w.stock(t, "cp", small, "t:cpfile")
		w.stock(t, "cp", small, "t:cpfile")
		w.stock(t, "cp", "t:a.bin", filepath.Join(dir, "a.bin"))
		same(t, filepath.Join(dir, "a.bin"), data)
	})

	t.Run("check", func(t *testing.T) {
		for _, args := range [][]string{
			{"check", "t:a.bin"},
			{"check", "--verify", "t:a.bin"},
			{"check", "--repair", "t:a.bin"},
			{"check", "--add-lease", "t:a.bin"},
			{"check", "t:"},
			{"check", "t:mut-SDMF"},
			{"check", "--verify", "t:mut-MDMF"},
		} {
			if out := w.stock(t, args...); !strings.Contains(out, "ealthy") || strings.Contains(out, "Not Healthy") {
				t.Fatalf("%v: %s", args, out)
			}
		}
		if out := w.stock(t, "deep-check", "--verify", "t:"); !strings.Contains(out, "healthy") {
			t.Fatalf("deep-check: %s", out)
		}
		w.stock(t, "deep-check", "--repair", "--add-lease", "t:")
	})

	t.Run("manifest and stats", func(t *testing.T) {
		out := w.stock(t, "manifest", "t:")
		for _, want := range []string{"d1/d2/small.txt", "a.bin", "mdmfdir"} {
			if !strings.Contains(out, want) {
				t.Fatalf("manifest lacks %s:\n%s", want, out)
			}
		}
		w.stock(t, "manifest", "--storage-index", "t:")
		w.stock(t, "manifest", "--verify-cap", "t:")
		if out := w.stock(t, "stats", "t:"); !strings.Contains(out, "count-directories") {
			t.Fatalf("stats: %s", out)
		}
		w.stock(t, "status")
	})

	t.Run("backup", func(t *testing.T) {
		tree := filepath.Join(dir, "keep")
		if err := os.MkdirAll(filepath.Join(tree, "sub"), 0o700); err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"one", "sub/two"} {
			if err := os.WriteFile(filepath.Join(tree, name), []byte(strings.Repeat(name, 100)), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if out := w.stock(t, "backup", tree, "t:backups"); !strings.Contains(out, "2 files uploaded (0 reused)") {
			t.Fatalf("backup: %s", out)
		}
		if out := w.stock(t, "backup", tree, "t:backups"); !strings.Contains(out, "0 files uploaded (2 reused)") {
			t.Fatalf("backup again: %s", out)
		}
		if got := w.stock(t, "get", "t:backups/Latest/sub/two", "-"); got != strings.Repeat("sub/two", 100) {
			t.Fatalf("the backup holds %q", got)
		}
	})

	// A far file by its long-distance cap, through our node, by the stock command.
	t.Run("long distance", func(t *testing.T) {
		cap := w.ours(t, "alice", "put", file)
		if !strings.HasPrefix(cap, "URI:LD:") {
			t.Fatalf("put printed %.12s", cap)
		}
		out := filepath.Join(dir, "far")
		w.stock(t, "get", cap, out)
		same(t, out, data)
	})
}
