package gbs

import (
	"io"
	"net/http"
	"sync"
)

// lentBody is a request's body: slices that the caller takes back when the call has returned. The HTTP library may
// hold on to a body for longer, and reads end then instead.
type lentBody struct {
	length int64

	mu    sync.Mutex
	parts [][]byte
	at    int // in parts[0]
}

func newLentBody(parts ...[]byte) *lentBody {
	b := &lentBody{parts: parts}
	for _, p := range parts {
		b.length += int64(len(p))
	}
	return b
}

// Read implements io.Reader. It copies while nobody can take the parts back.
func (b *lentBody) Read(p []byte) (n int, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for n < len(p) && len(b.parts) > 0 {
		k := copy(p[n:], b.parts[0][b.at:])
		n, b.at = n+k, b.at+k
		if b.at == len(b.parts[0]) {
			b.parts, b.at = b.parts[1:], 0
		}
	}
	if n == 0 && len(p) > 0 {
		return 0, io.EOF
	}
	return n, nil
}

// Close implements io.Closer.
func (b *lentBody) Close() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.parts = nil
	return nil
}

// body is one, or http.NoBody for nothing.
func body(b *lentBody) io.ReadCloser {
	if b == nil || b.length == 0 {
		return http.NoBody
	}
	return b
}
