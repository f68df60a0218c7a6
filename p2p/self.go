package p2p

import (
	"io"
	"os"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
)

// selfWindow is how many bytes one direction of an in-process stream holds
// before its writer waits.
const selfWindow = 1 << 20

// openSelf opens a stream to the host itself, which libp2p refuses to dial:
// a node with several roles serves itself as it serves others, with the same
// limits and the same code.
func (h *Host) openSelf(p Protocol) (*Stream, error) {
	h.mu.Lock()
	v, ok := h.services[p.ID]
	h.mu.Unlock()
	if !ok {
		return nil, openError(h.Self(), p, ErrUnsupported)
	}
	a, b := newPipe(), newPipe()
	near, far := &selfStream{in: a, out: b}, &selfStream{in: b, out: a}
	go v.serve(far, h.key)
	return newStream(h.ctx, h.metered(near, p.ID), h.key, p.ID, p.StepTimeout, &h.buffers), nil
}

// selfStream is one end of an in-process stream.
type selfStream struct {
	in, out *pipe
}

func (s *selfStream) Read(p []byte) (int, error)  { return s.in.read(p) }
func (s *selfStream) Write(p []byte) (int, error) { return s.out.write(p) }

func (s *selfStream) CloseWrite() error {
	s.out.end(io.EOF, network.ErrReset)
	return nil
}

// Close ends both directions, the other side's writes included, as the
// multiplexers do.
func (s *selfStream) Close() error {
	s.out.end(io.EOF, network.ErrReset)
	s.in.end(network.ErrReset, network.ErrReset)
	return nil
}

func (s *selfStream) ResetWithError(code network.StreamErrorCode) error {
	here := &network.StreamError{ErrorCode: code}
	there := &network.StreamError{ErrorCode: code, Remote: true}
	s.out.abort(there, here)
	s.in.abort(here, there)
	return nil
}

func (s *selfStream) SetReadDeadline(t time.Time) error {
	s.in.readDeadline.set(s.in, t)
	return nil
}

func (s *selfStream) SetWriteDeadline(t time.Time) error {
	s.out.writeDeadline.set(s.out, t)
	return nil
}

// pipe is one direction: bytes wait in it, up to selfWindow.
type pipe struct {
	mu   sync.Mutex
	cond sync.Cond // on mu: bytes, room, an end or a deadline came
	data []byte

	readErr, writeErr           error // once ended
	readDeadline, writeDeadline pipeDeadline
}

// pipeDeadline wakes a pipe's waiters when its time comes.
type pipeDeadline struct {
	timer *time.Timer
	turn  int // counts settings, so that a stale timer changes nothing
	over  bool
}

func newPipe() *pipe {
	p := &pipe{}
	p.cond.L = &p.mu
	return p
}

func (d *pipeDeadline) set(p *pipe, t time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if d.timer != nil {
		d.timer.Stop()
	}
	d.turn++
	d.over = false
	turn := d.turn
	d.timer = time.AfterFunc(time.Until(t), func() { //nolint:forbidigo // a socket deadline's stand-in
		p.mu.Lock()
		defer p.mu.Unlock()
		if d.turn == turn {
			d.over = true
			p.cond.Broadcast()
		}
	})
}

func (p *pipe) read(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for {
		switch {
		case len(b) == 0:
			return 0, nil
		case len(p.data) > 0:
			n := copy(b, p.data)
			p.data = p.data[n:]
			p.cond.Broadcast()
			return n, nil
		case p.readErr != nil:
			return 0, p.readErr
		case p.readDeadline.over:
			return 0, os.ErrDeadlineExceeded
		}
		p.cond.Wait()
	}
}

func (p *pipe) write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	done := 0
	for done < len(b) {
		switch room := selfWindow - len(p.data); {
		case p.writeErr != nil:
			return done, p.writeErr
		case p.writeDeadline.over:
			return done, os.ErrDeadlineExceeded
		case room > 0:
			n := min(room, len(b)-done)
			p.data = append(p.data, b[done:done+n]...)
			done += n
			p.cond.Broadcast()
			continue
		}
		p.cond.Wait()
	}
	return done, nil
}

// end lets waiting bytes be read, then gives each side its error. The first
// end of a side stands.
func (p *pipe) end(readErr, writeErr error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.readErr == nil {
		p.readErr = readErr
	}
	if p.writeErr == nil {
		p.writeErr = writeErr
	}
	p.stopTimers()
	p.cond.Broadcast()
}

// abort drops waiting bytes and replaces a clean end.
func (p *pipe) abort(readErr, writeErr error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.data = nil
	if p.readErr == nil || p.readErr == io.EOF { //nolint:errorlint // the exact value end was given
		p.readErr = readErr
	}
	if p.writeErr == nil {
		p.writeErr = writeErr
	}
	p.stopTimers()
	p.cond.Broadcast()
}

// stopTimers lets go of deadlines that no longer matter.
func (p *pipe) stopTimers() {
	for _, d := range []*pipeDeadline{&p.readDeadline, &p.writeDeadline} {
		if d.timer != nil {
			d.timer.Stop()
		}
	}
}
