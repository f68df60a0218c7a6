package p2p_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/peer"

	"trunkline/caps"
	"trunkline/p2p"
	"trunkline/p2p/pb"
)

const goodID = "12D3KooWEyoppNCUx8Yx66oV9fJnriXwCcXwDDUA2kj6vnc6iDEp"

// weakKeys are encodings that some Ed25519 implementations take for keys and
// for which anybody can sign, and encodings of no point at all.
func weakKeys() map[string][]byte {
	order8 := []byte{
		0xc7, 0x17, 0x6a, 0x70, 0x3d, 0x4d, 0xd8, 0x4f, 0xba, 0x3c, 0x0b, 0x76, 0x0d, 0x10, 0x67, 0x0f,
		0x2a, 0x20, 0x53, 0xfa, 0x2c, 0x39, 0xcc, 0xc6, 0x4e, 0xc7, 0xfd, 0x77, 0x92, 0xac, 0x03, 0x7a,
	}
	return map[string][]byte{
		"order 1":            append([]byte{1}, make([]byte, 31)...),
		"order 2":            slices.Concat([]byte{0xec}, slices.Repeat([]byte{0xff}, 30), []byte{0x7f}),
		"order 4":            make([]byte, 32),
		"order 8":            order8,
		"not canonical 1":    slices.Concat([]byte{0xee}, slices.Repeat([]byte{0xff}, 30), []byte{0x7f}),
		"not canonical sign": slices.Concat([]byte{1}, make([]byte, 30), []byte{0x80}),
	}
}

// weakID is the peer ID that libp2p itself gives a weak key.
func weakID(t testing.TB, raw []byte) peer.ID {
	t.Helper()
	pub, err := crypto.UnmarshalEd25519PublicKey(raw)
	if err != nil {
		t.Fatal(err)
	}
	id, err := peer.IDFromPublicKey(pub)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func TestWeakKeysAtEveryEntrance(t *testing.T) {
	t.Parallel()
	for name, raw := range weakKeys() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			id := weakID(t, raw)
			if _, err := p2p.ParsePeer("/ip4/127.0.0.1/tcp/1/p2p/" + id.String()); !errors.Is(err, p2p.ErrPeer) || !errors.Is(err, caps.ErrKey) {
				t.Errorf("ParsePeer: %v", err)
			}
			if _, err := p2p.PeerFromProto(&pb.Peer{Key: raw}); !errors.Is(err, p2p.ErrPeer) || !errors.Is(err, caps.ErrKey) {
				t.Errorf("PeerFromProto: %v", err)
			}
			if _, err := p2p.KeyOfID(id); !errors.Is(err, p2p.ErrPeer) {
				t.Errorf("peer ID: %v", err)
			}
			if dial, secured := p2p.Gate(id); dial || secured {
				t.Errorf("the gater lets it pass: dialled %v, secured %v", dial, secured)
			}
		})
	}
}

