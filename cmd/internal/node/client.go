package node

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/crypto"

	"trunkline/caps"
	"trunkline/grid/account"
	"trunkline/grid/client"
	"trunkline/grid/longdistance"
	"trunkline/grid/mutable"
	"trunkline/grid/roster"
	"trunkline/grid/tahoe"
	"trunkline/grid/transfer"
	"trunkline/p2p"
	"trunkline/p2p/area"
	"trunkline/p2p/durable"
)

// Client is what put, get and the other commands of a member, or of a stranger, work with.
type Client struct {
	home   Home
	cfg    Config
	log    *slog.Logger
	key    crypto.PrivKey
	host   *p2p.Host
	lib    *client.Client
	payer  *longdistance.Payer
	fleet  *client.Fleet  // nil for a stranger
	holder *roster.Holder // nil for a stranger
	areas  *area.Resolver
	tahoe  *tahoe.Servers // nil without servers that run Tahoe-LAFS
	seen   *mutable.Seen
	keys   *mutable.KeyPool // nil unless it stays

	cancel    context.CancelFunc
	wg        sync.WaitGroup
	refreshed chan struct{} // closed when the background look for a newer roster has ended
}

// ErrNotClient: the node's configuration does not name the role.
var ErrNotClient = errors.New("this node is not used by commands: its roles do not include client")

// ClientOptions says how a client is opened.
type ClientOptions struct {
	// RandomKeys gives each file a fresh key in place of one that follows from its content.
	RandomKeys bool
	// Keys is how many RSA keys for new directories are made ahead.
	Keys int
	// Stay makes a client that goes on for long: it keeps its roster new, files that were read open, and connections to
	// servers.
	Stay   bool
	Logger *slog.Logger
}

// OpenClient opens a node directory for put, get and bill. Without a home grid it is a stranger's, which finds
// areas itself.
func OpenClient(ctx context.Context, h Home, o ClientOptions) (_ *Client, err error) {
	cfg, err := h.Config()
	if err != nil {
		return nil, err
	}
	if !cfg.Has(RoleClient) {
		return nil, fmt.Errorf("%w (%s)", ErrNotClient, h.ConfigPath())
	}
	log := o.Logger
	c := &Client{home: h, cfg: cfg, log: log, refreshed: make(chan struct{})}
	background, cancel := context.WithCancel(context.WithoutCancel(ctx))
	c.cancel = cancel
	defer func() {
		if err != nil {
			c.Close()
		}
	}()
	if c.key, err = h.Key(clientKeyFile); err != nil {
		return nil, err
	}
	code, err := cfg.HomeArea()
	if err != nil {
		return nil, err
	}
	bootstrap, err := cfg.BootstrapPeers()
	if err != nil {
		return nil, err
	}
	stranger := code.IsZero()
	c.host, err = p2p.New(ctx, p2p.Config{
		Key: c.key, Profile: p2p.Client, AllowPrivateAddrs: cfg.AllowPrivateAddresses, DHT: stranger,
		Records:   map[string]p2p.RecordValidator{area.Kind: area.Validator{Now: time.Now}},
		Bootstrap: bootstrapFor(stranger, bootstrap), Logger: log, Now: time.Now,
	})
	if err != nil {
		return nil, fmt.Errorf("starting: %w", err)
	}
	pc := longdistance.PayerConfig{Key: c.key, Dial: longdistance.DialFrom(c.host), Logger: log, Now: time.Now}
	lc := client.Config{
		Home: code, K: cfg.Client.Needed, N: cfg.Client.Total, Happy: cfg.Client.Happy, MaxSegment: cfg.Client.SegmentSize,
		Logger: log, Now: time.Now,
	}
	if o.Stay {
		lc.KeepFiles = keptFiles
	}
	if stranger {
		close(c.refreshed)
		if err := c.openAreas(bootstrap); err != nil {
			return nil, err
		}
		lc.Resolver = c.areas
	} else {
		if err := c.openRoster(ctx, background, o.Stay); err != nil {
			return nil, err
		}
		approvals, err := c.approvals()
		if err != nil {
			return nil, err
		}
		// What is half used is renewed beside the transfer: neither this one nor the next has to wait, or to find the
		// manager away when it is used up.
		c.wg.Go(func() { _ = approvals.Run(background) }) // it ends with nil
		pc.Approvals = approvals
		c.fleet = client.NewFleet(c.host, c.holder.Servers)
		lc.Gateways = client.Gateways(c.holder, code)
	}
	if c.seen, err = mutable.OpenSeen(h.path("seen")); err != nil {
		return nil, fmt.Errorf("opening what was seen of mutable files: %w", err)
	}
	lc.Seen = c.seen
	if c.tahoe, err = cfg.Tahoe.open(h, log); err != nil {
		return nil, err
	}
	if c.fleet != nil || c.tahoe != nil {
		if err := c.openServers(&lc, o); err != nil {
			return nil, err
		}
	}
	if c.payer, err = longdistance.NewPayer(pc); err != nil {
		return nil, err
	}
	lc.Payer = c.payer
	c.lib = client.New(lc)
	if o.Stay && c.holder != nil {
		c.wg.Go(func() { c.connect(background) })
	}
	log.DebugContext(ctx, "client is open", "peer_id", c.host.Key().String(), "area_code", code.String())
	return c, nil
}

