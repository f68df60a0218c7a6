package web_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"trunkline/billing"
	"trunkline/caps"
	"trunkline/grid/tree"
	"trunkline/grid/tree/treetest"
	"trunkline/grid/web"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// vectorsDir is where the published vectors are.
func vectorsDir(t testing.TB) string {
	t.Helper()
	dir := os.Getenv("TRUNKLINE_VECTORS")
	if dir == "" {
		dir = filepath.Join("..", "..", "..", "shared", "vectors")
	}
	dir = filepath.Join(dir, "tahoe")
	if _, err := os.Stat(dir); err != nil {
		t.Skip("no vectors: set TRUNKLINE_VECTORS to the directory that holds them")
	}
	return dir
}

// world is a node of a grid in memory, served on a port of its own.
type world struct {
	t       testing.TB
	files   *treetest.Memory
	handler *web.Handler
	server  *httptest.Server
	client  *http.Client
}

// newWorld serves a grid. change, which may be nil, changes how.
func newWorld(t testing.TB, change func(*web.Config)) *world {
	t.Helper()
	w := &world{t: t, files: treetest.NewMemory()}
	c := web.Config{
		Files:   func(billing.Credits) tree.Files { return w.files },
		TempDir: t.TempDir(),
		Now:     time.Now,
	}
	if change != nil {
		change(&c)
	}
	var err error
	if w.handler, err = web.New(c); err != nil {
		t.Fatal(err)
	}
	w.server = httptest.NewServer(w.handler)
	w.client = &http.Client{
		Transport:     &http.Transport{},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	t.Cleanup(func() {
		w.client.CloseIdleConnections()
		w.server.Close()
		if err := w.handler.Close(); err != nil {
			t.Error(err)
		}
	})
	return w
}

// try sends a request and returns what came, and how it ended.
func (w *world) try(method, path, body string, header map[string]string) (*http.Response, string, error) {
	w.t.Helper()
	r, err := http.NewRequestWithContext(context.Background(), method, w.server.URL+path, strings.NewReader(body))
	if err != nil {
		w.t.Fatal(err)
	}
	for k, v := range header {
		if strings.EqualFold(k, "Host") {
			r.Host = v
			continue
		}
		r.Header.Set(k, v)
	}
	res, err := w.client.Do(r)
	if err != nil {
		return nil, "", err
	}
	defer res.Body.Close()
	got, err := io.ReadAll(res.Body)
	return res, string(got), err
}

// do sends a request that must be answered.
func (w *world) do(method, path, body string, header map[string]string) (status int, h http.Header, answer string) {
	w.t.Helper()
	res, answer, err := w.try(method, path, body, header)
	if err != nil {
		w.t.Fatalf("%s %s: %v", method, path, err)
	}
	return res.StatusCode, res.Header, answer
}

// want sends a request whose answer must have that status.
func (w *world) want(status int, method, path, body string) string {
	w.t.Helper()
	got, _, answer := w.do(method, path, body, nil)
	if got != status {
		w.t.Errorf("%s %s: status %d, want %d: %.300s", method, path, got, status, answer)
	}
	return answer
}

func (w *world) put(path, body string) string {
	w.t.Helper()
	status, _, answer := w.do("PUT", path, body, nil)
	if status != 200 && status != 201 {
		w.t.Fatalf("PUT %s: status %d: %s", path, status, answer)
	}
	return answer
}

func (w *world) post(path, body string) string {
	w.t.Helper()
	return w.want(200, "POST", path, body)
}

func (w *world) get(path string) string {
	w.t.Helper()
	return w.want(200, "GET", path, "")
}

// cap is the one in what a command printed.
func (w *world) cap(text string) caps.Cap {
	w.t.Helper()
	c, err := caps.Parse("URI:" + strings.Fields(strings.SplitN(text, "URI:", 2)[1])[0])
	if err != nil {
		w.t.Fatal(err)
	}
	return c
}
