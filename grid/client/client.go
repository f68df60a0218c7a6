// Package client puts files into its home grid, changes them there, and gets them
// from anywhere: from the home grid's servers, through the home grid's gateways,
// or, for somebody who belongs to no grid, from toll-free contact points.
package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"trunkline/billing"
	"trunkline/caps"
	"trunkline/grid/longdistance"
	"trunkline/grid/mutable"
	"trunkline/grid/roster"
	"trunkline/grid/ssk"
	"trunkline/grid/transfer"
	"trunkline/p2p"
)

// Config makes a [Client].
type Config struct {
	// Home is the area of the grid that the client belongs to; zero: none, or,
	// with Servers, one without an area, such as a grid of Tahoe servers.
	Home caps.AreaCode
	// Servers returns the home grid's storage servers, now, such as
	// (*Fleet).Servers. nil without a home grid.
	Servers func() []transfer.Server
	// Uploads returns those among Servers that new immutable files may go to.
	// nil: all of them.
	Uploads func() []transfer.Server
	// Mutable has the home grid's mutable files, on the same servers. nil: none
	// can be read or written there.
	Mutable *mutable.Files
	// Seen remembers the newest version seen of each mutable file, of all grids.
	// nil: none is kept. Mutable has the same one.
	Seen *mutable.Seen
	// Gateways returns the home grid's gateways, best first; see [Gateways].
	// nil without a home.
	Gateways func() []longdistance.Offer
	// Payer speaks to gateways, or to toll-free contact points. nil: only
	// files of the home grid can be read. The Client does not close it.
	Payer *longdistance.Payer
	// Resolver finds areas, for a client without a home. nil: none are.
	Resolver longdistance.Resolver

	// K, N, Happy and MaxSegment are transfer.UploadConfig's.
	K, N, Happy int
	MaxSegment  uint64
	// Secret is the convergence secret; nil: random keys.
	Secret []byte
	// LeaseSecret is what the leases of uploads are made from.
	LeaseSecret [32]byte

	// KeepFiles is how many immutable files of the home grid stay open for a
	// while after they were read, so that the next read begins at once. 0: none.
	// Otherwise the Client must be closed.
	KeepFiles int
	// MaxCredits is GetOptions.MaxCredits for Read; 0: no limit.
	MaxCredits billing.Credits
	// Patience is how long a gateway may take for a step. Default
	// longdistance.DefaultPatience.
	Patience time.Duration
	// Logger gets what helps to find out what happened; nil discards.
	Logger *slog.Logger
	// Now is the clock. Default time.Now.
	Now func() time.Time
}

// Client is safe for concurrent use. It starts nothing that outlives its calls,
// but keeps files open if Config.KeepFiles says so.
type Client struct {
	config Config
	shelf  *transfer.Shelf // nil: no files are kept open
}

// New makes a client.
func New(c Config) *Client {
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Now == nil {
		c.Now = time.Now //nolint:forbidigo // the default of an injected clock
	}
	if c.Uploads == nil {
		c.Uploads = c.Servers
	}
	client := &Client{config: c}
	if c.KeepFiles > 0 && c.Servers != nil {
		client.shelf = transfer.NewShelf(transfer.ShelfConfig{Open: client.openLocal, MaxFiles: c.KeepFiles, Now: c.Now})
	}
	return client
}

// Limited returns the same client with another Config.MaxCredits. Only the
// original is closed.
func (c *Client) Limited(most billing.Credits) *Client {
	limited := *c
	limited.config.MaxCredits = most
	return &limited
}

// Close closes the files that are kept open. Calls that run are ended first by
// their contexts.
func (c *Client) Close() error {
	if c.shelf == nil {
		return nil
	}
	return c.shelf.Close()
}

// Home is the area of the grid that the client belongs to; zero: none.
func (c *Client) Home() caps.AreaCode { return c.config.Home }

// Roster is what a client needs of its grid's roster. A *roster.Holder is one.
type Roster interface {
	Members(roles roster.Role) []roster.Member
	Manager() p2p.Peer
}

// Gateways offers the gateways that a roster names, under the tariff that the
// grid's manager signs and with its approval.
func Gateways(r Roster, home caps.AreaCode) func() []longdistance.Offer {
	return func() []longdistance.Offer {
		manager := r.Manager()
		members := r.Members(roster.Gateway)
		offers := make([]longdistance.Offer, len(members))
		for i, m := range members {
			offers[i] = longdistance.Offer{
				Peer: p2p.Peer{Key: m.Key, Addrs: m.Addrs}, Area: home, Signer: manager.Key, Approvers: []p2p.Peer{manager},
			}
		}
		return offers
	}
}

