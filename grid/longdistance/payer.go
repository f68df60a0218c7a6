package longdistance

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/crypto"

	"trunkline/billing"
	"trunkline/billing/sealed"
	"trunkline/caps"
	"trunkline/grid/account"
	"trunkline/p2p"
)

// Approvals is where a payer's approvals come from. An *account.Approvals is
// one. Safe for concurrent use.
type Approvals interface {
	// Get returns an approval that has room for need.Bytes beyond what is
	// signed for.
	Get(ctx context.Context, need account.Need) (sealed.Sealed[billing.Approval], error)
	// Latest returns the newest approval of a channel at hand. It does not
	// wait.
	Latest(channel billing.ChannelID) (sealed.Sealed[billing.Approval], bool)
	// Used says how far the payer has signed. It does not wait.
	Used(channel billing.ChannelID, total uint64)
	// Forget drops an approval that a payee refused.
	Forget(channel billing.ChannelID)
}

// PayerConfig makes a [Payer]. Key and Dial are required.
type PayerConfig struct {
	// Key signs vouchers. It is the key of the host that Dial dials from.
	Key crypto.PrivKey
	// Dial opens a stream of [Protocol]; see [DialFrom].
	Dial func(ctx context.Context, to p2p.Peer) (Stream, error)
	// Approvals is where approvals come from. nil: only toll-free payees are
	// asked.
	Approvals Approvals
	// MaxAhead is the most that is signed ahead of what is verified, in bytes,
	// for one request: what a payee can take without giving. Default 4 MiB.
	MaxAhead uint64
	// ReadAhead is how many bytes of verified segments may wait for their
	// reader, over all requests; each request may always have one segment.
	// Default 32 MiB.
	ReadAhead int64
	// MaxIdle is how many streams are kept open to each payee between
	// requests. Default 8.
	MaxIdle int
	// IdleTimeout is how long they are kept. Default 4 min, which is less than
	// a payee's.
	IdleTimeout time.Duration
	// SettleTimeout bounds the last exchange about payment when a file or the
	// payer is closed. Default 5 s.
	SettleTimeout time.Duration
	// Switched is called when a payee failed a request that goes on with
	// another. It must return soon. May be nil.
	Switched func(failed Attempt)
	// Logger gets what an operator may care about; nil discards.
	Logger *slog.Logger
	// Now is the clock of tariffs and idle streams. Default time.Now.
	Now func() time.Time
}

// Defaults of PayerConfig.
const (
	DefaultMaxAhead      = 4 << 20
	DefaultReadAhead     = 32 << 20
	DefaultMaxIdle       = 8
	DefaultPayerIdle     = 4 * time.Minute
	DefaultSettleTimeout = 5 * time.Second
)

// How many bytes an approval must have room for: at the start of a request, at
// most, if the length of the file is known and if it is not, and when a running
// one has used it up.
const (
	startBytes   = 64 << 20
	unknownBytes = 4 << 20
	renewBytes   = 16 << 20
)

func (c PayerConfig) withDefaults() (PayerConfig, error) {
	if c.Key == nil || c.Dial == nil {
		return c, errors.New("a payer needs a key and a way to dial")
	}
	if c.MaxAhead == 0 {
		c.MaxAhead = DefaultMaxAhead
	}
	if c.ReadAhead <= 0 {
		c.ReadAhead = DefaultReadAhead
	}
	if c.MaxIdle <= 0 {
		c.MaxIdle = DefaultMaxIdle
	}
	if c.IdleTimeout <= 0 {
		c.IdleTimeout = DefaultPayerIdle
	}
	if c.SettleTimeout <= 0 {
		c.SettleTimeout = DefaultSettleTimeout
	}
	if c.Switched == nil {
		c.Switched = func(Attempt) {}
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Now == nil {
		c.Now = time.Now //nolint:forbidigo // the default of an injected clock
	}
	return c, nil
}

// DialFrom dials from a host.
func DialFrom(h *p2p.Host) func(ctx context.Context, to p2p.Peer) (Stream, error) {
	return func(ctx context.Context, to p2p.Peer) (Stream, error) {
		s, err := h.Open(ctx, to, Protocol)
		if err != nil {
			return nil, err // not a typed nil
		}
		return s, nil
	}
}

// Payer reads files from payees and pays for what it has verified. It keeps
// streams, tariffs and channels, so that a second request to a payee costs one
// round trip. Safe for concurrent use. Close it to sign for what is unsigned.
type Payer struct {
	config  PayerConfig
	key     caps.PublicKey
	buffers buffers

	ctx     context.Context // ends with Close
	cancel  context.CancelFunc
	running sync.WaitGroup // settling in the background

	mu      sync.Mutex
	closed  bool
	parties map[caps.PublicKey]*party
	reading int // requests that run
}

// NewPayer makes a payer.
func NewPayer(c PayerConfig) (*Payer, error) {
	c, err := c.withDefaults()
	if err != nil {
		return nil, err
	}
	key, err := p2p.KeyOf(c.Key)
	if err != nil {
		return nil, fmt.Errorf("payer: %w", err)
	}
	p := &Payer{config: c, key: key, parties: make(map[caps.PublicKey]*party)}
	p.ctx, p.cancel = context.WithCancel(context.Background())
	return p, nil
}

// party is what a payer keeps of one payee.
type party struct {
	payer *Payer
	key   caps.PublicKey

	mu     sync.Mutex
	peer   p2p.Peer // as dialled last
	tariff sealed.Sealed[billing.Tariff]
	tabs   map[billing.ChannelID]*tab
	idle   []*talk // least recently used first
}

// party returns what is kept of a payee.
func (p *Payer) party(peer p2p.Peer) (*party, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return nil, fmt.Errorf("payer: %w", ErrClosed)
	}
	y, ok := p.parties[peer.Key]
	if !ok {
		y = &party{payer: p, key: peer.Key, tabs: make(map[billing.ChannelID]*tab)}
		p.parties[peer.Key] = y
	}
	y.mu.Lock()
	y.peer = peer
	y.mu.Unlock()
	return y, nil
}

