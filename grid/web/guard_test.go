package web

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
)

func TestGuard(t *testing.T) {
	t.Parallel()
	const (
		chromium = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0 Safari/537.36"
		cli      = "Python-urllib/3.11"
	)
	for _, c := range []struct {
		name   string
		host   string
		header map[string]string
		want   int
	}{
		{"stock command", "127.0.0.1:3456", map[string]string{"User-Agent": cli}, 0},
		{"localhost", "localhost:3456", nil, 0},
		{"localhost in capitals", "LOCALHOST:3456", nil, 0},
		{"version 6", "[::1]:3456", nil, 0},
		{"forwarded port that was named", "127.0.0.1:8000", nil, 0},
		{"address typed", "127.0.0.1:3456", map[string]string{"User-Agent": chromium, "Sec-Fetch-Site": "none", "Sec-Fetch-Dest": "document"}, 0},
		{"own page", "127.0.0.1:3456", map[string]string{"User-Agent": chromium, "Sec-Fetch-Site": "same-origin", "Origin": "http://127.0.0.1:3456"}, 0},
		{"form of an own page", "127.0.0.1:3456", map[string]string{"User-Agent": chromium, "Sec-Fetch-Site": "same-origin", "Origin": "null"}, 0},

		{"no host", "", nil, 403},
		{"other port", "127.0.0.1:3457", nil, 403},
		{"no port", "127.0.0.1", nil, 403},
		{"rebound name", "evil.example:3456", nil, 403},
		{"name that begins well", "127.0.0.1.evil.example:3456", nil, 403},
		{"name that ends well", "evil.localhost:3456", nil, 403},
		{"other loopback address", "127.0.0.2:3456", nil, 403},
		{"image of another page", "127.0.0.1:3456", map[string]string{"User-Agent": chromium, "Sec-Fetch-Site": "cross-site", "Sec-Fetch-Dest": "image"}, 403},
		{"link of another page", "127.0.0.1:3456", map[string]string{"User-Agent": chromium, "Sec-Fetch-Site": "cross-site", "Sec-Fetch-Dest": "document"}, 403},
		{"other port of this machine", "127.0.0.1:3456", map[string]string{"User-Agent": chromium, "Sec-Fetch-Site": "same-site"}, 403},
		{"unknown relation", "127.0.0.1:3456", map[string]string{"User-Agent": chromium, "Sec-Fetch-Site": "something"}, 403},
		{"other origin", "127.0.0.1:3456", map[string]string{"Origin": "https://evil.example"}, 403},
		{"other origin that says same", "127.0.0.1:3456", map[string]string{"Sec-Fetch-Site": "same-origin", "Origin": "https://evil.example"}, 403},
		{"own names crossed", "127.0.0.1:3456", map[string]string{"Origin": "http://localhost:3456"}, 403},
		{"encrypted origin", "127.0.0.1:3456", map[string]string{"Origin": "https://127.0.0.1:3456"}, 403},
		{"sandboxed page", "127.0.0.1:3456", map[string]string{"User-Agent": chromium, "Sec-Fetch-Site": "cross-site", "Origin": "null"}, 403},
		{"origin null alone", "127.0.0.1:3456", map[string]string{"Origin": "null"}, 403},
		{"browser that does not say", "127.0.0.1:3456", map[string]string{"User-Agent": "Mozilla/5.0 (Macintosh) Version/15.0 Safari/605.1.15"}, 403},
		{"frame", "127.0.0.1:3456", map[string]string{"User-Agent": chromium, "Sec-Fetch-Site": "same-origin", "Sec-Fetch-Dest": "iframe"}, 403},
		{"service worker", "127.0.0.1:3456", map[string]string{"User-Agent": chromium, "Sec-Fetch-Site": "same-origin", "Sec-Fetch-Dest": "serviceworker"}, 403},
		{"script out of a file", "127.0.0.1:3456", map[string]string{"User-Agent": chromium, "Sec-Fetch-Site": "same-origin", "Sec-Fetch-Dest": "script"}, 403},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			g := guard{hosts: []string{"127.0.0.1:8000"}}
			for _, method := range []string{"GET", "HEAD", "PUT", "POST", "DELETE", "OPTIONS"} {
				r := httptest.NewRequest(method, "http://x/uri/URI:LIT:", nil)
				r = r.WithContext(context.WithValue(r.Context(), http.LocalAddrContextKey, &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 3456}))
				r.Host = c.host
				for k, v := range c.header {
					r.Header.Set(k, v)
				}
				if err := g.check(r); status(err) != c.want {
					t.Errorf("%s: %v, want %v", method, err, c.want)
				}
			}
		})
	}
}
