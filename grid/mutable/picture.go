package mutable

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"maps"
	"slices"

	"trunkline/caps"
	"trunkline/grid/ssk"
	"trunkline/grid/transfer"
)

// version is what was found of one version of a file.
type version struct {
	header  ssk.Header
	shares  map[int][]*source // by number; those that are bad are left out
	servers int
}

func (v *version) recoverable() bool { return len(v.shares) >= v.header.K }

// happiness is the number of servers that have a share of their own of it.
func (v *version) happiness() int {
	holds := make(map[*peer][]int)
	for num, sources := range v.shares {
		for _, src := range sources {
			holds[src.peer] = append(holds[src.peer], num)
		}
	}
	return transfer.Happiness(slices.Collect(maps.Values(holds)), v.header.N)
}

// picture is what a survey found up to a moment.
type picture struct {
	versions []*version // newest first
	answered []*peer    // permuted order
	silent   []*peer    // failed ones too
	highest  uint64     // sequence number seen anywhere
	holders  int        // servers that have any share, good or not
}

// picture needs the lock. Servers in distrusted count as silent.
func (s *survey) picture(distrusted map[caps.PublicKey]bool) *picture {
	p := &picture{}
	byHeader := make(map[ssk.Header]*version)
	for _, peer := range s.peers {
		if peer.standing != answered || distrusted[peer.server.Key()] {
			p.silent = append(p.silent, peer)
			continue
		}
		p.answered = append(p.answered, peer)
		if len(peer.sources) > 0 {
			p.holders++
		}
		counted := make(map[*version]bool)
		for _, src := range peer.sources {
			if src.bad != nil || src.failed {
				continue
			}
			v := byHeader[src.head.Header]
			if v == nil {
				v = &version{header: src.head.Header, shares: make(map[int][]*source)}
				byHeader[v.header] = v
				p.versions = append(p.versions, v)
			}
			v.shares[src.num] = append(v.shares[src.num], src)
			if !counted[v] {
				counted[v] = true
				v.servers++
			}
			p.highest = max(p.highest, v.header.Seq)
		}
	}
	slices.SortFunc(p.versions, func(a, b *version) int { return b.header.Compare(a.header) })
	return p
}

// newest is the newest recoverable version, or nil: of several with one sequence number that on most servers.
func (p *picture) newest() (newest *version) {
	for _, v := range p.versions {
		if !v.recoverable() {
			continue
		}
		if newest == nil || v.header.Seq == newest.header.Seq && v.servers > newest.servers {
			newest = v
		}
	}
	return newest
}

// better compares two versions with one sequence number: by whether they can be acknowledged, then by servers.
func (p *picture) better(a, b *version, happy int) bool {
	if x, y := p.mayWin(a, happy), p.mayWin(b, happy); x != y {
		return x
	}
	return a.servers > b.servers
}

// best is the version with most shares, for telling how many are lacking.
func (p *picture) best() (found, need int) {
	for _, v := range p.versions {
		if len(v.shares) > found {
			found, need = len(v.shares), v.header.K
		}
	}
	return found, need
}

// newerThan reports whether any share is of a version with a higher sequence number.
func (p *picture) newerThan(v *version) bool {
	return len(p.versions) > 0 && p.versions[0].header.Seq > v.header.Seq
}

// rivals reports whether any share is of another version with that sequence number or a higher one.
func (p *picture) rivals(v *version) bool {
	for _, other := range p.versions {
		if other != v && other.header.Seq >= v.header.Seq {
			return true
		}
	}
	return false
}

// mayWin reports whether a version that somebody may still be writing can yet be acknowledged: whether happy servers have it,
// or did not answer, or have what its writer may have seen there before.
func (p *picture) mayWin(v *version, happy int) bool {
	n := v.servers + len(p.silent)
	for _, peer := range p.answered {
		older := true
		for _, src := range peer.sources {
			if src.bad == nil && !src.failed && src.head.Seq >= v.header.Seq {
				older = false
			}
		}
		if older {
			n++
		}
	}
	return n >= happy
}

// moved notes in marks what stands where, and reports whether a server shows anything else than the last time it answered. One that
// comes and goes does not look like one that is written to.
func (p *picture) moved(marks map[caps.PublicKey]string) (moved bool) {
	for _, peer := range p.answered {
		key, now := peer.server.Key(), string(peer.appendMark(nil))
		if before, ok := marks[key]; !ok || before != now {
			marks[key], moved = now, true
		}
	}
	return moved
}

// stands reports whether the server had in p what now shows.
func (p *picture) stands(server caps.PublicKey, now *peer) bool {
	for _, peer := range p.answered {
		if peer.server.Key() == server {
			return bytes.Equal(peer.appendMark(nil), now.appendMark(nil))
		}
	}
	return false
}

func (p *peer) appendMark(b []byte) []byte {
	b = binary.BigEndian.AppendUint32(b, uint32(p.rank))
	sources := slices.Clone(p.sources)
	slices.SortFunc(sources, func(a, b *source) int { return cmp.Compare(a.num, b.num) })
	for _, src := range sources {
		b = append(b, byte(src.num))
		b = append(b, src.raw[:min(len(src.raw), checkMost)]...)
	}
	return append(b, 0xff)
}

// checkMost is the length of the longest checkstring, in bytes.
const checkMost = 57
