package treetest_test

import (
	"testing"

	"trunkline/grid/tree"
	"trunkline/grid/tree/treetest"
)

func TestMemory(t *testing.T) {
	t.Parallel()
	treetest.Run(t, func(*testing.T) tree.Files { return treetest.NewMemory() })
}
