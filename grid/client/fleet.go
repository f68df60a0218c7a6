package client

import (
	"errors"
	"slices"
	"sync"

	"trunkline/caps"
	"trunkline/grid/roster"
	"trunkline/grid/storage"
	"trunkline/grid/transfer"
	"trunkline/p2p"
)

// Fleet is a grid's storage servers, as its roster names them at the moment, each
// with the streams that are open to it. Clients and contact points read through
// one. Safe for concurrent use.
type Fleet struct {
	host    *p2p.Host
	members func() []roster.Member

	mu      sync.Mutex
	closed  bool
	remotes map[caps.PublicKey]*remote
}

type remote struct {
	*storage.Remote
	member roster.Member
}

// NewFleet makes a fleet of the servers that members returns, such as
// (*roster.Holder).Servers. Nothing is dialled before it is needed.
func NewFleet(h *p2p.Host, members func() []roster.Member) *Fleet {
	return &Fleet{host: h, members: members, remotes: make(map[caps.PublicKey]*remote)}
}

// Servers returns the servers of the roster. Those that have left it are closed,
// under the hands of who still uses them.
func (f *Fleet) Servers() []transfer.Server {
	members := f.members()
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return nil
	}
	servers := make([]transfer.Server, 0, len(members))
	named := make(map[caps.PublicKey]bool, len(members))
	for _, m := range members {
		named[m.Key] = true
		r, ok := f.remotes[m.Key]
		if !ok || r.member.Seed != m.Seed || !slices.Equal(r.member.Addrs, m.Addrs) {
			if ok {
				f.end(r)
			}
			r = &remote{storage.NewRemote(f.host, p2p.Peer{Key: m.Key, Addrs: m.Addrs}, m.Seed), m}
			f.remotes[m.Key] = r
		}
		servers = append(servers, r.Remote)
	}
	for key, r := range f.remotes {
		if !named[key] {
			f.end(r)
			delete(f.remotes, key)
		}
	}
	return servers
}

// end closes a remote whose streams nobody waits for.
func (f *Fleet) end(r *remote) {
	_ = r.Close() // it has nothing to lose
}

// Close closes all streams.
func (f *Fleet) Close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.closed = true
	var errs []error
	for _, r := range f.remotes {
		errs = append(errs, r.Close())
	}
	clear(f.remotes)
	return errors.Join(errs...)
}
