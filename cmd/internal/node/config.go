package node

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/pelletier/go-toml/v2"

	"trunkline/billing"
	"trunkline/caps"
	"trunkline/grid/roster"
	"trunkline/grid/tahoe"
	"trunkline/p2p"
	"trunkline/p2p/durable"
)

// Role is one thing a node directory is for.
type Role string

// The roles a configuration may name.
const (
	RoleClient        Role = "client"        // commands run here: put, get
	RoleServer        Role = "server"        // keeps shares
	RoleGateway       Role = "gateway"       // fetches from other grids for this grid's clients
	RoleContact       Role = "contact"       // serves this grid's files to other grids' gateways
	RoleManager       Role = "manager"       // approves members, keeps the grid's books
	RoleClearinghouse Role = "clearinghouse" // approves grids, keeps the books between them
)

var allRoles = []Role{RoleClient, RoleServer, RoleGateway, RoleContact, RoleManager, RoleClearinghouse}

// ErrConfig marks a configuration that can't be used as it stands.
var ErrConfig = errors.New("configuration")

// Config is the node's one TOML file, trunkline.toml. Its fields are the manual: the file that Write makes carries
// the same words as comments.
type Config struct {
	// Name is what other people see beside the key. At most 64 bytes of printable text.
	Name string `toml:"name"`
	// Roles says what `trunkline run` starts, and whether put and get work here.
	Roles []Role `toml:"roles"`
	// Listen are the multiaddrs the node listens on. Port 0 means any free port, which changes at every start.
	Listen []string `toml:"listen"`
	// AllowPrivateAddresses lets the node dial loopback and private addresses that others told it of: on for one
	// machine or one LAN, off on the Internet.
	AllowPrivateAddresses bool `toml:"allow_private_addresses"`
	// Bootstrap are peers with address, each ending in /p2p/…, through which the DHT is entered. Any gateway,
	// contact point or clearinghouse will do.
	Bootstrap []string `toml:"bootstrap"`

	Grid    GridConfig    `toml:"grid"`
	Client  ClientConfig  `toml:"client"`
	Web     WebConfig     `toml:"web"`
	Storage StorageConfig `toml:"storage"`
	Gateway GatewayConfig `toml:"gateway"`
	Tahoe   TahoeConfig   `toml:"tahoe"`
}

// GridConfig says which grid is home. Both empty: no home grid, only toll-free grids can be read.
type GridConfig struct {
	// Area is the home grid's area code.
	Area string `toml:"area"`
	// Manager is the grid manager's peer address.
	Manager string `toml:"manager"`
}

// ClientConfig is how files are encoded and placed.
type ClientConfig struct {
	// Needed shares give a file back, Total are made, Happy distinct servers must hold one each. 3, 10, 7.
	Needed int `toml:"needed"`
	Happy  int `toml:"happy"`
	Total  int `toml:"total"`
	// SegmentSize is the largest segment in bytes. 1048576.
	SegmentSize uint64 `toml:"segment_size"`
	// Mutable is how new directories and mutable files are kept where nobody says: "sdmf", or "mdmf".
	Mutable string `toml:"mutable"`
}

// WebConfig is the web API and the pages that `trunkline run` serves in a client's directory.
type WebConfig struct {
	// Listen is a loopback address with port; empty: no web API. Port 0 means any free port. "127.0.0.1:3456".
	Listen string `toml:"listen"`
	// Ceiling is the most that one request to the web API may cost, in the home grid's currency; "0": only what is
	// toll-free is read across grids.
	Ceiling string `toml:"ceiling"`
}

// TahoeConfig names a grid of Tahoe-LAFS servers that this node works with: a client's files are stored there, and a
// contact point serves them to other grids. Both empty: none.
type TahoeConfig struct {
	// NodeDir is a Tahoe-LAFS node's directory, whose announcements, grid managers and servers.yaml are used.
	NodeDir string `toml:"node_dir"`
	// ServersFile is a servers.yaml by itself.
	ServersFile string `toml:"servers_file"`
	// GridManagers are keys (pub-v0-…) that are trusted besides those of the node: only servers with a certificate of
	// one of them get new shares.
	GridManagers []string `toml:"grid_managers"`
}

