package p2p

import (
	"fmt"
	"log/slog"
	"time"

	"github.com/libp2p/go-libp2p/core/crypto"
)

// Profile is what a host is for. It sets resource limits and how the host
// takes part in the DHT; it says nothing about what protocols are served.
type Profile int

// The profiles. The zero value is Client.
const (
	Client        Profile = iota // dials, is hardly dialled
	Server                       // stores shares; dialled by its grid and by contact points
	Gateway                      // serves its grid's clients, dials other grids
	Contact                      // serves other grids' gateways
	Clearinghouse                // serves many grids
	Manager                      // serves every member of its grid
)

// String returns the profile's name in lower case.
func (p Profile) String() string {
	switch p {
	case Client:
		return "client"
	case Server:
		return "server"
	case Gateway:
		return "gateway"
	case Contact:
		return "contact"
	case Clearinghouse:
		return "clearinghouse"
	case Manager:
		return "manager"
	default:
		return fmt.Sprintf("profile(%d)", int(p))
	}
}

// servesDHT says whether a host of this profile keeps other peers' records.
func (p Profile) servesDHT() bool {
	return p == Gateway || p == Contact || p == Clearinghouse || p == Manager
}

// Config makes a [Host]. Only Key is required.
type Config struct {
	// Key is the host's identity and its account, Ed25519.
	Key crypto.PrivKey
	// Listen are multiaddrs such as "/ip4/0.0.0.0/tcp/4001" and
	// "/ip4/0.0.0.0/udp/4001/quic-v1". Empty means not listening at all.
	Listen []string
	// Announce replaces the addresses that others are told, for a host
	// behind a forwarded port. Empty means what the host listens on.
	Announce []string
	// Profile sets limits and the DHT mode. The zero value is Client.
	Profile Profile
	// AllowPrivateAddrs lets the host dial loopback, private, link-local and
	// other addresses that are not on the public Internet. Off, such
	// addresses in anybody's record are never dialled.
	AllowPrivateAddrs bool
	// DHT makes the host take part in Trunkline's own DHT: as a server in
	// the profiles Gateway, Contact, Clearinghouse and Manager, otherwise as
	// a client. It needs Records.
	DHT bool
	// Records checks the DHT's records, by the first part of their key:
	// "area" for "/area/0/k51…". Used only with DHT.
	Records map[string]RecordValidator
	// Bootstrap are peers known beforehand: they are connected at start, in
	// the background, and fill the DHT's routing table.
	Bootstrap []Peer
	// DialTimeout bounds one [Host.Open] up to the open stream, and is used
	// when the context has no earlier deadline. Default 15 s.
	DialTimeout time.Duration
	// StepTimeout is the default of [Protocol.StepTimeout]. Default 30 s.
	StepTimeout time.Duration
	// ConnsPerSubnet is how many connections one IPv4 address or IPv6 /56 may
	// hold, and UDP and TCP of one household or data centre come from one.
	// Default by profile; loopback is never counted.
	ConnsPerSubnet int
	// Logger gets what an operator may care about; nil discards.
	Logger *slog.Logger
	// Now is the clock for everything but socket deadlines, which are the
	// kernel's. Default time.Now.
	Now func() time.Time
}

// The defaults that Config's comments name.
const (
	DefaultDialTimeout = 15 * time.Second
	DefaultStepTimeout = 30 * time.Second
)

// withDefaults fills the zero fields and refuses what cannot work.
func (c Config) withDefaults() (Config, error) {
	if _, err := KeyOf(c.Key); err != nil {
		return c, err
	}
	if c.Profile < Client || c.Profile > Manager {
		return c, fmt.Errorf("%w: unknown %v", ErrConfig, c.Profile)
	}
	if c.DHT && len(c.Records) == 0 {
		return c, fmt.Errorf("%w: DHT is on, but no record validator is given", ErrConfig)
	}
	for _, p := range c.Bootstrap {
		if err := p.Validate(); err != nil {
			return c, fmt.Errorf("%w: bootstrap peer: %w", ErrConfig, err)
		}
	}
	for _, s := range append(append([]string(nil), c.Listen...), c.Announce...) {
		if _, err := parseAddr(s); err != nil {
			return c, fmt.Errorf("%w: address %q: %w", ErrConfig, s, err)
		}
	}
	if c.DialTimeout <= 0 {
		c.DialTimeout = DefaultDialTimeout
	}
	if c.StepTimeout <= 0 {
		c.StepTimeout = DefaultStepTimeout
	}
	if c.ConnsPerSubnet <= 0 {
		c.ConnsPerSubnet = defaultConnsPerSubnet(c.Profile)
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Now == nil {
		c.Now = time.Now //nolint:forbidigo // the default of an injected clock
	}
	return c, nil
}
