package node

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

var errOdd = errors.New("that is odd")

// serve runs a control socket for h until the test ends.
func serve(t *testing.T, h Home, ops Ops) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	l, err := listenControl(ctx, h)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() {
		done <- serveControl(ctx, l, ops, RunOptions{
			ExitCode: func(err error) int {
				if errors.Is(err, errOdd) {
					return 42
				}
				return 1
			},
			Hint: func(error) string { return "make it even" },
		})
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("serving: %v", err)
		}
		if _, err := os.Stat(h.socketPath()); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("the socket is still there: %v", err)
		}
	})
}

type number struct{ N int }

func testOps() Ops {
	return Ops{
		"half": op(func(_ context.Context, in number) (any, error) {
			if in.N%2 != 0 {
				return nil, fmt.Errorf("halving %d: %w", in.N, errOdd)
			}
			return number{in.N / 2}, nil
		}),
		"nothing": op(func(context.Context, struct{}) (any, error) { return struct{}{}, nil }),
		"unprintable": op(func(context.Context, struct{}) (any, error) {
			return func() {}, nil
		}),
		"wait": op(func(ctx context.Context, _ struct{}) (any, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		}),
	}
}

func TestControl(t *testing.T) {
	t.Parallel()
	h := Home{Dir: t.TempDir()}
	if err := Call(t.Context(), h, "half", number{4}, nil); !errors.Is(err, ErrNotRunning) || !strings.Contains(err.Error(), h.Dir) {
		t.Errorf("before it runs: %v", err)
	}
	serve(t, h, testOps())
	var out number
	if err := Call(t.Context(), h, "half", number{4}, &out); err != nil || out.N != 2 {
		t.Errorf("half of 4: %v, %v", out, err)
	}
	if err := Call(t.Context(), h, "nothing", struct{}{}, nil); err != nil {
		t.Errorf("an answer that nobody wants: %v", err)
	}
	var failed *ControlError
	err := Call(t.Context(), h, "half", number{3}, &out)
	if !errors.As(err, &failed) || *failed != (ControlError{Code: 42, Text: "halving 3: that is odd", Hint: "make it even"}) {
		t.Errorf("half of 3: %+v", err)
	}
	for name, in := range map[string]any{"double": struct{}{}, "half/": number{2}, "../half": number{2}, "": number{}, "unprintable": struct{}{}} {
		if err := Call(t.Context(), h, name, in, nil); !errors.As(err, &failed) || failed.Code != 1 {
			t.Errorf("%q: %v", name, err)
		}
	}
	// Fields that the operation does not know, and another type: an older or a newer program asks.
	for _, in := range []any{map[string]any{"n": 4, "M": 5}, map[string]any{"n": "4"}, []int{4}} {
		if err := Call(t.Context(), h, "half", in, nil); !errors.As(err, &failed) || failed.Code != 1 {
			t.Errorf("%v: %v", in, err)
		}
	}
}

// A request is bounded before it is read, and one that is too long harms nobody.
func TestControlBounds(t *testing.T) {
	t.Parallel()
	h := Home{Dir: t.TempDir()}
	serve(t, h, testOps())
	var failed *ControlError
	long := map[string]string{"n": strings.Repeat("x", maxControlRequest)}
	if err := Call(t.Context(), h, "half", long, nil); !errors.As(err, &failed) {
		t.Errorf("a request over the bound: %v", err)
	}
	// Bytes without end are cut off, not kept.
	conn, err := net.Dial("unix", h.socketPath()) //nolint:noctx // loopback, closed below
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := fmt.Fprintf(conn, "POST /v1/half HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	chunk := fmt.Sprintf("%x\r\n%s\r\n", 1<<16, bytes.Repeat([]byte{'x'}, 1<<16))
	sent := 0
	for ; sent < 64*maxControlRequest; sent += 1 << 16 {
		if _, err := io.WriteString(conn, chunk); err != nil {
			break
		}
	}
	if sent >= 64*maxControlRequest {
		t.Errorf("it took %d bytes", sent)
	}
	var out number
	if err := Call(t.Context(), h, "half", number{4}, &out); err != nil || out.N != 2 {
		t.Errorf("afterwards: %v, %v", out, err)
	}
}

// Answers are bounded too: what answers need not be a node.
func TestControlAnswers(t *testing.T) {
	t.Parallel()
	for name, answer := range map[string]func(w io.Writer){
		"no_json": func(w io.Writer) { _, _ = io.WriteString(w, "hello") },
		"nothing": func(io.Writer) {},
		"cut_off": func(w io.Writer) { _, _ = io.WriteString(w, `{"result":{"N":`) },
		"too_long": func(w io.Writer) {
			_, _ = io.WriteString(w, `{"error":"`)
			for i := 0; i <= maxControlAnswer; i += 1 << 20 {
				if _, err := w.Write(bytes.Repeat([]byte{'x'}, 1<<20)); err != nil {
					return
				}
			}
			_, _ = io.WriteString(w, `"}`)
		},
		"other_type": func(w io.Writer) { _, _ = io.WriteString(w, `{"result":["a"]}`) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := Home{Dir: t.TempDir()}
			l, err := listenControl(t.Context(), h)
			if err != nil {
				t.Fatal(err)
			}
			srv := &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { answer(w) })}
			done := make(chan struct{})
			go func() {
				defer close(done)
				_ = srv.Serve(l)
			}()
			defer func() { srv.Close(); <-done }()
			var out number
			if err := Call(t.Context(), h, "half", number{4}, &out); err == nil {
				t.Errorf("it passed for %v", out)
			}
		})
	}
}

