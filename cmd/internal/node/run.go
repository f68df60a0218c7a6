package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/libp2p/go-libp2p/core/crypto"
	"golang.org/x/sync/errgroup"

	"trunkline/caps"
	"trunkline/clearinghouse"
	"trunkline/grid/account"
	"trunkline/grid/longdistance"
	"trunkline/grid/manager"
	"trunkline/grid/roster"
	"trunkline/grid/storage"
	"trunkline/p2p"
	"trunkline/p2p/area"
)

// RunOptions is what `trunkline run` and the demo hand to Run.
type RunOptions struct {
	// Logger gets what an operator may care about.
	Logger *slog.Logger
	// ExitCode is the exit code that the command line has for an error.
	ExitCode func(error) int
	// Hint is the next step that the command line has for an error. nil: none.
	Hint func(error) string
	// Ready is called once, when every role answers, with the node's peer address, or the URL of its web API if it is a
	// client alone.
	Ready func(address string)
}

// daemon is a node's roles while they run.
type daemon struct {
	home Home
	cfg  Config
	log  *slog.Logger

	key   crypto.PrivKey
	host  *p2p.Host
	ops   Ops
	tasks []func(context.Context) error // run until the context ends
	// When the tasks have ended: first what still has something to say on the network, then the host, which waits for
	// its handlers, then the books and stores that they used. Each in reverse.
	settles, stops []func() error

	house   *clearinghouse.Clearinghouse // in that role
	manager *manager.Manager             // in that role
	members membership                   // nil for a clearinghouse
	// allow says whether a key may act in a role now, looking for a newer roster before it refuses.
	allow func(context.Context, caps.PublicKey, roster.Role) error
	// look looks for a newer roster and says whether there is one.
	look     func(context.Context) bool
	cache    *area.Cache
	areas    *area.Resolver
	epochs   *account.Epochs
	vouchers *longdistance.VoucherLog
}

// Run runs the roles of a node directory until ctx ends, then ends them in order and returns nil.
func Run(ctx context.Context, h Home, o RunOptions) (err error) {
	cfg, err := h.Config()
	if err != nil {
		return err
	}
	if !cfg.Daemon() && !cfg.serves() {
		return fmt.Errorf("%w: the roles %v need no process; put and get work as they are, and listen under [web] starts the web API",
			ErrConfig, cfg.Roles)
	}
	unlock, err := h.Lock()
	if err != nil {
		return err
	}
	defer unlock()
	d := &daemon{home: h, cfg: cfg, log: o.Logger, ops: Ops{}}
	defer func() { err = errors.Join(err, d.close()) }()
	address, err := d.start(ctx)
	if err != nil {
		return err
	}
	control, err := listenControl(ctx, h)
	if err != nil {
		return err
	}
	g, ctx := errgroup.WithContext(ctx)
	for _, task := range d.tasks {
		g.Go(func() error {
			if err := task(ctx); err != nil && !errors.Is(err, context.Canceled) {
				return err
			}
			return nil
		})
	}
	g.Go(func() error { return serveControl(ctx, control, d.ops, o) })
	o.Logger.InfoContext(ctx, "node is ready", "address", address, "roles", fmt.Sprint(cfg.Roles))
	if o.Ready != nil {
		o.Ready(address)
	}
	return g.Wait()
}

func (d *daemon) run(task func(context.Context) error) { d.tasks = append(d.tasks, task) }
func (d *daemon) settle(f func() error)                { d.settles = append(d.settles, f) }
func (d *daemon) stop(f func() error)                  { d.stops = append(d.stops, f) }

func (d *daemon) close() error {
	var errs []error
	for _, f := range slices.Backward(d.settles) {
		errs = append(errs, f())
	}
	if d.host != nil {
		errs = append(errs, d.host.Close())
	}
	for _, f := range slices.Backward(d.stops) {
		errs = append(errs, f())
	}
	return errors.Join(errs...)
}

// start opens what the roles need. address is where the node is reached.
func (d *daemon) start(ctx context.Context) (address string, err error) {
	if d.cfg.Daemon() {
		if err := d.startRoles(ctx); err != nil {
			return "", err
		}
		address = d.host.Self().String()
		d.ops["traffic"] = op(func(context.Context, struct{}) (any, error) { return d.host.Stats().Traffic, nil })
	}
	if d.cfg.serves() {
		url, err := d.openWeb(ctx)
		if err != nil {
			return "", fmt.Errorf("starting the web api: %w", err)
		}
		d.log.InfoContext(ctx, "web api is ready", "url", url)
		if address == "" {
			address = url
		}
	}
	return address, nil
}

func (d *daemon) startRoles(ctx context.Context) (err error) {
	if d.cfg.Has(RoleClearinghouse) && len(d.cfg.Roles) > 1 {
		return fmt.Errorf("%w: a clearinghouse runs alone, in a directory of its own", ErrConfig)
	}
	switch {
	case d.cfg.Has(RoleClearinghouse):
		err = d.openClearinghouse(ctx)
	case d.cfg.Has(RoleManager):
		err = d.openManager(ctx)
	default:
		d.key, err = d.home.Key(daemonKeyFile)
	}
	if err != nil {
		return err
	}
	if err := d.openHost(ctx); err != nil {
		return err
	}
	if err := d.openAreas(); err != nil {
		return err
	}
	switch {
	case d.house != nil:
		err = d.house.Serve(d.host, d.areas)
	case d.manager != nil:
		err = d.manager.Serve(ctx, d.host, d.areas)
	default:
		err = d.openMember()
	}
	if err != nil {
		return err
	}
	for _, r := range []struct {
		role Role
		open func(context.Context) error
	}{
		{RoleServer, d.openServer}, {RoleContact, d.openContact}, {RoleGateway, d.openGateway},
	} {
		if !d.cfg.Has(r.role) {
			continue
		}
		if err := r.open(ctx); err != nil {
			return fmt.Errorf("starting the %s: %w", r.role, err)
		}
	}
	return nil
}

