package p2p

import (
	"net/netip"

	ma "github.com/multiformats/go-multiaddr"
)

// specialPrefixes are the networks that are not the public Internet: the
// IANA special-purpose registries of IPv4 and IPv6 with multicast, and the
// translations that hide an IPv4 address in an IPv6 one.
var specialPrefixes = parsePrefixes(
	"0.0.0.0/8",       // this network
	"10.0.0.0/8",      // private
	"100.64.0.0/10",   // carrier-grade NAT
	"127.0.0.0/8",     // loopback
	"169.254.0.0/16",  // link-local
	"172.16.0.0/12",   // private
	"192.0.0.0/24",    // protocol assignments
	"192.0.2.0/24",    // documentation
	"192.31.196.0/24", // AS112
	"192.52.193.0/24", // AMT
	"192.88.99.0/24",  // 6to4 relay anycast
	"192.168.0.0/16",  // private
	"192.175.48.0/24", // AS112
	"198.18.0.0/15",   // benchmarking
	"198.51.100.0/24", // documentation
	"203.0.113.0/24",  // documentation
	"224.0.0.0/4",     // multicast
	"240.0.0.0/4",     // reserved and broadcast
)

// globalUnicast6 is the one part of IPv6 that is on the Internet;
// special6 is what in it is not.
var (
	globalUnicast6 = netip.MustParsePrefix("2000::/3")
	special6       = parsePrefixes(
		"2001::/23",     // protocol assignments, Teredo, ORCHID, benchmarking
		"2001:db8::/32", // documentation
		"2002::/16",     // 6to4
		"2620:4f:8000::/48",
		"3fff::/20", // documentation
	)
)

func parsePrefixes(texts ...string) []netip.Prefix {
	out := make([]netip.Prefix, len(texts))
	for i, s := range texts {
		out[i] = netip.MustParsePrefix(s)
	}
	return out
}

// isPublic says whether ip is an address on the public Internet.
func isPublic(ip netip.Addr) bool {
	if !ip.IsValid() || ip.Zone() != "" || ip.Is4In6() {
		return false
	}
	special := specialPrefixes
	if ip.Is6() {
		if !globalUnicast6.Contains(ip) {
			return false
		}
		special = special6
	}
	for _, p := range special {
		if p.Contains(ip) {
			return false
		}
	}
	return true
}

// dialable says whether an address, resolved, may be dialled: an IP address,
// then TCP or QUIC at a port, and nothing more; and a public one, unless the
// configuration says otherwise.
func (g gater) dialable(a ma.Multiaddr) bool {
	if len(a) > 0 && a[len(a)-1].Protocol().Code == ma.P_P2P {
		a = a[:len(a)-1]
	}
	if len(a) < 2 {
		return false
	}
	if c := a[0].Protocol().Code; c != ma.P_IP4 && c != ma.P_IP6 {
		return false
	}
	ip, ok := netip.AddrFromSlice(a[0].RawValue())
	if !ok {
		return false
	}
	port := a[1].RawValue()
	switch code := a[1].Protocol().Code; {
	case code == ma.P_TCP && len(a) == 2:
	case code == ma.P_UDP && len(a) == 3 && a[2].Protocol().Code == ma.P_QUIC_V1:
	default:
		return false
	}
	if len(port) != 2 || port[0] == 0 && port[1] == 0 {
		return false
	}
	return g.allowPrivate || isPublic(ip)
}
