package caps_test

import (
	"errors"
	"slices"
	"testing"

	"trunkline/caps"
)

func TestTreeSizes(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ leaves, width, nodes int }{
		{-1, 0, 0},
		{0, 1, 1},
		{1, 1, 1},
		{2, 2, 3},
		{3, 4, 7},
		{4, 4, 7},
		{5, 8, 15},
		{256, 256, 511},
		{257, 512, 1023},
		{caps.MaxLeaves, caps.MaxLeaves, 2*caps.MaxLeaves - 1},
		{caps.MaxLeaves + 1, 0, 0},
		{int(^uint(0) >> 1), 0, 0},
	} {
		if w, n := caps.TreeWidth(tt.leaves), caps.TreeNodes(tt.leaves); w != tt.width || n != tt.nodes {
			t.Errorf("%d leaves: width %d and %d nodes, want %d and %d", tt.leaves, w, n, tt.width, tt.nodes)
		}
	}
}

// Every leaf of every small tree verifies with its chain, and at no other place.
func TestVerifyChain(t *testing.T) {
	t.Parallel()
	for n := 1; n <= 18; n++ {
		leaves := numberedLeaves(n)
		tree := caps.NewTree(leaves)
		if len(tree) != caps.TreeNodes(n) {
			t.Fatalf("%d leaves: %d nodes", n, len(tree))
		}
		for i := range leaves {
			chain := tree.Chain(i)
			for j := range leaves {
				err := caps.VerifyChain(tree.Root(), n, j, leaves[i], chain)
				if (err == nil) != (i == j) || err != nil && !errors.Is(err, caps.ErrChain) {
					t.Errorf("%d leaves: the chain of leaf %d at %d: %v", n, i, j, err)
				}
			}
			own := append(slices.Clone(chain), caps.Node{Number: caps.TreeWidth(n) - 1 + i, Hash: leaves[i]})
			slices.Reverse(own)
			if err := caps.VerifyChain(tree.Root(), n, i, leaves[i], own); err != nil {
				t.Errorf("%d leaves: chain of leaf %d with its own leaf: %v", n, i, err)
			}
		}
	}
}