// take returns an idle stream, or a new one.
func (y *party) take(ctx context.Context, peer p2p.Peer) (*talk, error) {
	y.mu.Lock()
	var old []*talk
	now := y.payer.config.Now()
	var t *talk
	for len(y.idle) > 0 && t == nil {
		last := y.idle[len(y.idle)-1]
		y.idle = y.idle[:len(y.idle)-1]
		if now.Sub(last.idleSince) > y.payer.config.IdleTimeout {
			old = append(old, last)
			continue
		}
		t = last
	}
	y.mu.Unlock()
	for _, o := range old {
		o.drop()
	}
	if t != nil {
		return t, nil
	}
	s, err := y.payer.config.Dial(ctx, peer)
	if err != nil {
		return nil, err
	}
	return &talk{payer: y.payer, party: y, s: s, sending: newLock(), fresh: true}, nil
}

// put keeps a stream that is in order for the next request.
func (y *party) put(t *talk) {
	t.fresh = false
	t.idleSince = y.payer.config.Now()
	y.payer.mu.Lock()
	closed := y.payer.closed
	y.payer.mu.Unlock()
	var old *talk
	y.mu.Lock()
	if closed {
		old = t
	} else {
		y.idle = append(y.idle, t)
		if len(y.idle) > y.payer.config.MaxIdle {
			old = y.idle[0]
			y.idle = append([]*talk(nil), y.idle[1:]...)
		}
	}
	y.mu.Unlock()
	if old != nil {
		old.drop()
	}
}

// settle signs what is unsigned on every channel with this payee.
func (y *party) settle(ctx context.Context) error {
	y.mu.Lock()
	peer := y.peer
	var open []*tab
	for _, b := range y.tabs {
		if due, _ := b.open(); due {
			open = append(open, b)
		}
	}
	y.mu.Unlock()
	var errs []error
	for _, b := range open {
		errs = append(errs, y.settleTab(ctx, peer, b))
	}
	return errors.Join(errs...)
}

func (y *party) settleTab(ctx context.Context, peer p2p.Peer, b *tab) error {
	for {
		t, err := y.take(ctx, peer)
		if err != nil {
			return err
		}
		stop := context.AfterFunc(ctx, t.s.Reset)
		t.s.SetStepTimeout(y.payer.config.SettleTimeout)
		if err = t.enter(ctx, b.newest(), b.tariff); err == nil {
			err = t.settle(ctx)
		}
		stop()
		if err == nil {
			y.put(t)
			return nil
		}
		t.drop()
		if t.fresh || refused(err) || ctx.Err() != nil {
			return err
		}
		// The stream died while it lay idle: a new one may do.
	}
}

// later runs f in the background; Close waits for it. It is false, and f does
// not run, if the payer is closed.
func (p *Payer) later(f func(ctx context.Context)) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return false
	}
	p.running.Go(func() {
		ctx, cancel := context.WithTimeout(p.ctx, p.config.SettleTimeout)
		defer cancel()
		f(ctx)
	})
	return true
}

// Settle signs for everything verified and not signed for, on all channels, and
// waits until the payees have it. What cannot be delivered stays due.
func (p *Payer) Settle(ctx context.Context) error {
	p.mu.Lock()
	parties := make([]*party, 0, len(p.parties))
	for _, y := range p.parties {
		parties = append(parties, y)
	}
	p.mu.Unlock()
	errs := make([]error, len(parties))
	var wg sync.WaitGroup
	for i, y := range parties {
		wg.Go(func() { errs[i] = y.settle(ctx) })
	}
	wg.Wait()
	return errors.Join(errs...)
}

// Close settles, within SettleTimeout, closes all idle streams and waits for
// everything the payer started. Files that are still open must be closed first.
// Its error says what could not be settled.
func (p *Payer) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), p.config.SettleTimeout)
	defer cancel()
	err := p.Settle(ctx)
	p.mu.Lock()
	p.closed = true
	parties := p.parties
	p.mu.Unlock()
	p.cancel()
	p.running.Wait()
	for _, y := range parties {
		y.mu.Lock()
		idle := y.idle
		y.idle = nil
		y.mu.Unlock()
		for _, t := range idle {
			t.end()
		}
	}
	return err
}

// end closes an idle stream in good order.
func (t *talk) end() {
	t.leaveTab()
	// The payee has everything that matters; it may have left already.
	_ = t.s.Close()
}

var _ io.Closer = (*Payer)(nil)