// openServers sets up storing and reading on the home grid's servers, whatever they speak.
func (c *Client) openServers(lc *client.Config, o ClientOptions) (err error) {
	lc.Servers, lc.Uploads = joined(c.fleet, c.tahoe)
	if !o.RandomKeys {
		if lc.Secret, err = c.home.secret("convergence"); err != nil {
			return err
		}
	}
	lease, err := c.home.secret("lease")
	if err != nil {
		return err
	}
	if len(lease) != len(lc.LeaseSecret) {
		return fmt.Errorf("reading the lease secret: %s is damaged; it should hold 52 base32 characters", c.home.path("lease.secret"))
	}
	lc.LeaseSecret = [32]byte(lease)
	if o.Keys > 0 {
		c.keys = mutable.NewKeyPool(o.Keys)
	}
	lc.Mutable, err = mutable.New(mutable.Config{
		Servers: lc.Servers, Uploads: lc.Uploads, K: lc.K, N: lc.N, Happy: lc.Happy, LeaseSecret: lc.LeaseSecret,
		Seen: c.seen, Keys: c.keys, Logger: c.log, Now: time.Now,
	})
	return err
}

// connectWait bounds the first round of connecting to servers.
const connectWait = 20 * time.Second

// connect connects to the grid's servers, so that the first request need not wait for it.
func (c *Client) connect(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, connectWait)
	defer cancel()
	var wg sync.WaitGroup
	for _, m := range c.holder.Servers() {
		wg.Go(func() { _ = c.host.Connect(ctx, m.Peer()) }) // it is dialled again when it is needed
	}
	wg.Wait()
}

// bootstrapFor leaves a member's connections to what it needs: only strangers look areas up themselves.
func bootstrapFor(stranger bool, peers []p2p.Peer) []p2p.Peer {
	if stranger {
		return peers
	}
	return nil
}

func (c *Client) openAreas(directories []p2p.Peer) error {
	cache, err := area.OpenCache(area.CacheConfig{Dir: c.home.path("area"), Now: time.Now})
	if err != nil {
		return fmt.Errorf("opening the area cache: %w", err)
	}
	cfg := area.Config{Cache: cache, Host: c.host, Directories: area.Fixed(directories...), Logger: c.log, Now: time.Now}
	if c.host.DHTPeers() > 0 || len(directories) > 0 {
		cfg.DHT = c.host
	}
	c.areas, err = area.NewResolver(cfg)
	return err
}

// openRoster reads what is known of the grid and looks for something newer in the background, so that a manager that
// is away costs no time. Only without any valid roster is it waited for.
func (c *Client) openRoster(ctx, background context.Context, stay bool) (err error) {
	if c.holder, err = c.home.openHolder(c.cfg, clientKeyFile, c.key, c.host, nil, c.log); err != nil {
		return err
	}
	if _, err := c.holder.Current(); err != nil {
		if err := c.holder.Refresh(ctx); err != nil {
			close(c.refreshed)
			return err
		}
		if !stay {
			close(c.refreshed)
			return nil
		}
	}
	c.wg.Go(func() {
		err := c.holder.Refresh(background)
		close(c.refreshed)
		if err != nil && background.Err() == nil {
			c.log.Warn("roster was not refreshed", "error", err)
		}
		if stay {
			_ = c.holder.Run(background) // it ends with nil
		}
	})
	return nil
}

// wantBytes is what an approval is asked for, so that most commands find one at hand.
const wantBytes = 1 << 30

// approvals keeps what the manager granted between runs.
func (c *Client) approvals() (*account.Approvals, error) {
	dir := c.home.path("approvals-client")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	return account.NewApprovals(account.ApprovalsConfig{
		Client: account.NewClient(c.host), Self: c.host.Key(), Dir: dir, WantBytes: wantBytes, Now: time.Now, Logger: c.log,
	}), nil
}

// convergence names the secret that equal files get equal caps by.
const convergence = "convergence"

