package gridtest_test

import (
	"testing"

	"trunkline/grid/transfer"
	"trunkline/grid/transfer/gridtest"
	"trunkline/grid/transfer/servertest"
)

// The servers in memory keep to what servers promise.
func TestServer(t *testing.T) {
	t.Parallel()
	servertest.Run(t, func(*testing.T) transfer.Server { return gridtest.NewServer(3) })
}
