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
	"time"
)

// Op is one thing the command line can ask of a node: JSON in, JSON out. A running node answers it on its control
// socket; without one, the command opens the node directory and calls the same function.
type Op func(ctx context.Context, in json.RawMessage) (any, error)

// Ops maps names like "grid/members" to what they do.
type Ops map[string]Op

// op adapts a typed function.
func op[In any](f func(context.Context, In) (any, error)) Op {
	return func(ctx context.Context, raw json.RawMessage) (any, error) {
		var in In
		if len(raw) > 0 {
			dec := json.NewDecoder(bytes.NewReader(raw))
			dec.DisallowUnknownFields()
			if err := dec.Decode(&in); err != nil {
				return nil, fmt.Errorf("reading the request: %w", err)
			}
		}
		return f(ctx, in)
	}
}

const (
	maxControlRequest = 1 << 20
	maxControlAnswer  = 64 << 20
	// A socket's path must fit sockaddr_un.
	maxSocketPath = 100
)

// ControlError is an error that came back over the control socket, with the exit code it stands for and what to do
// next.
type ControlError struct {
	Code int
	Text string
	Hint string
}

func (e *ControlError) Error() string { return e.Text }

// ErrNotRunning: no node is running in this directory.
var ErrNotRunning = errors.New("no node is running here")

type controlAnswer struct {
	Result json.RawMessage `json:"result,omitempty"`
	Error  string          `json:"error,omitempty"`
	Code   int             `json:"code,omitempty"`
	Hint   string          `json:"hint,omitempty"`
}

// socketPath is in the node directory; where that path is too long for a socket, in the user's runtime directory
// under the directory's hash, so that any directory works.
func (h Home) socketPath() string {
	p := filepath.Join(h.Dir, "control.sock")
	if len(p) <= maxSocketPath {
		return p
	}
	base := os.Getenv("XDG_RUNTIME_DIR")
	if base == "" {
		base = os.TempDir()
	}
	return filepath.Join(base, "trunkline-"+h.fingerprint(), "control.sock")
}

// trustSocket refuses a socket's folder that somebody else made first, where all users may make folders.
func (h Home) trustSocket(path string) error {
	if dir := filepath.Dir(path); dir != h.Dir {
		return ownFolder(dir)
	}
	return nil
}

// listenControl opens the control socket. Only the node's own user can reach it: its folder and the socket itself
// are closed to others.
func listenControl(ctx context.Context, h Home) (net.Listener, error) {
	path := h.socketPath()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, fmt.Errorf("control socket: %w", err)
	}
	if err := h.trustSocket(path); err != nil {
		return nil, fmt.Errorf("control socket: %w", err)
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("control socket: %w", err)
	}
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "unix", path)
	if err != nil {
		return nil, fmt.Errorf("control socket: %w", err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		l.Close()
		return nil, fmt.Errorf("control socket: %w", err)
	}
	return l, nil
}

// serveControl answers ops on the node's control socket until ctx ends. o says what the command that asked makes of
// an error.
func serveControl(ctx context.Context, l net.Listener, ops Ops, o RunOptions) error {
	srv := &http.Server{
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       10 * time.Second,
		BaseContext:       func(net.Listener) context.Context { return ctx },
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			var ans controlAnswer
			name := strings.TrimPrefix(r.URL.Path, "/v1/")
			raw, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxControlRequest)) //nolint:forbidigo // bounded by MaxBytesReader
			var result any
			if err == nil {
				if f, ok := ops[name]; ok {
					result, err = f(r.Context(), raw)
				} else {
					err = fmt.Errorf("%w: it has no %q", ErrWrongNode, name)
				}
			}
			if err == nil {
				ans.Result, err = json.Marshal(result)
			}
			if err != nil {
				ans.Error, ans.Code = err.Error(), o.ExitCode(err)
				if o.Hint != nil {
					ans.Hint = o.Hint(err)
				}
			}
			w.Header().Set("Content-Type", "application/json")
			_ = json.NewEncoder(w).Encode(ans)
		}),
	}
	done := make(chan error, 1)
	go func() { done <- srv.Serve(l) }()
	select {
	case <-ctx.Done():
	case err := <-done:
		return fmt.Errorf("control socket: %w", err)
	}
	// The base context has ended, so handlers are returning; what still writes gets a second.
	stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	_ = srv.Shutdown(stop)
	if err := <-done; !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("control socket: %w", err)
	}
	return nil
}

// Call asks the node that runs in h. ErrNotRunning when there is none.
func Call(ctx context.Context, h Home, name string, in, out any) error {
	body, err := json.Marshal(in)
	if err != nil {
		return err
	}
	path := h.socketPath()
	if err := h.trustSocket(path); errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("%w: %s", ErrNotRunning, h.Dir)
	} else if err != nil {
		return fmt.Errorf("control socket: %w", err)
	}
	tr := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "unix", path)
	}}
	defer tr.CloseIdleConnections()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://trunkline/v1/"+name, bytes.NewReader(body))
	if err != nil {
		return err
	}
	resp, err := (&http.Client{Transport: tr}).Do(req)
	if err != nil {
		var op *net.OpError
		if errors.As(err, &op) && op.Op == "dial" {
			return fmt.Errorf("%w: %s", ErrNotRunning, h.Dir)
		}
		return fmt.Errorf("asking the running node: %w", err)
	}
	defer resp.Body.Close()
	var ans controlAnswer
	if err := json.NewDecoder(io.LimitReader(resp.Body, maxControlAnswer)).Decode(&ans); err != nil {
		return fmt.Errorf("asking the running node: %w", err)
	}
	if ans.Error != "" {
		return &ControlError{Code: ans.Code, Text: ans.Error, Hint: ans.Hint}
	}
	if out == nil {
		return nil
	}
	return json.Unmarshal(ans.Result, out)
}
