package longdistance_test

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"

	"trunkline/caps"
	"trunkline/p2p"
)

// fault is what happens to the bytes of one direction of a stream.
type fault struct {
	flipAt  int64 // offset of the byte to change; -1: none
	flip    byte  // by this mask
	cutAt   int64 // offset at which the stream is reset; -1: never
	stallAt int64 // offset at which nothing passes any more; -1: never
}

var noFault = fault{flipAt: -1, cutAt: -1, stallAt: -1}

// half is one direction of a stream in memory: bytes, with room for a few, so
// that a writer feels a reader that does not read.
type half struct {
	mu     sync.Mutex
	cond   *sync.Cond
	buf    []byte
	room   int
	passed int64 // bytes written since the start
	record bool
	log    []byte // all of them, if record is set
	fault  fault
	closed bool
	err    error
}

func newHalf(room int, f fault) *half {
	h := &half{room: room, fault: f}
	h.cond = sync.NewCond(&h.mu)
	return h
}

// wait waits on the condition for at most d.
func (h *half) wait(ok func() bool, d time.Duration) error {
	if ok() {
		return nil
	}
	late := false
	timer := time.AfterFunc(d, func() {
		h.mu.Lock()
		late = true
		h.mu.Unlock()
		h.cond.Broadcast()
	})
	defer timer.Stop()
	for !ok() {
		if late {
			return fmt.Errorf("%w: %w", p2p.ErrStepTimeout, os.ErrDeadlineExceeded)
		}
		h.cond.Wait()
	}
	return nil
}

func (h *half) write(b []byte, d time.Duration) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	for len(b) > 0 {
		if err := h.wait(func() bool { return h.err != nil || h.closed || len(h.buf) < h.room }, d); err != nil {
			return err
		}
		if h.err != nil {
			return h.err
		}
		if h.closed {
			return p2p.ErrReset
		}
		n := min(len(b), h.room-len(h.buf))
		piece := append([]byte(nil), b[:n]...)
		if h.record {
			h.log = append(h.log, piece...)
		}
		if at := h.fault.flipAt - h.passed; h.fault.flipAt >= 0 && at >= 0 && at < int64(n) {
			piece[at] ^= h.fault.flip
		}
		if at := h.fault.stallAt - h.passed; h.fault.stallAt >= 0 && at < int64(n) {
			piece = piece[:max(at, 0)]
		}
		if at := h.fault.cutAt - h.passed; h.fault.cutAt >= 0 && at < int64(n) {
			h.buf = append(h.buf, piece[:max(at, 0)]...)
			h.err = p2p.ErrReset
			h.cond.Broadcast()
			return h.err
		}
		h.passed += int64(n)
		h.buf = append(h.buf, piece...)
		b = b[n:]
		h.cond.Broadcast()
	}
	return nil
}

func (h *half) read(b []byte, d time.Duration) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if err := h.wait(func() bool { return len(h.buf) > 0 || h.err != nil || h.closed }, d); err != nil {
		return 0, err
	}
	if len(h.buf) > 0 {
		n := copy(b, h.buf)
		h.buf = h.buf[n:]
		h.cond.Broadcast()
		return n, nil
	}
	if h.err != nil {
		return 0, h.err
	}
	return 0, io.EOF
}

func (h *half) end(err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.closed = true
	if err != nil && h.err == nil {
		h.err = err
		h.buf = nil
	}
	h.cond.Broadcast()
}

// memStream is one end of a stream in memory, framed as p2p frames.
type memStream struct {
	remote  caps.PublicKey
	in, out *half
	r       *bufio.Reader
	mu      sync.Mutex
	step    time.Duration
}

type halfReader struct{ s *memStream }

func (r halfReader) Read(b []byte) (int, error) { return r.s.in.read(b, r.s.timeout()) }

// newPipe makes both ends of a stream. up is from the payer to the payee.
func newPipe(payer, payee caps.PublicKey, up, down fault) (atPayer, atPayee *memStream) {
	const room = 256 << 10
	u, d := newHalf(room, up), newHalf(room, down)
	atPayer = &memStream{remote: payee, in: d, out: u, step: time.Minute}
	atPayee = &memStream{remote: payer, in: u, out: d, step: time.Minute}
	for _, s := range []*memStream{atPayer, atPayee} {
		s.r = bufio.NewReaderSize(halfReader{s}, 4096)
	}
	return atPayer, atPayee
}

func (s *memStream) timeout() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.step
}

func (s *memStream) Remote() caps.PublicKey { return s.remote }

func (s *memStream) SetStepTimeout(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.step = d
}

func (s *memStream) Send(m proto.Message) error { return s.SendData(m, nil) }

func (s *memStream) SendData(m proto.Message, data []byte) error {
	b, err := proto.Marshal(m)
	if err != nil {
		return err
	}
	b = append(binary.AppendUvarint(nil, uint64(len(b))), b...)
	if err := s.out.write(b, s.timeout()); err != nil {
		return err
	}
	return s.out.write(data, s.timeout())
}

func (s *memStream) Receive(m proto.Message, maxBytes int) error {
	n, err := binary.ReadUvarint(s.r)
	if err != nil {
		return err
	}
	if n > uint64(maxBytes) {
		return p2p.ErrTooLarge
	}
	b := make([]byte, n)
	if _, err := io.ReadFull(s.r, b); err != nil {
		return errors.Join(io.ErrUnexpectedEOF, err)
	}
	if err := proto.Unmarshal(b, m); err != nil {
		return errors.Join(p2p.ErrMalformed, err)
	}
	return nil
}

func (s *memStream) ReadData(b []byte) error {
	_, err := io.ReadFull(s.r, b)
	return err
}

func (s *memStream) Close() error {
	s.out.end(nil)
	s.in.end(nil)
	return nil
}

func (s *memStream) Reset() {
	s.out.end(p2p.ErrReset)
	s.in.end(p2p.ErrReset)
}
