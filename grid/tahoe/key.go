package tahoe

import (
	"crypto/ed25519"
	"crypto/sha256"
	"fmt"
	"strings"

	"trunkline/caps"
)

// The prefixes of Tahoe's Ed25519 keys and server ids; 52 characters of base32 follow.
const (
	publicPrefix = "pub-v0-"
	serverPrefix = "v0-"
)

// ParsePublicKey reads a Tahoe public key, pub-v0-…, such as a grid manager's.
//
// Errors: ErrNode.
func ParsePublicKey(text string) (caps.PublicKey, error) {
	coded, ok := strings.CutPrefix(text, publicPrefix)
	if !ok {
		return caps.PublicKey{}, fmt.Errorf("%w: a public key begins with %s", ErrNode, publicPrefix)
	}
	raw, err := caps.DecodeBase32(coded)
	if err != nil {
		return caps.PublicKey{}, fmt.Errorf("%w: public key: %w", ErrNode, err)
	}
	key, err := caps.ParsePublicKey(raw)
	if err != nil {
		return caps.PublicKey{}, fmt.Errorf("%w: public key: %w", ErrNode, err)
	}
	return key, nil
}

// FormatPublicKey writes what ParsePublicKey reads.
func FormatPublicKey(k caps.PublicKey) string { return publicPrefix + caps.EncodeBase32(k[:]) }

// serverKey is the account of the server with an id: the Ed25519 key in it. People may call a server in servers.yaml
// what they like; such a server gets a key that follows from its id. It is a name and proves nothing, as no key does
// in Tahoe's protocol, where the NURL's does.
func serverKey(id string) (caps.PublicKey, error) {
	if coded, ok := strings.CutPrefix(id, serverPrefix); ok && len(coded) == 52 {
		raw, err := caps.DecodeBase32(strings.ToLower(coded))
		if err != nil {
			return caps.PublicKey{}, err
		}
		return caps.ParsePublicKey(raw)
	}
	seed := sha256.Sum256([]byte("trunkline/tahoe-server-id/v1\n" + id))
	public, ok := ed25519.NewKeyFromSeed(seed[:]).Public().(ed25519.PublicKey)
	if !ok {
		return caps.PublicKey{}, fmt.Errorf("%w: no key follows from its id", ErrAnnouncement)
	}
	return caps.ParsePublicKey(public)
}
