package gbs

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"sync"

	"golang.org/x/sync/errgroup"

	"trunkline/caps"
	"trunkline/grid/storage"
)

const (
	// firstBuffer is what is allocated for a range before its bytes come.
	firstBuffer = 1 << 20
	// maxAnswer bounds the answer to a test-and-write: what was read back, and a head for each piece of it.
	maxAnswer = storage.MaxSlotReadBack + storage.MaxShares*(storage.MaxSlotTests+1)*9 + 1<<10
)

// ReadSlot reads ranges of the mutable shares of si: of those in nums that exist, or of all if nums is empty; by share
// number, each range cut at the end of the share. None is no error. The protocol has no reading of several ranges at
// one moment, so they may be of different versions; the caller owns the result.
//
// Errors: storage.ErrImmutable, ErrInvalid; transport.
func (s *Server) ReadSlot(ctx context.Context, si caps.StorageIndex, nums []int, ranges []storage.Range) (map[int][][]byte, error) {
	if err := storage.ValidateReadSlot(nums, ranges); err != nil {
		return nil, err
	}
	parts := groups(ranges)
	if len(nums) == 0 || len(parts) == 0 {
		listed, err := s.list(ctx, mutable, si)
		if err != nil {
			return nil, s.otherKind(ctx, mutable, si, err)
		}
		if len(parts) == 0 && len(listed) > 0 {
			if err := s.isMutable(ctx, si, listed[0]); err != nil {
				return nil, err
			}
		}
		nums = slices.DeleteFunc(listed, func(n int) bool { return len(nums) > 0 && !slices.Contains(nums, n) })
	}
	var mu sync.Mutex
	total := uint64(0)
	take := func(n uint64) error {
		mu.Lock()
		defer mu.Unlock()
		if total += n; total > storage.MaxSlotReadBytes {
			return fmt.Errorf("%w: the ranges have more than %d bytes", storage.ErrInvalid, storage.MaxSlotReadBytes)
		}
		return nil
	}
	read := make(map[int][][]byte, len(nums))
	gone := make(map[int]bool)
	all, each := errgroup.WithContext(ctx)
	all.SetLimit(together)
	for _, num := range nums {
		data := make([][]byte, len(ranges))
		read[num] = data
		for _, g := range parts {
			all.Go(func() error {
				err := s.readGroup(each, si, num, g, ranges, data, take)
				if errors.Is(err, storage.ErrNotFound) {
					mu.Lock()
					gone[num] = true
					mu.Unlock()
					return nil
				}
				if err != nil {
					return fmt.Errorf("share %d: %w", num, err)
				}
				return nil
			})
		}
	}
	if err := all.Wait(); err != nil {
		return nil, err
	}
	for num := range gone {
		delete(read, num)
	}
	return read, nil
}

// isMutable asks whether a share that is listed as mutable is: the server lists both kinds.
//
// Errors: storage.ErrImmutable; transport.
func (s *Server) isMutable(ctx context.Context, si caps.StorageIndex, num int) error {
	err := s.fetch(ctx, mutable, si, num, 0, 1, func(io.Reader, uint64) error { return nil })
	if errors.Is(err, storage.ErrNotFound) {
		return nil // removed since it was listed
	}
	return err
}

// readGroup reads one request's worth of a mutable share into data, by the index of the range.
func (s *Server) readGroup(ctx context.Context, si caps.StorageIndex, num int, g group, ranges []storage.Range, data [][]byte, take func(n uint64) error) error {
	return s.fetch(ctx, mutable, si, num, g.offset, g.end-g.offset, func(r io.Reader, n uint64) error {
		if err := take(n); err != nil {
			return err
		}
		var b bytes.Buffer
		b.Grow(int(min(n, firstBuffer))) //nolint:gosec // small
		if _, err := io.Copy(&b, r); err != nil {
			return err
		}
		for _, i := range g.members {
			from := min(ranges[i].Offset-g.offset, uint64(b.Len())) //nolint:gosec // not negative
			to := min(from+ranges[i].Length, uint64(b.Len()))       //nolint:gosec // not negative
			data[i] = b.Bytes()[from:to:to]
		}
		return nil
	})
}

// TestWrite changes the mutable shares of si if every test holds, all or nothing. Tahoe's server answers before its
// disk has the bytes, and a power cut may lose or mix them. After an error that is no refusal it may have happened or
// not.
//
// Errors: storage.ErrEnabler, ErrImmutable, ErrInvalid; transport.
func (s *Server) TestWrite(ctx context.Context, si caps.StorageIndex, t storage.TestWrite) (storage.TestWriteResult, error) {
	if err := t.Validate(); err != nil {
		return storage.TestWriteResult{}, err
	}
	q := request{
		step: "writing a mutable file", method: http.MethodPost, path: sharePath(mutable, si, "read-test-write"),
		parts: encodeTestWrite(t), expect: maxAnswer,
	}
	q.secret(writeEnabler, t.Enabler[:])
	q.secret(renewSecret, t.Renew[:])
	q.secret(cancelSecret, t.Cancel[:])
	var result storage.TestWriteResult
	err := s.do(ctx, q, func(resp *http.Response) error {
		b, err := readBody(resp, maxAnswer)
		if err != nil {
			return err
		}
		result, err = decodeTestWrite(b, t.Reads)
		return err
	})
	switch {
	case isStatus(err, http.StatusUnauthorized) && !errors.Is(err, ErrSwissnum):
		err = fmt.Errorf("writing a mutable file: %w", storage.ErrEnabler)
	case err != nil:
		err = s.otherKind(ctx, mutable, si, err)
	}
	return result, err
}

// decodeTestWrite reads the answer.
func decodeTestWrite(b []byte, reads []storage.Range) (storage.TestWriteResult, error) {
	var answer struct {
		Success *bool               `cbor:"success"`
		Data    map[uint64][][]byte `cbor:"data"`
	}
	if err := decode(b, &answer); err != nil {
		return storage.TestWriteResult{}, err
	}
	if answer.Success == nil || len(answer.Data) > storage.MaxShares {
		return storage.TestWriteResult{}, fmt.Errorf("%w: it does not say whether it was done", ErrProtocol)
	}
	result := storage.TestWriteResult{Applied: *answer.Success, Read: make(map[int][][]byte, len(answer.Data))}
	for num, data := range answer.Data {
		if num >= storage.MaxShares || len(data) != len(reads) {
			return storage.TestWriteResult{}, fmt.Errorf("%w: it has other reads than were asked for", ErrProtocol)
		}
		for i, d := range data {
			if uint64(len(d)) > reads[i].Length {
				return storage.TestWriteResult{}, fmt.Errorf("%w: it has longer reads than were asked for", ErrProtocol)
			}
		}
		result.Read[int(num)] = data
	}
	return result, nil
}
