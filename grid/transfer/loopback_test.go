package transfer_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"go.uber.org/goleak"

	"trunkline/caps"
	"trunkline/grid/storage"
	"trunkline/grid/transfer"
	"trunkline/p2p"
	"trunkline/p2p/p2ptest"
)

var _ transfer.Server = (*storage.Remote)(nil)

// serveEnv makes this test binary ten storage servers under the folder named
// by its value, until its standard input ends.
const serveEnv = "TRUNKLINE_TRANSFER_TEST_SERVERS"

func TestMain(m *testing.M) {
	if dir := os.Getenv(serveEnv); dir != "" {
		if err := serveTen(dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	goleak.VerifyTestMain(m)
}

// serveTen prints an address for each server and waits.
func serveTen(dir string) error {
	for i := range 10 {
		key, err := p2p.GenerateKey()
		if err != nil {
			return err
		}
		h, err := p2p.New(context.Background(), p2p.Config{
			Key: key, Listen: []string{"/ip4/127.0.0.1/tcp/0"}, Profile: p2p.Server, AllowPrivateAddrs: true,
		})
		if err != nil {
			return err
		}
		store, err := storage.Open(storage.Config{Dir: filepath.Join(dir, fmt.Sprint(i)), NoSync: true})
		if err != nil {
			return err
		}
		storage.NewServer(store, func(caps.PublicKey) error { return nil }).Register(h)
		fmt.Println(h.Self().Strings()[0])
	}
	_, err := io.Copy(io.Discard, os.Stdin)
	return err
}

// loopback starts the ten servers in a process of their own and connects to
// them.
func loopback(t testing.TB) []transfer.Server {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), exe)
	cmd.Env = append(os.Environ(), serveEnv+"="+t.TempDir())
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		stdin.Close()
		if err := cmd.Wait(); err != nil && t.Context().Err() == nil {
			t.Errorf("servers: %v", err)
		}
	})
	host := p2ptest.Hosts(t, 1)[0]
	lines := bufio.NewScanner(stdout)
	var servers []transfer.Server
	for len(servers) < 10 && lines.Scan() {
		peer, err := p2p.ParsePeer(lines.Text())
		if err != nil {
			t.Fatal(err)
		}
		r := storage.NewRemote(host, peer, [20]byte(peer.Key.Bytes()))
		t.Cleanup(func() { r.Close() })
		servers = append(servers, r)
	}
	if len(servers) < 10 {
		t.Fatal("the servers did not start")
	}
	return servers
}

// The engine over sockets, to real stores in another process.
func TestLoopback(t *testing.T) {
	t.Parallel()
	servers := loopback(t)
	data := plaintext(10_000_000)
	r, err := transfer.Upload(t.Context(), transfer.UploadConfig{Servers: servers}, bytes.NewReader(data), uint64(len(data)))
	if err != nil {
		t.Fatal(err)
	}
	read, _ := r.Cap.CHK()
	ciphertext, blamed, err := get(t.Context(), transfer.Config{Servers: servers}, read.Verify())
	if err != nil || len(blamed) != 0 {
		t.Fatalf("%v, blamed %v", err, blamed)
	}
	decrypted(t, read, ciphertext, data, 0)
}

// The servers are in another process, so that the CPU time is the client's.
func BenchmarkLoopback(b *testing.B) {
	const size = 256 << 20
	servers := loopback(b)
	data := plaintext(size)
	var last caps.Cap
	b.Run("put", func(b *testing.B) {
		b.SetBytes(size)
		before := cpu(b)
		for b.Loop() {
			r, err := transfer.Upload(b.Context(), transfer.UploadConfig{Servers: servers}, bytes.NewReader(data), size)
			if err != nil {
				b.Fatal(err)
			}
			last = r.Cap
		}
		perGB(b, before, size*int64(b.N))
	})
	b.Run("get", func(b *testing.B) {
		read, ok := last.CHK()
		if !ok {
			b.Skip("needs what put stored")
		}
		b.SetBytes(size)
		before := cpu(b)
		for b.Loop() {
			f, err := transfer.Open(b.Context(), transfer.Config{Servers: servers}, read.Verify())
			if err != nil {
				b.Fatal(err)
			}
			if err := f.Read(b.Context(), 0, f.Geometry().Segments, func(transfer.Segment) error { return nil }); err != nil {
				b.Fatal(err)
			}
			if blamed := f.Blamed(); len(blamed) != 0 {
				b.Fatalf("blamed %v", blamed)
			}
			f.Close()
		}
		perGB(b, before, size*int64(b.N))
	})
}
