package tahoe

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"trunkline/caps"
	"trunkline/grid/gbs"
	"trunkline/grid/transfer"
	"trunkline/p2p/durable"
)

// lookAgain is how often the files are looked at again, at most.
const lookAgain = 10 * time.Second

// Config says where the servers of a Tahoe grid are named.
type Config struct {
	// NodeDir is a Tahoe node's directory: its private/servers.yaml, the caches of its introducers
	// (private/introducer_*_cache.yaml) and its grid managers are used. The node need not run; while it runs, its
	// caches stay fresh.
	NodeDir string
	// ServersFile is a servers.yaml by itself, used as well if given. Of one server it overrides what the node
	// knows.
	ServersFile string
	// GridManagers are trusted besides those of the node.
	GridManagers []caps.PublicKey
	// Dial opens connections; nil means net.Dialer's.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// Timeout ends one request; 0 means gbs.DefaultTimeout.
	Timeout time.Duration
	// Logger takes what is worth knowing. nil discards.
	Logger *slog.Logger
	// Now is the clock. nil means the system's.
	Now func() time.Time
}

// Servers are the storage servers of a Tahoe grid, as its files name them at the moment, each with the connections that
// are open to it. Safe for concurrent use.
type Servers struct {
	cfg      Config
	managers []caps.PublicKey

	mu      sync.Mutex
	closed  bool
	looked  time.Time
	stamps  []stamp
	members []*member
	skipped []Skipped
	ending  sync.WaitGroup // servers that left
}

// member is one server and what is said of it.
type member struct {
	*gbs.Server
	said Announcement
}

// stamp tells whether a file changed.
type stamp struct {
	path     string
	modified time.Time
	size     int64
}

