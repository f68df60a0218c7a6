package node

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"trunkline/billing"
	"trunkline/billing/sealed"
	"trunkline/caps"
	"trunkline/grid/roster"
	"trunkline/p2p"
	"trunkline/p2p/area"
)

// LookupStep is one step of a look-up as `trunkline area show` prints it.
type LookupStep struct {
	At   time.Time `json:"at"`
	Text string    `json:"text"`
}

// AreaInfo is an area record as people see it.
type AreaInfo struct {
	Area           string       `json:"area"`
	Name           string       `json:"name"`
	Delegate       string       `json:"delegate"`
	DelegationSeq  uint64       `json:"delegation_sequence"`
	SheetSeq       uint64       `json:"sheet_sequence"`
	NotAfter       time.Time    `json:"not_after"`
	Price          string       `json:"price"`
	Contacts       []string     `json:"contacts"`
	Clearinghouses []string     `json:"clearinghouses"`
	Steps          []LookupStep `json:"steps"`
}

// LookUp finds an area with a host of its own that takes part in the DHT for that long, whatever the node's roles,
// so that what it shows is what a newcomer would see. A running node's cache is not touched.
func LookUp(ctx context.Context, h Home, code caps.AreaCode, log *slog.Logger, step func(LookupStep)) (AreaInfo, error) {
	cfg, err := h.Config()
	if err != nil {
		return AreaInfo{}, err
	}
	bootstrap, err := cfg.BootstrapPeers()
	if err != nil {
		return AreaInfo{}, err
	}
	directories := append(bootstrap, h.knownDirectories(cfg)...)
	key, err := p2p.GenerateKey()
	if err != nil {
		return AreaInfo{}, err
	}
	host, err := p2p.New(ctx, p2p.Config{
		Key: key, Profile: p2p.Client, AllowPrivateAddrs: cfg.AllowPrivateAddresses, DHT: true,
		Records:   map[string]p2p.RecordValidator{area.Kind: area.Validator{Now: time.Now}},
		Bootstrap: directories, Logger: log, Now: time.Now,
	})
	if err != nil {
		return AreaInfo{}, fmt.Errorf("starting: %w", err)
	}
	defer host.Close()
	cache, err := area.OpenCache(area.CacheConfig{Now: time.Now})
	if err != nil {
		return AreaInfo{}, err
	}
	r, err := area.NewResolver(area.Config{Cache: cache, DHT: host, Host: host, Directories: area.Fixed(directories...), Logger: log, Now: time.Now})
	if err != nil {
		return AreaInfo{}, err
	}
	defer r.Close()
	out := AreaInfo{Contacts: []string{}, Clearinghouses: []string{}}
	info, err := r.Trace(ctx, code, func(s area.Step) {
		l := LookupStep{At: s.At, Text: s.String()}
		out.Steps = append(out.Steps, l)
		step(l)
	})
	if err != nil {
		return out, err
	}
	out.Area, out.Name, out.Delegate = info.Area.String(), info.Sheet.Name, info.Delegate.String()
	out.DelegationSeq, out.SheetSeq, out.NotAfter = info.DelegationSeq, info.SheetSeq, info.NotAfter
	out.Price = "unknown: its tariff can't be read"
	if t, err := sealed.Open[billing.Tariff](info.Sheet.Tariff); err == nil {
		out.Price = fmt.Sprintf("%s %s per GiB, %s per look-up", t.Value.PerGiB, t.Value.Currency, t.Value.PerLookup)
		if t.Value.TollFree {
			out.Price = "toll-free"
		}
	}
	for _, p := range info.Sheet.Contacts {
		out.Contacts = append(out.Contacts, p.String())
	}
	for _, p := range info.Sheet.Clearinghouses {
		out.Clearinghouses = append(out.Clearinghouses, p.String())
	}
	return out, nil
}

// knownDirectories are the gateways, contact points and clearinghouses of the last roster that this node saw.
func (h Home) knownDirectories(cfg Config) []p2p.Peer {
	name := clientKeyFile
	if cfg.Daemon() {
		name = daemonKeyFile
	}
	key, err := h.Key(name)
	if err != nil {
		return nil
	}
	holder, err := h.openHolder(cfg, name, key, nil, nil, slog.New(slog.DiscardHandler))
	if err != nil {
		return nil
	}
	v, err := holder.Current()
	if err != nil {
		return nil
	}
	peers := v.Roster.Value.Clearinghouses
	for _, m := range v.Roster.Value.Members {
		if m.Roles.Any(roster.Gateway | roster.Contact) {
			peers = append(peers, m.Peer())
		}
	}
	return peers
}