// used tells whether there is such a grid.
func (t TahoeConfig) used() bool { return t.NodeDir != "" || t.ServersFile != "" }

// StorageConfig is the server's disk.
type StorageConfig struct {
	// Dir holds the shares in Tahoe's layout; relative paths start at the node directory. "storage".
	Dir string `toml:"dir"`
	// ReadOnly serves what is there and touches nothing: for an existing Tahoe directory.
	ReadOnly bool `toml:"read_only"`
	// ReservedBytes is kept free on the disk; MaxBytes bounds all shares together (0: no bound).
	ReservedBytes uint64 `toml:"reserved_bytes"`
	MaxBytes      uint64 `toml:"max_bytes"`
	// NodeID is the 20-byte id, in base32, of the Tahoe-LAFS node that wrote the directory before: clients derived from
	// it what lets them change mutable files. Empty: the node's own.
	NodeID string `toml:"node_id"`
	// NoSync leaves out fsync. For benchmarks only: a power cut then loses shares that were acknowledged.
	NoSync bool `toml:"no_sync"`
}

// GatewayConfig is the gateway's policy for calls to other grids.
type GatewayConfig struct {
	// PriceCeiling is the most a GiB may cost, in the home grid's currency ("0.05"). Dearer grids are refused before
	// the first byte.
	PriceCeiling string `toml:"price_ceiling"`
	// LookupCeiling is the most that one look-up may cost.
	LookupCeiling string `toml:"lookup_ceiling"`
	// DenyAreas are never called. AllowAreas, when not empty, are the only ones called.
	DenyAreas  []string `toml:"deny_areas"`
	AllowAreas []string `toml:"allow_areas"`
}

// DefaultConfig is what an absent line means.
func DefaultConfig() Config {
	return Config{
		Listen:  []string{"/ip4/0.0.0.0/tcp/0", "/ip4/0.0.0.0/udp/0/quic-v1"},
		Client:  ClientConfig{Needed: 3, Happy: 7, Total: 10, SegmentSize: 1 << 20, Mutable: "sdmf"},
		Web:     WebConfig{Listen: "127.0.0.1:3456", Ceiling: "0"},
		Storage: StorageConfig{Dir: "storage", ReservedBytes: 1 << 30},
		Gateway: GatewayConfig{PriceCeiling: "0.05", LookupCeiling: "0.0001"},
	}
}

// Has tells whether the node has the role.
func (c Config) Has(r Role) bool { return slices.Contains(c.Roles, r) }

// Daemon tells whether the node has a role in which others reach it.
func (c Config) Daemon() bool {
	return slices.ContainsFunc(c.Roles, func(r Role) bool { return r != RoleClient })
}

// serves tells whether the node serves the web API.
func (c Config) serves() bool { return c.Has(RoleClient) && c.Web.Listen != "" }

// mutableKind is how new mutable files are kept where nobody says.
func (c ClientConfig) mutableKind() caps.Kind {
	if c.Mutable == "mdmf" {
		return caps.KindMDMF
	}
	return caps.KindSDMF
}

// HomeArea is the configured home grid; zero without one.
func (c Config) HomeArea() (caps.AreaCode, error) {
	if c.Grid.Area == "" {
		return caps.AreaCode{}, nil
	}
	a, err := caps.ParseAreaCode(c.Grid.Area)
	if err != nil {
		return a, fmt.Errorf("%w: grid.area: %w", ErrConfig, err)
	}
	return a, nil
}

// BootstrapPeers are the bootstrap addresses, with the manager's when there is one.
func (c Config) BootstrapPeers() ([]p2p.Peer, error) {
	texts := c.Bootstrap
	if c.Grid.Manager != "" {
		texts = append(slices.Clone(texts), c.Grid.Manager)
	}
	return parsePeers("bootstrap", texts)
}

