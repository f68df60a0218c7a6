package p2p

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"fmt"

	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/peer"

	"trunkline/caps"
)

// GenerateKey makes a new Ed25519 key from the system's randomness.
func GenerateKey() (crypto.PrivKey, error) {
	key, _, err := crypto.GenerateEd25519Key(rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("generating a key: %w", err)
	}
	return key, nil
}

// MarshalKey writes key in libp2p's protobuf form, which UnmarshalKey and
// other libp2p programs read. The result is secret.
func MarshalKey(key crypto.PrivKey) ([]byte, error) {
	if _, err := KeyOf(key); err != nil {
		return nil, err
	}
	return crypto.MarshalPrivateKey(key)
}

// UnmarshalKey reads what MarshalKey wrote. Only Ed25519 keys are accepted.
func UnmarshalKey(b []byte) (crypto.PrivKey, error) {
	key, err := crypto.UnmarshalPrivateKey(b)
	if err != nil {
		// The library's text could quote the input, which is secret.
		return nil, fmt.Errorf("%w: not a libp2p private key", ErrConfig)
	}
	if key.Type() != crypto.Ed25519 {
		return nil, fmt.Errorf("%w: the private key is not Ed25519", ErrConfig)
	}
	raw, err := key.Raw()
	if err != nil {
		return nil, fmt.Errorf("%w: not a libp2p private key", ErrConfig)
	}
	// Both halves are stored. Signing with halves that do not belong together
	// would give the private one away, and be verified by nobody.
	if !bytes.Equal(raw, ed25519.NewKeyFromSeed(raw[:ed25519.SeedSize])) {
		return nil, fmt.Errorf("%w: the private key is damaged: its halves do not belong together", ErrConfig)
	}
	if _, err := KeyOf(key); err != nil {
		return nil, err
	}
	return key, nil
}

// KeyOf returns the public half of key, refusing what is not Ed25519.
func KeyOf(key crypto.PrivKey) (caps.PublicKey, error) {
	if key == nil {
		return caps.PublicKey{}, fmt.Errorf("%w: no private key", ErrConfig)
	}
	return publicKeyOf(key.GetPublic())
}

func publicKeyOf(pub crypto.PubKey) (caps.PublicKey, error) {
	if pub == nil || pub.Type() != crypto.Ed25519 {
		return caps.PublicKey{}, fmt.Errorf("%w: key is not Ed25519", ErrPeer)
	}
	raw, err := pub.Raw()
	if err != nil {
		return caps.PublicKey{}, fmt.Errorf("%w: %w", ErrPeer, err)
	}
	key, err := caps.ParsePublicKey(raw)
	if err != nil {
		return caps.PublicKey{}, fmt.Errorf("%w: %w", ErrPeer, err)
	}
	return key, nil
}

// keyOfID returns the key inside a libp2p peer ID. Only the identity
// multihash of a sound Ed25519 key passes.
func keyOfID(id peer.ID) (caps.PublicKey, error) {
	pub, err := id.ExtractPublicKey()
	if err != nil {
		return caps.PublicKey{}, fmt.Errorf("%w: %w", ErrPeer, err)
	}
	key, err := publicKeyOf(pub)
	if err != nil {
		return caps.PublicKey{}, err
	}
	if back, err := idOf(key); err != nil || back != id {
		return caps.PublicKey{}, fmt.Errorf("%w: peer ID is not the canonical one of its key", ErrPeer)
	}
	return key, nil
}

// idOf returns the libp2p peer ID of key.
func idOf(key caps.PublicKey) (peer.ID, error) {
	pub, err := crypto.UnmarshalEd25519PublicKey(key.Bytes())
	if err != nil {
		return "", fmt.Errorf("%w: %w", ErrPeer, err)
	}
	id, err := peer.IDFromPublicKey(pub)
	if err != nil {
		return "", fmt.Errorf("%w: %w", ErrPeer, err)
	}
	return id, nil
}
