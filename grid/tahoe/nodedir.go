package tahoe

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"trunkline/p2p/durable"
)

// ours is the first line of a tahoe.cfg that WriteNodeDir made.
const ours = "# Written by trunkline tahoe-dir: the stock tahoe command uses this directory to talk to a Trunkline node."

// NodeDir is what the stock tahoe command needs to know of a node.
type NodeDir struct {
	// URL is the node's web API, such as http://127.0.0.1:3456/.
	URL string
	// Token opens the parts of the web API that only the node's owner may use (tahoe status).
	Token string
	// Nickname is for people.
	Nickname string
	// Needed, Happy and Total are how the node encodes; the tahoe command only shows them. All zero: left out.
	Needed, Happy, Total int
	// Aliases are added to those in the directory. One that is there already stays as it is.
	Aliases []Alias
}

// WriteNodeDir makes dir a directory that works as `tahoe -d dir`, or brings one that it made before up to date.
// Files with secrets are the owner's alone. A real Tahoe node's directory is left alone.
//
// Errors: ErrExists; ErrNode (the URL is not one of this machine's); the disk's.
func WriteNodeDir(dir string, n NodeDir) error {
	u, err := url.Parse(n.URL)
	if err != nil || u.Scheme != "http" || u.Hostname() != "localhost" && !net.ParseIP(u.Hostname()).IsLoopback() {
		return fmt.Errorf("%w: the address of the web API is not http://127.0.0.1:port/", ErrNode)
	}
	if strings.ContainsAny(n.Nickname+n.Token, "\r\n") {
		return fmt.Errorf("%w: a name or token of several lines", ErrNode)
	}
	cfg := filepath.Join(dir, "tahoe.cfg")
	old, err := durable.ReadFile(cfg, maxNodeFile)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return fmt.Errorf("looking for a Tahoe node: %w", err)
	case !strings.HasPrefix(string(old), ours):
		return ErrExists
	}
	private := filepath.Join(dir, "private")
	if err := os.MkdirAll(private, 0o700); err != nil {
		return fmt.Errorf("making the node directory: %w", err)
	}
	aliases, err := n.aliases(filepath.Join(private, "aliases"))
	if err != nil {
		return err
	}
	for _, f := range []struct{ path, text string }{
		{cfg, n.config()},
		{filepath.Join(private, "aliases"), aliases},
		{filepath.Join(private, "api_auth_token"), n.Token},
		{filepath.Join(dir, "node.url"), strings.TrimSuffix(n.URL, "/") + "/\n"},
	} {
		if err := durable.WriteFile(f.path, []byte(f.text)); err != nil {
			return fmt.Errorf("writing the node directory: %w", err)
		}
	}
	return nil
}

func (n NodeDir) config() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n# It is not a Tahoe node: `tahoe run` has nothing to start here.\n\n[node]\n", ours)
	if n.Nickname != "" {
		fmt.Fprintf(&b, "nickname = %s\n", strings.ReplaceAll(n.Nickname, "%", "%%"))
	}
	fmt.Fprintf(&b, "\n[client]\n")
	if n.Total > 0 {
		fmt.Fprintf(&b, "shares.needed = %d\nshares.happy = %d\nshares.total = %d\n", n.Needed, n.Happy, n.Total)
	}
	return b.String()
}

// aliases is the file's text with the new ones added.
func (n NodeDir) aliases(path string) (string, error) {
	old, err := durable.ReadFile(path, maxNodeFile)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("reading the aliases: %w", err)
	}
	text := string(old)
	if text != "" && !strings.HasSuffix(text, "\n") {
		text += "\n"
	}
	taken := make(map[string]bool)
	for _, a := range ParseAliases(text) {
		taken[a.Name] = true
	}
	for _, a := range n.Aliases {
		if a.Name == "" || strings.ContainsAny(a.Name+a.Text, "\r\n") || strings.ContainsAny(a.Name, ":/#") {
			return "", fmt.Errorf("%w: the alias %q cannot be one", ErrNode, a.Name)
		}
		if !taken[a.Name] {
			text += a.Name + ": " + a.Text + "\n"
		}
	}
	return text, nil
}