func parsePeers(field string, texts []string) ([]p2p.Peer, error) {
	var peers []p2p.Peer
	for _, t := range texts {
		p, err := p2p.ParsePeer(t)
		if err != nil {
			return nil, fmt.Errorf("%w: %s: %w", ErrConfig, field, err)
		}
		i := slices.IndexFunc(peers, func(q p2p.Peer) bool { return q.Key == p.Key })
		if i < 0 {
			peers = append(peers, p)
			continue
		}
		for _, a := range p.Addrs {
			if !slices.Contains(peers[i].Addrs, a) {
				peers[i].Addrs = append(peers[i].Addrs, a)
			}
		}
	}
	return peers, nil
}

const maxName = roster.MaxName

// Validate finds what strict decoding can't.
func (c Config) Validate() error {
	for _, r := range c.Roles {
		if !slices.Contains(allRoles, r) {
			return fmt.Errorf("%w: roles: %q is none of %v", ErrConfig, r, allRoles)
		}
	}
	if len(c.Name) > maxName || !utf8.ValidString(c.Name) || strings.ContainsFunc(c.Name, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return fmt.Errorf("%w: name: want at most %d bytes of printable text", ErrConfig, maxName)
	}
	for _, a := range c.Listen {
		if _, _, err := splitListen(a); err != nil {
			return err
		}
	}
	if _, err := c.HomeArea(); err != nil {
		return err
	}
	if _, err := c.BootstrapPeers(); err != nil {
		return err
	}
	if _, err := c.Gateway.policy(""); err != nil {
		return err
	}
	k := c.Client
	if k.Needed < 1 || k.Needed > k.Total || k.Total > 255 || k.Happy < 1 || k.Happy > k.Total {
		return fmt.Errorf("%w: client: needed %d, happy %d, total %d: want 1 <= needed <= total <= 255 and 1 <= happy <= total",
			ErrConfig, k.Needed, k.Happy, k.Total)
	}
	if k.SegmentSize < 1024 || k.SegmentSize > 4<<20 {
		return fmt.Errorf("%w: client.segment_size %d: want 1024 to %d", ErrConfig, k.SegmentSize, 4<<20)
	}
	if k.Mutable != "sdmf" && k.Mutable != "mdmf" {
		return fmt.Errorf("%w: client.mutable %q: want \"sdmf\" or \"mdmf\"", ErrConfig, k.Mutable)
	}
	if _, err := c.Storage.nodeID(); err != nil {
		return err
	}
	if _, err := c.Tahoe.gridManagers(); err != nil {
		return err
	}
	return c.Web.validate()
}

// validate refuses addresses that others could reach: whoever can ask the web API can use this node's caps and money.
func (w WebConfig) validate() error {
	if _, err := w.ceiling(); err != nil {
		return err
	}
	if w.Listen == "" {
		return nil
	}
	host, port, err := net.SplitHostPort(w.Listen)
	if err == nil {
		_, err = strconv.ParseUint(port, 10, 16)
	}
	if err != nil {
		return fmt.Errorf("%w: web.listen: %q is not like 127.0.0.1:3456", ErrConfig, w.Listen)
	}
	if ip := net.ParseIP(host); host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return fmt.Errorf("%w: web.listen: %q is not an address of this machine alone; want 127.0.0.1, [::1] or localhost", ErrConfig, w.Listen)
	}
	return nil
}

func (w WebConfig) ceiling() (billing.Credits, error) {
	c, err := billing.ParseCredits(w.Ceiling)
	if err == nil && c < 0 {
		err = billing.ErrCredits
	}
	if err != nil {
		return 0, fmt.Errorf("%w: web.ceiling: %w", ErrConfig, err)
	}
	return c, nil
}

