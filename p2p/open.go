package p2p

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"syscall"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
	"github.com/libp2p/go-libp2p/p2p/net/swarm"
	"github.com/multiformats/go-multistream"
	"google.golang.org/protobuf/proto"
)

const (
	// hintTTL is how long an address hint is kept for later dials.
	hintTTL = 10 * time.Minute
	// goodAddrTTL is how long an address that worked is.
	goodAddrTTL = 24 * time.Hour
	// findTimeout bounds asking the DHT where a peer is.
	findTimeout = 3 * time.Second
)

// Opener opens streams; a [Host] is one.
type Opener interface {
	Open(ctx context.Context, to Peer, p Protocol) (*Stream, error)
}

// Call asks one question on a stream of its own: it sends ask and receives into
// answer, at most maxBytes. It ends early with ctx's error. Whether the answer is
// a failure is the caller's to see.
func Call(ctx context.Context, o Opener, to Peer, p Protocol, ask, answer proto.Message, maxBytes int) error {
	s, err := o.Open(ctx, to, p)
	if err != nil {
		return err
	}
	defer s.ResetOn(ctx)()
	if err = s.Send(ask); err == nil {
		err = s.Receive(answer, maxBytes)
	}
	if err != nil {
		s.Reset()
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if errors.Is(err, io.EOF) {
			return fmt.Errorf("no answer: %w", io.ErrUnexpectedEOF)
		}
		return err
	}
	_ = s.Close() // the answer is whole; how the stream ends changes nothing
	return nil
}

// Open starts a stream to peer, over the connection there is or a new one:
// TCP addresses are tried before QUIC ones, addresses that worked in the last
// day with the hints of to, and the DHT is asked when all of them fail. ctx
// and [Config.DialTimeout] bound the opening, not the stream, which ends with
// Close, Reset or the host.
//
// If nobody answers, the error matches [ErrUnreachable] and is an
// *[UnreachableError] that says what was tried. A peer that does not speak
// the protocol gives [ErrUnsupported], now or from the first Receive.
func (h *Host) Open(ctx context.Context, to Peer, p Protocol) (*Stream, error) {
	if p.StepTimeout <= 0 {
		p.StepTimeout = h.config.StepTimeout
	}
	ctx, cancel := context.WithTimeout(ctx, h.config.DialTimeout)
	defer cancel()
	if h.ctx.Err() != nil {
		return nil, ErrClosed
	}
	defer context.AfterFunc(h.ctx, cancel)()
	if to.Key == h.key {
		return h.openSelf(p)
	}
	info, err := h.info(to)
	if err != nil {
		return nil, err
	}
	for attempt := 0; ; attempt++ {
		if err := h.connect(ctx, to, info); err != nil {
			return nil, err
		}
		raw, err := h.host.NewStream(network.WithNoDial(ctx, "connected above"), info.ID, protocol.ID(p.ID))
		if err == nil {
			h.host.Peerstore().AddAddr(info.ID, raw.Conn().RemoteMultiaddr(), goodAddrTTL)
			return newStream(h.ctx, h.metered(raw, p.ID), to.Key, p.ID, p.StepTimeout, &h.buffers), nil
		}
		if attempt > 0 || !isPeerGone(err) || ctx.Err() != nil {
			return nil, openError(to, p, err)
		}
	}
}

// openError names the reasons a stream to a connected peer can be refused.
func openError(to Peer, p Protocol, err error) error {
	switch {
	case errors.As(err, new(multistream.ErrNotSupported[protocol.ID])):
		return fmt.Errorf("peer %s does not speak %s: %w", to.Key, p.ID, ErrUnsupported)
	case errors.Is(err, network.ErrResourceLimitExceeded):
		return fmt.Errorf("opening %s to %s: too many streams: %w", p.ID, to.Key, ErrBusy)
	}
	err = streamError(err)
	if errors.As(err, new(*RemoteError)) { // the handler ended it before we were done
		return fmt.Errorf("opening %s: %w", p.ID, err)
	}
	return fmt.Errorf("opening %s: %w", p.ID, &UnreachableError{Peer: to, Cause: err})
}

// Connect makes sure there is a connection to peer, with the rules of Open.
func (h *Host) Connect(ctx context.Context, to Peer) error {
	ctx, cancel := context.WithTimeout(ctx, h.config.DialTimeout)
	defer cancel()
	if h.ctx.Err() != nil {
		return ErrClosed
	}
	defer context.AfterFunc(h.ctx, cancel)()
	if to.Key == h.key {
		return nil
	}
	info, err := h.info(to)
	if err != nil {
		return err
	}
	return h.connect(ctx, to, info)
}

// connect dials unless connected.
func (h *Host) connect(ctx context.Context, to Peer, info peer.AddrInfo) error {
	if h.host.Network().Connectedness(info.ID) == network.Connected {
		return nil
	}
	h.host.Peerstore().AddAddrs(info.ID, info.Addrs, hintTTL)
	// libp2p refuses to dial again for seconds to minutes after a failure,
	// which outlasts most restarts. When to try again is the caller's choice.
	if network, ok := h.host.Network().(interface{ Backoff() *swarm.DialBackoff }); ok {
		network.Backoff().Clear(info.ID)
	}
	err := h.host.Connect(ctx, peer.AddrInfo{ID: info.ID})
	if err == nil {
		return nil
	}
	if h.dht != nil && ctx.Err() == nil {
		found, findErr := h.dht.find(ctx, info.ID)
		if findErr == nil && len(found.Addrs) > 0 {
			h.host.Peerstore().AddAddrs(info.ID, found.Addrs, hintTTL)
			if err = h.host.Connect(ctx, peer.AddrInfo{ID: info.ID}); err == nil {
				return nil
			}
		}
	}
	return unreachable(to, err)
}

// errNotDialled is the reason shown for addresses that the dial filter holds
// back.
var errNotDialled = errors.New("not dialled, as it is not a public TCP or QUIC address")

// errNoAnswer is the reason shown for addresses where nobody answered in time.
var errNoAnswer = errors.New("no answer in time")

// unreachable turns a dial's error into ours.
func unreachable(to Peer, err error) error {
	out := &UnreachableError{Peer: to, Cause: err}
	var dial *swarm.DialError
	if errors.As(err, &dial) {
		for _, t := range dial.DialErrors {
			reason := t.Cause
			var errno syscall.Errno
			var timed net.Error
			switch {
			case errors.Is(reason, swarm.ErrGaterDisallowedConnection):
				reason = errNotDialled
			case errors.As(reason, &errno): // without the address a second time
				reason = errno
			case errors.As(reason, &timed) && timed.Timeout(), errors.Is(reason, context.DeadlineExceeded):
				reason = errNoAnswer
			}
			out.Tried = append(out.Tried, fmt.Sprintf("%s: %v", t.Address, reason))
		}
	}
	return out
}
