package p2p_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"testing"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/protocol"

	"trunkline/p2p"
	"trunkline/p2p/p2ptest"
	"trunkline/p2p/pb"
)

var bulk = p2p.Protocol{ID: "/trunkline/bulk/1"}

// BenchmarkBulk sends header and data one way, as a download does, and reads
// each block into the caller's buffer. Compare with BenchmarkRaw.
func BenchmarkBulk(b *testing.B) {
	for _, size := range []int{43_691, 131_072, 349_526, 1 << 20} {
		b.Run(fmt.Sprintf("block=%d", size), func(b *testing.B) {
			hosts := p2ptest.Hosts(b, 2)
			n := b.N
			data := make([]byte, size)
			hosts[0].Handle(bulk, func(_ context.Context, s *p2p.Stream) error {
				if err := s.Receive(&pb.Failure{}, 100); err != nil {
					return err
				}
				m := &pb.Failure{Kind: uint32(size), Text: "segment"}
				for range n {
					if err := s.SendData(m, data); err != nil {
						return err
					}
				}
				return nil
			})
			s, err := hosts[1].Open(b.Context(), hosts[0].Self(), bulk)
			if err != nil {
				b.Fatal(err)
			}
			defer s.Close()
			buf := make([]byte, size)
			b.SetBytes(int64(size))
			b.ReportAllocs()
			b.ResetTimer()
			if err := s.Send(&pb.Failure{}); err != nil {
				b.Fatal(err)
			}
			var m pb.Failure
			for range n {
				if err := s.Receive(&m, 100); err != nil {
					b.Fatal(err)
				}
				if err := s.ReadData(buf[:m.GetKind()]); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkRaw is the libp2p stream under BenchmarkBulk, without messages or
// deadlines.
func BenchmarkRaw(b *testing.B) {
	for _, size := range []int{43_691, 131_072, 349_526, 1 << 20} {
		b.Run(fmt.Sprintf("block=%d", size), func(b *testing.B) {
			hosts := p2ptest.Hosts(b, 2)
			n := b.N
			data := make([]byte, size)
			p2p.Libp2p(hosts[0]).SetStreamHandler("/raw", func(s network.Stream) {
				defer s.Close()
				for range n {
					if _, err := s.Write(data); err != nil {
						return
					}
				}
			})
			if err := hosts[1].Connect(b.Context(), hosts[0].Self()); err != nil {
				b.Fatal(err)
			}
			s, err := p2p.Libp2p(hosts[1]).NewStream(b.Context(), p2p.Libp2p(hosts[0]).ID(), protocol.ID("/raw"))
			if err != nil {
				b.Fatal(err)
			}
			defer s.Close()
			buf := make([]byte, size)
			b.SetBytes(int64(size))
			b.ReportAllocs()
			b.ResetTimer()
			for range n {
				if _, err := io.ReadFull(s, buf); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkRequest is one small question and a block in answer, one at a
// time on one stream.
func BenchmarkRequest(b *testing.B) {
	const size = 43_691
	hosts := p2ptest.Hosts(b, 2)
	data := make([]byte, size)
	hosts[0].Handle(bulk, func(_ context.Context, s *p2p.Stream) error {
		var m pb.Failure
		for {
			if err := s.Receive(&m, 100); err != nil {
				if errors.Is(err, io.EOF) {
					return nil
				}
				return err
			}
			if err := s.SendData(&m, data); err != nil {
				return err
			}
		}
	})
	s, err := hosts[1].Open(b.Context(), hosts[0].Self(), bulk)
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	buf := make([]byte, size)
	b.SetBytes(size)
	b.ReportAllocs()
	for b.Loop() {
		m := &pb.Failure{Kind: 7}
		if err := s.Send(m); err != nil {
			b.Fatal(err)
		}
		if err := s.Receive(m, 100); err != nil {
			b.Fatal(err)
		}
		if err := s.ReadData(buf); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkOpen is a new stream to a connected peer with one message each way.
func BenchmarkOpen(b *testing.B) {
	hosts := p2ptest.Hosts(b, 2)
	serveEcho(hosts[0])
	b.ReportAllocs()
	for b.Loop() {
		s, err := hosts[1].Open(b.Context(), hosts[0].Self(), echo)
		if err != nil {
			b.Fatal(err)
		}
		if err := s.Send(&pb.Failure{}); err != nil {
			b.Fatal(err)
		}
		if err := s.Receive(&pb.Failure{}, 100); err != nil {
			b.Fatal(err)
		}
		_ = s.Close()
	}
}
