package p2p

import (
	"github.com/libp2p/go-libp2p/core/control"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"
)

// gater keeps out peers with unsound keys, in both directions, and dials to
// addresses that a stranger's record should not be able to make us dial.
// libp2p asks it about addresses after DNS names were resolved.
type gater struct {
	allowPrivate bool
}

func (g gater) InterceptPeerDial(id peer.ID) bool {
	_, err := keyOfID(id)
	return err == nil
}

func (g gater) InterceptAddrDial(_ peer.ID, a ma.Multiaddr) bool {
	return g.dialable(a)
}

func (g gater) InterceptAccept(network.ConnMultiaddrs) bool { return true }

func (g gater) InterceptSecured(_ network.Direction, id peer.ID, _ network.ConnMultiaddrs) bool {
	_, err := keyOfID(id)
	return err == nil
}

func (g gater) InterceptUpgraded(network.Conn) (bool, control.DisconnectReason) { return true, 0 }