// nodeID is zero where none is configured.
func (s StorageConfig) nodeID() (id [20]byte, err error) {
	if s.NodeID == "" {
		return id, nil
	}
	b, err := caps.DecodeBase32(s.NodeID)
	if err != nil || len(b) != len(id) {
		return id, fmt.Errorf("%w: storage.node_id: want the 32 base32 characters of a Tahoe-LAFS node's id", ErrConfig)
	}
	return [20]byte(b), nil
}

func (t TahoeConfig) gridManagers() ([]caps.PublicKey, error) {
	var keys []caps.PublicKey
	for _, text := range t.GridManagers {
		key, err := tahoe.ParsePublicKey(text)
		if err != nil {
			return nil, fmt.Errorf("%w: tahoe.grid_managers: want keys that begin with pub-v0-: %w", ErrConfig, err)
		}
		keys = append(keys, key)
	}
	return keys, nil
}

// ReadConfig reads a node directory's trunkline.toml strictly: an unknown key is an error that shows its line.
func ReadConfig(path string) (Config, error) {
	c := DefaultConfig()
	raw, err := os.ReadFile(path)
	if err != nil {
		return c, err
	}
	dec := toml.NewDecoder(bytes.NewReader(raw)).DisallowUnknownFields()
	if err := dec.Decode(&c); err != nil {
		var strict *toml.StrictMissingError
		if errors.As(err, &strict) {
			return c, fmt.Errorf("%w: %s: unknown key\n%s", ErrConfig, path, strict.String())
		}
		var at *toml.DecodeError
		if errors.As(err, &at) {
			row, col := at.Position()
			what := plainTypes(strings.TrimPrefix(at.Error(), "toml: "))
			return c, fmt.Errorf("%w: %s line %d column %d: %s\n%s", ErrConfig, path, row, col, what, plainTypes(at.String()))
		}
		return c, fmt.Errorf("%w: %s: %w", ErrConfig, path, err)
	}
	if err := c.Validate(); err != nil {
		return c, fmt.Errorf("%w (in %s)", err, path)
	}
	return c, nil
}

// plainTypes says in words what the TOML decoder says in Go's types.
func plainTypes(text string) string {
	mismatch := regexp.MustCompile(`cannot decode TOML (\w+) into struct field \S+ of type (\S+)`)
	return mismatch.ReplaceAllStringFunc(text, func(s string) string {
		m := mismatch.FindStringSubmatch(s)
		want := "a list"
		switch m[2] {
		case "int", "uint64":
			want = "a whole number"
		case "string", "node.Role":
			want = "a text in quotes"
		case "bool":
			want = "true or false"
		}
		return fmt.Sprintf("there is a TOML %s where %s is wanted", m[1], want)
	})
}

// Write writes the configuration with a comment on every line it sets.
func (c Config) Write(path string) error {
	if err := c.Validate(); err != nil {
		return err
	}
	return durable.WriteFile(path, []byte(c.text()))
}

// text is the file: configText with its {keys} filled in.
func (c Config) text() string {
	values := map[string]any{
		"name": c.Name, "roles": c.Roles, "listen": c.Listen, "allow_private_addresses": c.AllowPrivateAddresses,
		"bootstrap": c.Bootstrap, "area": c.Grid.Area, "manager": c.Grid.Manager,
		"needed": c.Client.Needed, "happy": c.Client.Happy, "total": c.Client.Total, "segment_size": c.Client.SegmentSize,
		"dir": c.Storage.Dir, "read_only": c.Storage.ReadOnly, "reserved_bytes": c.Storage.ReservedBytes,
		"max_bytes": c.Storage.MaxBytes, "no_sync": c.Storage.NoSync,
		"price_ceiling": c.Gateway.PriceCeiling, "lookup_ceiling": c.Gateway.LookupCeiling,
		"deny_areas": c.Gateway.DenyAreas, "allow_areas": c.Gateway.AllowAreas,
		"mutable": c.Client.Mutable, "web_listen": c.Web.Listen, "web_ceiling": c.Web.Ceiling, "node_id": c.Storage.NodeID,
		"node_dir": c.Tahoe.NodeDir, "servers_file": c.Tahoe.ServersFile, "grid_managers": c.Tahoe.GridManagers,
	}
	var pairs []string
	for key, v := range values {
		pairs = append(pairs, "{"+key+"}", tomlValue(v))
	}
	return strings.NewReplacer(pairs...).Replace(configText)
}

