package gbs

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"strconv"
	"strings"

	"trunkline/caps"
	"trunkline/grid/storage"
)

// The two kinds of shares, as paths name them.
const (
	immutable = "immutable"
	mutable   = "mutable"
)

// list is the numbers of the shares that the server has of si, ascending. Asked for mutable ones it lists both kinds;
// asked for immutable ones it fails with status 500 where the others are.
func (s *Server) list(ctx context.Context, kind string, si caps.StorageIndex) ([]int, error) {
	var nums shareSet
	q := request{step: "listing shares", method: http.MethodGet, path: sharePath(kind, si, "shares"), again: true}
	err := s.do(ctx, q, func(resp *http.Response) error {
		b, err := readBody(resp, maxMessage)
		if err != nil {
			return err
		}
		return decode(b, &nums)
	})
	return nums, err
}

// otherKind turns a status of 500 into what it means where the storage index holds shares of the other kind.
func (s *Server) otherKind(ctx context.Context, kind string, si caps.StorageIndex, err error) error {
	if !isStatus(err, http.StatusInternalServerError) {
		return err
	}
	if kind == immutable {
		if nums, listErr := s.list(ctx, mutable, si); listErr == nil && len(nums) > 0 {
			return storage.ErrMutable
		}
		return err
	}
	if nums, listErr := s.list(ctx, immutable, si); listErr == nil && len(nums) > 0 {
		return storage.ErrImmutable
	}
	return err
}

// fetch reads length bytes of a share from offset on, or as many as there are: sink gets a reader of exactly n bytes,
// and again if the connection breaks. Where the share ends at or before offset it gets none.
//
// Errors: storage.ErrNotFound; transport; sink's.
func (s *Server) fetch(ctx context.Context, kind string, si caps.StorageIndex, num int, offset, length uint64, sink func(r io.Reader, n uint64) error) error {
	if length == 0 || offset > math.MaxInt64 || length > math.MaxInt64-offset {
		return fmt.Errorf("%w: a range of %d bytes at %d", storage.ErrInvalid, length, offset)
	}
	q := request{
		step: "reading", method: http.MethodGet, path: sharePath(kind, si, strconv.Itoa(num)), again: true, expect: length,
		header: [][2]string{{"Range", fmt.Sprintf("bytes=%d-%d", offset, offset+length-1)}},
	}
	err := s.do(ctx, q, func(resp *http.Response) error {
		n, err := partLength(resp, offset, length)
		if err != nil {
			return err
		}
		from := &counted{r: resp.Body, left: n}
		if err := sink(from, n); err != nil {
			return err
		}
		return from.end()
	})
	if isStatus(err, http.StatusNotFound) {
		return fmt.Errorf("reading: %w", storage.ErrNotFound)
	}
	return s.otherKind(ctx, kind, si, err)
}

// partLength is how many bytes the answer to a range request has.
func partLength(resp *http.Response, offset, length uint64) (uint64, error) {
	switch resp.StatusCode {
	case http.StatusNoContent:
		return 0, nil
	case http.StatusPartialContent:
	default:
		return 0, &statusError{status: resp.StatusCode}
	}
	first, last, err := parseContentRange(resp.Header.Get("Content-Range"))
	if err != nil || first != offset || last < first || last-first >= length {
		return 0, fmt.Errorf("%w: it is of another range", ErrProtocol)
	}
	return last - first + 1, nil
}

// parseContentRange reads "bytes <first>-<last>/<anything>".
func parseContentRange(text string) (first, last uint64, err error) {
	rest, ok := strings.CutPrefix(text, "bytes ")
	span, _, slash := strings.Cut(rest, "/")
	a, b, dash := strings.Cut(span, "-")
	if !ok || !slash || !dash {
		return 0, 0, ErrProtocol
	}
	if first, err = strconv.ParseUint(a, 10, 63); err != nil {
		return 0, 0, ErrProtocol
	}
	if last, err = strconv.ParseUint(b, 10, 63); err != nil {
		return 0, 0, ErrProtocol
	}
	return first, last, nil
}

// counted reads so many bytes and no more; fewer are a connection that broke.
type counted struct {
	r    io.Reader
	left uint64
}

// Read implements io.Reader.
func (c *counted) Read(p []byte) (int, error) {
	if c.left == 0 {
		return 0, io.EOF
	}
	if uint64(len(p)) > c.left {
		p = p[:c.left]
	}
	n, err := c.r.Read(p)
	c.left -= uint64(n) //nolint:gosec // not negative
	switch {
	case c.left == 0:
		return n, nil
	case errors.Is(err, io.EOF):
		return n, &brokenError{io.ErrUnexpectedEOF}
	case err != nil:
		return n, &brokenError{err}
	}
	return n, nil
}

// end checks that everything was read and nothing follows, after which the connection can be used again.
func (c *counted) end() error {
	if _, err := io.Copy(io.Discard, c); err != nil {
		return err
	}
	var one [1]byte
	for {
		switch n, err := c.r.Read(one[:]); {
		case n > 0:
			return fmt.Errorf("%w: it is longer than it says", ErrProtocol)
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return nil // everything came
		}
	}
}
