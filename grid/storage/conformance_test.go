package storage_test

import (
	"testing"

	"trunkline/grid/storage"
	"trunkline/grid/transfer"
	"trunkline/grid/transfer/servertest"
	"trunkline/p2p/p2ptest"
)

// A store behind the share protocol is what a storage server promises to be.
func TestConformance(t *testing.T) {
	t.Parallel()
	servertest.Run(t, func(t *testing.T) transfer.Server { return newWire(t, storage.Config{}, everybody).remote })
}

// One server serves all of it at once.
func TestConformanceShared(t *testing.T) {
	t.Parallel()
	store := openStore(t, storage.Config{NoSync: true})
	hosts := p2ptest.Hosts(t, 2)
	storage.NewServer(store, everybody).Register(hosts[0])
	r := storage.NewRemote(hosts[1], hosts[0].Self(), [20]byte{1})
	t.Cleanup(func() { _ = r.Close() })
	servertest.Run(t, func(*testing.T) transfer.Server { return r })
}
