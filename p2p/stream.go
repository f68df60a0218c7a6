package p2p

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"google.golang.org/protobuf/proto"

	"trunkline/caps"
)

const (
	// writeBuffer is the pooled buffer in which a message and the start of
	// its data are joined: as much as the multiplexer puts into one frame.
	writeBuffer = 64 << 10
	// writePiece is the most that is written under one deadline.
	writePiece = 256 << 10
	// readProgress is how much must arrive within one step's deadline of a
	// long message or block: at the default of 30 s, about 2 KB/s. A peer
	// that drips slower than that does not hold its slot.
	readProgress = 64 << 10
)

// rawStream is what a Stream needs of a libp2p stream. The in-process stream
// to the host itself is the other implementation.
type rawStream interface {
	io.ReadWriteCloser
	CloseWrite() error
	ResetWithError(network.StreamErrorCode) error
	SetReadDeadline(time.Time) error
	SetWriteDeadline(time.Time) error
}

// Stream is one conversation with a peer: protobuf messages behind their
// length, and raw bytes where a message announces them.
//
// One goroutine may receive while another sends. Close and Reset may be
// called from any goroutine, at any time and repeatedly. Every call that
// waits for the peer is bounded by the step timeout, which starts anew with
// each message, each 64 KiB received and each 256 KiB sent. After an error of
// Receive or Send the stream's position is unknown: reset it.
type Stream struct {
	raw    rawStream
	remote caps.PublicKey
	proto  string

	ctx    context.Context
	cancel context.CancelFunc

	in      stepReader
	buf     *bufio.Reader // over in
	scratch []byte        // the receiver's, for messages beyond the buffer
	step    atomic.Int64  // time.Duration
	buffers *sync.Pool    // of *[]byte, writeBuffer long
	ended   atomic.Bool
}

// newStream wraps raw. parent is cancelled when the host closes.
func newStream(parent context.Context, raw rawStream, remote caps.PublicKey, protocol string, step time.Duration, buffers *sync.Pool) *Stream {
	ctx, cancel := context.WithCancel(parent)
	s := &Stream{raw: raw, remote: remote, proto: protocol, ctx: ctx, cancel: cancel, buffers: buffers}
	s.in.raw = raw
	s.step.Store(int64(step))
	s.buf = bufio.NewReaderSize(&s.in, headerBuffer)
	return s
}

// Remote returns the other side's key, proved by the connection.
func (s *Stream) Remote() caps.PublicKey { return s.remote }

// Protocol returns the ID of the protocol spoken.
func (s *Stream) Protocol() string { return s.proto }

// Context is cancelled when the stream is closed or reset on this side, or
// the host closes.
func (s *Stream) Context() context.Context { return s.ctx }

// SetStepTimeout replaces the deadline of each later step. d must be
// positive.
func (s *Stream) SetStepTimeout(d time.Duration) { s.step.Store(int64(d)) }

// ResetOn resets the stream when ctx ends, until stop is called, so that a
// step which waits for the peer ends with the work it was part of. stop
// returns true if it came first, as that of [context.AfterFunc] does.
func (s *Stream) ResetOn(ctx context.Context) (stop func() bool) {
	return context.AfterFunc(ctx, func() { s.Reset() })
}

// deadline is the wall-clock end of a step. Socket deadlines are the
// kernel's, so the injected clock has no say here.
func deadline(step time.Duration) time.Time {
	return time.Now().Add(step) //nolint:forbidigo // socket deadlines are wall-clock
}

// stepReader renews the read deadline as bytes arrive.
type stepReader struct {
	raw      rawStream
	step     time.Duration
	progress int // bytes since the deadline was set
}

func (r *stepReader) begin(step time.Duration) error {
	r.step, r.progress = step, 0
	return r.raw.SetReadDeadline(deadline(step))
}

// Read reads from the stream. It is bufio's source.
func (r *stepReader) Read(p []byte) (int, error) {
	if r.progress >= readProgress {
		if err := r.begin(r.step); err != nil {
			return 0, err
		}
	}
	n, err := r.raw.Read(p)
	r.progress += n
	return n, err
}

