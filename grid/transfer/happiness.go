package transfer

// Placement is pure here: servers are indexes into the caller's list, in
// permuted order, and shares are numbers 0..n-1.

// offer is what one server could contribute.
type offer struct {
	// have are the shares it holds already.
	have []int
	// takes says that it accepts new shares.
	takes bool
}

// spread says on which server each share should be, for the greatest
// happiness there can be, moving as few shares as that allows. The result has
// n entries: the index of a server, or -1 if no server is left to take the
// share. A share goes to a server that has it, or to one that takes new ones.
//
// It is Tahoe's algorithm: match the servers that take nothing with what they
// have, then the others with what they have, then the remaining servers with
// the remaining shares; shares beyond that stay where they are if anybody has
// them, and are dealt out evenly if not. The happiness reached is min(n, m+t)
// for m matched servers that take nothing and t that take shares, which is
// what any placement can reach at most.
//
// Source: Tahoe immutable/happiness_upload.py, share_placement.
func spread(offers []offer, n int) []int {
	at := make([]int, n)
	for i := range at {
		at[i] = -1
	}
	used := make([]bool, len(offers))
	for _, takes := range []bool{false, true} {
		m := newMatching(len(offers), n)
		for server, o := range offers {
			if o.takes != takes {
				continue
			}
			for _, share := range o.have {
				if share < n && at[share] < 0 {
					m.edge(server, share)
				}
			}
		}
		m.solve()
		for share, server := range m.byShare {
			if server >= 0 {
				at[share] = server
				used[server] = true
			}
		}
	}

	homeless := make([]int, 0, n)
	for share := range at {
		if at[share] < 0 {
			homeless = append(homeless, share)
		}
	}
	// Which share goes to which of the unused servers does not matter for
	// happiness; that a share nobody has goes first avoids second copies.
	holder := make([]int, n)
	for i := range holder {
		holder[i] = -1
	}
	for server, o := range offers {
		for _, share := range o.have {
			if share < n && holder[share] < 0 {
				holder[share] = server
			}
		}
	}
	queue := make([]int, 0, len(homeless))
	for _, share := range homeless {
		if holder[share] < 0 {
			queue = append(queue, share)
		}
	}
	for _, share := range homeless {
		if holder[share] >= 0 {
			queue = append(queue, share)
		}
	}
	for server, o := range offers {
		if len(queue) == 0 {
			break
		}
		if o.takes && !used[server] {
			at[queue[0]], used[server] = server, true
			queue = queue[1:]
		}
	}

	load := make([]int, len(offers))
	for _, server := range at {
		if server >= 0 {
			load[server]++
		}
	}
	for _, share := range queue {
		if holder[share] >= 0 {
			at[share] = holder[share]
			continue
		}
		best := -1
		for server, o := range offers {
			if o.takes && (best < 0 || load[server] < load[best]) {
				best = server
			}
		}
		if best >= 0 {
			at[share] = best
			load[best]++
		}
	}
	return at
}

// Happiness is the number of distinct servers that can each be counted for a
// share of their own: the size of a maximum matching between servers and the
// shares they hold. holds[server] lists share numbers, 0 to n-1.
func Happiness(holds [][]int, n int) int {
	m := newMatching(len(holds), n)
	for server, shares := range holds {
		for _, share := range shares {
			m.edge(server, share)
		}
	}
	return m.solve()
}

// matching is a bipartite graph of servers and shares, and a matching in it.
type matching struct {
	edges    [][]int // per server
	byServer []int   // share, or -1
	byShare  []int   // server, or -1
	visited  []int   // per share: the round in which it was last seen
	round    int
}

func newMatching(servers, shares int) *matching {
	m := &matching{
		edges:    make([][]int, servers),
		byServer: make([]int, servers),
		byShare:  make([]int, shares),
		visited:  make([]int, shares),
	}
	for i := range m.byServer {
		m.byServer[i] = -1
	}
	for i := range m.byShare {
		m.byShare[i] = -1
	}
	return m
}

func (m *matching) edge(server, share int) { m.edges[server] = append(m.edges[server], share) }

// solve makes the matching a maximum one by augmenting paths and returns its
// size. Servers are tried in order, so the first ones are matched if any are.
func (m *matching) solve() int {
	size := 0
	for server := range m.edges {
		m.round++
		if m.augment(server) {
			size++
		}
	}
	return size
}

func (m *matching) augment(server int) bool {
	for _, share := range m.edges[server] {
		if m.visited[share] == m.round {
			continue
		}
		m.visited[share] = m.round
		if m.byShare[share] < 0 || m.augment(m.byShare[share]) {
			m.byServer[server], m.byShare[share] = share, server
			return true
		}
	}
	return false
}