// Errors of a client.
var (
	// ErrNoHome says that something needs a home grid, and there is none.
	ErrNoHome = fmt.Errorf("this node belongs to no grid: %w", p2p.ErrUnsupported)
	// ErrNoArea says that a cap of another grid does not say which.
	ErrNoArea = fmt.Errorf("the cap names no area, and this node belongs to no grid: %w", p2p.ErrUnsupported)
	// ErrNoGateway says that the home grid has no way out.
	ErrNoGateway = fmt.Errorf("the home grid has no gateway: %w", p2p.ErrUnavailable)
	// ErrNotFile says that a cap does not give the bytes of a file.
	ErrNotFile = fmt.Errorf("the cap does not open a file: %w", p2p.ErrUnsupported)
	// ErrNoMutable says that this client was made without mutable files.
	ErrNoMutable = fmt.Errorf("mutable files are not set up here: %w", p2p.ErrUnsupported)
	// ErrFar says that a file belongs to another grid.
	ErrFar = fmt.Errorf("the file belongs to another grid, where only its members write and check: %w", p2p.ErrUnsupported)
	// ErrReadOnly says that a cap does not change a file.
	ErrReadOnly = errors.New("the cap does not allow to change the file")
	// ErrChanged says that a mutable file was replaced by another version while
	// it was read. What was written is of one version.
	ErrChanged = errors.New("the file changed while it was read; start again")
	// ErrRange says that a range begins behind the end of the file.
	ErrRange = errors.New("range is outside the file")
	// ErrShort says that fewer bytes came than the range has.
	ErrShort = errors.New("transfer broke off")
)

// PutResult says where a file went.
type PutResult struct {
	// Cap is the long-distance cap of the home area.
	Cap caps.Cap
	transfer.UploadResult
}

// reading is how files are read from the home grid's servers.
func (c *Client) reading() transfer.Config {
	return transfer.Config{Servers: c.config.Servers(), Logger: c.config.Logger, Now: c.config.Now}
}

// uploading is how shares are stored on the home grid's servers.
func (c *Client) uploading(progress func(transfer.Event)) transfer.UploadConfig {
	return transfer.UploadConfig{
		K: c.config.K, N: c.config.N, Happy: c.config.Happy, MaxSegment: c.config.MaxSegment,
		Secret: c.config.Secret, LeaseSecret: c.config.LeaseSecret,
		Servers: c.config.Uploads(), Progress: progress, Logger: c.config.Logger, Now: c.config.Now,
	}
}

// Put stores a file in the home grid. progress may be nil.
//
// Errors: ErrNoHome; transfer.Upload's.
func (c *Client) Put(ctx context.Context, src io.ReaderAt, size uint64, progress func(transfer.Event)) (PutResult, error) {
	if c.config.Servers == nil {
		return PutResult{}, ErrNoHome
	}
	result, err := transfer.Upload(ctx, c.uploading(progress), src, size)
	if err != nil {
		return PutResult{}, err
	}
	if _, literal := result.Cap.Literal(); literal {
		// It holds its own bytes: an area would only make it longer.
		return PutResult{Cap: result.Cap, UploadResult: result}, nil
	}
	far, err := c.withHome(result.Cap)
	if err != nil {
		return PutResult{}, err
	}
	return PutResult{Cap: far, UploadResult: result}, nil
}

// withHome names the home area in a cap, if the home grid has one.
func (c *Client) withHome(local caps.Cap) (caps.Cap, error) {
	if c.config.Home.IsZero() {
		return local, nil
	}
	far, err := local.WithAreas(c.config.Home)
	if err != nil {
		return caps.Cap{}, fmt.Errorf("naming the home area in the cap: %w", err)
	}
	return far, nil
}

// Range is a stretch of a file.
type Range struct {
	Offset uint64
	// Length is the number of bytes; 0: up to the end.
	Length uint64
}

// GetOptions says what to get. The zero value gets the whole file.
type GetOptions struct {
	Range Range
	// MaxCredits is the most that the request may cost, in micro-units of the
	// gateway's currency; 0: no limit.
	MaxCredits billing.Credits
	// Progress is told how far it is, from one goroutine. It must return
	// soon. May be nil.
	Progress func(Event)
}

// Hop is where the bytes come from.
type Hop string

// The hops.
const (
	HopLiteral Hop = "literal" // out of the cap itself
	HopLocal   Hop = "local"   // from the home grid's servers
	HopGateway Hop = "gateway" // through a gateway of the home grid
	HopContact Hop = "contact" // from a toll-free contact point
)

// Event says how far a get is.
type Event struct {
	// Verified is how many of the Total bytes wanted are verified, decrypted
	// and written.
	Verified, Total uint64
	Hop             Hop
	// Peer is who serves; zero for HopLiteral and HopLocal.
	Peer caps.PublicKey
	// Failed is set when a peer or a path failed and another goes on.
	Failed error
}

// GetResult says what was got, also when an error goes with it.
type GetResult struct {
	// Bytes is how many were written, all of them verified.
	Bytes uint64
	Hop   Hop
	// Payee is who served last; zero for HopLiteral and HopLocal.
	Payee caps.PublicKey
	// Failed lists payees that failed on the way.
	Failed []longdistance.Attempt
	// Blamed lists servers of the home grid that lied or failed on the way.
	Blamed []transfer.Blame
	// Version names the version of a mutable file that the bytes are of; zero
	// for other files, and if none was found.
	Version ssk.Header
}
