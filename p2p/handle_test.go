package p2p_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/protocol"

	"trunkline/p2p"
	"trunkline/p2p/p2ptest"
	"trunkline/p2p/pb"
)

// rawStream opens a stream from one host to another past this package, for
// peers that do not keep to the protocol.
func rawStream(t testing.TB, from, to *p2p.Host, p p2p.Protocol) network.Stream {
	t.Helper()
	if err := from.Connect(t.Context(), to.Self()); err != nil {
		t.Fatal(err)
	}
	s, err := p2p.Libp2p(from).NewStream(t.Context(), p2p.Libp2p(to).ID(), protocol.ID(p.ID))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestHandlerErrors(t *testing.T) {
	t.Parallel()
	hosts := p2ptest.Hosts(t, 2)
	for i, tc := range []struct {
		name    string
		handler p2p.Handler
		want    error
	}{
		{"nil closes", func(context.Context, *p2p.Stream) error { return nil }, io.EOF},
		{"a kind", func(context.Context, *p2p.Stream) error { return fmt.Errorf("no: %w", p2p.ErrDenied) }, p2p.ErrDenied},
		{"no kind", func(context.Context, *p2p.Stream) error { return errors.New("disk") }, p2p.ErrInternal},
		{"the last kind", func(context.Context, *p2p.Stream) error { return p2p.ErrIntegrity }, p2p.ErrIntegrity},
		{"panic", func(context.Context, *p2p.Stream) error { panic("at the disco") }, p2p.ErrInternal},
	} {
		for place, server := range map[string]*p2p.Host{"far": hosts[0], "self": hosts[1]} {
			t.Run(tc.name+"/"+place, func(t *testing.T) {
				t.Parallel()
				p := p2p.Protocol{ID: fmt.Sprintf("/trunkline/t%d/1", i)}
				server.Handle(p, tc.handler)
				s, err := hosts[1].Open(t.Context(), server.Self(), p)
				if err == nil { // the end may come while the stream is opened
					defer s.Reset()
					_ = s.Send(&pb.Failure{}) // or before this
					err = s.Receive(&pb.Failure{}, 100)
				}
				if !errors.Is(err, tc.want) {
					t.Fatalf("got %v, want %v", err, tc.want)
				}
			})
		}
	}
}

func TestPanicCostsOneStream(t *testing.T) {
	t.Parallel()
	hosts := p2ptest.Hosts(t, 2)
	serveEcho(hosts[0])
	bad := p2p.Protocol{ID: "/trunkline/bad/1"}
	hosts[0].Handle(bad, func(context.Context, *p2p.Stream) error { panic("nil map") })
	s, err := hosts[1].Open(t.Context(), hosts[0].Self(), bad)
	if err == nil { // the handler may be gone before the stream is open
		defer s.Reset()
		_ = s.Send(&pb.Failure{})
		err = s.Receive(&pb.Failure{}, 100)
	}
	if !errors.Is(err, p2p.ErrInternal) {
		t.Fatalf("got %v, want internal", err)
	}
	roundTrip(t, hosts[1], hosts[0])
	if st := hosts[0].Stats(); st.Panics != 1 {
		t.Fatalf("%d panics counted, want 1", st.Panics)
	}
}

// roundTrip fails the test unless to answers an echo.
func roundTrip(t testing.TB, from, to *p2p.Host) {
	t.Helper()
	s, err := from.Open(t.Context(), to.Self(), echo)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if err := s.Send(&pb.Failure{Text: "still there?"}); err != nil {
		t.Fatal(err)
	}
	var m pb.Failure
	if err := s.Receive(&m, 100); err != nil || m.GetText() != "still there?" {
		t.Fatalf("got %q, %v", m.GetText(), err)
	}
}

func TestTooManyStreamsFromOnePeer(t *testing.T) {
	t.Parallel()
	hosts := p2ptest.Hosts(t, 3)
	const most = 3
	p := p2p.Protocol{ID: "/trunkline/few/1", MaxStreamsPerPeer: most, StepTimeout: time.Minute}
	hosts[0].Handle(p, func(_ context.Context, s *p2p.Stream) error {
		var m pb.Failure
		for {
			if err := s.Receive(&m, 100); err != nil {
				return err
			}
			if err := s.Send(&m); err != nil {
				return err
			}
		}
	})
	open := func(from *p2p.Host) (*p2p.Stream, error) {
		s, err := from.Open(t.Context(), hosts[0].Self(), p)
		if err != nil {
			return nil, err
		}
		t.Cleanup(s.Reset)
		_ = s.Send(&pb.Failure{}) // a refusal may come first
		return s, s.Receive(&pb.Failure{}, 100)
	}
	var streams []*p2p.Stream
	for range most {
		s, err := open(hosts[1])
		if err != nil {
			t.Fatal(err)
		}
		streams = append(streams, s)
	}
	if _, err := open(hosts[1]); !errors.Is(err, p2p.ErrBusy) {
		t.Fatalf("one too many: %v, want busy", err)
	}
	if _, err := open(hosts[2]); err != nil {
		t.Fatalf("another peer: %v", err)
	}
	if st := hosts[0].Stats(); st.Refused != 1 || st.Streams != most+1 {
		t.Fatalf("counted %+v", st)
	}
	// A slot that is given up can be taken again.
	streams[0].Reset()
	for {
		_, err := open(hosts[1])
		if err == nil {
			break
		}
		if !errors.Is(err, p2p.ErrBusy) {
			t.Fatal(err)
		}
	}
}

// TestHostilePeers sends what breaks the framing and expects the kind back
// and the slot free.
func TestHostilePeers(t *testing.T) {
	t.Parallel()
	hosts := p2ptest.Hosts(t, 2)
	ended := make(chan error, 1)
	p := p2p.Protocol{ID: "/trunkline/strict/1", StepTimeout: 50 * time.Millisecond}
	hosts[0].Handle(p, func(_ context.Context, s *p2p.Stream) error {
		var m pb.Failure
		err := s.Receive(&m, 1000)
		if err == nil {
			err = s.ReadData(make([]byte, 1<<20))
		}
		ended <- err
		return err
	})
	for _, tc := range []struct {
		name string
		send []byte
		end  bool // close the sending side after it
		want error
		told error // what the peer is told
	}{
		{"too long", binary.AppendUvarint(nil, 1001), false, p2p.ErrTooLarge, p2p.ErrTooLarge},
		{"2^64-1", binary.AppendUvarint(nil, 1<<64-1), false, p2p.ErrTooLarge, p2p.ErrTooLarge},
		{"not minimal", []byte{0x81, 0}, false, p2p.ErrFrame, p2p.ErrMalformed},
		{"not a message", []byte{1, 0xff}, false, p2p.ErrMalformed, p2p.ErrMalformed},
		{"cut off", []byte{5, 8}, true, io.ErrUnexpectedEOF, p2p.ErrUnavailable},
		{"silence", nil, false, p2p.ErrStepTimeout, p2p.ErrUnavailable},
		{"silence in a length", []byte{0x80}, false, p2p.ErrStepTimeout, p2p.ErrUnavailable},
		{"silence in a message", []byte{5, 8}, false, p2p.ErrStepTimeout, p2p.ErrUnavailable},
		{"silence in data", append([]byte{0}, make([]byte, 1000)...), false, p2p.ErrStepTimeout, p2p.ErrUnavailable},
		{"cut off in data", append([]byte{0}, make([]byte, 1000)...), true, io.ErrUnexpectedEOF, p2p.ErrUnavailable},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := rawStream(t, hosts[1], hosts[0], p)
			defer s.Reset()
			if _, err := s.Write(tc.send); err != nil {
				t.Fatal(err)
			}
			if tc.end {
				if err := s.CloseWrite(); err != nil {
					t.Fatal(err)
				}
			}
			if err := <-ended; !errors.Is(err, tc.want) {
				t.Fatalf("the handler saw %v, want %v", err, tc.want)
			}
			_, err := io.Copy(io.Discard, s)
			var reset *network.StreamError
			if !errors.As(err, &reset) || !reset.Remote || uint32(reset.ErrorCode)&0xffff != p2p.Failure(tc.told).GetKind() {
				t.Fatalf("the peer was told %v, want kind %v", err, tc.told)
			}
		})
	}
	serveEcho(hosts[0])
	roundTrip(t, hosts[1], hosts[0])
	if n := hosts[0].Stats().Streams; n > 1 { // the echo's own may be ending
		t.Fatalf("%d streams left open", n)
	}
}

