// Package p2p is the seam between Trunkline and libp2p: other packages see
// peers, protocols and streams of bounded messages, and no libp2p plumbing.
//
// A [Host] is one node on the network, made from a [Config] with a key and a
// profile. Servers of a protocol register a handler with [Host.Handle];
// clients reach a [Peer] with [Host.Open]. Both sides then hold a [Stream],
// which carries protobuf messages behind an unsigned-varint length and, where
// a header says so, raw bytes behind a message.
//
// Every step on a stream has a deadline and every length a bound that is
// checked before anything is allocated. Failures that cross the wire are an
// [ErrorKind] and a bounded text. Keys are Ed25519 and checked by package
// caps at every entrance, connections included: a peer whose key is weak is
// never spoken to.
//
// The exact bytes, limits and deadlines are in PROTOCOL.md.
package p2p
