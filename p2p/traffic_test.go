package p2p_test

import (
	"context"
	"testing"

	"trunkline/p2p"
	"trunkline/p2p/p2ptest"
	"trunkline/p2p/pb"
)

// What one side of a stream sends is what the other receives, and both count it under the protocol's name.
func TestTraffic(t *testing.T) {
	t.Parallel()
	hosts := p2ptest.Hosts(t, 2)
	proto := p2p.Protocol{ID: "/test/traffic/1"}
	block := make([]byte, 100_000)
	sent := make(chan struct{})
	hosts[1].Handle(proto, func(_ context.Context, s *p2p.Stream) error {
		if err := s.Receive(&pb.Failure{}, 1000); err != nil {
			return err
		}
		defer close(sent)
		return s.SendData(&pb.Failure{Kind: 1}, block)
	})
	s, err := hosts[0].Open(t.Context(), hosts[1].Self(), proto)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if err := s.Send(&pb.Failure{Kind: 7, Text: "hello"}); err != nil {
		t.Fatal(err)
	}
	if err := s.Receive(&pb.Failure{}, 1000); err != nil {
		t.Fatal(err)
	}
	if err := s.ReadData(block); err != nil {
		t.Fatal(err)
	}
	<-sent
	near, far := hosts[0].Stats().Traffic[proto.ID], hosts[1].Stats().Traffic[proto.ID]
	if near.Received != far.Sent || near.Sent != far.Received {
		t.Errorf("near counted %+v, far %+v", near, far)
	}
	if got := near.Received; got < 100_000 || got > 100_100 {
		t.Errorf("received %d bytes for a block of 100000 and its header", got)
	}
}
