package web_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"trunkline/caps"
	"trunkline/grid/tree"
	"trunkline/grid/tree/treetest"
)

// stock runs the stock tahoe command against a node.
type stock struct {
	t      *testing.T
	binary string
	dir    string // the node directory that it is given
	work   string // where it runs
}

func newStock(t *testing.T, w *world) *stock {
	t.Helper()
	binary := os.Getenv("TRUNKLINE_TAHOE")
	if binary == "" {
		t.Skip("TRUNKLINE_TAHOE does not name the stock tahoe command")
	}
	s := &stock{t: t, binary: binary, dir: t.TempDir(), work: t.TempDir()}
	private := filepath.Join(s.dir, "private")
	if err := os.Mkdir(private, 0o700); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		filepath.Join(s.dir, "node.url"):           w.server.URL + "\n",
		filepath.Join(private, "aliases"):          "",
		filepath.Join(private, "api_auth_token"):   "secret",
		filepath.Join(s.dir, "tahoe.cfg"):          "[node]\n[client]\n",
		filepath.Join(s.dir, "tahoe-client.tac"):   "",
		filepath.Join(s.work, "a.bin"):             strings.Repeat("a large file. ", 5000),
		filepath.Join(s.work, "small.txt"):         "hello\n",
		filepath.Join(s.work, "tree", "x.txt"):     strings.Repeat("x", 100),
		filepath.Join(s.work, "tree", "sub", "ü"):  strings.Repeat("y", 200),
		filepath.Join(s.work, "tree", "sub", "b&"): "",
	} {
		if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

// run runs one command and returns its exit code and output.
func (s *stock) run(args ...string) (code int, stdout string) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, s.binary, append([]string{"-d", s.dir}, args...)...)
	cmd.Dir = s.work
	cmd.Env = append(os.Environ(), "LC_ALL=C.UTF-8", "PYTHONWARNINGS=ignore")
	var out, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &stderr
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		s.t.Fatalf("tahoe %v: %v", args, err)
	}
	s.t.Logf("tahoe %s: exit %d\n%s%s", strings.Join(args, " "), cmd.ProcessState.ExitCode(), out.String(), stderr.String())
	return cmd.ProcessState.ExitCode(), out.String()
}

// want runs a command that must end with that exit code, and print that.
func (s *stock) want(code int, say string, args ...string) string {
	s.t.Helper()
	got, out := s.run(args...)
	if got != code || !strings.Contains(out, say) {
		s.t.Errorf("tahoe %s: exit %d, want %d; it should say %q:\n%s", strings.Join(args, " "), got, code, say, out)
	}
	return out
}

func (s *stock) same(name, want string) {
	s.t.Helper()
	got, err := os.ReadFile(filepath.Join(s.work, name))
	if err != nil || string(got) != want {
		s.t.Errorf("%s has %d bytes, want %d: %v", name, len(got), len(want), err)
	}
}

