package tahoetest_test

import (
	"testing"

	"trunkline/grid/tahoe"
	"trunkline/grid/transfer"
	"trunkline/grid/transfer/servertest"
)

// open makes servers of what the client's node directory says of them.
func open(t *testing.T) *tahoe.Servers {
	t.Helper()
	g := tests.Shared(t)
	servers, err := tahoe.Open(tahoe.Config{NodeDir: g.Client.Dir})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := servers.Close(); err != nil {
			t.Error(err)
		}
	})
	if n := len(servers.Servers()); n != len(g.Servers) {
		t.Fatalf("%d servers, want %d", n, len(g.Servers))
	}
	return servers
}

// A real Tahoe server, behind package gbs, is a storage server like any other.
func TestServer(t *testing.T) {
	t.Parallel()
	servers := open(t)
	servertest.Run(t, func(*testing.T) transfer.Server { return servers.Servers()[0] })
}
