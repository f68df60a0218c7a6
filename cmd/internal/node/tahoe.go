package node

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"time"

	"trunkline/caps"
	"trunkline/cmd/internal/alias"
	"trunkline/grid/client"
	"trunkline/grid/tahoe"
	"trunkline/grid/transfer"
	"trunkline/p2p/durable"
)

// open opens the servers that run Tahoe-LAFS; nil without any. Relative paths start at the node directory.
func (t TahoeConfig) open(h Home, log *slog.Logger) (*tahoe.Servers, error) {
	if !t.used() {
		return nil, nil
	}
	managers, err := t.gridManagers()
	if err != nil {
		return nil, err
	}
	absolute := func(p string) string {
		if p == "" || filepath.IsAbs(p) {
			return p
		}
		return h.path(p)
	}
	s, err := tahoe.Open(tahoe.Config{
		NodeDir: absolute(t.NodeDir), ServersFile: absolute(t.ServersFile), GridManagers: managers, Logger: log, Now: time.Now,
	})
	if err != nil {
		return nil, fmt.Errorf("opening the servers under [tahoe]: %w", err)
	}
	return s, nil
}

// joined are the servers of a grid, ours and those that run Tahoe-LAFS, either of which may be nil, and those among
// them that may be given new shares.
func joined(fleet *client.Fleet, others *tahoe.Servers) (all, uploads func() []transfer.Server) {
	switch {
	case others == nil:
		return fleet.Servers, fleet.Servers
	case fleet == nil:
		return others.Servers, others.Uploads
	}
	return func() []transfer.Server { return append(slices.Clone(fleet.Servers()), others.Servers()...) },
		func() []transfer.Server { return append(slices.Clone(fleet.Servers()), others.Uploads()...) }
}

// Aliases is the client's aliases file.
func (h Home) Aliases() alias.File { return alias.File{Path: h.path("private", "aliases")} }

// BackupDB is where the client's backups are remembered.
func (h Home) BackupDB() string { return h.path("private", "backupdb.sqlite") }

// FromTahoe is what a node directory took over from that of a Tahoe-LAFS client.
type FromTahoe struct {
	Home     string   `json:"home"`
	NodeDir  string   `json:"node_dir"`
	Servers  int      `json:"servers"`
	Aliases  int      `json:"aliases"`
	Backups  bool     `json:"backups"`
	Warnings []string `json:"warnings,omitempty"`
}

// AdoptClient makes a node directory that works with the grid of a Tahoe-LAFS client: with its servers, its encoding,
// its secrets, so that the same file gets the same cap and leases are renewed, its aliases, and what it backed up. The
// Tahoe node is left as it is.
//
// Errors: tahoe.ErrNode; ErrHomeTaken.
func AdoptClient(h Home, c Config, dir string, log *slog.Logger) (FromTahoe, error) {
	if h.Exists() {
		return FromTahoe{}, fmt.Errorf("%w: %s", ErrHomeTaken, h.Dir)
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return FromTahoe{}, err
	}
	n, err := tahoe.ReadNode(dir)
	if err != nil {
		return FromTahoe{}, err
	}
	out := FromTahoe{Home: h.Dir, NodeDir: dir}
	c.Roles = []Role{RoleClient}
	c.Tahoe.NodeDir = dir
	c.Client.Needed, c.Client.Happy, c.Client.Total = n.Needed, n.Happy, n.Total
	if n.MDMF {
		c.Client.Mutable = "mdmf"
	}
	if c.Name == "" && len(n.Nickname) <= maxName {
		c.Name = n.Nickname
	}
	if err := c.Validate(); err != nil {
		return FromTahoe{}, err
	}
	servers, err := c.Tahoe.open(h, log)
	if err != nil {
		return FromTahoe{}, err
	}
	found, skipped := servers.Status()
	out.Servers = len(found)
	for _, s := range skipped {
		out.Warnings = append(out.Warnings, fmt.Sprintf("server %.12s… is not used: %v", s.ID, s.Err))
	}
	if err := servers.Close(); err != nil {
		return FromTahoe{}, err
	}
	if err := os.MkdirAll(h.path("private"), 0o700); err != nil {
		return FromTahoe{}, fmt.Errorf("making the node directory: %w", err)
	}
	if err := h.takeSecrets(n); err != nil {
		return FromTahoe{}, err
	}
	if out.Aliases, err = h.takeAliases(n); err != nil {
		return FromTahoe{}, err
	}
	if out.Backups, err = copyFile(filepath.Join(dir, "private", "backupdb.sqlite"), h.BackupDB()); err != nil {
		return FromTahoe{}, fmt.Errorf("taking over the backup database: %w", err)
	}
	return out, h.Create(c)
}