// secret reads a secret of the client's, making one of 32 bytes at the first use. A convergence secret that was taken
// over from a Tahoe-LAFS node may be of another length.
func (h Home) secret(name string) ([]byte, error) {
	path := h.path(name + ".secret")
	raw, err := durable.ReadSecret(path, 256)
	if errors.Is(err, fs.ErrNotExist) {
		b := make([]byte, 32)
		_, _ = rand.Read(b) // never fails: crypto/rand.Read ends the program instead
		return b, durable.CreateFile(path, []byte(caps.EncodeBase32(b)+"\n"))
	}
	if err != nil {
		return nil, fmt.Errorf("reading the %s secret: %w", name, err)
	}
	b, err := caps.DecodeBase32(string(trimNewline(raw)))
	if err != nil || len(b) == 0 || name != convergence && len(b) != 32 {
		return nil, fmt.Errorf("reading the %s secret: %s is damaged; it should hold 52 base32 characters", name, path)
	}
	return b, nil
}

func trimNewline(b []byte) []byte {
	for len(b) > 0 && (b[len(b)-1] == '\n' || b[len(b)-1] == '\r') {
		b = b[:len(b)-1]
	}
	return b
}

// Close signs for what was read, ends what the client started, and closes its streams. What goes wrong then is for
// the log: the file is whole, and what could not be signed for stays due until the next call to that payee.
func (c *Client) Close() {
	c.cancel()
	c.wg.Wait()
	var errs []error
	if c.lib != nil {
		errs = append(errs, c.lib.Close())
	}
	if c.payer != nil {
		errs = append(errs, c.payer.Close())
	}
	if c.keys != nil {
		errs = append(errs, c.keys.Close())
	}
	if c.fleet != nil {
		errs = append(errs, c.fleet.Close())
	}
	if c.tahoe != nil {
		errs = append(errs, c.tahoe.Close())
	}
	if c.seen != nil {
		errs = append(errs, c.seen.Close())
	}
	if c.areas != nil {
		errs = append(errs, c.areas.Close())
	}
	if c.host != nil {
		errs = append(errs, c.host.Close())
	}
	if err := errors.Join(errs...); err != nil {
		c.log.Warn("closing", "error", err)
	}
}

// Range is a part of a file: as HTTP has it, both ends included.
type Range struct {
	Whole       bool
	First, Last uint64
	ToEnd       bool   // from First to the end
	Suffix      uint64 // the last so many bytes
}

// of turns the range into offset and length for a file of size bytes.
func (r Range) of(size uint64) (offset, length uint64, err error) {
	switch {
	case r.Whole:
		return 0, size, nil
	case r.Suffix > 0:
		n := min(size, r.Suffix)
		return size - n, n, nil
	case r.First >= size:
		return 0, 0, fmt.Errorf("%w: it begins at byte %d and the file has %d", client.ErrRange, r.First, size)
	case r.ToEnd:
		return r.First, size - r.First, nil
	}
	return r.First, min(r.Last, size-1) - r.First + 1, nil
}

// GetReport is what `trunkline get` can say of a transfer.
type GetReport struct {
	Bytes uint64 `json:"bytes"`
	// Hop is where the bytes came from: literal, local, gateway or contact.
	Hop string `json:"hop"`
	// Peer served them, where it was not the home grid itself.
	Peer string `json:"peer,omitempty"`
	// Blamed are who failed or lied on the way, one sentence each.
	Blamed []string `json:"blamed,omitempty"`
}

// Get writes the range of the file to w. Bytes that were written are right, also when an error comes back.
func (c *Client) Get(ctx context.Context, target caps.Cap, r Range, w io.Writer, progress func(done, total uint64)) (GetReport, error) {
	if err := opens(target); err != nil {
		return GetReport{}, err
	}
	begin := func(size uint64) (offset, length uint64, _ io.Writer, err error) {
		offset, length, err = r.of(size)
		return offset, length, w, err
	}
	o := client.GetOptions{Progress: func(e client.Event) { progress(e.Verified, e.Total) }}
	used := c.rosterNumber()
	res, err := c.lib.Fetch(ctx, target, o, begin)
	if err != nil && res.Bytes == 0 && c.newerRoster(ctx, used) {
		res, err = c.lib.Fetch(ctx, target, o, begin)
	}
	err = c.explain(err)
	report := GetReport{Bytes: res.Bytes, Hop: string(res.Hop)}
	if !res.Payee.IsZero() {
		report.Peer = res.Payee.String()
	}
	for _, a := range res.Failed {
		report.Blamed = append(report.Blamed, a.String())
	}
	for _, b := range res.Blamed {
		report.Blamed = append(report.Blamed, b.String())
	}
	return report, err
}