func TestVerifyChainRefuses(t *testing.T) {
	t.Parallel()
	const n, leaf = 5, 2
	leaves := numberedLeaves(n)
	tree := caps.NewTree(leaves)
	chain := tree.Chain(leaf)
	with := func(extra ...caps.Node) []caps.Node { return append(slices.Clone(chain), extra...) }
	flipped := slices.Clone(chain)
	flipped[1].Hash[7] ^= 1
	renumbered := slices.Clone(chain)
	renumbered[0].Number++

	tests := map[string]struct {
		leaves, leaf int
		hash         caps.Hash
		chain        []caps.Node
		err          error
	}{
		"empty_chain":           {n, leaf, leaves[leaf], nil, caps.ErrChainShort},
		"root_as_leaf_no_chain": {n, leaf, tree.Root(), nil, caps.ErrChainShort},
		"first_missing":         {n, leaf, leaves[leaf], chain[1:], caps.ErrChainShort},
		"last_missing":          {n, leaf, leaves[leaf], chain[:2], caps.ErrChainShort},
		"wrong_hash_in_chain":   {n, leaf, leaves[leaf], flipped, caps.ErrChainMismatch},
		"wrong_leaf":            {n, leaf, leaves[1], chain, caps.ErrChainMismatch},
		"wrong_number":          {n, leaf, leaves[leaf], renumbered, caps.ErrChainShort},
		"off_the_way":           {n, leaf, leaves[leaf], with(caps.Node{Number: 14, Hash: tree[14]}), caps.ErrChainExtra},
		"twice":                 {n, leaf, leaves[leaf], with(chain[0]), caps.ErrChainExtra},
		"own_leaf_twice":        {n, leaf, leaves[leaf], with(caps.Node{Number: 9, Hash: leaves[leaf]}, caps.Node{Number: 9, Hash: leaves[leaf]}), caps.ErrChainExtra},
		"own_leaf_wrong":        {n, leaf, leaves[leaf], with(caps.Node{Number: 9, Hash: leaves[1]}), caps.ErrChainMismatch},
		"wrong_root_in_chain":   {n, leaf, leaves[leaf], with(caps.Node{Hash: leaves[1]}), caps.ErrChainMismatch},
		"number_too_large":      {n, leaf, leaves[leaf], with(caps.Node{Number: 15}), caps.ErrChainNodeNumber},
		"number_negative":       {n, leaf, leaves[leaf], with(caps.Node{Number: -1}), caps.ErrChainNodeNumber},
		"leaf_negative":         {n, -1, leaves[leaf], chain, caps.ErrChainLeaf},
		"leaf_is_padding":       {n, 5, tree[12], tree.Chain(5), caps.ErrChainLeaf},
		"no_leaves":             {0, 0, caps.NewTree(nil).Root(), nil, caps.ErrChainLeaf},
		"leaves_negative":       {-1, 0, leaves[0], nil, caps.ErrChainLeaf},
		"leaves_beyond_bound":   {caps.MaxLeaves + 1, 0, leaves[0], chain, caps.ErrChainLeaf},
		"tree_of_other_size":    {9, leaf, leaves[leaf], chain, caps.ErrChainShort},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			err := caps.VerifyChain(tree.Root(), tt.leaves, tt.leaf, tt.hash, tt.chain)
			if !errors.Is(err, tt.err) || !errors.Is(err, caps.ErrChain) {
				t.Errorf("%v, want %v", err, tt.err)
			}
			// A partial tree refuses the same, except what it can check on its own.
			p := caps.NewPartialTree(tt.leaves, tree.Root())
			switch name {
			case "twice", "own_leaf_twice":
				return // agreeing repetitions are harmless there
			}
			if err := p.Add(tt.leaf, tt.hash, tt.chain); !errors.Is(err, caps.ErrChain) {
				t.Errorf("PartialTree.Add: %v", err)
			}
			if _, ok := p.Leaf(tt.leaf); ok {
				t.Error("a refused leaf was kept")
			}
		})
	}
	if err := caps.VerifyChain(leaves[0], 1, 0, leaves[0], nil); err != nil {
		t.Errorf("the one leaf that is the root: %v", err)
	}
	if err := caps.VerifyChain(leaves[0], 1, 0, leaves[1], nil); !errors.Is(err, caps.ErrChainMismatch) {
		t.Errorf("another leaf in its place: %v", err)
	}
}

func TestPartialTree(t *testing.T) {
	t.Parallel()
	for _, n := range []int{1, 2, 3, 5, 8, 10} {
		leaves := numberedLeaves(n)
		tree := caps.NewTree(leaves)
		p := caps.NewPartialTree(n, tree.Root())
		if p.Root() != tree.Root() {
			t.Fatal("another root")
		}
		for k := range n {
			i := (k*3 + 1) % n // every leaf: n is never a multiple of 3 but for 3 itself
			if n == 3 {
				i = k
			}
			if _, err := p.Chain(i); n > 1 && i%2 == 0 && k == 0 && !errors.Is(err, caps.ErrChainShort) {
				t.Errorf("%d leaves: chain of unverified leaf %d: %v", n, i, err)
			}
			missing := p.Missing(i)
			var nodes []caps.Node
			for _, m := range missing {
				nodes = append(nodes, caps.Node{Number: m, Hash: tree[m]})
			}
			for drop := range nodes {
				short := slices.Delete(slices.Clone(nodes), drop, drop+1)
				if err := p.Add(i, leaves[i], short); !errors.Is(err, caps.ErrChainShort) {
					t.Errorf("%d leaves: leaf %d without node %d: %v", n, i, missing[drop], err)
				}
			}
			if !slices.Equal(p.Missing(i), missing) {
				t.Errorf("%d leaves: refused batches changed the tree", n)
			}
			if err := p.Add(i, leaves[i], nodes); err != nil {
				t.Errorf("%d leaves: leaf %d: %v", n, i, err)
			}
			if h, ok := p.Leaf(i); !ok || h != leaves[i] {
				t.Errorf("%d leaves: leaf %d is not there", n, i)
			}
			if m := p.Missing(i); len(m) != 0 {
				t.Errorf("%d leaves: leaf %d verified and still missing %v", n, i, m)
			}
			chain, err := p.Chain(i)
			if err != nil || !slices.Equal(chain, tree.Chain(i)) {
				t.Errorf("%d leaves: chain of leaf %d: %v, %v", n, i, chain, err)
			}
			if err := p.Add(i, leaves[i], chain); err != nil {
				t.Errorf("%d leaves: leaf %d again: %v", n, i, err)
			}
			wrong := leaves[i]
			wrong[0] ^= 1
			if err := p.Add(i, wrong, chain); !errors.Is(err, caps.ErrChainMismatch) {
				t.Errorf("%d leaves: another hash for leaf %d: %v", n, i, err)
			}
		}
	}
}

