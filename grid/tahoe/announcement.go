package tahoe

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"regexp"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"

	"trunkline/caps"
	"trunkline/grid/gbs"
)

const (
	// maxServersFile bounds servers.yaml and the caches of introducers, in bytes.
	maxServersFile = 16 << 20
	// maxServers bounds the servers named in one file.
	maxServers = 4096
	// maxPerServer bounds the NURLs of one server, and its certificates.
	maxPerServer = 64
	// maxText bounds a nickname and a server's id, in bytes.
	maxText = 1024
)

// Announcement is what is said of one storage server. What stands in it comes from others; only the NURLs' keys
// are ever proven.
//
// Source: tahoe-formats 8.1, 11.1.
type Announcement struct {
	// ID is the server's id, usually v0-… with its Ed25519 key.
	ID string
	// Key is that key; for other ids, one that follows from the id and proves nothing.
	Key caps.PublicKey
	// Nickname is what its operator calls it, for people: any text.
	Nickname string
	// PeerID20 is the TubID of its FURL.
	PeerID20 [20]byte
	// PermutationSeed places it in the permuted order.
	PermutationSeed []byte
	// NURLs are where it speaks the HTTPS protocol, never none.
	NURLs []gbs.NURL
	// Certificates are those that could be read.
	Certificates []Certificate
}

// Skipped is a server that cannot be used, and why.
type Skipped struct {
	ID  string
	Err error
}

// announced is one announcement as its JSON or YAML has it.
type announced struct {
	Service      string              `yaml:"service-name"`
	Nickname     string              `yaml:"nickname"`
	Seed         string              `yaml:"permutation-seed-base32"`
	FURL         string              `yaml:"anonymous-storage-FURL"`
	NURLs        yaml.Node           `yaml:"anonymous-storage-NURLs"`
	Certificates []map[string]string `yaml:"grid-manager-certificates"`
}

// ParseServers reads a servers.yaml: storage: {<server id>: {ann: {…}}}. The servers are in the order of their ids.
//
// Errors: ErrAnnouncement if it is not such a file; servers that cannot be used are in skipped.
func ParseServers(b []byte) (servers []Announcement, skipped []Skipped, err error) {
	var file struct {
		Storage map[string]struct {
			Ann yaml.Node `yaml:"ann"`
		} `yaml:"storage"`
	}
	if err := decodeYAML(b, &file); err != nil {
		return nil, nil, err
	}
	if len(file.Storage) > maxServers {
		return nil, nil, fmt.Errorf("%w: it names %d servers", ErrAnnouncement, len(file.Storage))
	}
	for _, id := range slices.Sorted(maps.Keys(file.Storage)) {
		node := file.Storage[id].Ann
		servers, skipped = take(servers, skipped, id, &node)
	}
	return servers, skipped, nil
}

// ParseCache reads what a node keeps of its introducer's announcements, private/introducer_<name>_cache.yaml: a list
// of {key_s: <server id>, ann: {…}}. Later announcements of one server replace earlier ones.
//
// Errors: as ParseServers.
func ParseCache(b []byte) (servers []Announcement, skipped []Skipped, err error) {
	var file []struct {
		Key string    `yaml:"key_s"`
		Ann yaml.Node `yaml:"ann"`
	}
	if err := decodeYAML(b, &file); err != nil {
		return nil, nil, err
	}
	if len(file) > maxServers {
		return nil, nil, fmt.Errorf("%w: it names %d servers", ErrAnnouncement, len(file))
	}
	for _, f := range file {
		servers, skipped = take(servers, skipped, f.Key, &f.Ann)
	}
	return servers, skipped, nil
}

func decodeYAML(b []byte, to any) error {
	d := yaml.NewDecoder(bytes.NewReader(b))
	if err := d.Decode(to); err != nil && !errors.Is(err, io.EOF) {
		// The error of the library quotes the file, which has secrets in it.
		return fmt.Errorf("%w: the file is not of the expected form", ErrAnnouncement)
	}
	return nil
}

