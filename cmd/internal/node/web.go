package node

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"runtime/debug"
	"syscall"
	"time"

	"trunkline/billing"
	"trunkline/billing/sealed"
	"trunkline/caps"
	"trunkline/grid/tree"
	"trunkline/grid/web"
	"trunkline/p2p/durable"
)

// keptFiles is how many files the web API keeps open, so that the next range of one begins at once.
const keptFiles = 64

// readyKeys is how many RSA keys the web API keeps ready for new directories: somebody may make a few in a row.
const readyKeys = 8

// webStop bounds how long transfers go on when the node ends.
const webStop = 2 * time.Second

// openWeb serves the web API: a client that stays, and pages in front of it. url is where.
func (d *daemon) openWeb(ctx context.Context) (url string, err error) {
	cfg := d.cfg.Web
	ceiling, err := cfg.ceiling()
	if err != nil {
		return "", err
	}
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", cfg.Listen)
	if err != nil {
		if errors.Is(err, syscall.EADDRINUSE) {
			return "", fmt.Errorf("%w: web.listen %s", ErrPortTaken, cfg.Listen)
		}
		return "", fmt.Errorf("%w: web.listen: %w", ErrConfig, err)
	}
	url = "http://" + l.Addr().String() + "/"
	c, err := OpenClient(ctx, d.home, ClientOptions{Stay: true, Keys: readyKeys, Logger: d.log})
	if err != nil {
		l.Close()
		return "", err
	}
	d.settle(func() error { c.Close(); return nil })
	agreed, err := web.OpenAgreements(d.home.path("agreed.json"))
	if err != nil {
		l.Close()
		return "", err
	}
	handler, err := web.New(web.Config{
		Files: c.filesLimited, Price: c.price, Ceiling: ceiling, Agreed: agreed,
		CeilingHint: "set ceiling under [web] in " + d.home.ConfigPath() + " and start the node again",
		Format:      d.cfg.Client.mutableKind(), Node: c.describe, Logger: d.log, Now: time.Now,
	})
	if err != nil {
		l.Close()
		return "", err
	}
	srv := &http.Server{
		Handler: handler, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute,
		BaseContext: func(net.Listener) context.Context { return context.WithoutCancel(ctx) },
	}
	d.run(func(ctx context.Context) error { return serveWeb(ctx, srv, l) })
	// Before the client, whose files it uses.
	d.settle(handler.Close)
	if err := durable.WriteFile(d.home.path("node.url"), []byte(url+"\n")); err != nil {
		l.Close()
		return "", err
	}
	return url, nil
}

// serveWeb serves until ctx ends, and lets what goes on then finish for a moment.
func serveWeb(ctx context.Context, srv *http.Server, l net.Listener) error {
	done := make(chan error, 1)
	go func() { done <- srv.Serve(l) }()
	select {
	case <-ctx.Done():
	case err := <-done:
		return fmt.Errorf("web api: %w", err)
	}
	stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), webStop)
	defer cancel()
	if srv.Shutdown(stop) != nil {
		_ = srv.Close() // what was not done by then breaks off, and its reader sees that it did
	}
	if err := <-done; !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("web api: %w", err)
	}
	return nil
}

// filesLimited are the files with which one request works that may cost no more than limit.
func (c *Client) filesLimited(limit billing.Credits) tree.Files {
	return files{c, c.lib.Limited(limit)}
}

// price is what a read of another grid's file costs at most: what the home grid's gateways charge their clients.
func (c *Client) price(_ context.Context, _ caps.Cap, bytes uint64) (web.Price, error) {
	if c.holder == nil {
		return web.Price{TollFree: true}, nil // or it can't be read at all
	}
	v, err := c.holder.Current()
	if err != nil {
		return web.Price{}, err
	}
	if len(v.Roster.Value.LocalTariff) == 0 {
		return web.Price{}, errNoTariff
	}
	t, err := sealed.Open[billing.Tariff](v.Roster.Value.LocalTariff)
	if err != nil {
		return web.Price{}, fmt.Errorf("the grid's tariff: %w", err)
	}
	dearest := t.Value
	dearest.FreeBytes = 0 // they may be used up
	cost, err := dearest.Cost(bytes, 1)
	if err != nil {
		return web.Price{}, err
	}
	return web.Price{
		TollFree: t.Value.TollFree, Currency: t.Value.Currency, PerGiB: t.Value.PerGiB, PerLookup: t.Value.PerLookup, Cost: cost,
	}, nil
}

// describe is what the first page says of the node.
func (c *Client) describe() web.Node {
	n := web.Node{Nickname: c.cfg.Name, Version: version(), Area: c.lib.Home()}
	if c.holder != nil {
		for _, m := range c.holder.Servers() {
			n.Servers = append(n.Servers, web.Server{ID: m.Key.String(), Nickname: m.Name, Connected: c.host.Connected(m.Key)})
		}
	}
	if c.tahoe != nil {
		servers, _ := c.tahoe.Status()
		for _, s := range servers {
			n.Servers = append(n.Servers, web.Server{ID: s.ID, Nickname: s.Nickname, Version: "Tahoe-LAFS"})
		}
	}
	return n
}

// version is the program's, as the build recorded it.
func version() string {
	if info, ok := debug.ReadBuildInfo(); ok {
		return "trunkline/" + info.Main.Version
	}
	return "trunkline"
}