func TestParsePeer(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name, in string
		addr     string // "" with ok: no hint
		ok       bool
	}{
		{"tcp", "/ip4/192.0.2.7/tcp/4001/p2p/" + goodID, "/ip4/192.0.2.7/tcp/4001", true},
		{"quic", "/ip6/2001:db8::1/udp/4001/quic-v1/p2p/" + goodID, "/ip6/2001:db8::1/udp/4001/quic-v1", true},
		{"dns", "/dns4/grid.example/tcp/4001/p2p/" + goodID, "/dns4/grid.example/tcp/4001", true},
		{"key alone", "/p2p/" + goodID, "", true},
		{"empty", "", "", false},
		{"bare ID", goodID, "", false},
		{"no ID", "/ip4/192.0.2.7/tcp/4001", "", false},
		{"old ID form", "/ip4/192.0.2.7/tcp/4001/ipfs/" + goodID, "", false},
		{"ID as a CID", "/p2p/bafzaajaiaejcapf2qpqadl4oooijwqj4tpzvxjnxgsxcqsj3wxvcwpekzmkzbxle", "", false},
		{"RSA ID", "/p2p/QmYyQSo1c1Ym7orWxLYvCrM2EmxFTANf8wXmmE7DWjhx5N", "", false},
		{"trailing slash", "/ip4/192.0.2.7/tcp/4001/p2p/" + goodID + "/", "", false},
		{"trailing space", "/ip4/192.0.2.7/tcp/4001/p2p/" + goodID + " ", "", false},
		{"leading zero in the port", "/ip4/192.0.2.7/tcp/04001/p2p/" + goodID, "", false},
		{"second spelling of IPv6", "/ip6/2001:DB8:0::1/tcp/1/p2p/" + goodID, "", false},
		{"port out of range", "/ip4/192.0.2.7/tcp/65536/p2p/" + goodID, "", false},
		{"two IDs", "/ip4/192.0.2.7/tcp/1/p2p/" + goodID + "/p2p/" + goodID, "", false},
		{"too long", "/dns4/" + strings.Repeat("a", 300) + "/tcp/1/p2p/" + goodID, "", false},
		{"unknown protocol", "/ip4/192.0.2.7/warp/9/p2p/" + goodID, "", false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			p, err := p2p.ParsePeer(tc.in)
			if !tc.ok {
				if !errors.Is(err, p2p.ErrPeer) {
					t.Fatalf("got %v, %v; want ErrPeer", p, err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got := strings.Join(p.Addrs, " "); got != tc.addr || p.Key.String() != goodID {
				t.Fatalf("got %q of %s", got, p.Key)
			}
			if p.String() != tc.in {
				t.Fatalf("prints %q", p)
			}
		})
	}
}

func TestParsePeersJoins(t *testing.T) {
	t.Parallel()
	in := []string{"/ip4/192.0.2.7/tcp/1/p2p/" + goodID, "/ip4/192.0.2.8/tcp/1/p2p/" + goodID}
	peers, err := p2p.ParsePeers(in)
	if err != nil {
		t.Fatal(err)
	}
	if len(peers) != 1 || !slices.Equal(peers[0].Strings(), in) {
		t.Fatalf("got %v", peers)
	}
	var many []string
	for i := range p2p.MaxPeerAddrs + 1 {
		many = append(many, fmt.Sprintf("/ip4/192.0.2.%d/tcp/1/p2p/%s", i, goodID))
	}
	if _, err := p2p.ParsePeers(many); !errors.Is(err, p2p.ErrPeer) {
		t.Fatalf("%d addresses: %v", len(many), err)
	}
}

func TestPeerFromProto(t *testing.T) {
	t.Parallel()
	key, err := caps.ParsePeerID(goodID)
	if err != nil {
		t.Fatal(err)
	}
	good := p2p.Peer{Key: key, Addrs: []string{"/ip4/192.0.2.7/tcp/4001"}}
	back, err := p2p.PeerFromProto(good.Proto())
	if err != nil || back.String() != good.String() {
		t.Fatalf("got %v, %v", back, err)
	}
	for name, m := range map[string]*pb.Peer{
		"none":           nil,
		"short key":      {Key: key.Bytes()[:31]},
		"bad address":    {Key: key.Bytes(), Addrs: []string{"192.0.2.7:4001"}},
		"empty address":  {Key: key.Bytes(), Addrs: []string{""}},
		"address and ID": {Key: key.Bytes(), Addrs: []string{"/ip4/192.0.2.7/tcp/1/p2p/" + goodID}},
		"too many":       {Key: key.Bytes(), Addrs: slices.Repeat([]string{"/ip4/192.0.2.7/tcp/1"}, 17)},
	} {
		if _, err := p2p.PeerFromProto(m); !errors.Is(err, p2p.ErrPeer) {
			t.Errorf("%s: %v, want ErrPeer", name, err)
		}
	}
}

func FuzzParsePeer(f *testing.F) {
	f.Fuzz(func(t *testing.T, s string) {
		p, err := p2p.ParsePeer(s)
		if err != nil {
			return
		}
		if p.String() != s {
			t.Fatalf("%q prints as %q", s, p)
		}
		if err := p.Validate(); err != nil {
			t.Fatalf("%q parses and does not validate: %v", s, err)
		}
	})
}