// takeSecrets takes over what leases and convergent keys are made from.
func (h Home) takeSecrets(n *tahoe.Node) error {
	if n.Lease != nil {
		if err := durable.WriteFile(h.path("lease.secret"), []byte(caps.EncodeBase32(n.Lease[:])+"\n")); err != nil {
			return err
		}
	}
	if len(n.Convergence) > 0 {
		return durable.WriteFile(h.path("convergence.secret"), []byte(caps.EncodeBase32(n.Convergence)+"\n"))
	}
	return nil
}

func (h Home) takeAliases(n *tahoe.Node) (int, error) {
	taken := 0
	for _, a := range n.Aliases {
		if a.Cap.IsZero() || alias.CheckName(a.Name) != nil {
			continue
		}
		err := h.Aliases().Add(a.Name, a.Cap)
		if err != nil && !errors.Is(err, alias.ErrTaken) {
			return taken, err
		}
		taken++
	}
	return taken, nil
}

// maxBackupDB bounds a database that is taken over.
const maxBackupDB = 4 << 30

// copyFile copies a file, private to its owner; false if there is none.
func copyFile(from, to string) (bool, error) {
	raw, err := durable.ReadFile(from, maxBackupDB)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	return true, durable.WriteFile(to, raw)
}

// AdoptServer makes a server's configuration out of a Tahoe-LAFS storage node's directory: its shares, its limits, and
// the id that its clients know it by.
//
// Errors: tahoe.ErrNode.
func AdoptServer(c *StorageConfig, dir string) error {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return err
	}
	n, err := tahoe.ReadNode(dir)
	if err != nil {
		return err
	}
	if n.Storage == nil {
		return fmt.Errorf("%w: %s is of a node that keeps no shares", tahoe.ErrNode, dir)
	}
	if n.NodeID == ([20]byte{}) {
		return fmt.Errorf("%w: %s has no private/node.pem, which its clients know it by", tahoe.ErrNode, dir)
	}
	c.Dir, c.NodeID = n.Storage.Dir, caps.EncodeBase32(n.NodeID[:])
	c.ReadOnly = c.ReadOnly || n.Storage.ReadOnly
	c.ReservedBytes = max(c.ReservedBytes, n.Storage.Reserved)
	return nil
}

// TahoeDir is what `trunkline tahoe-dir` reports.
type TahoeDir struct {
	Dir     string `json:"dir"`
	URL     string `json:"url"`
	Aliases int    `json:"aliases"`
	// Far are aliases of other grids, which the tahoe command takes as caps alone.
	Far []string `json:"far,omitempty"`
}

// ErrNoWeb: the node serves no web API.
var ErrNoWeb = errors.New("this node serves no web API: listen under [web] in its configuration is empty, or it is no client")

// WriteTahoeDir writes the node directory that the stock tahoe command wants, with this node's URL and aliases.
//
// Errors: ErrNoWeb; tahoe.ErrExists.
func WriteTahoeDir(_ context.Context, h Home, dir string) (TahoeDir, error) {
	cfg, err := h.Config()
	if err != nil {
		return TahoeDir{}, err
	}
	if !cfg.serves() {
		return TahoeDir{}, fmt.Errorf("%w (%s)", ErrNoWeb, h.ConfigPath())
	}
	home, err := cfg.HomeArea()
	if err != nil {
		return TahoeDir{}, err
	}
	token, err := h.webToken()
	if err != nil {
		return TahoeDir{}, err
	}
	out := TahoeDir{URL: "http://" + cfg.Web.Listen + "/"}
	if out.Dir, err = filepath.Abs(dir); err != nil {
		return TahoeDir{}, err
	}
	n := tahoe.NodeDir{
		URL: out.URL, Token: token, Nickname: cfg.Name,
		Needed: cfg.Client.Needed, Happy: cfg.Client.Happy, Total: cfg.Client.Total,
	}
	list, err := h.Aliases().List()
	if err != nil {
		return TahoeDir{}, err
	}
	for _, a := range list {
		// The tahoe command refuses aliases with an area; those of the home grid need none.
		areas := a.Cap.Areas()
		if len(areas) > 0 && !slices.Contains(areas, home) {
			out.Far = append(out.Far, a.Name)
			continue
		}
		local := a.Cap.Local()
		n.Aliases = append(n.Aliases, tahoe.Alias{Name: a.Name, Cap: local, Text: local.Text()})
		out.Aliases++
	}
	return out, tahoe.WriteNodeDir(out.Dir, n)
}

// webToken is what the tahoe command shows to be the node's owner.
func (h Home) webToken() (string, error) {
	path := h.path("private", "api_auth_token")
	raw, err := durable.ReadSecret(path, 256)
	if err == nil {
		return string(bytes.TrimSpace(raw)), nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("reading the token of the web API: %w", err)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return "", err
	}
	token := rand.Text()
	return token, durable.CreateFile(path, []byte(token+"\n"))
}