// TestReaderThatNeverReads ends a handler that writes to a peer which takes
// nothing.
func TestReaderThatNeverReads(t *testing.T) {
	t.Parallel()
	hosts := p2ptest.Hosts(t, 2)
	ended := make(chan error, 2)
	p := p2p.Protocol{ID: "/trunkline/flood/1", StepTimeout: 50 * time.Millisecond}
	for _, h := range hosts {
		h.Handle(p, func(_ context.Context, s *p2p.Stream) error {
			for {
				if err := s.SendData(&pb.Failure{}, make([]byte, 1<<20)); err != nil {
					ended <- err
					return err
				}
			}
		})
	}
	for place, server := range map[string]*p2p.Host{"far": hosts[0], "self": hosts[1]} {
		s, err := hosts[1].Open(t.Context(), server.Self(), p)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Send(&pb.Failure{}); err != nil {
			t.Fatal(err)
		}
		if err := <-ended; !errors.Is(err, p2p.ErrStepTimeout) {
			t.Fatalf("%s: %v, want ErrStepTimeout", place, err)
		}
		s.Reset()
	}
}

// TestDeadlinesFollowProgress counts them: often enough for a slow line, too
// seldom for a peer that drips bytes to hold a slot.
func TestDeadlinesFollowProgress(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ bytes, chunk, reading, writing int }{
		{1, 1, 1, 1},
		{60 << 10, 1, 1, 1},
		{1 << 20, 1 << 10, 16, 4},
		{1 << 20, 64 << 10, 16, 4},
		{1 << 20, 1, 16, 4},
	} {
		r, w, err := p2p.Deadlines(tc.bytes, tc.chunk)
		if err != nil {
			t.Fatal(err)
		}
		if r != tc.reading || w != tc.writing {
			t.Errorf("%d bytes by %d: %d deadlines reading and %d writing, want %d and %d", tc.bytes, tc.chunk, r, w, tc.reading, tc.writing)
		}
	}
}

