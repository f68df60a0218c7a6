package gbs

import (
	"context"
	"crypto/rand"
	"fmt"
	"net/http"
	"slices"
	"strconv"

	"trunkline/caps"
	"trunkline/grid/storage"
)

// secretBytes is the length of the secret that belongs to one allocation.
const secretBytes = 20

// Allocate opens uploads of size bytes each for the shares nums. have lists what the server has complete, its lease
// renewed; allocated what can be written now. Both are ascending. A number in neither is being uploaded by someone
// else or has no room. An upload ends with Commit, with Abort, or half an hour after its last write.
//
// Errors: storage.ErrNoSpace (no room for any, which includes servers that are read-only), ErrMutable, ErrInvalid;
// transport.
func (s *Server) Allocate(ctx context.Context, si caps.StorageIndex, nums []int, size uint64, renew, cancel [32]byte) (have, allocated []int, err error) {
	if err := storage.ValidateAllocate(nums, size); err != nil {
		return nil, nil, err
	}
	nums = slices.Clone(nums)
	secret := make([]byte, secretBytes)
	_, _ = rand.Read(secret) // never fails
	q := request{
		step: "allocating shares", method: http.MethodPost, path: sharePath(immutable, si), parts: encodeAllocate(nums, size),
	}
	q.secret(renewSecret, renew[:])
	q.secret(cancelSecret, cancel[:])
	q.secret(uploadSecret, secret)
	var answer struct {
		Have      *shareSet `cbor:"already-have"`
		Allocated *shareSet `cbor:"allocated"`
	}
	err = s.do(ctx, q, func(resp *http.Response) error {
		b, err := readBody(resp, maxMessage)
		if err != nil {
			return err
		}
		return decode(b, &answer)
	})
	if err != nil {
		if err = s.otherKind(ctx, immutable, si, err); !isAnswer(err) {
			s.takeBack(si, nums, secret) // it may have been done
		}
		return nil, nil, err
	}
	if answer.Have == nil || answer.Allocated == nil {
		s.takeBack(si, nums, secret)
		return nil, nil, fmt.Errorf("allocating shares: %w: a set is missing", ErrProtocol)
	}
	// What it has besides is no answer to what was asked.
	have = slices.DeleteFunc(*answer.Have, func(n int) bool { return !slices.Contains(nums, n) })
	allocated = *answer.Allocated
	for _, num := range allocated {
		if !slices.Contains(nums, num) || slices.Contains(have, num) {
			s.takeBack(si, nums, secret)
			return nil, nil, fmt.Errorf("allocating shares: %w: share %d was not asked for", ErrProtocol, num)
		}
	}
	if len(have) == 0 && len(allocated) == 0 && !s.room(ctx, size) {
		return nil, nil, storage.ErrNoSpace
	}
	s.open(si, allocated, size, secret)
	return have, allocated, nil
}

// isAnswer reports whether the server answered at all.
func isAnswer(err error) bool {
	for _, status := range []int{400, 401, 404, 405, 413, 415, 500} {
		if isStatus(err, status) {
			return true
		}
	}
	return false
}

// takeBack gives up what the server may have allocated to a call whose caller does not know it.
func (s *Server) takeBack(si caps.StorageIndex, nums []int, secret []byte) {
	s.background(func(ctx context.Context) {
		for _, num := range nums {
			if err := s.abort(ctx, shareID{si, num}, secret); err != nil {
				return // it forgets them by itself, later
			}
		}
	})
}

// abort has the server give an upload up; one that it does not know is given up already.
func (s *Server) abort(ctx context.Context, id shareID, secret []byte) error {
	q := request{
		step: "giving an upload up", method: http.MethodPut, again: true,
		path: sharePath(immutable, id.si, strconv.Itoa(id.num), "abort"),
	}
	q.secret(uploadSecret, secret)
	err := s.do(ctx, q, nothing)
	if isStatus(err, http.StatusNotFound) || isStatus(err, http.StatusMethodNotAllowed) || isStatus(err, http.StatusUnauthorized) {
		return nil // unknown, complete, or somebody else's
	}
	return err
}
