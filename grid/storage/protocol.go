package storage

import (
	"fmt"
	"math"
	"time"

	"trunkline/caps"
	"trunkline/grid/storage/pb"
	"trunkline/p2p"
)

// Protocol is the share protocol.
var Protocol = p2p.Protocol{ID: "/trunkline/share/1", MaxStreamsPerPeer: 32, StepTimeout: 30 * time.Second}

const (
	// MaxRanges bounds the ranges of one read.
	MaxRanges = 256
	// MaxReadBytes bounds the bytes that one read asks for.
	MaxReadBytes = 4 << 20
	// MaxWriteBytes bounds the bytes of one write message; Remote.Write splits what is longer.
	MaxWriteBytes = 1 << 20
	// MaxUploadsPerPeer bounds the uploads that one peer has open at once, over all its streams.
	MaxUploadsPerPeer = 1024

	// maxMessage bounds an encoded request or answer, raw bytes excluded.
	maxMessage = 8 << 10
	// frameBytes bounds the raw bytes behind one answer: a block of a 1 MiB segment at k = 3 fits whole.
	frameBytes = 384 << 10

	// idleTimeout is how long a server waits for the next request on a stream that has no uploads.
	idleTimeout = 2 * time.Minute
	// uploadIdleTimeout is the same while uploads are open on the stream.
	uploadIdleTimeout = 10 * time.Minute
)

// Range is a piece of a share, in bytes from its start.
type Range struct {
	Offset, Length uint64
}

// storageIndex checks the storage index of a request.
func storageIndex(r *pb.Request) (caps.StorageIndex, error) {
	b := r.GetStorageIndex()
	if len(b) != len(caps.StorageIndex{}) {
		return caps.StorageIndex{}, fmt.Errorf("%w: a storage index of %d bytes", ErrInvalid, len(b))
	}
	return caps.StorageIndex(b), nil
}

// shareNum checks a share number.
func shareNum(n uint32) (int, error) {
	if n >= MaxShares {
		return 0, fmt.Errorf("%w: share number %d", ErrInvalid, n)
	}
	return int(n), nil
}

func secret(b []byte) (caps.Secret, error) {
	if len(b) != len(caps.Secret{}) {
		return caps.Secret{}, fmt.Errorf("%w: a lease secret of %d bytes", ErrInvalid, len(b))
	}
	return caps.Secret(b), nil
}

func secrets(renew, cancel []byte) (r, c caps.Secret, err error) {
	if r, err = secret(renew); err == nil {
		c, err = secret(cancel)
	}
	return r, c, err
}

// checkRanges bounds the ranges of a read and returns their sum.
func checkRanges(ranges []Range) (total uint64, err error) {
	if len(ranges) == 0 || len(ranges) > MaxRanges {
		return 0, fmt.Errorf("%w: %d ranges", ErrInvalid, len(ranges))
	}
	for _, r := range ranges {
		if r.Length == 0 || r.Length > MaxReadBytes || r.Offset > math.MaxInt64-MaxReadBytes {
			return 0, fmt.Errorf("%w: a range of %d bytes at %d", ErrInvalid, r.Length, r.Offset)
		}
		total += r.Length
	}
	if total > MaxReadBytes {
		return 0, fmt.Errorf("%w: %d bytes in one read", ErrInvalid, total)
	}
	return total, nil
}

// refused is the answer to a request that failed.
func refused(id uint64, err error) *pb.Answer {
	return &pb.Answer{Id: id, Body: &pb.Answer_Refusal{
		Refusal: &pb.Refusal{Failure: p2p.Failure(err), Reason: reasonOf(err)},
	}}
}
