package storage

import (
	"context"
	"fmt"
	"io"
	"sync"

	"trunkline/caps"
	"trunkline/grid/storage/pb"
	"trunkline/p2p"
)

// Server answers the share protocol from a [Store].
type Server struct {
	store   *Store
	allow   func(peer caps.PublicKey) error
	buffers sync.Pool // of *[frameBytes]byte

	mu      sync.Mutex
	uploads map[caps.PublicKey]int // open uploads by peer
}

// NewServer serves store. allow says whether a peer may do anything at all; it is asked before each
// request is looked at, so that a revocation bites in the middle of a stream, and should be quick. Its
// error ends the stream, and its kind goes to the peer: Denied if it has none.
func NewServer(store *Store, allow func(peer caps.PublicKey) error) *Server {
	return &Server{
		store:   store,
		allow:   allow,
		buffers: sync.Pool{New: func() any { return new([frameBytes]byte) }},
		uploads: make(map[caps.PublicKey]int),
	}
}

// Register serves the protocol on h until h closes. The store must be closed after h.
func (v *Server) Register(h *p2p.Host) { h.Handle(Protocol, v.serve) }

// serve answers the requests of one stream in their order. What it sends is not waited for by the asker
// before asking more, so one goroutine keeps the stream full; and while the asker does not read, nothing
// more is read from the asker.
func (v *Server) serve(_ context.Context, s *p2p.Stream) error {
	c := &session{
		server: v, store: v.store, stream: s, peer: s.Remote(),
		uploads: make(map[shareID]*openUpload), changes: make(map[uint64]*incomingChange),
	}
	defer c.end()
	for {
		if len(c.uploads) > 0 {
			s.SetStepTimeout(uploadIdleTimeout)
		} else {
			s.SetStepTimeout(idleTimeout)
		}
		var r pb.Request
		if err := s.Receive(&r, maxMessage); err != nil {
			if err == io.EOF { //nolint:errorlint // Receive's exact value
				return nil
			}
			return err
		}
		s.SetStepTimeout(Protocol.StepTimeout)
		if err := v.allow(c.peer); err != nil {
			if k := p2p.KindOf(err); k == p2p.Internal {
				err = fmt.Errorf("%w: %w", p2p.ErrDenied, err)
			}
			return err
		}
		if err := c.handle(&r); err != nil {
			return err
		}
	}
}

// enter counts one more upload of a peer.
func (v *Server) enter(peer caps.PublicKey, n int) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.uploads[peer]+n > MaxUploadsPerPeer {
		return fmt.Errorf("%w: %d uploads of yours are open", ErrTooMany, v.uploads[peer])
	}
	v.uploads[peer] += n
	return nil
}

func (v *Server) leave(peer caps.PublicKey, n int) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.uploads[peer] -= n; v.uploads[peer] <= 0 {
		delete(v.uploads, peer)
	}
}
