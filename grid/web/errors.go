package web

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"trunkline/caps"
	"trunkline/grid/client"
	"trunkline/grid/dirnode"
	"trunkline/grid/mutable"
	"trunkline/grid/transfer"
	"trunkline/grid/tree"
	"trunkline/p2p"
)

// ErrConfig says that a Config cannot make a Handler.
var ErrConfig = errors.New("bad configuration of the web API")

// problem is an error that says itself how it is answered.
type problem struct {
	status int
	text   string
	cause  error // may be nil
}

func (p *problem) Error() string { return p.text }
func (p *problem) Unwrap() error { return p.cause }

// problemf makes a problem. %w names its cause.
func problemf(status int, format string, args ...any) error {
	err := fmt.Errorf(format, args...)
	return &problem{status, err.Error(), errors.Unwrap(err)}
}

func badRequest(format string, args ...any) error {
	return problemf(http.StatusBadRequest, format, args...)
}

// rule says how errors that match one of the sentinels are answered.
type rule struct {
	status    int
	text      string // in place of the error's own, where that says less
	sentinels []error
}

// rules are tried in order.
var rules = []rule{
	{http.StatusNotFound, "", []error{tree.ErrNotFound}},
	{http.StatusConflict, "There was already a child by that name, and you asked me to not replace it.", []error{tree.ErrExists}},
	{http.StatusConflict, "", []error{tree.ErrInTheWay, tree.ErrChanged, client.ErrChanged, mutable.ErrUncoordinated, mutable.ErrUnsettled, mutable.ErrRollback, mutable.ErrExists}},
	{http.StatusForbidden, "", []error{tree.ErrReadOnly, tree.ErrForeign, dirnode.ErrReadOnly, client.ErrReadOnly, client.ErrFar, mutable.ErrNoWriteCap}},
	{http.StatusRequestEntityTooLarge, "", []error{tree.ErrTooLarge, dirnode.ErrTooLarge, mutable.ErrTooLarge, p2p.ErrTooLarge}},
	{http.StatusBadRequest, "", []error{
		tree.ErrNotDirectory, tree.ErrNotReadable, tree.ErrMutableChild, tree.ErrName, tree.ErrChild, tree.ErrIntoItself, tree.ErrWrongType,
		dirnode.ErrName, dirnode.ErrMetadata, caps.ErrMustBeReadOnly, caps.ErrMustBeDeepImmutable, caps.ErrMustNotBeUnknownRW,
		caps.ErrMalformed, caps.ErrUnknownKind, caps.ErrShareCounts, caps.ErrSize, caps.ErrNoCap, caps.ErrWrongKind, client.ErrNotFile, client.ErrRange, mutable.ErrRange,
	}},
	{http.StatusServiceUnavailable, "", []error{transfer.ErrUnhappy}},
	{http.StatusGone, "", []error{transfer.ErrNotEnoughShares, transfer.ErrNoShares}},
	{http.StatusPaymentRequired, "", []error{p2p.ErrUnpaid}},
	{http.StatusForbidden, "", []error{p2p.ErrRefused, p2p.ErrDenied, p2p.ErrExpired}},
	{http.StatusGone, "", []error{p2p.ErrNotFound}},
	{http.StatusConflict, "", []error{p2p.ErrConflict}},
	{http.StatusNotImplemented, "", []error{p2p.ErrUnsupported}},
	{http.StatusBadGateway, "", []error{p2p.ErrIntegrity, transfer.ErrCorrupt, transfer.ErrInconsistent}},
	{http.StatusServiceUnavailable, "", []error{p2p.ErrBusy, p2p.ErrUnavailable, p2p.ErrUnreachable, p2p.ErrStepTimeout, context.DeadlineExceeded}},
}

// statusOf is how err is answered: a status, and a sentence.
//
// Source: tahoe-formats 9.2.
func statusOf(err error) (status int, text string) {
	var p *problem
	if errors.As(err, &p) {
		return p.status, p.text
	}
	for _, r := range rules {
		for _, s := range r.sentinels {
			if !errors.Is(err, s) {
				continue
			}
			if r.text != "" {
				return r.status, r.text
			}
			return r.status, err.Error()
		}
	}
	return http.StatusInternalServerError, err.Error()
}
