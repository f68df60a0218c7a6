package gbs

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"trunkline/caps"
	"trunkline/grid/storage"
	"trunkline/grid/transfer"
)

// DefaultTimeout is how long one request may take, beyond the time that its bytes may take at 16 KiB/s.
const DefaultTimeout = 30 * time.Second

// Config describes one server.
type Config struct {
	// Key is the server's account: the Ed25519 key of its id, v0-….
	Key caps.PublicKey
	// PeerID20 is its TubID, which lease secrets and write enablers are made of.
	PeerID20 [20]byte
	// PermutationSeed is what it announces as such.
	PermutationSeed []byte
	// NURLs are where it listens: all of one key and one secret, which is the first one's. They are dialled in order,
	// beginning with the one that answered last.
	NURLs []NURL
	// Dial opens connections. nil means net.Dialer's; those of Tor are then left out.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// Timeout ends one request. 0 means DefaultTimeout.
	Timeout time.Duration
	// Logger takes what is worth knowing. nil discards.
	Logger *slog.Logger
	// Now is the clock. nil means the system's.
	Now func() time.Time
}

var _ transfer.Server = (*Server)(nil)

func (c Config) withDefaults() (Config, error) {
	if c.Key.IsZero() || len(c.PermutationSeed) == 0 {
		return c, fmt.Errorf("%w: it has no key or no permutation seed", ErrConfig)
	}
	if c.Timeout <= 0 {
		c.Timeout = DefaultTimeout
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Now == nil {
		c.Now = time.Now //nolint:forbidigo // the default of an injected clock
	}
	var usable []NURL
	for _, n := range c.NURLs {
		if n.Tor && c.Dial == nil {
			continue
		}
		if len(usable) > 0 && (n.SPKI != usable[0].SPKI || n.swissnum != usable[0].swissnum) {
			c.Logger.Warn("address of a storage server left out, it is of another key", "peer_id", c.Key.String())
			continue
		}
		usable = append(usable, n)
	}
	if len(usable) == 0 {
		return c, fmt.Errorf("%w: no address of it can be dialled", ErrConfig)
	}
	c.NURLs = usable
	return c, nil
}

// Server is one Tahoe storage server. It implements transfer.Server.
//
// All methods are safe for concurrent use and return soon after ctx ends. Requests that may be repeated are, once,
// when a connection breaks under them. Errors match the sentinels of package storage; when the server cannot be
// reached p2p.ErrUnreachable, when it breaks off or goes silent p2p.ErrUnavailable.
type Server struct {
	cfg           Config
	authorization string
	transport     *http.Transport
	client        *http.Client
	ahead         ahead

	ctx  context.Context // ends at Close
	stop context.CancelFunc
	wg   sync.WaitGroup // calls, dials, chunks on their way and what is taken back

	mu      sync.Mutex
	closed  bool
	nurl    int // the NURL that was reached last
	uploads map[shareID]*upload
	space   Version
	spaceAt time.Time
}

// New makes a client of a server, without connecting.
//
// Errors: ErrConfig.
func New(cfg Config) (*Server, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	s := &Server{cfg: cfg, authorization: cfg.NURLs[0].authorization(), uploads: make(map[shareID]*upload)}
	s.ctx, s.stop = context.WithCancel(context.Background())
	s.transport = s.newTransport()
	s.client = &http.Client{
		Transport:     s.transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return s, nil
}

// Close ends every call and connection, and waits for them. Uploads that were not committed are the server's to forget.
func (s *Server) Close() error {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.stop()
	s.wg.Wait()
	s.transport.CloseIdleConnections()
	return nil
}

// enter begins a call, which ends with the server's life at the latest. leave ends it.
func (s *Server) enter(ctx context.Context) (_ context.Context, leave func(), err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, nil, storage.ErrClosed
	}
	s.wg.Add(1)
	ctx, cancel := context.WithCancel(ctx)
	unhook := context.AfterFunc(s.ctx, cancel)
	return ctx, func() {
		unhook()
		cancel()
		s.wg.Done()
	}, nil
}

// background runs fn, which ends with the server's life at the latest.
func (s *Server) background(fn func(ctx context.Context)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closed {
		s.wg.Go(func() { fn(s.ctx) })
	}
}

// Key is the server's account.
func (s *Server) Key() caps.PublicKey { return s.cfg.Key }

// PeerID20 is the server's TubID.
func (s *Server) PeerID20() [20]byte { return s.cfg.PeerID20 }

// PermutationSeed is what the server announces as such.
func (s *Server) PermutationSeed() []byte { return s.cfg.PermutationSeed }

// String is the server's account.
func (s *Server) String() string { return s.cfg.Key.String() }

// Format prints what String gives, whatever the verb: the NURLs are secret.
func (s *Server) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(s.String())) }