// The stock command runs unchanged, command by command.
func TestStockCommand(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	s := newStock(t, w)
	s.want(0, "Alias 't' created", "create-alias", "t")
	large := strings.Repeat("a large file. ", 5000)

	s.want(0, "URI:CHK:", "put", "a.bin")
	s.want(0, "", "put", "a.bin", "t:a.bin")
	s.want(0, "", "put", "a.bin", "t:a.bin")
	s.want(0, "", "put", "small.txt", "t:d1/d2/small.txt")
	s.want(0, "URI:SSK:", "put", "--format=SDMF", "a.bin", "t:mut")
	s.want(0, "URI:SSK:", "put", "small.txt", "t:mut")
	s.want(0, "hello\n", "get", "t:mut")
	s.want(0, "URI:SSK:", "put", "--mutable", "small.txt")
	s.want(0, "URI:MDMF:", "put", "--format=MDMF", "small.txt")
	mutable := strings.TrimSpace(s.want(0, "URI:SSK:", "put", "--mutable", "small.txt"))
	s.want(0, "", "put", "a.bin", mutable)
	s.want(0, large[:100], "get", mutable)

	s.want(0, "URI:DIR2:", "mkdir")
	s.want(0, "URI:DIR2:", "mkdir", "t:newdir")
	s.want(0, "URI:DIR2:", "mkdir", "t:newdir")
	s.want(0, "URI:DIR2-MDMF:", "mkdir", "--format=MDMF", "t:mdmfdir")

	s.want(0, "newdir", "ls", "t:")
	s.want(0, "70000", "ls", "-l", "t:")
	s.want(0, "URI:CHK:", "ls", "--uri", "t:a.bin")
	s.want(0, "dirnode", "ls", "--json", "t:")
	s.want(2, "", "ls", "t:nosuch")
	s.want(0, "", "get", "t:a.bin", "out1")
	s.same("out1", large)
	s.want(1, "", "get", "t:nosuch", "out2")

	s.want(0, "", "ln", "t:a.bin", "t:linked")
	s.want(0, "", "mv", "t:linked", "t:newdir/")
	s.want(0, "linked", "ls", "t:newdir")
	s.want(1, "", "mv", "t:a.bin", "t:newdir")
	s.want(0, "", "unlink", "t:newdir/linked")
	s.want(1, "", "unlink", "t:nosuch")

	s.want(0, "", "cp", "small.txt", "t:cpfile")
	s.want(0, "", "cp", "small.txt", "t:cpfile")
	s.want(0, "", "cp", "-r", "tree", "t:cpdir")
	s.want(0, "ü", "ls", "t:cpdir/tree/sub")
	s.want(0, "", "cp", "-r", "t:cpdir", "t:cpdir2")
	s.want(0, "", "cp", "t:a.bin", "out3")
	s.same("out3", large)
	s.want(0, "", "cp", "-r", "t:cpdir", "outdir")
	s.same(filepath.Join("outdir", "cpdir", "tree", "sub", "ü"), strings.Repeat("y", 200))
	s.want(0, "", "cp", "t:a.bin", "t:acopy")
	s.want(0, "", "cp", "small.txt", "t:newdir/")

	s.want(0, "Healthy", "check", "t:a.bin")
	s.want(0, "Healthy", "check", "--verify", "--add-lease", "t:")
	s.want(0, "", "check", "--repair", "t:a.bin")
	s.want(0, "", "check", "t:cpfile")
	s.want(0, "", "check", "--raw", "t:mut")
	s.want(0, "done:", "deep-check", "t:")
	s.want(0, "done:", "deep-check", "--repair", "--verify", "t:")
	s.want(0, "cpdir2", "manifest", "t:")
	s.want(0, "URI:DIR2-Verifier:", "manifest", "--verify-cap", "t:")
	s.want(0, "count-files", "stats", "t:")

	s.want(0, "files uploaded", "backup", "tree", "t:bk")
	s.want(0, "(3 reused)", "backup", "tree", "t:bk")
	s.want(0, "x.txt", "ls", "t:bk/Latest")
	s.want(0, "", "status")

	// What is in another grid is read by its long-distance cap, and copied from there.
	far := w.files.World().Member(treetest.Area(9))
	farTree := tree.New(tree.Config{Files: far})
	file, err := far.PutImmutable(t.Context(), strings.NewReader(large), uint64(len(large)))
	if err != nil {
		t.Fatal(err)
	}
	farDir, err := farTree.MkdirWithChildren(t.Context(), caps.KindSDMF, []tree.NewChild{{Name: "f", Pair: caps.Pair{Read: file.Local()}}})
	if err == nil {
		farDir, err = farDir.Local().WithAreas(far.Home())
	}
	if err != nil {
		t.Fatal(err)
	}
	s.want(0, "f\n", "ls", farDir.Text())
	s.want(0, "", "get", farDir.Text()+"/f", "out5")
	s.same("out5", large)
	s.want(0, "", "cp", "-r", farDir.Text(), "fromafar")
	s.want(0, "", "ln", farDir.Text()+"/f", "t:fromafar")
	s.want(0, "URI:LD:", "ls", "--uri", "t:fromafar")
	s.want(1, "", "put", "small.txt", farDir.Text()+"/new")

	// What goes wrong is said, and is a failure.
	w.files.World().Lose(w.cap(s.want(0, "", "ls", "--uri", "t:a.bin")), 0, 1, 2, 3, 4, 5, 6, 7)
	if code, _ := s.run("get", "t:a.bin", "out4"); code == 0 {
		t.Error("a file that is lost was got")
	}
	if _, err := os.Stat(filepath.Join(s.work, "out4")); err == nil {
		t.Error("a file that is lost was written")
	}
	s.want(0, "Not Healthy", "check", "t:a.bin")
}
