package area_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"trunkline/caps"
	"trunkline/p2p"
	"trunkline/p2p/area"
	"trunkline/p2p/area/pb"
	"trunkline/p2p/p2ptest"
	p2ppb "trunkline/p2p/pb"
)

// dhtHost starts a host that takes part in the DHT and knows the others given.
func dhtHost(t testing.TB, c *clock, profile p2p.Profile, bootstrap ...*p2p.Host) *p2p.Host {
	t.Helper()
	return p2ptest.Host(t, func(config *p2p.Config) {
		config.Profile = profile
		config.DHT = true
		config.Records = map[string]p2p.RecordValidator{area.Kind: area.Validator{Now: c.Now}}
		for _, h := range bootstrap {
			config.Bootstrap = append(config.Bootstrap, h.Self())
		}
		if profile == p2p.Client {
			config.Listen = nil
		}
	})
}

// TestOverTheDHT publishes and resolves over real hosts and the real DHT.
func TestOverTheDHT(t *testing.T) {
	t.Parallel()
	g, c := newGrid(t), newClock()
	first := dhtHost(t, c, p2p.Clearinghouse)
	manager := dhtHost(t, c, p2p.Manager, first)
	contact := dhtHost(t, c, p2p.Contact, first)
	gateway := dhtHost(t, c, p2p.Gateway, first)
	stranger := dhtHost(t, c, p2p.Client, first)
	_ = contact

	publisher := newResolver(t, c, area.Config{DHT: manager})
	out, err := publisher.Publish(t.Context(), g.area, g.record(g.delegate, 3, 7, start))
	if err != nil || out.Keys != 2*area.Replicas {
		t.Fatalf("published to %+v, %v", out, err)
	}
	for name, h := range map[string]*p2p.Host{"gateway": gateway, "stranger in client mode": stranger} {
		t.Run(name, func(t *testing.T) {
			info, err := newResolver(t, c, area.Config{DHT: h}).Resolve(t.Context(), g.area)
			if err != nil || info.SheetSeq != 7 || info.Sheet.Name != "Grid A, sheet 7" {
				t.Fatalf("got %+v, %v", info, err)
			}
		})
	}
	t.Run("newer replaces", func(t *testing.T) {
		if _, err := publisher.Publish(t.Context(), g.area, g.record(g.delegate, 3, 8, start)); err != nil {
			t.Fatal(err)
		}
		info, err := newResolver(t, c, area.Config{DHT: stranger}).Trace(t.Context(), g.area, func(area.Step) {})
		if err != nil || info.SheetSeq != 8 {
			t.Fatalf("got %d, %v", info.SheetSeq, err)
		}
	})
	t.Run("older is not published", func(t *testing.T) {
		forgot := newResolver(t, c, area.Config{DHT: gateway})
		if _, err := forgot.Publish(t.Context(), g.area, g.record(g.delegate, 3, 7, start)); !errors.Is(err, area.ErrRollback) {
			t.Fatalf("got %v, want ErrRollback", err)
		}
	})
	t.Run("unknown area", func(t *testing.T) {
		other := newGrid(t)
		other.key = testKey(t, 99)
		if _, err := newResolver(t, c, area.Config{DHT: stranger}).Resolve(t.Context(), areaOf(t, other)); !errors.Is(err, area.ErrUnknownArea) {
			t.Fatalf("got %v, want ErrUnknownArea", err)
		}
	})
	t.Run("rubbish is not stored", func(t *testing.T) {
		if err := gateway.PutRecord(t.Context(), area.RecordKey(0, g.area.Key()), []byte("rubbish")); !errors.Is(err, area.ErrMalformed) {
			t.Fatalf("got %v, want ErrMalformed", err)
		}
	})
	t.Run("peers are found by key alone", func(t *testing.T) {
		contact.Handle(p2p.Protocol{ID: "/trunkline/hello/1"}, func(context.Context, *p2p.Stream) error { return nil })
		s, err := stranger.Open(t.Context(), p2p.Peer{Key: contact.Key()}, p2p.Protocol{ID: "/trunkline/hello/1"})
		if err != nil {
			t.Fatal(err)
		}
		s.Reset()
	})
}

func TestDHTNeedsPeers(t *testing.T) {
	t.Parallel()
	g, c := newGrid(t), newClock()
	gone := p2ptest.Host(t, nil)
	_ = gone.Close()
	h := p2ptest.Host(t, func(config *p2p.Config) {
		config.DHT = true
		config.Records = map[string]p2p.RecordValidator{area.Kind: area.Validator{Now: c.Now}}
		config.Bootstrap = []p2p.Peer{{Key: gone.Key(), Addrs: []string{"/ip4/127.0.0.1/tcp/1"}}}
	})
	r := newResolver(t, c, area.Config{DHT: h, LookupTimeout: 50 * time.Millisecond})
	if _, err := r.Resolve(t.Context(), g.area); !errors.Is(err, area.ErrNoAnswer) {
		t.Fatalf("got %v, want ErrNoAnswer", err)
	}
	none := p2ptest.Host(t, nil)
	if _, err := none.SearchRecord(t.Context(), area.RecordKey(0, g.area.Key())); !errors.Is(err, p2p.ErrNoDHT) {
		t.Fatalf("without a DHT: %v", err)
	}
}