// explain finds the reason behind what servers and gateways said where this node knows it better: that it is no
// member any more.
func (c *Client) explain(err error) error {
	if err == nil || c.holder == nil {
		return err
	}
	if gone := c.holder.Allow(c.host.Key(), roster.Client); errors.Is(gone, roster.ErrNotMember) {
		return fmt.Errorf("the grid's newest roster does not name this node: %w", roster.ErrNotMember)
	}
	return err
}

// rosterNumber names the roster at hand; zero without one.
func (c *Client) rosterNumber() roster.Number {
	if c.holder == nil {
		return roster.Number{}
	}
	v, err := c.holder.Current()
	if err != nil {
		return roster.Number{}
	}
	return v.Number()
}

// newerRoster waits for the background look and says whether the roster is another one than used: then what failed
// may succeed.
func (c *Client) newerRoster(ctx context.Context, used roster.Number) bool {
	select {
	case <-c.refreshed:
		return c.rosterNumber() != used
	case <-ctx.Done():
		return false
	}
}

// ErrNotFile: the cap does not open a file.
var ErrNotFile = errors.New("this cap opens no file")

func opens(target caps.Cap) error {
	switch {
	case target.IsDirectory():
		return fmt.Errorf("%w: it is a directory's (%s)", ErrNotFile, target.Kind())
	case target.Kind().IsVerify():
		return fmt.Errorf("%w: a %s checks shares and has no key; ask for the read cap", ErrNotFile, target.Kind())
	case !target.Kind().CanRead():
		return fmt.Errorf("%w: it is of the kind %s", ErrNotFile, target.Kind())
	}
	return nil
}

// PutReport is what `trunkline put` prints.
type PutReport struct {
	// Cap is the long-distance cap: a password.
	Cap       string   `json:"cap"`
	Bytes     uint64   `json:"bytes"`
	Shares    int      `json:"shares"`
	Servers   int      `json:"servers"`
	Existing  int      `json:"existing_shares"`
	Warnings  []string `json:"warnings,omitempty"`
	Happiness int      `json:"happiness"`
}

// Put stores size bytes of src in the home grid.
func (c *Client) Put(ctx context.Context, src io.ReaderAt, size uint64, progress func(done uint64)) (PutReport, error) {
	report := func(e transfer.Event) {
		if e.Phase == transfer.PhaseEncode || e.Phase == transfer.PhaseCommit {
			progress(e.Done)
		}
	}
	c.freshen(ctx)
	used := c.rosterNumber()
	res, err := c.lib.Put(ctx, src, size, report)
	if errors.Is(err, transfer.ErrUnhappy) && c.newerRoster(ctx, used) {
		res, err = c.lib.Put(ctx, src, size, report)
	}
	if err != nil {
		return PutReport{}, c.explain(err)
	}
	out := PutReport{
		Cap: res.Cap.Text(), Bytes: size, Shares: len(res.Placement), Existing: len(res.Existing), Happiness: res.Happiness,
	}
	servers := map[caps.PublicKey]bool{}
	for _, k := range res.Placement {
		servers[k] = true
	}
	out.Servers = len(servers)
	for _, b := range res.Lost {
		out.Warnings = append(out.Warnings, b.String())
	}
	return out, nil
}

// PutMutable makes a mutable file of that kind, or of the configured one, and reports its write cap.
func (c *Client) PutMutable(ctx context.Context, src io.ReaderAt, size uint64, kind caps.Kind) (PutReport, error) {
	if kind == caps.KindUnknown {
		kind = c.cfg.Client.mutableKind()
	}
	made, err := c.Files().CreateMutable(ctx, kind, nil, func(caps.WriteKey) (io.ReaderAt, uint64, error) { return src, size, nil })
	if err != nil {
		return PutReport{}, err
	}
	return PutReport{Cap: made.Text(), Bytes: size}, nil
}

// freshRoster is how long an upload waits to hear who belongs to the grid now.
const freshRoster = 2 * time.Second

// freshen gives the background look for a newer roster a moment before shares are placed, so that none goes to a
// server that was revoked since this client ran last. A manager that is away does not stop an upload.
func (c *Client) freshen(ctx context.Context) {
	t := time.NewTimer(freshRoster)
	defer t.Stop()
	select {
	case <-c.refreshed:
	case <-t.C:
	case <-ctx.Done():
	}
}

// Bill is the member's own account with its grid's manager.
func (c *Client) Bill(ctx context.Context, period uint64) (Bill, error) {
	if c.holder == nil {
		return Bill{}, ErrNoGrid
	}
	m := c.holder.Manager()
	s, err := account.NewClient(c.host).Statement(ctx, m, account.StatementAsk{
		Account: c.host.Key(), Period: period, Current: period == 0,
	})
	return Bill{}.with(s, m.Key, err)
}
