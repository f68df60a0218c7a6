package p2p_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"testing"
	"time"

	"trunkline/p2p"
	"trunkline/p2p/p2ptest"
	"trunkline/p2p/pb"
)

var echo = p2p.Protocol{ID: "/trunkline/echo/1", StepTimeout: time.Minute}

// serveEcho answers each message with the same message, and "data <n>" with
// n bytes of data behind it likewise.
func serveEcho(h *p2p.Host) {
	h.Handle(echo, func(_ context.Context, s *p2p.Stream) error {
		for {
			var m pb.Failure
			if err := s.Receive(&m, 1<<20); err != nil {
				if errors.Is(err, io.EOF) {
					return nil
				}
				return err
			}
			data := make([]byte, m.GetKind())
			if err := s.ReadData(data); err != nil {
				return err
			}
			if err := s.SendData(&m, data); err != nil {
				return err
			}
		}
	})
}

func TestStreamEcho(t *testing.T) {
	t.Parallel()
	hosts := p2ptest.Hosts(t, 2)
	serveEcho(hosts[0])
	serveEcho(hosts[1])
	for name, to := range map[string]p2p.Peer{"other": hosts[1].Self(), "self": hosts[0].Self()} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, err := hosts[0].Open(t.Context(), to, echo)
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			if s.Remote() != to.Key {
				t.Fatalf("remote is %v, want %v", s.Remote(), to.Key)
			}
			for _, n := range []int{0, 1, 4095, 4096, 65000, 65536, 70000, 1 << 20, 3<<20 + 7} {
				data := bytes.Repeat([]byte{byte(n), 7, byte(n >> 8)}, n/3+1)[:n]
				sent := make(chan error, 1)
				go func() { sent <- s.SendData(&pb.Failure{Kind: uint32(n), Text: "block"}, data) }()
				var m pb.Failure
				if err := s.Receive(&m, 100); err != nil {
					t.Fatal(err)
				}
				got := make([]byte, m.GetKind())
				if err := s.ReadData(got); err != nil {
					t.Fatal(err)
				}
				if err := <-sent; err != nil {
					t.Fatal(err)
				}
				if m.GetText() != "block" || !bytes.Equal(got, data) {
					t.Fatalf("%d bytes came back different", n)
				}
			}
			if err := s.CloseWrite(); err != nil {
				t.Fatal(err)
			}
			if err := s.Receive(&pb.Failure{}, 100); err != io.EOF { //nolint:errorlint // the exact value is the promise
				t.Fatalf("after the end: %v, want io.EOF", err)
			}
		})
	}
}