// tomlValue writes a value as TOML does.
func tomlValue(v any) string {
	switch v := v.(type) {
	case string:
		return tomlString(v)
	case []string:
		return tomlList(v)
	case []Role:
		return tomlList(v)
	}
	return fmt.Sprint(v)
}

func tomlList[S ~string](list []S) string {
	quoted := make([]string, len(list))
	for i, s := range list {
		quoted[i] = tomlString(string(s))
	}
	return "[" + strings.Join(quoted, ", ") + "]"
}

// tomlString quotes a text. Go's own quoting knows escapes that TOML does not.
func tomlString(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case r < ' ' || r == 0x7f:
			fmt.Fprintf(&b, "\\u%04X", r)
		default:
			b.WriteRune(r)
		}
	}
	b.WriteByte('"')
	return b.String()
}

const configText = `# A Trunkline node. "trunkline run" starts the roles named here; delete a line to get its default.

# What other people see beside this node's key.
name = {name}
# Any of client, server, gateway, contact, manager, clearinghouse.
roles = {roles}
# Where the node listens. Port 0 means any free port, which changes at every start.
listen = {listen}
# Dial loopback and private addresses that others told us of: true on one machine or one LAN, false on the Internet.
allow_private_addresses = {allow_private_addresses}
# Peers through which the directory of area codes is entered; any gateway, contact point or clearinghouse will do.
bootstrap = {bootstrap}

# The home grid. Empty: none, and only toll-free grids can be read.
[grid]
area = {area}
manager = {manager}

# Files: any "needed" shares of "total" give the file back; an upload must reach "happy" distinct servers.
[client]
needed = {needed}
happy = {happy}
total = {total}
# The largest segment, in bytes.
segment_size = {segment_size}
# How new directories and mutable files are kept: "sdmf", as Tahoe-LAFS does, or "mdmf", of which parts can be changed.
mutable = {mutable}

# The web API, which the tahoe command speaks, and pages for a browser; "trunkline run" serves them to this machine alone.
[web]
# Empty: none. Port 0 means any free port, which changes at every start.
listen = {web_listen}
# The most that one request may cost where a file of another grid is read; "0": only toll-free grids are.
ceiling = {web_ceiling}

# The server's disk: Tahoe-LAFS's share directory, leases included.
[storage]
dir = {dir}
# Serve what is there and touch nothing: for a directory that a Tahoe-LAFS node wrote.
read_only = {read_only}
# Keep so many bytes of the disk free; bound all shares together (0: no bound).
reserved_bytes = {reserved_bytes}
max_bytes = {max_bytes}
# The id of the Tahoe-LAFS node whose directory this was, so that its clients can go on changing mutable files.
node_id = {node_id}
# true leaves out fsync, for benchmarks only: a power cut then loses acknowledged shares.
no_sync = {no_sync}

# The gateway's policy for calls to other grids.
[gateway]
# The most a GiB may cost. Dearer grids are refused before the first byte.
price_ceiling = {price_ceiling}
# The most that one look-up may cost.
lookup_ceiling = {lookup_ceiling}
deny_areas = {deny_areas}
# When not empty, the only areas called.
allow_areas = {allow_areas}

# Servers that run Tahoe-LAFS: a client stores its files there, a contact point serves them to other grids.
[tahoe]
# A Tahoe-LAFS node's directory, for the servers that it knows; or a servers.yaml alone.
node_dir = {node_dir}
servers_file = {servers_file}
# With grid managers (pub-v0-…), only servers with a certificate of one of them get new shares.
grid_managers = {grid_managers}
`
