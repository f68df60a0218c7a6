package transfer

import (
	"bytes"
	"context"
	"sort"

	"trunkline/caps"
	"trunkline/grid/storage"
)

// Server is one storage server, as storage.Remote speaks to it.
//
// All methods are safe for concurrent use and return soon after ctx ends.
// Nothing a server answers is trusted. Slices passed in are the caller's again
// when the call has returned: an implementation neither keeps them nor writes
// to them later, not even after ctx ended.
type Server interface {
	// Key is the server's account.
	Key() caps.PublicKey
	// PeerID20 is the server's 20-byte id, which goes into lease secrets and
	// write enablers and never changes.
	PeerID20() [20]byte
	// PermutationSeed places the server in the permuted order. Ours have
	// their PeerID20 there, a Tahoe server what it announces.
	PermutationSeed() []byte
	// Shares lists the immutable shares the server has of si; none is no
	// error.
	Shares(ctx context.Context, si caps.StorageIndex) ([]storage.ShareInfo, error)
	// Read fills dst[i], whose length is ranges[i].Length, in one round trip.
	// A short read is an error.
	Read(ctx context.Context, si caps.StorageIndex, num int, ranges []storage.Range, dst [][]byte) error
	// Allocate opens uploads of size bytes for the shares nums. have lists
	// those that are complete already, allocated those now open; a share in
	// neither was refused for lack of room.
	Allocate(ctx context.Context, si caps.StorageIndex, nums []int, size uint64, renew, cancel [32]byte) (have, allocated []int, err error)
	// Write puts data into an open upload. It may be pipelined: an error may
	// surface in a later call, at Commit at the latest.
	Write(ctx context.Context, si caps.StorageIndex, num int, offset uint64, data []byte) error
	// Commit makes a complete upload durable and visible.
	Commit(ctx context.Context, si caps.StorageIndex, num int) error
	// Abort drops an open upload.
	Abort(ctx context.Context, si caps.StorageIndex, num int) error
	// AddLease adds or renews a lease on all shares of si.
	AddLease(ctx context.Context, si caps.StorageIndex, renew, cancel [32]byte) error
	// ReadSlot reads ranges of the mutable shares of si: of those in nums
	// that exist, or of all if nums is empty; by share number, each range cut
	// at the end of the share. None is no error. The caller owns the result.
	ReadSlot(ctx context.Context, si caps.StorageIndex, nums []int, ranges []storage.Range) (map[int][][]byte, error)
	// TestWrite changes the mutable shares of si if every test holds, all or
	// nothing, durably. After an error that is no refusal (storage.ErrEnabler,
	// ErrNoSpace, ErrReadOnly, …) it may have happened or not.
	TestWrite(ctx context.Context, si caps.StorageIndex, t storage.TestWrite) (storage.TestWriteResult, error)
	// Advise tells the server that a share it served is corrupt, immutable or
	// mutable.
	Advise(ctx context.Context, si caps.StorageIndex, num int, reason string) error
}

// Permute returns the servers in the order in which a file's shares are placed
// on them and looked for: ascending SHA-1(si ‖ PermutationSeed). Of servers with one
// key the first stays.
//
// Source: tahoe-formats 4.10.
func Permute(si caps.StorageIndex, servers []Server) []Server {
	type place struct {
		server Server
		rank   [20]byte
	}
	seen := make(map[caps.PublicKey]bool, len(servers))
	places := make([]place, 0, len(servers))
	for _, s := range servers {
		if seen[s.Key()] {
			continue
		}
		seen[s.Key()] = true
		places = append(places, place{s, si.Permutation(s.PermutationSeed())})
	}
	sort.SliceStable(places, func(i, j int) bool {
		return bytes.Compare(places[i].rank[:], places[j].rank[:]) < 0
	})
	sorted := make([]Server, len(places))
	for i, p := range places {
		sorted[i] = p.server
	}
	return sorted
}