func TestResetOnContext(t *testing.T) {
	t.Parallel()
	hosts := p2ptest.Hosts(t, 2)
	serveEcho(hosts[0])
	serveEcho(hosts[1])
	for place, to := range map[string]*p2p.Host{"far": hosts[0], "self": hosts[1]} {
		s, err := hosts[1].Open(t.Context(), to.Self(), echo)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		stop := s.ResetOn(ctx)
		waiting := make(chan error)
		go func() { waiting <- s.Receive(&pb.Failure{}, 100) }()
		cancel()
		if err := <-waiting; !errors.Is(err, p2p.ErrReset) {
			t.Fatalf("%s: %v, want ErrReset", place, err)
		}
		if stop() || s.Context().Err() == nil {
			t.Fatalf("%s: the stream lives on", place)
		}
	}
}

func TestUnsupportedProtocol(t *testing.T) {
	t.Parallel()
	hosts := p2ptest.Hosts(t, 2)
	nobody := p2p.Protocol{ID: "/trunkline/nobody/1"}
	for place, to := range map[string]*p2p.Host{"far": hosts[0], "self": hosts[1]} {
		if _, err := hosts[1].Open(t.Context(), to.Self(), nobody); !errors.Is(err, p2p.ErrUnsupported) || !strings.Contains(err.Error(), nobody.ID) {
			t.Errorf("%s: %v, want ErrUnsupported", place, err)
		}
	}
}