// A batch is all or nothing: one node that ties to nothing spoils it.
func TestPartialTreeBatch(t *testing.T) {
	t.Parallel()
	leaves := numberedLeaves(8)
	tree := caps.NewTree(leaves)
	node := func(i int) caps.Node { return caps.Node{Number: i, Hash: tree[i]} }
	lie := func(i int) caps.Node { n := node(i); n.Hash[31] ^= 0x80; return n }

	tests := map[string]struct {
		nodes []caps.Node
		err   error
	}{
		"chain":                     {[]caps.Node{node(8), node(4), node(2)}, nil},
		"chain_backwards":           {[]caps.Node{node(2), node(4), node(8)}, nil},
		"chain_and_own_way":         {[]caps.Node{node(8), node(4), node(2), node(7), node(3), node(1), node(0)}, nil},
		"chain_and_a_second_leaf":   {[]caps.Node{node(8), node(4), node(2), node(11), node(12), node(6)}, nil},
		"chain_twice":               {[]caps.Node{node(8), node(8), node(4), node(4), node(2)}, nil},
		"every_node":                {[]caps.Node{node(14), node(13), node(12), node(11), node(10), node(9), node(8), node(6), node(5), node(4), node(2)}, nil},
		"stray_leaf":                {[]caps.Node{node(8), node(4), node(2), node(14)}, caps.ErrChainShort},
		"stray_left_leaf":           {[]caps.Node{node(8), node(4), node(2), node(13)}, caps.ErrChainShort},
		"stray_pair_that_lies":      {[]caps.Node{node(8), node(4), node(2), node(13), lie(14)}, caps.ErrChainShort},
		"stray_pair_under_a_parent": {[]caps.Node{node(8), node(4), node(2), node(13), lie(14), node(5), node(6)}, caps.ErrChainMismatch},
		"lie_in_the_chain":          {[]caps.Node{node(8), lie(4), node(2)}, caps.ErrChainMismatch},
		"lie_about_the_way":         {[]caps.Node{node(8), node(4), node(2), lie(3)}, caps.ErrChainMismatch},
		"lie_about_the_root":        {[]caps.Node{node(8), node(4), node(2), lie(0)}, caps.ErrChainMismatch},
		"two_hashes_for_one":        {[]caps.Node{node(8), lie(8), node(4), node(2)}, caps.ErrChainExtra},
		"two_hashes_for_the_leaf":   {[]caps.Node{lie(7), node(8), node(4), node(2)}, caps.ErrChainExtra},
		"nothing":                   {nil, caps.ErrChainShort},
		"number_beyond":             {[]caps.Node{node(8), node(4), node(2), {Number: 15}}, caps.ErrChainNodeNumber},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := caps.NewPartialTree(8, tree.Root())
			given := slices.Clone(tt.nodes)
			err := p.Add(0, leaves[0], tt.nodes)
			if !errors.Is(err, tt.err) || tt.err == nil && err != nil {
				t.Fatalf("%v, want %v", err, tt.err)
			}
			if !slices.Equal(given, tt.nodes) {
				t.Error("the caller's nodes were changed")
			}
			for i := range leaves {
				h, ok := p.Leaf(i)
				if ok && (err != nil || h != leaves[i]) {
					t.Errorf("leaf %d was kept as %s", i, h)
				}
			}
			if _, ok := p.Leaf(0); err == nil && !ok {
				t.Error("the leaf was not kept")
			}
		})
	}
}

