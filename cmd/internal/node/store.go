package node

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"trunkline/caps"
	"trunkline/grid/roster"
	"trunkline/grid/storage"
	"trunkline/p2p"
)

// openStore opens a server's shares. self is the server's key.
func (h Home) openStore(c StorageConfig, self caps.PublicKey, log *slog.Logger) (*storage.Store, error) {
	dir := c.Dir
	if !filepath.IsAbs(dir) {
		dir = h.path(dir)
	}
	if !c.ReadOnly {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return nil, fmt.Errorf("making the storage directory: %w", err)
		}
	}
	id, err := c.nodeID()
	if err != nil {
		return nil, err
	}
	if id == ([20]byte{}) {
		id = roster.SeedOf(self)
	}
	return storage.Open(storage.Config{
		Dir: dir, ReadOnly: c.ReadOnly, ReservedBytes: c.ReservedBytes, MaxBytes: c.MaxBytes, NoSync: c.NoSync,
		NodeID: id, Now: time.Now, Logger: log,
	})
}

type (
	// CollectRequest is "gc": what to do with shares whose leases ended Grace ago.
	CollectRequest struct {
		Grace  time.Duration `json:"grace"`
		DryRun bool          `json:"dry_run"`
	}
	// Collected is what was removed, or would be.
	Collected struct {
		Shares []CollectedShare `json:"shares"`
		// More is how many are not in the list.
		More  int    `json:"more,omitempty"`
		Bytes uint64 `json:"bytes"`
	}
	// CollectedShare is one share.
	CollectedShare struct {
		Index   string    `json:"storage_index"`
		Share   int       `json:"share"`
		Mutable bool      `json:"mutable"`
		Bytes   uint64    `json:"bytes"`
		Ended   time.Time `json:"ended"`
	}
)

// maxCollected bounds the list that goes over the control socket.
const maxCollected = 100_000

// store adds what can be asked of a server.
func (o Ops) store(s *storage.Store) {
	o["gc"] = op(func(ctx context.Context, in CollectRequest) (any, error) {
		if in.Grace < 0 {
			return nil, fmt.Errorf("%w: a grace of %v would end leases early", ErrArgument, in.Grace)
		}
		out := Collected{Shares: []CollectedShare{}}
		note := func(e storage.Expired) error {
			out.Bytes += e.Bytes
			if len(out.Shares) == maxCollected {
				out.More++
				return nil
			}
			out.Shares = append(out.Shares, CollectedShare{
				Index: e.StorageIndex.String(), Share: e.Num, Mutable: e.Mutable, Bytes: e.Bytes, Ended: e.Ended,
			})
			return nil
		}
		walk := s.Collect
		if in.DryRun {
			walk = s.Expired
		}
		return out, walk(ctx, time.Now(), in.Grace, note)
	})
}

// openStoreOps opens the shares for one operation while no process runs the node.
func (h Home) openStoreOps(cfg Config, ops Ops) (closer func() error, err error) {
	key, err := h.Key(daemonKeyFile)
	if err != nil {
		return nil, err
	}
	self, err := p2p.KeyOf(key)
	if err != nil {
		return nil, err
	}
	s, err := h.openStore(cfg.Storage, self, slog.New(slog.DiscardHandler))
	if err != nil {
		return nil, err
	}
	ops.store(s)
	return s.Close, nil
}