// take adds one announcement to those that can be used or to the others.
func take(servers []Announcement, skipped []Skipped, id string, node *yaml.Node) ([]Announcement, []Skipped) {
	var raw announced
	if err := node.Decode(&raw); err != nil {
		return servers, append(skipped, Skipped{id, fmt.Errorf("%w: a field is of another kind", ErrAnnouncement)})
	}
	if raw.Service != "" && raw.Service != "storage" {
		return servers, skipped
	}
	a, err := newAnnouncement(id, raw)
	if err != nil {
		return servers, append(skipped, Skipped{id, err})
	}
	servers = slices.DeleteFunc(servers, func(o Announcement) bool { return o.Key == a.Key })
	return append(servers, a), skipped
}

// furl finds the TubID in the text of a FURL, as Tahoe finds it.
var furl = regexp.MustCompile(`^pb://(\w+)@`)

func newAnnouncement(id string, raw announced) (Announcement, error) {
	if id == "" || len(id) > maxText || len(raw.Nickname) > maxText {
		return Announcement{}, fmt.Errorf("%w: its id or nickname is empty or too long", ErrAnnouncement)
	}
	a := Announcement{ID: id, Nickname: raw.Nickname}
	var err error
	if a.Key, err = serverKey(id); err != nil {
		return Announcement{}, fmt.Errorf("%w: its id: %w", ErrAnnouncement, err)
	}
	tub := furl.FindStringSubmatch(raw.FURL)
	if tub == nil {
		return Announcement{}, fmt.Errorf("%w: it has no FURL", ErrAnnouncement)
	}
	peer, err := caps.DecodeBase32(strings.ToLower(tub[1]))
	if err != nil || len(peer) != len(a.PeerID20) {
		return Announcement{}, fmt.Errorf("%w: the TubID of its FURL is not 20 bytes", ErrAnnouncement)
	}
	copy(a.PeerID20[:], peer)
	if a.PermutationSeed, err = permutationSeed(id, raw.Seed); err != nil {
		return Announcement{}, err
	}
	if a.NURLs, err = nurls(&raw.NURLs); err != nil {
		return Announcement{}, err
	}
	for _, c := range raw.Certificates[:min(len(raw.Certificates), maxPerServer)] {
		text, err := json.Marshal(c)
		if err != nil {
			continue
		}
		if parsed, err := ParseCertificate(text); err == nil {
			a.Certificates = append(a.Certificates, parsed)
		}
	}
	return a, nil
}

// permutationSeed is what is announced; without it the key in the id, or else the id's hash.
func permutationSeed(id, announced string) ([]byte, error) {
	if announced != "" {
		seed, err := caps.DecodeBase32(strings.ToLower(announced))
		if err != nil || len(seed) == 0 || len(seed) > maxText {
			return nil, fmt.Errorf("%w: its permutation seed is not base32", ErrAnnouncement)
		}
		return seed, nil
	}
	if coded, ok := strings.CutPrefix(id, serverPrefix); ok && len(coded) == 52 {
		return caps.DecodeBase32(strings.ToLower(coded))
	}
	hash := sha256.Sum256([]byte(id))
	return hash[:], nil
}

// nurls reads a list, or a set, which YAML writes as a mapping to nulls. Those that are none are left out.
func nurls(node *yaml.Node) ([]gbs.NURL, error) {
	var texts []string
	switch node.Kind {
	case 0:
		return nil, ErrFoolscap
	case yaml.SequenceNode:
		for _, n := range node.Content {
			texts = append(texts, n.Value)
		}
	case yaml.MappingNode:
		for i := 0; i < len(node.Content); i += 2 {
			texts = append(texts, node.Content[i].Value)
		}
	default:
		return nil, fmt.Errorf("%w: its NURLs are no list", ErrAnnouncement)
	}
	if len(texts) == 0 {
		return nil, ErrFoolscap
	}
	slices.Sort(texts)
	var found []gbs.NURL
	for _, text := range texts[:min(len(texts), maxPerServer)] {
		if n, err := gbs.ParseNURL(text); err == nil {
			found = append(found, n)
		}
	}
	if len(found) == 0 {
		return nil, fmt.Errorf("%w: none of its NURLs can be read", ErrAnnouncement)
	}
	return found, nil
}
