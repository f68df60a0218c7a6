// Package p2ptest makes hosts for tests.
package p2ptest

import (
	"testing"

	"trunkline/p2p"
)

// Hosts starts n hosts on 127.0.0.1 over TCP, each with a fresh key, and
// closes them when the test ends. They may dial loopback addresses and know
// nothing of each other.
func Hosts(t testing.TB, n int) []*p2p.Host {
	t.Helper()
	hosts := make([]*p2p.Host, n)
	for i := range hosts {
		hosts[i] = Host(t, nil)
	}
	return hosts
}

// Host starts one host as Hosts does, after edit changed its configuration;
// edit may be nil.
func Host(t testing.TB, edit func(*p2p.Config)) *p2p.Host {
	t.Helper()
	key, err := p2p.GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	config := p2p.Config{
		Key:               key,
		Listen:            []string{"/ip4/127.0.0.1/tcp/0"},
		Profile:           p2p.Server,
		AllowPrivateAddrs: true,
	}
	if edit != nil {
		edit(&config)
	}
	h, err := p2p.New(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := h.Close(); err != nil {
			t.Errorf("closing host: %v", err)
		}
	})
	return h
}
