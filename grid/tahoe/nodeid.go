package tahoe

import (
	"crypto/sha1" //nolint:gosec // a TubID is defined with SHA-1; nothing relies on its strength here.
	"encoding/pem"
	"fmt"
)

// NodeID is the 20-byte id of the node with that private/node.pem: the SHA-1 of its certificate, which as base32 is its
// TubID. Whoever takes the node's shares over keeps it, as write enablers and lease secrets are made of it.
//
// Errors: ErrNode.
//
// Source: tahoe-formats 5.5, 11.1.
func NodeID(nodePEM []byte) ([20]byte, error) {
	for rest := nodePEM; ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			return [20]byte{}, fmt.Errorf("%w: there is no certificate in private/node.pem", ErrNode)
		}
		if block.Type == "CERTIFICATE" {
			return sha1.Sum(block.Bytes), nil //nolint:gosec // see the import
		}
	}
}
