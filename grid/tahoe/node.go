package tahoe

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"math"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"trunkline/caps"
	"trunkline/p2p/durable"
)

// Tahoe's defaults where its configuration says nothing.
const (
	defaultNeeded = 3
	defaultHappy  = 7
	defaultTotal  = 10
)

// maxNodeFile bounds tahoe.cfg, the secrets and the aliases, in bytes.
const maxNodeFile = 1 << 20

// Node is what a Tahoe node's directory says of the node. It has secrets in it: printing one shows the directory alone.
type Node struct {
	// Dir is the directory.
	Dir string
	// Nickname is what the node calls itself.
	Nickname string
	// Needed, Happy and Total are how it encodes files: 3, 7, 10 unless configured.
	Needed, Happy, Total int
	// MDMF: new mutable files are MDMF, not SDMF.
	MDMF bool
	// GridManagers are the keys whose certificates let a server have shares; none: every server may.
	GridManagers []caps.PublicKey
	// WebURL is where its web API listens, of node.url; empty if it was never started.
	WebURL string
	// NodeID is the node's 20-byte id, of private/node.pem; zero if that is missing.
	NodeID [20]byte
	// Storage is its storage server; nil if it has none.
	Storage *NodeStorage
	// Lease is the secret that its lease secrets follow from, nil without private/secret. Taking it over lets us renew
	// its leases.
	Lease *caps.Secret
	// Convergence is its convergence secret, nil without private/convergence. Taking it over gives the same files the
	// same caps.
	Convergence []byte
	// Aliases are its names for caps, in the order of their names.
	Aliases []Alias
}

// NodeStorage is the storage server of a node.
type NodeStorage struct {
	// Dir is where the shares are, absolute.
	Dir string
	// ReadOnly: it takes no new shares.
	ReadOnly bool
	// Reserved are the bytes it leaves free.
	Reserved uint64
	// Expire: it removes shares whose leases ended.
	Expire bool
}

// Alias is a name for a cap. A cap that this version cannot read is zero; Text has it all the same.
type Alias struct {
	Name string
	Cap  caps.Cap
	Text string
}

// String is the directory.
func (n *Node) String() string { return "Tahoe node at " + n.Dir }

// Format prints what String gives, whatever the verb.
func (n *Node) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(n.String())) }

// LogValue is what String gives.
func (n *Node) LogValue() slog.Value { return slog.StringValue(n.String()) }

// Format prints the name alone.
func (a Alias) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(a.Name)) }

// LogValue is the name alone.
func (a Alias) LogValue() slog.Value { return slog.StringValue(a.Name) }

// ReadNode reads a node's directory. Nothing in it is changed; the node may be running.
//
// Errors: ErrNode, which also is fs.ErrNotExist without a tahoe.cfg.
func ReadNode(dir string) (*Node, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNode, err)
	}
	text, err := durable.ReadFile(filepath.Join(dir, "tahoe.cfg"), maxNodeFile)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNode, err)
	}
	cfg, err := parseINI(string(text))
	if err != nil {
		return nil, fmt.Errorf("tahoe.cfg: %w", err)
	}
	n := &Node{Dir: dir, Nickname: cfg["node"]["nickname"]}
	for _, read := range []func(ini) error{n.readEncoding, n.readManagers, n.readStorage} {
		if err := read(cfg); err != nil {
			return nil, fmt.Errorf("tahoe.cfg: %w", err)
		}
	}
	return n, errors.Join(n.readSecrets(), n.readAliases(), n.readID())
}

func (n *Node) readEncoding(cfg ini) error {
	client := cfg["client"]
	for _, f := range []struct {
		to      *int
		key     string
		without int
	}{
		{&n.Needed, "shares.needed", defaultNeeded},
		{&n.Happy, "shares.happy", defaultHappy},
		{&n.Total, "shares.total", defaultTotal},
	} {
		*f.to = f.without
		if text, ok := client[f.key]; ok {
			v, err := strconv.Atoi(text)
			if err != nil || v < 1 || v > 256 {
				return fmt.Errorf("%w: %s is not a number from 1 to 256", ErrNode, f.key)
			}
			*f.to = v
		}
	}
	n.MDMF = strings.EqualFold(client["mutable.format"], "mdmf")
	return nil
}

func (n *Node) readManagers(cfg ini) error {
	managers := cfg["grid_managers"]
	for _, name := range slices.Sorted(maps.Keys(managers)) {
		key, err := ParsePublicKey(managers[name])
		if err != nil {
			return fmt.Errorf("grid manager %q: %w", name, err)
		}
		n.GridManagers = append(n.GridManagers, key)
	}
	return nil
}

