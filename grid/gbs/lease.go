package gbs

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"trunkline/caps"
	"trunkline/grid/storage"
)

// AddLease renews the lease on every share that the server has of si, immutable or mutable, or adds it.
//
// Errors: storage.ErrNotFound; transport.
func (s *Server) AddLease(ctx context.Context, si caps.StorageIndex, renew, cancel [32]byte) error {
	q := request{step: "adding a lease", method: http.MethodPut, path: sharePath("lease", si), again: true}
	q.secret(renewSecret, renew[:])
	q.secret(cancelSecret, cancel[:])
	err := s.do(ctx, q, nothing)
	if isStatus(err, http.StatusNotFound) {
		return fmt.Errorf("adding a lease: %w", storage.ErrNotFound)
	}
	return err
}

// Advise tells the server's operator that a share is corrupt, immutable or mutable. reason is cut to
// storage.MaxReasonBytes.
//
// Errors: storage.ErrNotFound, ErrInvalid (no reason); transport.
func (s *Server) Advise(ctx context.Context, si caps.StorageIndex, num int, reason string) error {
	reason = strings.ToValidUTF8(reason, "?")
	if len(reason) > storage.MaxReasonBytes {
		reason = strings.ToValidUTF8(reason[:storage.MaxReasonBytes], "")
	}
	if reason == "" || num < 0 || num >= storage.MaxShares {
		return fmt.Errorf("%w: a report without a reason or share", storage.ErrInvalid)
	}
	report := func(kind string) error {
		return s.do(ctx, request{
			step: "reporting a corrupt share", method: http.MethodPost, path: sharePath(kind, si, strconv.Itoa(num), "corrupt"),
			parts: encodeReason(reason),
		}, nothing)
	}
	err := report(immutable)
	if isStatus(err, http.StatusInternalServerError) { // that is how it takes a mutable one
		err = report(mutable)
	}
	if isStatus(err, http.StatusNotFound) {
		return fmt.Errorf("share %d: %w", num, storage.ErrNotFound)
	}
	return err
}

// nothing is what a request is answered with that says but done.
func nothing(*http.Response) error { return nil }
