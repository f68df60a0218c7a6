// Package caps is the ground floor: capability strings, and what follows from one alone.
//
// It parses, prints and weakens every kind of Tahoe-LAFS capability, byte for byte, and
// the long-distance capabilities that wrap them; it knows base32, the keys and area codes
// that name nodes and grids, the tagged hashes, the hash trees and the lease secrets. It
// knows no network, files, clock or logs.
//
// A capability is a password. Nothing here prints one by accident: String, every fmt
// verb, slog and encoders show the kind and a short fingerprint, or refuse. The full text
// comes from Text alone.
package caps
