// Package area finds out, from an area code alone, how to reach a grid.
//
// An area record has two layers, both plain IPNS records. The grid key, which
// may be kept offline, signs a [Delegation] that names an online key; that
// delegate signs the contact [Sheet]. Both together are a [Record], and prove
// everything from the area code. Copies therefore need no trust: they live in
// Trunkline's own DHT under [Replicas] derived keys a layer, in directories
// and in every gateway, contact point, clearinghouse and manager.
//
// A [Resolver] asks all of them at once, and a [Cache] on disk makes sure that
// a record older than one already seen is never believed again.
//
// The exact bytes, limits and orders are in PROTOCOL.md.
package area
