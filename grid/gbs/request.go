package gbs

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"

	"trunkline/caps"
	"trunkline/grid/storage"
	"trunkline/p2p"
)

const (
	// leastRate is what a connection must carry, in bytes per second, for a request not to be given up.
	leastRate = 16 << 10
	// maxExpect bounds the answer that a deadline is made for, in bytes: a larger range is cut at the share's end.
	maxExpect = 1 << 30
	// maxErrorText bounds what is read of an error's text.
	maxErrorText = 256
	// mimeCBOR is the type of all messages.
	mimeCBOR = "application/cbor"
)

// The names of the secrets.
const (
	renewSecret  = "lease-renew-secret"
	cancelSecret = "lease-cancel-secret"
	uploadSecret = "upload-secret"
	writeEnabler = "write-enabler"
)

// request is one request of the protocol.
type request struct {
	step   string // for errors: "listing shares"
	method string
	path   string
	header [][2]string
	// parts are the body; the type of one that is not raw bytes is CBOR.
	parts [][]byte
	raw   bool
	// expect is how many bytes the answer may have, for its deadline.
	expect uint64
	// again: the request may be repeated when a connection breaks.
	again bool
}

func (q *request) secret(name string, value []byte) {
	q.header = append(q.header, [2]string{"X-Tahoe-Authorization", name + " " + base64.StdEncoding.EncodeToString(value)})
}

// sharePath is the path of what is known by storage index: kind is immutable or mutable, more a share number or a word.
func sharePath(kind string, si caps.StorageIndex, more ...string) string {
	path := "/storage/v1/" + kind + "/" + caps.EncodeBase32(si[:])
	for _, m := range more {
		path += "/" + m
	}
	return path
}

// statusError is an answer that is none of those a request may have.
type statusError struct {
	status int
	text   string // of the server, for 401 alone
}

func (e *statusError) Error() string { return "the server answered " + strconv.Itoa(e.status) }

func (e *statusError) Unwrap() error {
	switch {
	case e.status == http.StatusUnauthorized && e.text == "Wrong Authorization header":
		return ErrSwissnum
	case e.status == http.StatusUnauthorized:
		return p2p.ErrDenied
	case e.status == http.StatusNotFound:
		return p2p.ErrNotFound
	case e.status == http.StatusRequestEntityTooLarge:
		return p2p.ErrTooLarge
	case e.status == http.StatusServiceUnavailable || e.status == http.StatusTooManyRequests:
		return p2p.ErrBusy
	case e.status >= 500:
		return p2p.ErrInternal
	}
	return ErrProtocol
}

// isStatus reports whether err is an answer of that status.
func isStatus(err error, status int) bool {
	var e *statusError
	return errors.As(err, &e) && e.status == status
}

// do sends a request and hands the answer to read, which must not keep its body. An answer with a status of 300 or more
// is a statusError. read runs again when the request is repeated.
func (s *Server) do(ctx context.Context, q request, read func(*http.Response) error) error {
	ctx, leave, err := s.enter(ctx)
	if err != nil {
		return err
	}
	defer leave()
	sent := newLentBody(q.parts...).length
	limit := s.cfg.Timeout + time.Duration((uint64(sent)+min(q.expect, maxExpect))/leastRate)*time.Second //nolint:gosec // lengths of memory
	once := func() error {
		limited, cancel := context.WithTimeoutCause(ctx, limit, p2p.ErrStepTimeout)
		defer cancel()
		err := s.once(limited, q, read)
		if err != nil && limited.Err() != nil && ctx.Err() == nil {
			return p2p.ErrStepTimeout // it had its time: no second one
		}
		return err
	}
	err = once()
	if broke := (*brokenError)(nil); q.again && errors.As(err, &broke) && ctx.Err() == nil {
		err = once()
	}
	if err != nil {
		if s.ctx.Err() != nil { // ctx, and what dials, may hear of it later or sooner
			return storage.ErrClosed
		}
		if ctx.Err() != nil {
			err = ctx.Err()
		}
		return fmt.Errorf("%s: %w", q.step, err)
	}
	return nil
}

// brokenError is a connection that broke under a request.
type brokenError struct{ cause error }

func (e *brokenError) Error() string   { return "the connection broke off: " + e.cause.Error() }
func (e *brokenError) Unwrap() []error { return []error{p2p.ErrUnavailable, e.cause} }

func (s *Server) once(ctx context.Context, q request, read func(*http.Response) error) error {
	lent := newLentBody(q.parts...)
	defer lent.Close() //nolint:errcheck // it always returns nil; whoever still holds it reads nothing any more
	h, err := http.NewRequestWithContext(ctx, q.method, "https://"+s.cfg.NURLs[0].Address()+q.path, body(lent))
	if err != nil {
		return fmt.Errorf("making the request: %w", err)
	}
	h.ContentLength = lent.length
	h.Header["Authorization"] = []string{s.authorization}
	h.Header["Accept"] = []string{mimeCBOR}
	h.Header["User-Agent"] = nil
	if len(q.parts) > 0 && !q.raw {
		h.Header["Content-Type"] = []string{mimeCBOR}
	}
	for _, f := range q.header {
		h.Header[f[0]] = append(h.Header[f[0]], f[1])
	}
	resp, err := s.client.Do(h)
	if err != nil {
		var dialled dialError
		if errors.As(err, &dialled) {
			return dialled // the library's own text would repeat the address
		}
		return &brokenError{errors.Unwrap(err)}
	}
	defer resp.Body.Close()
	if resp.StatusCode >= 300 {
		e := &statusError{status: resp.StatusCode}
		if e.status == http.StatusUnauthorized {
			e.text = readText(resp.Body)
		}
		return e
	}
	return read(resp)
}

func readText(r io.Reader) string {
	b := make([]byte, maxErrorText)
	n, _ := io.ReadFull(r, b) // a text that is cut is none of those that are known
	return string(b[:n])
}

// readBody reads a message of at most limit bytes.
func readBody(resp *http.Response, limit int64) ([]byte, error) {
	if resp.Header.Get("Content-Type") != mimeCBOR {
		return nil, fmt.Errorf("%w: it is not CBOR", ErrProtocol)
	}
	var b []byte
	r := io.LimitReader(resp.Body, limit+1)
	for {
		if len(b) == cap(b) {
			b = append(b, make([]byte, max(1024, len(b)))...)[:len(b)]
		}
		n, err := r.Read(b[len(b):cap(b)])
		b = b[:len(b)+n]
		switch {
		case int64(len(b)) > limit:
			return nil, fmt.Errorf("%w: it has more than %d bytes", ErrProtocol, limit)
		case errors.Is(err, io.EOF):
			return b, nil
		case err != nil:
			return nil, &brokenError{err}
		}
	}
}
