package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/libp2p/go-libp2p/core/crypto"

	"trunkline/billing"
	"trunkline/caps"
	"trunkline/clearinghouse"
	"trunkline/grid/manager"
	"trunkline/grid/roster"
	"trunkline/p2p"
)

const (
	daemonKeyFile = "node.key"
	clientKeyFile = "client.key"
)

// PickPorts replaces port 0 in the listening addresses by a free port, so that a node keeps its addresses over
// restarts, and lets a node that listens on loopback only dial loopback.
func PickPorts(c *Config) error {
	loopback := len(c.Listen) > 0
	for i, a := range c.Listen {
		parts, ip, err := splitListen(a)
		if err != nil {
			return err
		}
		loopback = loopback && ip.IsLoopback()
		if parts[4] != "0" {
			continue
		}
		port, err := bindPort(parts[3], parts[2], "0")
		if err != nil {
			return fmt.Errorf("finding a free port for %s: %w", a, err)
		}
		parts[4] = strconv.Itoa(port)
		c.Listen[i] = strings.Join(parts, "/")
	}
	c.AllowPrivateAddresses = c.AllowPrivateAddresses || loopback
	if host, port, err := net.SplitHostPort(c.Web.Listen); err == nil && port == "0" {
		free, err := bindPort("tcp", host, port)
		if err != nil {
			return fmt.Errorf("finding a free port for %s: %w", c.Web.Listen, err)
		}
		c.Web.Listen = net.JoinHostPort(host, strconv.Itoa(free))
	}
	return nil
}

// ErrPortTaken: another process listens there.
var ErrPortTaken = errors.New("another process listens on this node's port")

// portsFree tries the listening addresses before libp2p does. Its sockets share a port with whoever else shares it,
// so that two nodes with one port would both seem to run and each get half of the connections.
func portsFree(listen []string) error {
	for _, a := range listen {
		parts, _, err := splitListen(a)
		if err != nil {
			return err
		}
		if _, err := bindPort(parts[3], parts[2], parts[4]); err != nil {
			if errors.Is(err, syscall.EADDRINUSE) {
				return fmt.Errorf("%w: %s", ErrPortTaken, a)
			}
			return fmt.Errorf("%w: listen: %s: %w", ErrConfig, a, err)
		}
	}
	return nil
}

// splitListen takes a listening address apart: "", ip4, address, tcp, port and what may follow.
func splitListen(a string) (parts []string, ip net.IP, err error) {
	parts = strings.Split(a, "/")
	if len(parts) >= 5 && (parts[1] == "ip4" || parts[1] == "ip6") && (parts[3] == "tcp" || parts[3] == "udp") {
		if _, err := strconv.ParseUint(parts[4], 10, 16); err == nil {
			ip = net.ParseIP(parts[2])
		}
	}
	if ip == nil || parts[0] != "" {
		return nil, nil, fmt.Errorf("%w: listen: %q is not like /ip4/0.0.0.0/tcp/0 or /ip4/0.0.0.0/udp/0/quic-v1", ErrConfig, a)
	}
	return parts, ip, nil
}

