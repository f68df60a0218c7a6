package mutable

import (
	"context"
	"errors"

	"trunkline/caps"
	"trunkline/grid/transfer"
)

// CheckOptions say how thoroughly to check.
type CheckOptions struct {
	// Verify reads and checks every byte of every share; else servers are believed that they have what they list.
	Verify bool
	// AddLease, if not nil, is a client's lease secret: its leases are added or renewed.
	AddLease *[32]byte
}

// Check asks all servers for the shares of a file. That a file is not there, or unhealthy, is no error.
//
// Errors: ctx's error.
func (f *Files) Check(ctx context.Context, v caps.MutableVerify, o CheckOptions) (transfer.Health, error) {
	return transfer.Health{}, errors.ErrUnsupported
}

// Repair checks a file, and unless it is healthy publishes its newest recoverable version anew, as the next one, on as many
// servers as it takes. after is a check of the same kind afterwards; if nothing was done it equals before.
//
// Errors: those of Overwrite.
func (f *Files) Repair(ctx context.Context, write caps.Cap, o CheckOptions) (before, after transfer.Health, err error) {
	return transfer.Health{}, transfer.Health{}, errors.ErrUnsupported
}
