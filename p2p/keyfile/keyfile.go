// Package keyfile keeps one private key in a file that only its owner can read.
package keyfile

import (
	"errors"
	"fmt"
	"path/filepath"

	"github.com/libp2p/go-libp2p/core/crypto"

	"trunkline/caps"
	"trunkline/p2p"
	"trunkline/p2p/durable"
)

// ErrKey means that a file is there but is not the key that ought to be in it, or
// that others can read it.
var ErrKey = errors.New("key file cannot be used")

const maxBytes = 4096

// Generate makes a key without writing it.
func Generate() (crypto.PrivKey, caps.PublicKey, error) {
	key, err := p2p.GenerateKey()
	if err != nil {
		return nil, caps.PublicKey{}, err
	}
	id, err := p2p.KeyOf(key)
	if err != nil {
		return nil, caps.PublicKey{}, err
	}
	return key, id, nil
}

// Write puts a key into a new file, mode 0600, and on disk before it returns.
// Errors: fs.ErrExist.
func Write(path string, key crypto.PrivKey) error {
	b, err := p2p.MarshalKey(key)
	if err != nil {
		return fmt.Errorf("writing key: %w", err)
	}
	if err := durable.CreateFile(path, b); err != nil {
		return fmt.Errorf("writing key: %w", err)
	}
	return nil
}

// Read reads a key and checks that it is the one that belongs there; a zero want
// takes any.
//
// Errors: fs.ErrNotExist; ErrKey.
func Read(path string, want caps.PublicKey) (crypto.PrivKey, error) {
	b, err := durable.ReadSecret(path, maxBytes)
	switch {
	case errors.Is(err, durable.ErrPermissions):
		return nil, fmt.Errorf("%w: %w", ErrKey, err)
	case err != nil:
		return nil, err
	}
	key, err := p2p.UnmarshalKey(b)
	if err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrKey, filepath.Base(path), err)
	}
	id, err := p2p.KeyOf(key)
	if err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrKey, filepath.Base(path), err)
	}
	if !want.IsZero() && id != want {
		return nil, fmt.Errorf("%w: %s holds %s, not %s", ErrKey, filepath.Base(path), id, want)
	}
	return key, nil
}
