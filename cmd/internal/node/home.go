// Package node is one Trunkline node: its directory, its configuration, the roles it runs and the socket it is
// asked through.
package node

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/adrg/xdg"
	"github.com/libp2p/go-libp2p/core/crypto"

	"trunkline/caps"
	"trunkline/p2p/keyfile"
)

// Home is a node directory.
//
//	trunkline.toml   the configuration
//	node.key         the daemon's key (the delegate's, for a manager)
//	client.key       the key that put and get use
//	area/            area records seen, with their highest sequence numbers
//	roster/          the grid's newest roster, this node's credential
//	storage/         shares, as Tahoe-LAFS keeps them
//	private/         a client's aliases, what it backed up, the web API's token; as in a Tahoe-LAFS node
//	seen             the newest version seen of each mutable file
//	node.url         where the web API was last served
//	agreed.json      for which areas a person agreed to pay on its pages
//	vouchers.log     what payers signed, before the window was widened
//	manager/, clearinghouse/   state and books of those roles
type Home struct{ Dir string }

var (
	// ErrNoHome: the directory holds no node.
	ErrNoHome = errors.New("there is no node here")
	// ErrHomeTaken: the directory holds one already.
	ErrHomeTaken = errors.New("there is a node here already")
	// ErrLocked: another process runs this node.
	ErrLocked = errors.New("another process runs this node")
)

// FindHome resolves the node directory: the flag, TRUNKLINE_HOME, the user's data directory.
func FindHome(flag string) (Home, error) {
	dir := flag
	if dir == "" {
		dir = os.Getenv("TRUNKLINE_HOME")
	}
	if dir == "" {
		dir = filepath.Join(xdg.DataHome, "trunkline")
	}
	abs, err := filepath.Abs(dir)
	return Home{Dir: abs}, err
}

func (h Home) path(elem ...string) string {
	return filepath.Join(append([]string{h.Dir}, elem...)...)
}

func (h Home) fingerprint() string {
	sum := sha256.Sum256([]byte(h.Dir))
	return hex.EncodeToString(sum[:8])
}

// ConfigPath is where the configuration lies.
func (h Home) ConfigPath() string { return h.path("trunkline.toml") }

// Exists tells whether a node was made here.
func (h Home) Exists() bool {
	_, err := os.Stat(h.ConfigPath())
	return err == nil
}

// Config reads the configuration; ErrNoHome when there is none.
func (h Home) Config() (Config, error) {
	c, err := ReadConfig(h.ConfigPath())
	if errors.Is(err, os.ErrNotExist) {
		return c, fmt.Errorf("%w: %s", ErrNoHome, h.Dir)
	}
	return c, err
}

// Create makes the directory and writes the configuration. ErrHomeTaken when a node is there.
func (h Home) Create(c Config) error {
	if h.Exists() {
		return fmt.Errorf("%w: %s", ErrHomeTaken, h.Dir)
	}
	if err := os.MkdirAll(h.Dir, 0o700); err != nil {
		return fmt.Errorf("making the node directory: %w", err)
	}
	return c.Write(h.ConfigPath())
}

// Key reads one of the node's own keys, making it at the first use. Errors: keyfile.ErrKey, for a key that others
// can read or that is damaged.
func (h Home) Key(name string) (crypto.PrivKey, error) {
	path := h.path(name)
	key, err := keyfile.Read(path, caps.PublicKey{})
	if !errors.Is(err, fs.ErrNotExist) {
		return key, err
	}
	key, _, err = keyfile.Generate()
	if err != nil {
		return nil, err
	}
	return key, keyfile.Write(path, key)
}

// Lock takes the directory for this process until the returned function is called.
func (h Home) Lock() (unlock func(), err error) {
	f, err := os.OpenFile(h.path("lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("locking the node directory: %w", err)
	}
	if err := flock(f); err != nil {
		raw, _ := os.ReadFile(f.Name())
		f.Close()
		return nil, fmt.Errorf("%w: process %s", ErrLocked, strings.TrimSpace(string(raw)))
	}
	if err := f.Truncate(0); err == nil {
		_, _ = f.WriteString(strconv.Itoa(os.Getpid()) + "\n")
	}
	return func() { f.Close() }, nil
}
