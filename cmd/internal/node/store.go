package node

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"trunkline/caps"
	"trunkline/grid/roster"
	"trunkline/grid/storage"
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
