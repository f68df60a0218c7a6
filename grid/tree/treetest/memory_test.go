package treetest_test

import (
	"trunkline/grid/tree"
	"trunkline/grid/tree/treetest"
)

var _ tree.Files = (*treetest.Memory)(nil)
