package p2p

import (
	"slices"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	ma "github.com/multiformats/go-multiaddr"
)

// Delays of the dial ranker. A direct TCP connection carries bulk data at a
// third of QUIC's processor time, so QUIC waits until TCP had its chance.
const (
	tcpStagger = 250 * time.Millisecond // between TCP addresses, as RFC 8305 has it
	quicDelay  = 500 * time.Millisecond // from the last TCP address to the first QUIC one
	otherDelay = time.Second            // from the last of those to anything else
)

// rankTCPFirst orders dials: TCP at once and one after the other, QUIC when
// TCP was slow, anything else last. libp2p's own ranker prefers QUIC.
func rankTCPFirst(addrs []ma.Multiaddr) []network.AddrDelay {
	class := func(a ma.Multiaddr) int {
		rank := 2
		for _, c := range a {
			switch c.Protocol().Code {
			case ma.P_CIRCUIT:
				return 2
			case ma.P_TCP:
				rank = 0
			case ma.P_QUIC_V1:
				rank = 1
			}
		}
		return rank
	}
	sorted := slices.Clone(addrs)
	slices.SortStableFunc(sorted, func(a, b ma.Multiaddr) int { return class(a) - class(b) })

	out := make([]network.AddrDelay, 0, len(sorted))
	var delay time.Duration
	for i, a := range sorted {
		if i > 0 {
			switch previous := class(sorted[i-1]); {
			case class(a) == previous:
				delay += tcpStagger
			case class(a) == 1:
				delay += quicDelay
			default:
				delay += otherDelay
			}
		}
		out = append(out, network.AddrDelay{Addr: a, Delay: delay})
	}
	return out
}