func (d *daemon) openClearinghouse(ctx context.Context) error {
	c, err := clearinghouse.Open(ctx, clearinghouse.Config{Dir: d.home.path("clearinghouse"), Now: time.Now, Logger: d.log})
	if err != nil {
		return err
	}
	d.house, d.key, d.cache = c, c.HostKey(), c.Areas()
	d.stop(c.Close)
	d.run(c.Run)
	d.ops.clearinghouse(c)
	return nil
}

func (d *daemon) openManager(ctx context.Context) error {
	m, err := manager.Open(ctx, manager.Config{Dir: d.home.path("manager"), Now: time.Now, Logger: d.log})
	if err != nil {
		return err
	}
	d.manager, d.members, d.key = m, m, m.HostKey()
	d.allow = func(_ context.Context, key caps.PublicKey, anyOf roster.Role) error { return m.Allow(key, anyOf) }
	d.look = func(context.Context) bool { return false }
	d.stop(m.Close)
	d.run(m.Run)
	d.ops.manager(m)
	return nil
}

// profile is the one of the busiest role.
func (d *daemon) profile() p2p.Profile {
	for _, r := range []struct {
		role    Role
		profile p2p.Profile
	}{
		{RoleClearinghouse, p2p.Clearinghouse},
		{RoleManager, p2p.Manager},
		{RoleGateway, p2p.Gateway},
		{RoleContact, p2p.Contact},
		{RoleServer, p2p.Server},
	} {
		if d.cfg.Has(r.role) {
			return r.profile
		}
	}
	return p2p.Client
}

func (d *daemon) openHost(ctx context.Context) error {
	bootstrap, err := d.cfg.BootstrapPeers()
	if err != nil {
		return err
	}
	if err := portsFree(d.cfg.Listen); err != nil {
		return err
	}
	profile := d.profile()
	d.host, err = p2p.New(ctx, p2p.Config{
		Key: d.key, Listen: d.cfg.Listen, Profile: profile, AllowPrivateAddrs: d.cfg.AllowPrivateAddresses,
		// A server is only asked by its own grid and looks nothing up.
		DHT:     profile != p2p.Server,
		Records: map[string]p2p.RecordValidator{area.Kind: area.Validator{Now: time.Now}},
		// The node itself may be among those it once told others of.
		Bootstrap: bootstrap, Logger: d.log, Now: time.Now,
	})
	if err != nil {
		return fmt.Errorf("starting the host: %w", err)
	}
	return nil
}

// openAreas opens the directory of area records, for all but plain servers.
func (d *daemon) openAreas() error {
	if d.profile() == p2p.Server {
		return nil
	}
	if d.cache == nil {
		cache, err := area.OpenCache(area.CacheConfig{Dir: d.home.path("area"), Now: time.Now})
		if err != nil {
			return fmt.Errorf("opening the area cache: %w", err)
		}
		d.cache = cache
		(&area.Directory{Cache: cache, Logger: d.log}).Register(d.host)
	}
	r, err := area.NewResolver(area.Config{
		Cache: d.cache, DHT: d.host, Host: d.host, Directories: d.directories, Logger: d.log, Now: time.Now,
	})
	if err != nil {
		return err
	}
	d.areas = r
	d.settle(r.Close)
	return nil
}

// directories are whom to ask for area records beside the DHT: the grid's clearinghouses.
func (d *daemon) directories() []p2p.Peer {
	if d.members == nil {
		return nil
	}
	v, err := d.members.Current()
	if err != nil {
		return nil
	}
	return v.Roster.Value.Clearinghouses
}

// openMember opens what a member knows of its grid and keeps it new; other members may ask it too.
func (d *daemon) openMember() error {
	holder, err := d.home.openHolder(d.cfg, daemonKeyFile, d.key, d.host, d.host.Addrs, d.log)
	if err != nil {
		return err
	}
	newcomers := roster.NewNewcomers(holder)
	d.members, d.allow, d.look = holder, newcomers.Allow, newcomers.Look
	code, err := d.cfg.HomeArea()
	if err != nil {
		return err
	}
	roster.NewService(code, holder).Register(d.host)
	d.run(holder.Run)
	return nil
}

// newcomerWait bounds the look for a newer roster before a server refuses somebody it does not know.
const newcomerWait = 5 * time.Second

func (d *daemon) openServer(ctx context.Context) error {
	c := d.cfg.Storage
	store, err := d.home.openStore(c, d.host.Key(), d.log)
	if err != nil {
		return err
	}
	d.stop(store.Close)
	d.ops.store(store)
	storage.NewServer(store, func(peer caps.PublicKey) error {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), newcomerWait)
		defer cancel()
		return d.allow(ctx, peer, roster.Client|roster.Contact)
	}).Register(d.host)
	return nil
}