// A stranger may claim any number of leaves: nothing is allocated for them.
func TestPartialTreeOfManyLeaves(t *testing.T) {
	t.Parallel()
	p := caps.NewPartialTree(caps.MaxLeaves, caps.Hash{1})
	if n := len(p.Missing(caps.MaxLeaves - 1)); n != 30 {
		t.Errorf("%d nodes missing, want 30", n)
	}
	for _, leaves := range []int{-5, 0, caps.MaxLeaves + 1, int(^uint(0) >> 1)} {
		p := caps.NewPartialTree(leaves, caps.Hash{1})
		if err := p.Add(0, caps.Hash{1}, nil); !errors.Is(err, caps.ErrChainLeaf) {
			t.Errorf("%d leaves: %v", leaves, err)
		}
		if _, err := p.Chain(0); !errors.Is(err, caps.ErrChainLeaf) || p.Missing(0) != nil {
			t.Errorf("%d leaves: %v", leaves, err)
		}
	}
}

func TestHashesDoNotAllocate(t *testing.T) {
	block := make([]byte, 43691)
	tree := caps.NewTree(numberedLeaves(1000))
	chain, leaf := tree.Chain(3), numberedLeaves(4)[3]
	for name, f := range map[string]func(){
		"BlockHash":            func() { caps.BlockHash(block) },
		"CrypttextSegmentHash": func() { caps.CrypttextSegmentHash(block) },
		"UEBHash":              func() { caps.UEBHash(block) },
		"VerifyChain":          func() { _ = caps.VerifyChain(tree.Root(), 1000, 3, leaf, chain) },
	} {
		if n := testing.AllocsPerRun(20, f); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}

// The input is a script: a number of leaves, then batches of nodes, each true or not.
func FuzzPartialTree(f *testing.F) {
	f.Fuzz(func(t *testing.T, script []byte) {
		next := func() int {
			if len(script) == 0 {
				return 0
			}
			b := script[0]
			script = script[1:]
			return int(b)
		}
		n := next()%40 + 1
		leaves := numberedLeaves(n)
		tree := caps.NewTree(leaves)
		p := caps.NewPartialTree(n, tree.Root())
		for len(script) > 0 {
			leaf := next()%(n+2) - 1
			var nodes []caps.Node
			if leaf >= 0 && leaf < n && next()%2 == 0 {
				nodes = tree.Chain(leaf)
			}
			for range next() % 6 {
				number := next()%(len(tree)+2) - 1
				node := caps.Node{Number: number}
				if number >= 0 && number < len(tree) {
					node.Hash = tree[number]
				}
				if next()%3 == 0 {
					node.Hash[0] ^= 1
				}
				nodes = append(nodes, node)
			}
			var h caps.Hash
			if leaf >= 0 && leaf < n && next()%4 != 0 {
				h = leaves[leaf]
			}
			before := held(p, n)
			err := p.Add(leaf, h, nodes)
			after := held(p, n)
			if err != nil && !slices.Equal(before, after) {
				t.Fatalf("a refused batch (%v) changed the tree", err)
			}
			if err == nil && !slices.Contains(after, leaf) {
				t.Fatalf("leaf %d was accepted and is not there", leaf)
			}
			for _, i := range after {
				if got, _ := p.Leaf(i); got != leaves[i] {
					t.Fatalf("leaf %d is held with a false hash", i)
				}
				chain, err := p.Chain(i)
				if err != nil {
					t.Fatalf("leaf %d is held without a chain: %v", i, err)
				}
				if err := caps.VerifyChain(tree.Root(), n, i, leaves[i], chain); err != nil {
					t.Fatalf("chain of leaf %d: %v", i, err)
				}
			}
		}
		for i := range leaves {
			var nodes []caps.Node
			for _, m := range p.Missing(i) {
				nodes = append(nodes, caps.Node{Number: m, Hash: tree[m]})
			}
			if err := p.Add(i, leaves[i], nodes); err != nil {
				t.Fatalf("leaf %d with what was missing: %v", i, err)
			}
		}
	})
}

func held(p *caps.PartialTree, n int) []int {
	var leaves []int
	for i := range n {
		if _, ok := p.Leaf(i); ok {
			leaves = append(leaves, i)
		}
	}
	return leaves
}