func (n *Node) readStorage(cfg ini) error {
	s := cfg["storage"]
	on, err := boolean(s["enabled"])
	if err != nil || !on {
		return err
	}
	st := &NodeStorage{Dir: s["storage_dir"]}
	if st.Dir == "" {
		st.Dir = "storage"
	}
	if !filepath.IsAbs(st.Dir) {
		st.Dir = filepath.Join(n.Dir, st.Dir)
	}
	if st.ReadOnly, err = boolean(s["readonly"]); err != nil {
		return err
	}
	if st.Expire, err = boolean(s["expire.enabled"]); err != nil {
		return err
	}
	if st.Reserved, err = space(s["reserved_space"]); err != nil {
		return err
	}
	n.Storage = st
	return nil
}

// boolean reads what Python's ConfigParser takes for one; an empty text is false.
func boolean(text string) (bool, error) {
	switch strings.ToLower(text) {
	case "1", "yes", "true", "on":
		return true, nil
	case "", "0", "no", "false", "off":
		return false, nil
	}
	return false, fmt.Errorf("%w: %q is neither true nor false", ErrNode, text)
}

// abbreviated is a number of bytes as Tahoe reads it: 5G, 5 GB, 100kib.
var abbreviated = regexp.MustCompile(`(?i)^(\d+)\s*([kmgtpe]?)(i?)b?$`)

// space reads a number of bytes; none is 0.
func space(text string) (uint64, error) {
	if text == "" {
		return 0, nil
	}
	m := abbreviated.FindStringSubmatch(text)
	if m == nil || m[2] == "" && m[3] != "" {
		return 0, fmt.Errorf("%w: %q is no number of bytes", ErrNode, text)
	}
	base := uint64(1000)
	if m[3] != "" {
		base = 1024
	}
	unit := uint64(1)
	for range strings.Index(" KMGTPE", strings.ToUpper(m[2])) {
		unit *= base
	}
	if m[2] == "" {
		unit = 1
	}
	v, err := strconv.ParseUint(m[1], 10, 64)
	if err != nil || v > math.MaxInt64/unit {
		return 0, fmt.Errorf("%w: %q is no number of bytes", ErrNode, text)
	}
	return v * unit, nil
}

func (n *Node) private(name string) ([]byte, error) {
	b, err := durable.ReadFile(filepath.Join(n.Dir, "private", name), maxNodeFile)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNode, err)
	}
	return b, nil
}

// secret reads a file of one line of base32; nil without one.
func (n *Node) secret(name string) ([]byte, error) {
	b, err := n.private(name)
	if err != nil || b == nil {
		return nil, err
	}
	raw, err := caps.DecodeBase32(strings.TrimSpace(string(b)))
	if err != nil {
		return nil, fmt.Errorf("%w: private/%s is not base32", ErrNode, name)
	}
	return raw, nil
}

func (n *Node) readSecrets() error {
	lease, err := n.secret("secret")
	if err != nil {
		return err
	}
	if lease != nil {
		if len(lease) != len(caps.Secret{}) {
			return fmt.Errorf("%w: private/secret is not 32 bytes", ErrNode)
		}
		s := caps.Secret(lease)
		n.Lease = &s
	}
	if n.Convergence, err = n.secret("convergence"); err != nil {
		return err
	}
	if n.Convergence != nil && len(n.Convergence) == 0 {
		return fmt.Errorf("%w: private/convergence is empty", ErrNode)
	}
	url, err := durable.ReadFile(filepath.Join(n.Dir, "node.url"), maxNodeFile)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%w: %w", ErrNode, err)
	}
	n.WebURL = strings.TrimSpace(string(url))
	return nil
}

func (n *Node) readAliases() error {
	b, err := n.private("aliases")
	if err != nil {
		return err
	}
	n.Aliases = ParseAliases(string(b))
	return nil
}

func (n *Node) readID() error {
	b, err := n.private("node.pem")
	if err != nil || b == nil {
		return err
	}
	n.NodeID, err = NodeID(b)
	return err
}

// ParseAliases reads a private/aliases file: lines of "name: cap", comments with #. Of a name given twice the later
// stands. The result is in the order of the names.
func ParseAliases(text string) []Alias {
	found := make(map[string]string)
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if name, value, ok := strings.Cut(line, ":"); ok && line[0] != '#' {
			found[name] = strings.TrimSpace(value)
		}
	}
	aliases := make([]Alias, 0, len(found))
	for _, name := range slices.Sorted(maps.Keys(found)) {
		a := Alias{Name: name, Text: found[name]}
		if c, err := caps.Parse(a.Text); err == nil {
			a.Cap = c
		}
		aliases = append(aliases, a)
	}
	return aliases
}
