package p2p

import (
	"fmt"
	"strings"

	ma "github.com/multiformats/go-multiaddr"

	"trunkline/caps"
	"trunkline/p2p/pb"
)

// Bounds on what a peer may say about where it is.
const (
	MaxPeerAddrs = 16  // addresses of one peer
	MaxAddrText  = 256 // bytes of one address as text
)

// Peer is a node: its key, which is who it is, and hints at where it may be
// reached. The zero value is no peer. Addrs is owned by the Peer and must not
// be changed after it was handed on.
type Peer struct {
	Key caps.PublicKey
	// Addrs are multiaddrs as text, without the closing /p2p part.
	Addrs []string
}

// ParsePeer reads one address that ends in a key, for example
// "/ip4/192.0.2.7/tcp/4001/p2p/12D3Koo…", or "/p2p/12D3Koo…" for a peer whose
// address is to be found. Errors match [ErrPeer], and caps' key errors where
// the key is to blame.
func ParsePeer(s string) (Peer, error) {
	if len(s) > MaxAddrText+64 {
		return Peer{}, fmt.Errorf("%w: longer than %d bytes", ErrPeer, MaxAddrText+64)
	}
	i := strings.LastIndex(s, "/p2p/")
	if i < 0 {
		return Peer{}, fmt.Errorf("%w: it does not end in /p2p/ and a peer ID", ErrPeer)
	}
	key, err := caps.ParsePeerID(s[i+len("/p2p/"):])
	if err != nil {
		return Peer{}, fmt.Errorf("%w: %w", ErrPeer, err)
	}
	p := Peer{Key: key}
	if i > 0 {
		p.Addrs = []string{s[:i]}
	}
	if err := p.Validate(); err != nil {
		return Peer{}, err
	}
	return p, nil
}

// ParsePeers reads several addresses and joins those of one key. The order of
// keys is that of their first address.
func ParsePeers(addrs []string) ([]Peer, error) {
	var peers []Peer
	index := make(map[caps.PublicKey]int, len(addrs))
	for _, s := range addrs {
		p, err := ParsePeer(s)
		if err != nil {
			return nil, err
		}
		i, ok := index[p.Key]
		if !ok {
			index[p.Key] = len(peers)
			peers = append(peers, p)
			continue
		}
		peers[i].Addrs = append(peers[i].Addrs, p.Addrs...)
		if err := peers[i].Validate(); err != nil {
			return nil, err
		}
	}
	return peers, nil
}

// Validate checks what every entrance checks: a key, at most [MaxPeerAddrs]
// addresses, each a multiaddr in its one spelling without a peer ID.
func (p Peer) Validate() error {
	if p.Key.IsZero() {
		return fmt.Errorf("%w: no key", ErrPeer)
	}
	if len(p.Addrs) > MaxPeerAddrs {
		return fmt.Errorf("%w: %d addresses, at most %d are allowed", ErrPeer, len(p.Addrs), MaxPeerAddrs)
	}
	for _, a := range p.Addrs {
		if _, err := parseAddr(a); err != nil {
			return err
		}
	}
	return nil
}

// Strings returns one full address per hint, each of which [ParsePeer] reads;
// without hints, the key's alone.
func (p Peer) Strings() []string {
	suffix := "/p2p/" + p.Key.String()
	if len(p.Addrs) == 0 {
		return []string{suffix}
	}
	out := make([]string, len(p.Addrs))
	for i, a := range p.Addrs {
		out[i] = a + suffix
	}
	return out
}

// String returns the first of Strings.
func (p Peer) String() string { return p.Strings()[0] }

// Proto returns p as it goes into other messages.
func (p Peer) Proto() *pb.Peer {
	return &pb.Peer{Key: p.Key.Bytes(), Addrs: p.Addrs}
}

// PeerFromProto checks and returns what Proto made.
func PeerFromProto(m *pb.Peer) (Peer, error) {
	key, err := caps.ParsePublicKey(m.GetKey())
	if err != nil {
		return Peer{}, fmt.Errorf("%w: %w", ErrPeer, err)
	}
	p := Peer{Key: key, Addrs: m.GetAddrs()}
	if err := p.Validate(); err != nil {
		return Peer{}, err
	}
	return p, nil
}

// parseAddr reads one address without a peer ID, refusing a second spelling
// of it.
func parseAddr(s string) (ma.Multiaddr, error) {
	if len(s) > MaxAddrText {
		return nil, fmt.Errorf("%w: an address of %d bytes, at most %d are allowed", ErrPeer, len(s), MaxAddrText)
	}
	a, err := ma.NewMultiaddr(s)
	if err != nil || len(a) == 0 {
		return nil, fmt.Errorf("%w: not a multiaddr", ErrPeer)
	}
	if a.String() != s {
		return nil, fmt.Errorf("%w: not the canonical spelling of its multiaddr", ErrPeer)
	}
	for _, c := range a {
		if c.Protocol().Code == ma.P_P2P {
			return nil, fmt.Errorf("%w: a second peer ID in the address", ErrPeer)
		}
	}
	return a, nil
}
