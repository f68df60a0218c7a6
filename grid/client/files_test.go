package client_test

import (
	"trunkline/grid/client"
	"trunkline/grid/tree"
)

var _ tree.Files = (*client.Client)(nil)
