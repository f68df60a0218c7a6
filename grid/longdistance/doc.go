// Package longdistance speaks the metered range protocol: ciphertext of one
// file from a payee to a payer, with the proofs to check it and the payer's
// signatures flowing back.
//
// It is written once. A client is a [Payer] to its gateway, a gateway is a
// [Payee] to its clients and a [Payer] to other grids' contact points, and a
// contact point is a [Payee]; what differs is the [Source] a payee reads from
// and the [Approvals] and [Route] a payer is given.
//
// The payer verifies every segment against the hash tree that the verify cap
// pins, or that the key it names has signed, and only then counts it, hands it
// on, and signs for it. An immutable file comes as its ciphertext ([File]), a
// version of a mutable one as blocks ([Version]). The one number that is ever
// billed is the payer's last signature. See PROTOCOL.md.
package longdistance
