package interop_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// sizes covers literals, one segment and several, and what lies around their edges, 60 in all.
func sizes() []int {
	list := []int{1, 54, 55, 56, 57, 100, 1023, 1024, 4095, 131071, 131072, 131073, 1<<20 - 1, 1 << 20, 1<<20 + 1, 3<<20 + 17}
	for i := len(list); i < 60; i++ {
		list = append(list, i*i*37+i)
	}
	return list
}

// alice stands in front of Tahoe's servers: what the real client wrote there she reads.
func TestTahoeWritesWeRead(t *testing.T) {
	w := start(t)
	for i, size := range sizes() {
		if i%4 == 3 {
			continue // a quarter goes the other way below
		}
		path, data := write(t, size, uint64(1000+i))
		cap := w.theirs(t, "put", path)
		out := filepath.Join(t.TempDir(), "out")
		w.oursIn(t, "alice", cap, "get", "-", "-o", out)
		same(t, out, data)
	}
	for i, format := range []string{"SDMF", "MDMF"} {
		for _, size := range []int{1, 1000, 300_000} {
			path, data := write(t, size, uint64(2000+i))
			cap := w.theirs(t, "put", "--format="+format, path)
			out := filepath.Join(t.TempDir(), "out")
			w.oursIn(t, "alice", cap, "get", "-", "-o", out)
			same(t, out, data)
			// Written over by us, read by Tahoe, written over by Tahoe, read by us.
			path, data = write(t, size+5, uint64(3000+i))
			w.ours(t, "alice", "put", path, cap)
			w.theirs(t, "get", cap, out)
			same(t, out, data)
			path, data = write(t, size+9, uint64(4000+i))
			w.theirs(t, "put", path, cap)
			w.oursIn(t, "alice", cap, "get", "-", "-o", out)
			same(t, out, data)
		}
	}
}

func TestWeWriteTahoeReads(t *testing.T) {
	w := start(t)
	for i, size := range sizes() {
		if i%4 != 3 {
			continue
		}
		path, data := write(t, size, uint64(5000+i))
		cap := plain(w.ours(t, "alice", "put", path))
		out := filepath.Join(t.TempDir(), "out")
		w.theirs(t, "get", cap, out)
		same(t, out, data)
		if size > 55 {
			if said := w.theirs(t, "check", "--verify", cap); !strings.Contains(said, "Healthy") || strings.Contains(said, "Not") {
				t.Fatalf("check of %d bytes: %s", size, said)
			}
		}
	}
	for i, format := range []string{"sdmf", "mdmf"} {
		for _, size := range []int{1, 1000, 300_000} {
			path, data := write(t, size, uint64(6000+i))
			cap := plain(w.ours(t, "alice", "put", "--format", format, path))
			out := filepath.Join(t.TempDir(), "out")
			w.theirs(t, "get", cap, out)
			same(t, out, data)
			if said := w.theirs(t, "check", "--verify", cap); !strings.Contains(said, "Healthy") || strings.Contains(said, "Not") {
				t.Fatalf("check of %s, %d bytes: %s", format, size, said)
			}
			path, data = write(t, size+5, uint64(7000+i))
			w.theirs(t, "put", path, cap)
			w.oursIn(t, "alice", cap, "get", "-", "-o", out)
			same(t, out, data)
		}
	}
}

// plain takes the areas out of a cap: what Tahoe knows.
func plain(cap string) string {
	if rest, ok := strings.CutPrefix(cap, "URI:LD:"); ok {
		_, cap, _ = strings.Cut(rest, ":")
		return "URI:" + cap
	}
	return cap
}