// Open reads the files and makes the servers, without connecting to any. A grid without servers is no error: they may
// be announced later.
//
// Errors: ErrNode, ErrAnnouncement.
func Open(cfg Config) (*Servers, error) {
	if cfg.NodeDir == "" && cfg.ServersFile == "" {
		return nil, fmt.Errorf("%w: neither a node directory nor a servers file is given", ErrNode)
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.Now == nil {
		cfg.Now = time.Now //nolint:forbidigo // the default of an injected clock
	}
	s := &Servers{cfg: cfg, managers: slices.Clone(cfg.GridManagers)}
	if cfg.NodeDir != "" {
		n, err := ReadNode(cfg.NodeDir)
		if err != nil {
			return nil, err
		}
		s.managers = append(s.managers, n.GridManagers...)
	}
	return s, s.look(true)
}

// Servers are all servers, for reading: certificates never restrict that. Files that changed are read again, every
// few seconds at most; servers that left are closed under the hands of who still uses them.
func (s *Servers) Servers() []transfer.Server {
	return s.choose(func(*member) bool { return true })
}

// Uploads are those that may be given shares now: all if no grid manager is trusted, else those with a certificate of
// one that is valid at this moment.
func (s *Servers) Uploads() []transfer.Server {
	now := s.cfg.Now()
	return s.choose(func(m *member) bool { return s.permitted(m.said, now) })
}

func (s *Servers) choose(want func(*member) bool) []transfer.Server {
	if err := s.look(false); err != nil {
		s.cfg.Logger.Warn("servers of the Tahoe grid not read again", "error", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil
	}
	servers := make([]transfer.Server, 0, len(s.members))
	for _, m := range s.members {
		if want(m) {
			servers = append(servers, m.Server)
		}
	}
	return servers
}

// Status is one server of the grid, for people.
type Status struct {
	Announcement
	// Uploads: it may be given shares. If not, Reason says why.
	Uploads bool
	Reason  error
}

// Status lists the servers, and those that cannot be used with the reason.
func (s *Servers) Status() (servers []Status, skipped []Skipped) {
	now := s.cfg.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, m := range s.members {
		err := s.permission(m.said, now)
		servers = append(servers, Status{Announcement: m.said, Uploads: err == nil, Reason: err})
	}
	return servers, slices.Clone(s.skipped)
}

func (s *Servers) permitted(a Announcement, now time.Time) bool { return s.permission(a, now) == nil }

// permission is nil if the server may be given shares, or else what is wrong with its best certificate.
func (s *Servers) permission(a Announcement, now time.Time) error {
	if len(s.managers) == 0 {
		return nil
	}
	reason := ErrSignature
	for _, c := range a.Certificates {
		err := c.Check(s.managers, a.ID, now)
		if err == nil {
			return nil
		}
		if !errors.Is(err, ErrSignature) {
			reason = err
		}
	}
	return reason
}

// Close closes all connections.
func (s *Servers) Close() error {
	s.mu.Lock()
	s.closed = true
	members := s.members
	s.members = nil
	s.mu.Unlock()
	var errs []error
	for _, m := range members {
		errs = append(errs, m.Close())
	}
	s.ending.Wait()
	return errors.Join(errs...)
}

// look reads the files if they changed.
func (s *Servers) look(force bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.cfg.Now()
	if s.closed || !force && now.Sub(s.looked) < lookAgain {
		return nil
	}
	s.looked = now
	stamps := s.stampFiles()
	if !force && slices.Equal(stamps, s.stamps) {
		return nil
	}
	said, skipped, err := s.read()
	if err != nil {
		return err
	}
	s.stamps, s.skipped = stamps, skipped
	for _, k := range skipped {
		s.cfg.Logger.Warn("storage server cannot be used", "server_id", k.ID, "error", k.Err)
	}
	return s.renew(said)
}

// files are the paths that name servers; the later ones override the earlier.
func (s *Servers) files() (caches, static []string) {
	if s.cfg.NodeDir != "" {
		private := filepath.Join(s.cfg.NodeDir, "private")
		entries, _ := os.ReadDir(private) // a node that never ran has none
		for _, e := range entries {
			if name := e.Name(); strings.HasPrefix(name, "introducer_") && strings.HasSuffix(name, "_cache.yaml") {
				caches = append(caches, filepath.Join(private, name))
			}
		}
		static = append(static, filepath.Join(private, "servers.yaml"))
	}
	if s.cfg.ServersFile != "" {
		static = append(static, s.cfg.ServersFile)
	}
	return caches, static
}

func (s *Servers) stampFiles() []stamp {
	caches, static := s.files()
	var stamps []stamp
	for _, path := range append(caches, static...) {
		if info, err := os.Stat(path); err == nil {
			stamps = append(stamps, stamp{path, info.ModTime(), info.Size()})
		}
	}
	return stamps
}

// read gathers the announcements of all files.
func (s *Servers) read() (said []Announcement, skipped []Skipped, err error) {
	caches, static := s.files()
	parse := func(paths []string, parser func([]byte) ([]Announcement, []Skipped, error)) error {
		for _, path := range paths {
			b, err := durable.ReadFile(path, maxServersFile)
			if errors.Is(err, fs.ErrNotExist) && path != s.cfg.ServersFile {
				continue
			}
			if err != nil {
				return fmt.Errorf("%w: %w", ErrAnnouncement, err)
			}
			found, bad, err := parser(b)
			if err != nil {
				return fmt.Errorf("%s: %w", path, err)
			}
			for _, a := range found {
				said = slices.DeleteFunc(said, func(o Announcement) bool { return o.Key == a.Key })
				said = append(said, a)
			}
			skipped = append(skipped, bad...)
		}
		return nil
	}
	if err := parse(caches, ParseCache); err != nil {
		return nil, nil, err
	}
	if err := parse(static, ParseServers); err != nil {
		return nil, nil, err
	}
	return said, skipped, nil
}

// renew keeps the servers that are as they were, makes the new ones, and closes those that left. It needs the lock.
func (s *Servers) renew(said []Announcement) error {
	old := s.members
	s.members = nil
	for _, a := range said {
		i := slices.IndexFunc(old, func(m *member) bool { return m.said.same(a) })
		if i >= 0 {
			m := old[i]
			old = slices.Delete(old, i, i+1)
			m.said = a
			s.members = append(s.members, m)
			continue
		}
		server, err := gbs.New(gbs.Config{
			Key: a.Key, PeerID20: a.PeerID20, PermutationSeed: a.PermutationSeed, NURLs: a.NURLs,
			Dial: s.cfg.Dial, Timeout: s.cfg.Timeout, Logger: s.cfg.Logger, Now: s.cfg.Now,
		})
		if err != nil {
			s.skipped = append(s.skipped, Skipped{a.ID, err})
			s.cfg.Logger.Warn("storage server cannot be used", "server_id", a.ID, "error", err)
			continue
		}
		s.members = append(s.members, &member{server, a})
	}
	for _, m := range old {
		s.ending.Go(func() { _ = m.Close() }) // it has nothing to lose
	}
	return nil
}

// same says whether both announcements reach the same server in the same way.
func (a Announcement) same(b Announcement) bool {
	return a.Key == b.Key && a.PeerID20 == b.PeerID20 && slices.Equal(a.PermutationSeed, b.PermutationSeed) &&
		slices.Equal(a.NURLs, b.NURLs)
}
