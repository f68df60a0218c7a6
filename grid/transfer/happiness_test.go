package transfer_test

import (
	"slices"
	"testing"

	"pgregory.net/rapid"

	"trunkline/grid/transfer"
)

// layout is what a grid holds and takes, drawn at random.
type layout struct {
	n     int
	have  [][]int
	takes []bool
}

func drawLayout(t *rapid.T) layout {
	l := layout{n: rapid.IntRange(1, 12).Draw(t, "shares")}
	servers := rapid.IntRange(0, 12).Draw(t, "servers")
	for range servers {
		have := rapid.SliceOfNDistinct(rapid.IntRange(0, l.n-1), 0, l.n, rapid.ID).Draw(t, "have")
		if rapid.Bool().Draw(t, "holds nothing") {
			have = nil
		}
		slices.Sort(have)
		l.have = append(l.have, have)
		l.takes = append(l.takes, rapid.Bool().Draw(t, "takes"))
	}
	return l
}

func (l layout) offers() []transfer.Offer {
	offers := make([]transfer.Offer, len(l.have))
	for i := range offers {
		offers[i] = transfer.NewOffer(l.have[i], l.takes[i])
	}
	return offers
}

// best is the greatest happiness there can be, by brute force: servers choose
// one after the other, with a memory of what is left.
func (l layout) best() int {
	type state struct{ server, used int }
	known := make(map[state]int)
	var from func(server, used int) int
	from = func(server, used int) int {
		if server == len(l.have) {
			return 0
		}
		s := state{server, used}
		if v, ok := known[s]; ok {
			return v
		}
		most := from(server+1, used)
		for share := range l.n {
			if used&(1<<share) == 0 && (l.takes[server] || slices.Contains(l.have[server], share)) {
				most = max(most, 1+from(server+1, used|1<<share))
			}
		}
		known[s] = most
		return most
	}
	return from(0, 0)
}

func TestSpread(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		l := drawLayout(t)
		at := transfer.Spread(l.offers(), l.n)
		if len(at) != l.n {
			t.Fatalf("%d places for %d shares", len(at), l.n)
		}
		holds := make([][]int, len(l.have))
		fresh := make([]int, len(l.have))
		anybody := slices.Contains(l.takes, true)
		for share, server := range at {
			held := slices.ContainsFunc(l.have, func(h []int) bool { return slices.Contains(h, share) })
			if server < 0 {
				if anybody || held {
					t.Fatalf("share %d is nowhere though it could be", share)
				}
				continue
			}
			holds[server] = append(holds[server], share)
			if !slices.Contains(l.have[server], share) {
				fresh[server]++
				if !l.takes[server] {
					t.Fatalf("share %d goes to server %d, which takes nothing", share, server)
				}
			}
		}
		best := l.best()
		if got := transfer.Happiness(holds, l.n); got != best {
			t.Fatalf("happiness %d, %d can be had: %v", got, best, at)
		}
		if !slices.Equal(at, transfer.Spread(l.offers(), l.n)) {
			t.Fatal("another placement the second time")
		}
	})
}

// On an empty grid nobody gets two more shares than anybody else, and the
// first servers in order get them.
func TestSpreadIsEven(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 256).Draw(t, "shares")
		servers := rapid.IntRange(1, 300).Draw(t, "servers")
		offers := make([]transfer.Offer, servers)
		for i := range offers {
			offers[i] = transfer.NewOffer(nil, true)
		}
		load := make([]int, servers)
		for _, server := range transfer.Spread(offers, n) {
			load[server]++
		}
		for i, got := range load {
			if want := n / servers; got < want || got > want+1 || i > 0 && got > load[i-1] {
				t.Fatalf("%d shares on %d servers: %v", n, servers, load)
			}
		}
	})
}

// A placement that is complete and as happy as can be stays as it is.
func TestSpreadKeepsWhatIsGood(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		l := drawLayout(t)
		at := transfer.Spread(l.offers(), l.n)
		after := layout{n: l.n, have: make([][]int, len(l.have)), takes: l.takes}
		for share, server := range at {
			if server >= 0 {
				after.have[server] = append(after.have[server], share)
			}
		}
		for share, server := range transfer.Spread(after.offers(), l.n) {
			if at[share] >= 0 && !slices.Contains(after.have[server], share) {
				t.Fatalf("share %d moves from %d to %d", share, at[share], server)
			}
		}
	})
}

func TestHappiness(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		holds [][]int
		want  int
	}{
		"nothing":                {nil, 0},
		"one-each":               {[][]int{{0}, {1}, {2}}, 3},
		"all-the-same-share":     {[][]int{{0}, {0}, {0}}, 1},
		"all-on-one-server":      {[][]int{{0, 1, 2}}, 1},
		"needs-an-augmentation":  {[][]int{{0, 1}, {0}, {1, 2}}, 3},
		"longer-augmenting-path": {[][]int{{0, 1}, {1, 2}, {2, 3}, {0}}, 4},
	} {
		if got := transfer.Happiness(c.holds, 4); got != c.want {
			t.Errorf("%s: %d, want %d", name, got, c.want)
		}
	}
}