// One tree, changed by both in turn.
func TestTrees(t *testing.T) {
	w := start(t)
	for _, format := range []string{"SDMF", "MDMF"} {
		t.Run(format, func(t *testing.T) {
			root := w.theirs(t, "mkdir", "--format="+format)
			tree := filepath.Join(t.TempDir(), "tree")
			want := map[string]string{}
			for i := range 12 {
				name := fmt.Sprintf("d%d/%d \u00fc\u4e16.txt", i%3, i)
				want[name] = strings.Repeat(name, 1+i*i)
				if err := os.MkdirAll(filepath.Dir(filepath.Join(tree, name)), 0o700); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(filepath.Join(tree, name), []byte(want[name]), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			w.theirs(t, "cp", "-r", tree+"/", root+"/theirs")
			w.ours(t, "alice", "cp", "-r", tree, root+"/ours")
			for _, side := range []string{"theirs", "ours"} {
				back := t.TempDir()
				w.theirs(t, "cp", "-r", root+"/"+side, filepath.Join(back, "a"))
				holds(t, filepath.Join(back, "a"), want)
				w.ours(t, "alice", "cp", "-r", root+"/"+side, filepath.Join(back, "b"))
				holds(t, filepath.Join(back, "b"), want)
			}
			w.ours(t, "alice", "mv", root+"/theirs/tree/d0", root+"/moved")
			w.theirs(t, "unlink", root+"/moved/0 \u00fc\u4e16.txt")
			if out := w.ours(t, "alice", "ls", root+"/moved"); strings.Contains(out, "0 \u00fc") || !strings.Contains(out, "3 \u00fc") {
				t.Fatalf("after Tahoe's unlink: %s", out)
			}
			w.ours(t, "alice", "rm", root+"/moved/3 \u00fc\u4e16.txt")
			if out := w.theirs(t, "ls", root+"/moved"); strings.Contains(out, "3 \u00fc") || !strings.Contains(out, "6 \u00fc") {
				t.Fatalf("after our rm: %s", out)
			}
			w.theirs(t, "deep-check", "--verify", root)
			w.ours(t, "alice", "deep-check", "--verify", root)
		})
	}
}

// holds fails unless each file is somewhere below dir, by the end of its path.
func holds(t *testing.T, dir string, want map[string]string) {
	t.Helper()
	found := 0
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		for name, content := range want {
			if strings.HasSuffix(path, "/"+name) {
				found++
				same(t, path, []byte(content))
			}
		}
		return nil
	})
	if err != nil || found != len(want) {
		t.Fatalf("%d of %d files are there, %v", found, len(want), err)
	}
}

// A file, a mutable file and a tree on Tahoe's servers, opened from another grid with the long-distance cap alone.
func TestLongDistance(t *testing.T) {
	w := start(t)
	far := func(cap string) string { return "URI:LD:" + w.attic.Area + ":" + strings.TrimPrefix(cap, "URI:") }
	out := filepath.Join(t.TempDir(), "out")
	path, data := write(t, 5<<20, 9)
	cap := w.theirs(t, "put", path)
	w.oursIn(t, "bob", far(cap), "get", "-", "-o", out)
	same(t, out, data)

	for _, format := range []string{"SDMF", "MDMF"} {
		path, data = write(t, 400_000, 10)
		cap = w.theirs(t, "put", "--format="+format, path)
		w.oursIn(t, "bob", far(cap), "get", "-", "-o", out)
		same(t, out, data)
		// A mutable file changes: what was read before is not served again.
		path, data = write(t, 400_001, 11)
		w.theirs(t, "put", path, cap)
		w.oursIn(t, "bob", far(cap), "get", "-", "-o", out)
		same(t, out, data)
	}

	root := w.theirs(t, "mkdir")
	path, data = write(t, 100_000, 12)
	w.theirs(t, "put", path, root+"/a/b/c.bin")
	w.ours(t, "bob", "get", far(root)+"/a/b/c.bin", "-o", out)
	same(t, out, data)
	if listed := w.ours(t, "bob", "ls", far(root)+"/a"); listed != "b" && listed != "b/" {
		t.Fatalf("ls of a far directory: %q", listed)
	}
	// Who does not belong to the grid does not write there.
	if _, err := w.c.Run(t.Context(), "bob", "put", path, far(root)+"/d"); err == nil {
		t.Fatal("a member of another grid wrote into the directory")
	}
}