// The socket is its user's alone, also where the directory's path is too long for a socket, and a file that a crash
// left there is not in the way.
func TestControlSocket(t *testing.T) {
	runtime := t.TempDir()
	t.Setenv("XDG_RUNTIME_DIR", runtime)
	short := Home{Dir: t.TempDir()}
	long := Home{Dir: filepath.Join(t.TempDir(), strings.Repeat("long/", 30))}
	if err := os.MkdirAll(long.Dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if dir := filepath.Dir(short.socketPath()); dir != short.Dir {
		t.Errorf("short: in %s", dir)
	}
	if !strings.HasPrefix(long.socketPath(), runtime+"/") || len(long.socketPath()) > maxSocketPath {
		t.Errorf("long: %s", long.socketPath())
	}
	if other := (Home{Dir: long.Dir + "2"}); other.socketPath() == long.socketPath() {
		t.Error("two directories share a socket")
	}
	for _, h := range []Home{short, long} {
		if err := Call(t.Context(), h, "nothing", struct{}{}, nil); !errors.Is(err, ErrNotRunning) {
			t.Errorf("%s: before it runs: %v", h.Dir, err)
		}
		if err := os.MkdirAll(filepath.Dir(h.socketPath()), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(h.socketPath(), []byte("left over"), 0o666); err != nil {
			t.Fatal(err)
		}
		serve(t, h, testOps())
		info, err := os.Stat(h.socketPath())
		if err != nil || info.Mode().Perm() != 0o600 || info.Mode().Type() != os.ModeSocket {
			t.Errorf("%s: %v, %v", h.socketPath(), info.Mode(), err)
		}
		if err := Call(t.Context(), h, "nothing", struct{}{}, nil); err != nil {
			t.Error(err)
		}
	}
}

// Where everybody may make folders, one that others can write to is not trusted, by neither side.
func TestControlForeignFolder(t *testing.T) {
	t.Setenv("XDG_RUNTIME_DIR", t.TempDir())
	h := Home{Dir: "/" + strings.Repeat("long/", 30)}
	folder := filepath.Dir(h.socketPath())
	if err := errors.Join(os.Mkdir(folder, 0o700), os.Chmod(folder, 0o777)); err != nil {
		t.Fatal(err)
	}
	if l, err := listenControl(t.Context(), h); err == nil {
		l.Close()
		t.Error("it listens there")
	}
	if err := Call(t.Context(), h, "nothing", struct{}{}, nil); err == nil || errors.Is(err, ErrNotRunning) {
		t.Errorf("it asks there: %v", err)
	}
}

// What waits when the node ends is told so, and the node does not wait for it.
func TestControlEnds(t *testing.T) {
	t.Parallel()
	h := Home{Dir: t.TempDir()}
	ctx, cancel := context.WithCancel(t.Context())
	l, err := listenControl(ctx, h)
	if err != nil {
		t.Fatal(err)
	}
	began := make(chan struct{})
	ops := Ops{"wait": func(ctx context.Context, _ json.RawMessage) (any, error) {
		close(began)
		<-ctx.Done()
		return nil, errOdd
	}}
	served, asked := make(chan error, 1), make(chan error, 1)
	go func() {
		served <- serveControl(ctx, l, ops, RunOptions{ExitCode: func(error) int { return 7 }})
	}()
	go func() { asked <- Call(t.Context(), h, "wait", struct{}{}, nil) }()
	<-began
	cancel()
	var failed *ControlError
	if err := <-asked; !errors.As(err, &failed) || failed.Code != 7 || failed.Hint != "" {
		t.Errorf("who asked was told %v", err)
	}
	if err := <-served; err != nil {
		t.Errorf("serving: %v", err)
	}
	// And who asks stops waiting when its own time is over.
	serve(t, h, testOps())
	short, done := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer done()
	if err := Call(short, h, "wait", struct{}{}, nil); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("after its time: %v", err)
	}
}
