// Package sealed is the one way to sign a value and the one way to check it.
//
// A value is sealed in a libp2p signed envelope (go-libp2p core/record): the
// signature covers a domain that names the kind of object and its version, the
// codec and the payload, each with its length before it. The envelope's bytes
// are kept and passed on verbatim; what was signed is never encoded again.
//
// Open is strict. The envelope must be written in the one shape Seal writes it
// in: an Ed25519 key, the codec of the kind asked for, the payload and a
// 64-byte signature, in this order, with minimal lengths and nothing after
// them. So an object has one spelling, and its hash is a name for it. The key
// must be canonical and not of small order, because Go's Ed25519 accepts
// signatures that nobody made under the others.
//
// Open returns who signed. Whether that is who should have signed is for the
// caller to say: use OpenFrom where the signer is known beforehand.
package sealed
