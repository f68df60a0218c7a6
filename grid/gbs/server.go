package gbs

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"time"

	"trunkline/caps"
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
