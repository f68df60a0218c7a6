package p2p_test

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	ma "github.com/multiformats/go-multiaddr"

	"trunkline/p2p"
)

func multiaddr(t testing.TB, s string) ma.Multiaddr {
	t.Helper()
	a, err := ma.NewMultiaddr(s)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func TestPublicAddresses(t *testing.T) {
	t.Parallel()
	for ip, want := range map[string]bool{
		"1.1.1.1": true, "8.8.8.8": true, "11.0.0.1": true, "99.255.255.255": true, "128.0.0.1": true,
		"100.63.255.255": true, "100.128.0.0": true, "172.15.0.1": true, "172.32.0.1": true, "223.255.255.254": true,
		"0.0.0.0": false, "0.1.2.3": false, "10.0.0.1": false, "10.255.255.255": false, "100.64.0.1": false,
		"100.127.255.255": false, "127.0.0.1": false, "127.255.255.255": false, "169.254.169.254": false,
		"172.16.0.1": false, "172.31.255.255": false, "192.0.0.8": false, "192.0.2.1": false, "192.88.99.1": false,
		"192.168.1.1": false, "198.18.0.1": false, "198.19.255.255": false, "198.51.100.7": false, "203.0.113.9": false,
		"224.0.0.1": false, "239.255.255.250": false, "240.0.0.1": false, "255.255.255.255": false,
		"2606:4700:4700::1111": true, "2a00:1450::1": true, "2400:cb00::1": true,
		"::": false, "::1": false, "::ffff:8.8.8.8": false, "::ffff:127.0.0.1": false, "::7f00:1": false,
		"64:ff9b::808:808": false, "64:ff9b:1::1": false, "100::1": false, "2001::1": false, "2001:20::1": false,
		"2001:db8::1": false, "2002:7f00:1::": false, "2002:808:808::1": false, "3fff::1": false, "5f00::1": false,
		"fc00::1": false, "fd12:3456::1": false, "fe80::1": false, "fe80::1%eth0": false, "fec0::1": false, "ff02::1": false,
	} {
		if got := p2p.IsPublic(netip.MustParseAddr(ip)); got != want {
			t.Errorf("%s is public: %v, want %v", ip, got, want)
		}
	}
}

func TestDialable(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		addr            string
		public, private bool
	}{
		{"/ip4/8.8.8.8/tcp/4001", true, true},
		{"/ip4/8.8.8.8/tcp/4001/p2p/" + goodID, true, true},
		{"/ip4/8.8.8.8/udp/4001/quic-v1", true, true},
		{"/ip6/2606:4700:4700::1111/tcp/4001", true, true},
		{"/ip4/127.0.0.1/tcp/4001", false, true},
		{"/ip4/10.0.0.1/udp/4001/quic-v1", false, true},
		{"/ip6/::1/tcp/4001", false, true},
		{"/ip6/::ffff:127.0.0.1/tcp/4001", false, true},
		{"/ip4/8.8.8.8/tcp/0", false, false},
		{"/ip4/8.8.8.8/udp/4001", false, false},
		{"/ip4/8.8.8.8/tcp/80/ws", false, false},
		{"/ip4/8.8.8.8/udp/4001/quic-v1/webtransport", false, false},
		{"/ip4/8.8.8.8/tcp/4001/p2p/" + goodID + "/p2p-circuit", false, false},
		{"/dns4/example.com/tcp/4001", false, false}, // libp2p asks after resolving
		{"/unix/tmp/socket", false, false},
		{"/ip6zone/eth0/ip6/fe80::1/tcp/4001", false, false},
	} {
		a := multiaddr(t, tc.addr)
		if got := p2p.Dialable(a, false); got != tc.public {
			t.Errorf("%s dialable: %v, want %v", tc.addr, got, tc.public)
		}
		if got := p2p.Dialable(a, true); got != tc.private {
			t.Errorf("%s dialable with private addresses allowed: %v, want %v", tc.addr, got, tc.private)
		}
	}
}

func TestRankTCPFirst(t *testing.T) {
	t.Parallel()
	in := []ma.Multiaddr{
		multiaddr(t, "/ip4/8.8.8.8/tcp/1/p2p/"+goodID+"/p2p-circuit"),
		multiaddr(t, "/ip4/8.8.8.8/udp/1/quic-v1"),
		multiaddr(t, "/ip4/8.8.8.8/tcp/1"),
		multiaddr(t, "/ip4/8.8.4.4/tcp/1"),
	}
	var got []string
	for _, d := range p2p.RankTCPFirst(in) {
		got = append(got, d.Addr.String()[:len("/ip4/8.8.8.8/tcp")]+" "+d.Delay.String())
	}
	want := []string{"/ip4/8.8.8.8/tcp 0s", "/ip4/8.8.4.4/tcp 250ms", "/ip4/8.8.8.8/udp 750ms", "/ip4/8.8.8.8/tcp 1.75s"}
	if strings.Join(got, ", ") != strings.Join(want, ", ") {
		t.Fatalf("got %v, want %v", got, want)
	}
	if d := p2p.RankTCPFirst(in[1:2]); d[0].Delay != time.Duration(0) {
		t.Fatalf("QUIC alone waits %v", d[0].Delay)
	}
}
