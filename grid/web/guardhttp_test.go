package web_test

import (
	"bytes"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"

	"trunkline/grid/web"
)

// What is kept is answered to nobody but this machine's own user, whatever the method, and nothing
// is done either.
func TestOtherPagesAreKeptOut(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	root := w.post("/uri?t=mkdir", "")
	w.put("/uri/"+root+"/a", "what only I know")
	before := w.get("/uri/" + root + "?t=json")
	for name, header := range map[string]map[string]string{
		"rebound":      {"Host": "evil.example"},
		"rebound port": {"Host": "evil.example" + w.server.URL[strings.LastIndexByte(w.server.URL, ':'):]},
		"origin":       {"Origin": "https://evil.example"},
		"cross-site":   {"User-Agent": "Mozilla/5.0", "Sec-Fetch-Site": "cross-site"},
		"same-site":    {"User-Agent": "Mozilla/5.0", "Sec-Fetch-Site": "same-site"},
		"old browser":  {"User-Agent": "Mozilla/5.0"},
	} {
		for _, r := range []struct{ method, path, body string }{
			{"GET", "/", ""},
			{"GET", "/uri/" + root + "/a", ""},
			{"HEAD", "/uri/" + root + "/a", ""},
			{"GET", "/uri/" + root + "?t=json", ""},
			{"PUT", "/uri", "x"},
			{"PUT", "/uri/" + root + "/b", "x"},
			{"POST", "/uri?t=mkdir", ""},
			{"POST", "/uri/" + root + "?t=unlink&name=a", ""},
			{"DELETE", "/uri/" + root + "/a", ""},
			{"POST", "/agree", ""},
			{"GET", "/status?t=json", ""},
			{"OPTIONS", "/uri", ""},
		} {
			res, body, err := w.try(r.method, r.path, r.body, header)
			if err != nil {
				t.Fatal(err)
			}
			if res.StatusCode != http.StatusForbidden || strings.Contains(body, "what only I know") || strings.Contains(body, "URI:") {
				t.Errorf("%s: %s %s: status %d: %.200s", name, r.method, r.path, res.StatusCode, body)
			}
			for _, h := range []string{"Access-Control-Allow-Origin", "Access-Control-Allow-Methods"} {
				if res.Header.Get(h) != "" {
					t.Errorf("%s: %s %s: %s is set", name, r.method, r.path, h)
				}
			}
		}
	}
	if after := w.get("/uri/" + root + "?t=json"); after != before {
		t.Errorf("the directory changed: %s", after)
	}
}

// Every answer, an error's too, has the headers that keep what is in files to itself.
func TestHeaders(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	file := w.put("/uri", strings.Repeat("<script>alert(1)</script>", 10))
	root := w.post("/uri?t=mkdir", "")
	for _, path := range []string{"/", "/uri/" + file, "/uri/" + file + "?filename=x.html", "/uri/" + root, "/uri/" + root + "/nosuch", "/uri//", "/nosuch", "/status", "/uri/" + file + "?t=info"} {
		for _, accept := range []string{"*/*", "text/html"} {
			_, h, _ := w.do("GET", path, "", map[string]string{"Accept": accept})
			for name, want := range map[string]string{
				"X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer", "Cross-Origin-Resource-Policy": "same-origin",
				"Content-Security-Policy": "default-src 'none'", "X-Frame-Options": "DENY", "Cache-Control": "",
			} {
				if got := h.Get(name); got == "" || !strings.Contains(got, want) {
					t.Errorf("%s: %s is %q, want %q", path, name, got, want)
				}
			}
			page := strings.HasPrefix(h.Get("Content-Type"), "text/html") && !strings.Contains(path, "filename")
			if sandboxed := strings.HasPrefix(h.Get("Content-Security-Policy"), "sandbox"); sandboxed == page {
				t.Errorf("%s for %s: sandboxed is %v, a page of ours %v", path, accept, sandboxed, page)
			}
		}
	}
}

// lockedBuffer may be written to by several requests.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// No cap, name or key reaches the log, whatever happens.
func TestLogsHoldNoCaps(t *testing.T) {
	t.Parallel()
	var log lockedBuffer
	w := newWorld(t, func(c *web.Config) {
		c.Logger = slog.New(slog.NewJSONHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	})
	file := w.put("/uri", strings.Repeat("x", 100))
	root := w.post("/uri?t=mkdir", "")
	w.put("/uri/"+root+"/secretname", "x")
	w.get("/uri/" + file)
	w.get("/uri/" + root + "?t=json")
	w.do("GET", "/uri/"+root+"/othersecret", "", nil)
	w.do("GET", "/uri/"+root+"%ff", "", nil)
	w.do("PUT", "/uri/"+root+"/secretname/sub", "x", nil)
	w.do("POST", "/", "uri="+file, map[string]string{"Content-Type": "application/x-www-form-urlencoded"})
	w.files.World().Lose(w.cap(file), 0, 1, 2, 3, 4, 5, 6, 7, 8, 9)
	w.do("GET", "/uri/"+file, "", nil)
	text := log.String()
	if !strings.Contains(text, "web request") {
		t.Fatalf("nothing was logged: %s", text)
	}
	for _, secret := range []string{"URI:", "secretname", "othersecret", w.cap(file).Text()[8:20], w.cap(root).Text()[9:20]} {
		if strings.Contains(text, secret) {
			t.Errorf("the log has %.4s…: %s", secret, text)
		}
	}
}
