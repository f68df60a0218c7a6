package longdistance

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"sync"
	"time"

	"trunkline/billing"
	"trunkline/billing/sealed"
	"trunkline/caps"
	"trunkline/p2p"
)

// PayeeConfig makes a [Payee]. Key, Source and Tariff are required, and
// Vouchers unless the tariff is always toll-free.
type PayeeConfig struct {
	// Key is the payee's own: approvals must name it.
	Key caps.PublicKey
	// Area is the area that is served. A payer that expects another is told
	// so; zero: none is told.
	Area caps.AreaCode
	// Source is where files come from.
	Source Source
	// Tariff returns the tariff in force.
	Tariff func() (sealed.Sealed[billing.Tariff], error)
	// OldTariff returns a former tariff, for channels that were approved under
	// it. nil: none are known.
	OldTariff func(billing.TariffHash) (sealed.Sealed[billing.Tariff], bool)
	// Approver says whether this approver's approvals are honoured, as of
	// epoch; the error's kind goes to the payer. nil: nobody's are.
	Approver func(approver caps.PublicKey, epoch uint64) error
	// Allow says whether a peer may ask at all; it is asked for every request.
	// nil: everybody may.
	Allow func(ctx context.Context, peer caps.PublicKey) error
	// Vouchers is where what is owed is kept, a *VoucherLog. The Payee does not
	// close it.
	Vouchers Vouchers
	// Owed is called after a voucher became durable, for whoever posts them.
	// It must return soon. May be nil.
	Owed func(Owed)
	// MaxWindow is the most a payer account may owe unsigned, in bytes,
	// whatever its approval says. Default 64 MiB; negative: all must prepay
	// that much.
	MaxWindow int64
	// TollFree bounds what is served without an approval, where the tariff is
	// toll-free.
	TollFree TollFree
	// SignTimeout is how long the payee waits for the payer when it cannot go
	// on without: for a first message, for a voucher or a renewal, or until it
	// takes a message or a MiB of data. Default 20 s, which is less than a
	// payer's patience, so that the payer hears why.
	SignTimeout time.Duration
	// IdleTimeout is how long a stream may lie between two requests. Default
	// 5 min.
	IdleTimeout time.Duration
	// Logger gets what an operator may care about; nil discards.
	Logger *slog.Logger
	// Now is the clock of approvals and tariffs. Default time.Now.
	Now func() time.Time
}

// Vouchers is what a payee needs of a voucher log: it is durable, and safe for
// concurrent use.
type Vouchers interface {
	// Append makes o durable before it returns nil.
	Append(o Owed) error
	// Latest returns the highest durable voucher of a channel.
	Latest(channel billing.ChannelID) (Owed, bool)
	// OnBooked sets who is told of receipts that became durable, and how far
	// the one before went.
	OnBooked(told func(o Owed, before billing.Mark))
}

// Defaults of PayeeConfig.
const (
	DefaultMaxWindow   = 64 << 20
	DefaultSignTimeout = 20 * time.Second
	DefaultIdleTimeout = 5 * time.Minute
)

// tellTimeout is how long a payer that is refused in the middle of a request has
// to read why.
const tellTimeout = 2 * time.Second

func (c PayeeConfig) withDefaults() (PayeeConfig, error) {
	if c.Key.IsZero() || c.Source == nil || c.Tariff == nil {
		return c, errors.New("a payee needs a key, a source and a tariff")
	}
	if c.Approver != nil && c.Vouchers == nil {
		return c, errors.New("a payee that honours approvals needs a voucher log")
	}
	if c.MaxWindow == 0 {
		c.MaxWindow = DefaultMaxWindow
	}
	if c.SignTimeout <= 0 {
		c.SignTimeout = DefaultSignTimeout
	}
	if c.IdleTimeout <= 0 {
		c.IdleTimeout = DefaultIdleTimeout
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Now == nil {
		c.Now = time.Now //nolint:forbidigo // the default of an injected clock
	}
	return c, nil
}

// Payee serves files for vouchers. Safe for concurrent use. It starts no
// goroutine that outlives a stream.
type Payee struct {
	config PayeeConfig
	booth  *tollBooth
	books  *books
}

// NewPayee makes a payee.
func NewPayee(c PayeeConfig) (*Payee, error) {
	c, err := c.withDefaults()
	if err != nil {
		return nil, err
	}
	return &Payee{config: c, booth: newTollBooth(c.TollFree, c.Now), books: newBooks(c)}, nil
}

// Register serves the protocol on h until h closes.
func (p *Payee) Register(h *p2p.Host) {
	h.Handle(Protocol, func(ctx context.Context, s *p2p.Stream) error { return p.Serve(ctx, s) })
}

// Serve serves one stream until the payer ends it, or has been told why it
// will not be served further; the caller closes the stream then. An error means
// that the stream is broken; the caller resets it. Serve waits for everything
// it started.
func (p *Payee) Serve(ctx context.Context, s Stream) error {
	ctx, cancel := context.WithCancel(ctx)
	v := newVisit(ctx, p, s)
	var running sync.WaitGroup
	err := v.listen(&running)
	told := errors.As(err, new(*toldError))
	cancel()
	if v.running.Load() {
		// A request that is writing to a payer which does not read ends now,
		// or as soon as the payer had time to read why.
		grace := time.Duration(0)
		if told {
			grace = tellTimeout
		}
		defer time.AfterFunc(grace, s.Reset).Stop()
	}
	running.Wait()
	v.idle.Stop()
	v.leaveLine()
	switch {
	case err == io.EOF: //nolint:errorlint // listen's promise
		return nil
	case told:
		// A reset might overtake the message that says why.
		p.config.Logger.Debug("stream refused", "peer_id", s.Remote().String(), "error", err)
		return nil
	}
	return err
}