// bindPort takes a port, 0 for any that is free, lets go of it again, and returns its number.
func bindPort(network, ip, port string) (int, error) {
	addr := net.JoinHostPort(ip, port)
	if network == "udp" {
		l, err := net.ListenPacket(network, addr) //nolint:noctx // bound and closed at once
		if err != nil {
			return 0, err
		}
		defer l.Close()
		return l.LocalAddr().(*net.UDPAddr).Port, nil
	}
	l, err := net.Listen(network, addr) //nolint:noctx // bound and closed at once
	if err != nil {
		return 0, err
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}

// Joined is what `trunkline join` reports.
type Joined struct {
	Grid  string `json:"grid"`
	Area  string `json:"area"`
	Roles string `json:"roles"`
	Key   string `json:"key"`
	Run   bool   `json:"run"` // there is something for `trunkline run` to run
	// NodeID is that of the Tahoe-LAFS node whose shares a server goes on with: its manager has to be told.
	NodeID string `json:"node_id,omitempty"`
}

// Join makes a node directory and redeems a grid manager's ticket for it. A node that both runs and is used by
// commands has two keys, so that both can be on the network at once, and redeems the ticket for each.
//
// When it fails, nothing is left behind but the keys.
func Join(ctx context.Context, h Home, c Config, text string, log *slog.Logger) (Joined, error) {
	if h.Exists() {
		return Joined{}, fmt.Errorf("%w: %s", ErrHomeTaken, h.Dir)
	}
	t, err := roster.ParseTicket(text)
	if err != nil {
		return Joined{}, err
	}
	for _, r := range []struct {
		bit  roster.Role
		role Role
	}{{roster.Client, RoleClient}, {roster.Server, RoleServer}, {roster.Gateway, RoleGateway}, {roster.Contact, RoleContact}} {
		if t.Roles.Has(r.bit) {
			c.Roles = append(c.Roles, r.role)
		}
	}
	c.Grid = GridConfig{Area: t.Area.String(), Manager: t.Manager.String()}
	for _, a := range t.Manager.Strings() {
		c.AllowPrivateAddresses = c.AllowPrivateAddresses || privateAddress(a)
	}
	if err := c.Validate(); err != nil {
		return Joined{}, err
	}
	if err := os.MkdirAll(h.path("roster"), 0o700); err != nil {
		return Joined{}, fmt.Errorf("making the node directory: %w", err)
	}
	var keys []string
	if c.Daemon() {
		keys = append(keys, daemonKeyFile)
	}
	if c.Has(RoleClient) {
		keys = append(keys, clientKeyFile)
	}
	out := Joined{Area: t.Area.String(), Roles: t.Roles.String(), Run: c.Daemon(), NodeID: c.Storage.NodeID}
	for _, name := range keys {
		j, key, err := redeem(ctx, h, c, t, name, log)
		if err != nil {
			return Joined{}, err
		}
		out.Grid, out.Key = t.Area.Short(), key.String()
		for _, p := range j.Bootstrap {
			c.Bootstrap = append(c.Bootstrap, p.Strings()...)
		}
	}
	if err := c.Write(h.ConfigPath()); err != nil {
		return Joined{}, err
	}
	return out, nil
}

// redeem joins with one of the node's keys and keeps the roster and certificate that come back.
func redeem(ctx context.Context, h Home, c Config, t roster.Ticket, keyFile string, log *slog.Logger) (roster.Joined, caps.PublicKey, error) {
	var none caps.PublicKey
	key, err := h.Key(keyFile)
	if err != nil {
		return roster.Joined{}, none, err
	}
	hc := p2p.Config{Key: key, AllowPrivateAddrs: c.AllowPrivateAddresses, Logger: log, Now: time.Now}
	if keyFile == daemonKeyFile {
		hc.Listen = c.Listen // so that the manager learns the addresses at once
	}
	host, err := p2p.New(ctx, hc)
	if err != nil {
		return roster.Joined{}, none, fmt.Errorf("starting: %w", err)
	}
	defer host.Close()
	var addrs []string
	if keyFile == daemonKeyFile {
		addrs = host.Addrs()
	}
	j, err := roster.Join(ctx, host, host.Key(), t, c.Name, addrs, time.Now())
	if err != nil {
		return j, none, err
	}
	holder, err := roster.OpenHolder(roster.HolderConfig{
		Area: t.Area, Self: host.Key(), Path: h.rosterPath(keyFile), Manager: t.Manager, Now: time.Now,
	})
	if err != nil {
		return j, none, err
	}
	return j, host.Key(), holder.Adopt(j.Roster.Bundle, j.Certificate.Bytes)
}

func (h Home) rosterPath(keyFile string) string {
	return h.path("roster", strings.TrimSuffix(keyFile, ".key"))
}

// privateAddress tells whether a multiaddr is of this machine or a private network. A ticket with such an address
// says that the grid lives there.
func privateAddress(a string) bool {
	parts := strings.Split(a, "/")
	if len(parts) < 3 {
		return false
	}
	ip := net.ParseIP(parts[2])
	return ip != nil && (ip.IsLoopback() || ip.IsPrivate() || ip.IsLinkLocalUnicast())
}

// MadeGrid is what `trunkline grid create` reports.
type MadeGrid struct {
	Name    string `json:"name"`
	Area    string `json:"area"`
	GridKey string `json:"grid_key_file"`
	Home    string `json:"home"`
}

// CreateGrid makes a grid and the node directory of its manager.
func CreateGrid(h Home, c Config, name, currency string, creditLine billing.Credits) (MadeGrid, error) {
	if h.Exists() {
		return MadeGrid{}, fmt.Errorf("%w: %s", ErrHomeTaken, h.Dir)
	}
	area, err := manager.Create(manager.CreateConfig{
		Dir: h.path("manager"), Name: name, Currency: currency, CreditLine: creditLine, Now: time.Now,
	})
	if err != nil {
		return MadeGrid{}, err
	}
	c.Name, c.Roles = name, []Role{RoleManager}
	c.Grid = GridConfig{Area: area.String()}
	return MadeGrid{Name: name, Area: area.String(), GridKey: h.path("manager", "grid.key"), Home: h.Dir}, h.Create(c)
}

// MadeClearinghouse is what `trunkline clearinghouse create` reports.
type MadeClearinghouse struct {
	Name string `json:"name"`
	Key  string `json:"key"`
	Home string `json:"home"`
}

// CreateClearinghouse makes a clearinghouse and its node directory.
func CreateClearinghouse(h Home, c Config, name, currency string, open bool, creditLine billing.Credits) (MadeClearinghouse, error) {
	if h.Exists() {
		return MadeClearinghouse{}, fmt.Errorf("%w: %s", ErrHomeTaken, h.Dir)
	}
	key, err := clearinghouse.Create(clearinghouse.CreateConfig{
		Dir: h.path("clearinghouse"), Name: name, Currency: currency, Open: open, CreditLine: creditLine, Now: time.Now,
	})
	if err != nil {
		return MadeClearinghouse{}, err
	}
	c.Name, c.Roles = name, []Role{RoleClearinghouse}
	return MadeClearinghouse{Name: name, Key: key.String(), Home: h.Dir}, h.Create(c)
}

// membership knows the newest roster: a member's roster.Holder, or the manager itself.
type membership interface {
	Current() (roster.Verified, error)
}

// ErrNoGrid: the node is a stranger's.
var ErrNoGrid = errors.New("this node belongs to no grid")

// openHolder opens what a member knows of its grid, for one of the node's keys.
func (h Home) openHolder(c Config, keyFile string, key crypto.PrivKey, host *p2p.Host, addrs func() []string, log *slog.Logger) (*roster.Holder, error) {
	area, err := c.HomeArea()
	if err != nil {
		return nil, err
	}
	if area.IsZero() {
		return nil, ErrNoGrid
	}
	self, err := p2p.KeyOf(key)
	if err != nil {
		return nil, err
	}
	var hint p2p.Peer
	if c.Grid.Manager != "" {
		if hint, err = p2p.ParsePeer(c.Grid.Manager); err != nil {
			return nil, fmt.Errorf("%w: grid.manager: %w", ErrConfig, err)
		}
	}
	hc := roster.HolderConfig{
		Area: area, Self: self, Path: h.rosterPath(keyFile), Manager: hint, Addrs: addrs, Now: time.Now, Logger: log,
	}
	if host != nil {
		hc.Host = host
	}
	return roster.OpenHolder(hc)
}