// Send writes one message. The limits on its size are the receiver's.
func (s *Stream) Send(m proto.Message) error { return s.SendData(m, nil) }

// SendData writes one message and right behind it data, whose length the
// message must tell the receiver. data is not kept, and only its first part
// is copied.
func (s *Stream) SendData(m proto.Message, data []byte) error {
	pooled := s.buffers.Get().(*[]byte)
	defer s.buffers.Put(pooled)
	b, err := appendFrame((*pooled)[:0], m)
	if err != nil {
		return err
	}
	if room := writeBuffer - len(b); room > 0 {
		n := min(room, len(data))
		b = append(b, data[:n]...)
		data = data[n:]
	}
	if err := s.write(b); err != nil {
		return fmt.Errorf("sending: %w", err)
	}
	if err := s.write(data); err != nil {
		return fmt.Errorf("sending: %w", err)
	}
	return nil
}

// write writes b in pieces, each under its own deadline.
func (s *Stream) write(b []byte) error {
	for len(b) > 0 {
		piece := b[:min(len(b), writePiece)]
		if err := s.raw.SetWriteDeadline(deadline(time.Duration(s.step.Load()))); err != nil {
			return streamError(err)
		}
		n, err := s.raw.Write(piece)
		if err != nil {
			return streamError(err)
		}
		b = b[n:]
	}
	return nil
}

// Receive reads one message of at most maxBytes encoded bytes into m,
// replacing what it held. It returns io.EOF, and nothing else does, when the
// other side ended the stream between messages; an end inside a message is
// io.ErrUnexpectedEOF. A length above maxBytes matches [ErrTooLarge] and is
// refused before anything is allocated for it.
func (s *Stream) Receive(m proto.Message, maxBytes int) error {
	if err := s.in.begin(time.Duration(s.step.Load())); err != nil {
		return fmt.Errorf("receiving: %w", streamError(err))
	}
	scratch, err := readFrame(s.buf, m, maxBytes, s.scratch)
	if cap(scratch) <= writeBuffer {
		s.scratch = scratch // a rare long message is not kept for the stream's life
	}
	if err == nil || err == io.EOF { //nolint:errorlint // the exact value is the promise
		return err
	}
	return fmt.Errorf("receiving: %w", streamError(err))
}

// ReadData fills buf with the bytes that follow a message sent with
// [Stream.SendData]. The end of the stream inside it is io.ErrUnexpectedEOF.
func (s *Stream) ReadData(buf []byte) error {
	if err := s.in.begin(time.Duration(s.step.Load())); err != nil {
		return fmt.Errorf("receiving data: %w", streamError(err))
	}
	if _, err := io.ReadFull(s.buf, buf); err != nil {
		return fmt.Errorf("receiving data: %w", streamError(truncated(err)))
	}
	return nil
}

// CloseWrite tells the other side that nothing more will be sent: its
// Receive returns io.EOF. Receiving goes on.
func (s *Stream) CloseWrite() error { return streamError(s.raw.CloseWrite()) }

// Close ends both directions after what was sent. It does not wait for the
// other side to have read it.
func (s *Stream) Close() error {
	if s.ended.Swap(true) {
		return nil
	}
	defer s.cancel()
	return streamError(s.raw.Close())
}

// Reset abandons the stream in both directions; what is under way is lost,
// and calls that wait return.
func (s *Stream) Reset() { s.reset(0) }

// Fail resets the stream and tells the other side the kind of err, which its
// calls return as a *[RemoteError] without text. Bytes already sent may be
// lost; a protocol that has a message for failures sends that instead.
func (s *Stream) Fail(err error) { s.reset(resetCode(err)) }

func (s *Stream) reset(code network.StreamErrorCode) {
	s.ended.Store(true)
	s.cancel()
	// Resetting what is reset or closed is harmless; there is nobody to tell
	// about a failure to reset.
	_ = s.raw.ResetWithError(code)
}

// isPeerGone says whether a stream could not be opened because the
// connection under it had ended, which a fresh one may cure.
func isPeerGone(err error) bool {
	return errors.Is(err, network.ErrNoConn) || errors.Is(err, network.ErrReset) || errors.Is(err, io.EOF)
}