func TestDirectoryAnswers(t *testing.T) {
	t.Parallel()
	g, c := newGrid(t), newClock()
	h, cache := directory(t, c)
	put(t, cache, g, g.record(g.delegate, 3, 7, start))
	client := p2ptest.Host(t, nil)
	key := g.area.Key().Bytes()
	offer := func(r area.Record) *pb.Request {
		return &pb.Request{Ask: &pb.Request_Publish{Publish: &pb.Offer{Area: key, Record: &pb.Record{Delegation: r.Delegation, Sheet: r.Sheet}}}}
	}
	lookup := func(b []byte) *pb.Request { return &pb.Request{Ask: &pb.Request_Lookup{Lookup: b}} }
	stranger := newGrid(t)
	stranger.key = testKey(t, 42)
	for _, tc := range []struct {
		name string
		ask  *pb.Request
		want error // nil: a record
	}{
		{"known", lookup(key), nil},
		{"unknown", lookup(areaOf(t, stranger).Key().Bytes()), p2p.ErrNotFound},
		{"no key", lookup(nil), p2p.ErrMalformed},
		{"short key", lookup(key[:31]), p2p.ErrMalformed},
		{"weak key", lookup(make([]byte, 32)), p2p.ErrMalformed},
		{"nothing asked", &pb.Request{}, p2p.ErrUnsupported},
		{"nothing offered", &pb.Request{Ask: &pb.Request_Publish{}}, p2p.ErrMalformed},
		{"offered without a record", offer(area.Record{}), p2p.ErrMalformed},
		{"offered by somebody else", offer(g.record(g.delegate, 3, 8, start)), p2p.ErrDenied},
		{"another area's record offered", offer(stranger.record(g.delegate, 3, 8, start)), p2p.ErrIntegrity},
		{"expired one offered", offer(g.record(g.delegate, 3, 8, start.Add(-area.SheetLife-1))), p2p.ErrExpired},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			s, err := client.Open(t.Context(), h.Self(), area.Protocol)
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			for range 2 { // the stream stays usable
				if err := s.Send(tc.ask); err != nil {
					t.Fatal(err)
				}
				var answer pb.Response
				if err := s.Receive(&answer, 8192); err != nil {
					t.Fatal(err)
				}
				if err := p2p.FromFailure(answer.GetFailure()); !errors.Is(err, tc.want) {
					t.Fatalf("got %v, want %v", err, tc.want)
				}
				if (tc.want == nil) != (len(answer.GetRecord().GetSheet()) > 0) {
					t.Fatalf("the answer is %v", &answer)
				}
			}
		})
	}
}

func TestDirectoryPublishers(t *testing.T) {
	t.Parallel()
	g, c := newGrid(t), newClock()
	h, cache := directory(t, c)
	contact := p2ptest.Host(t, func(c *p2p.Config) { c.Key = testKey(t, 9) }) // as grid.sheet has it
	manager := p2ptest.Host(t, func(c *p2p.Config) { c.Key = g.delegate })
	for i, from := range []*p2p.Host{manager, contact} {
		if err := area.Offer(t.Context(), from, h.Self(), g.area, g.record(g.delegate, 3, uint64(7+i), start)); err != nil {
			t.Fatal(err)
		}
	}
	if info, err := cache.Get(g.area); err != nil || info.SheetSeq != 8 {
		t.Fatalf("kept %d, %v", info.SheetSeq, err)
	}
	if err := area.Offer(t.Context(), manager, h.Self(), g.area, g.record(g.delegate, 3, 7, start)); !errors.Is(err, p2p.ErrConflict) {
		t.Fatalf("an older one: %v, want conflict", err)
	}
	closed := p2ptest.Host(t, nil)
	(&area.Directory{Cache: cache, Accept: func(caps.PublicKey, area.Info) error { return p2p.ErrRefused }}).Register(closed)
	if err := area.Offer(t.Context(), manager, closed.Self(), g.area, g.record(g.delegate, 3, 9, start)); !errors.Is(err, p2p.ErrRefused) {
		t.Fatalf("a directory that takes none: %v, want refused", err)
	}
	c.turn(area.SheetLife + 1)
	if _, err := area.Lookup(t.Context(), contact, h.Self(), g.area); !errors.Is(err, p2p.ErrNotFound) {
		t.Fatalf("an expired record is served: %v", err)
	}
}

// TestDirectoryLies has a directory answer what was not asked, and nothing.
func TestDirectoryLies(t *testing.T) {
	t.Parallel()
	g, c := newGrid(t), newClock()
	answers := map[string]*pb.Response{
		"empty":         {},
		"kept":          {Answer: &pb.Response_Kept{Kept: true}},
		"empty record":  {Answer: &pb.Response_Record{Record: &pb.Record{}}},
		"empty failure": {Answer: &pb.Response_Failure{Failure: &p2ppb.Failure{}}},
	}
	for name, answer := range answers {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			liar, client := p2ptest.Host(t, nil), p2ptest.Host(t, nil)
			liar.Handle(area.Protocol, func(_ context.Context, s *p2p.Stream) error {
				if err := s.Receive(&pb.Request{}, 8192); err != nil {
					return err
				}
				return s.Send(answer)
			})
			r := newResolver(t, c, area.Config{Host: client, Directories: area.Fixed(liar.Self())})
			if info, err := r.Resolve(t.Context(), g.area); err == nil {
				t.Fatalf("resolved to %+v", info)
			}
			if err := area.Offer(t.Context(), client, liar.Self(), g.area, g.record(g.delegate, 1, 1, start)); (err == nil) != (name == "kept") {
				t.Fatalf("publishing: %v", err)
			}
		})
	}
}

func areaOf(t testing.TB, g *grid) caps.AreaCode {
	t.Helper()
	return caps.NewAreaCode(publicKey(t, g.key))
}
