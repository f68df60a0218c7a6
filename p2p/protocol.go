package p2p

import (
	"context"
	"runtime/debug"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/protocol"

	"trunkline/caps"
)

// DefaultStreamsPerPeer is the default of [Protocol.MaxStreamsPerPeer].
const DefaultStreamsPerPeer = 64

// Protocol names what is spoken on a stream and bounds it. Both sides share
// one value, declared by the package that owns the protocol.
type Protocol struct {
	// ID is the libp2p protocol ID, "/trunkline/<name>/<version>".
	ID string
	// MaxStreamsPerPeer is how many streams one peer may have open at a
	// server at once; one more is reset with [Busy]. Default 64.
	MaxStreamsPerPeer int
	// StepTimeout is the deadline of each read or write step on both sides,
	// see [Stream]. Default [Config.StepTimeout].
	StepTimeout time.Duration
}

// Handler serves one stream. A nil error closes the stream; any other resets
// it and tells the peer the error's kind. A handler that sent its own failure
// message returns nil, since a reset may overtake the message. ctx ends when
// the stream or the host does.
type Handler func(ctx context.Context, s *Stream) error

// Handle serves p to every peer with a sound key, each stream in its own
// goroutine, until the host closes, which waits for them. Whether a peer may
// use the protocol is the handler's question. A panic in a handler costs that
// stream only: it is counted, logged with its stack, and the peer is told
// [Internal].
func (h *Host) Handle(p Protocol, handler Handler) {
	if p.MaxStreamsPerPeer <= 0 {
		p.MaxStreamsPerPeer = DefaultStreamsPerPeer
	}
	if p.StepTimeout <= 0 {
		p.StepTimeout = h.config.StepTimeout
	}
	served := &service{host: h, protocol: p, handler: handler}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return
	}
	h.services[p.ID] = served
	h.host.SetStreamHandler(protocol.ID(p.ID), func(raw network.Stream) {
		remote, err := keyOfID(raw.Conn().RemotePeer())
		if err != nil {
			_ = raw.ResetWithError(resetCode(ErrDenied))
			return
		}
		served.serve(raw, remote)
	})
}

// service is one protocol that a host serves.
type service struct {
	host     *Host
	protocol Protocol
	handler  Handler
	open     map[caps.PublicKey]int // streams by peer, under host.mu
}

// enter takes a slot for peer. It answers nil, ErrBusy or ErrClosed.
func (v *service) enter(peer caps.PublicKey) error {
	h := v.host
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return ErrClosed
	}
	if v.open[peer] >= v.protocol.MaxStreamsPerPeer {
		return ErrBusy
	}
	if v.open == nil {
		v.open = make(map[caps.PublicKey]int)
	}
	v.open[peer]++
	h.running.Add(1)
	return nil
}

func (v *service) leave(peer caps.PublicKey) {
	h := v.host
	h.mu.Lock()
	if v.open[peer]--; v.open[peer] == 0 {
		delete(v.open, peer)
	}
	h.mu.Unlock()
	h.running.Done()
}

// serve runs the handler on one stream and ends the stream after it.
func (v *service) serve(raw rawStream, remote caps.PublicKey) {
	h := v.host
	if err := v.enter(remote); err != nil {
		h.refused.Add(1)
		_ = raw.ResetWithError(resetCode(err))
		return
	}
	defer v.leave(remote)
	s := newStream(h.ctx, h.metered(raw, v.protocol.ID), remote, v.protocol.ID, v.protocol.StepTimeout, &h.buffers)
	stop := s.ResetOn(h.ctx)
	defer stop()
	defer func() {
		if p := recover(); p != nil {
			h.panics.Add(1)
			s.Fail(ErrInternal)
			h.config.Logger.Error("stream handler panicked", "protocol", v.protocol.ID,
				"peer_id", remote.String(), "panic", p, "stack", string(debug.Stack()))
		}
	}()
	if err := v.handler(s.Context(), s); err != nil {
		s.Fail(err)
		h.config.Logger.Debug("stream ended early", "protocol", v.protocol.ID,
			"peer_id", remote.String(), "error", err)
		return
	}
	_ = s.Close() // the peer may have left first
}
