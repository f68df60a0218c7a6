// Package roster says who belongs to a grid.
//
// A [Roster] is the manager's numbered, expiring list of members with what each
// of them may do; it also carries the grid's tariffs and clearinghouses, so that
// one signed object configures every member. A [Bundle] adds the delegation by
// which the grid key named the manager's key, so that a bundle can be checked
// from the area code alone.
//
// A [Certificate] says the same about one member. With the delegation it is a
// [Credential]: proof of membership for somebody outside, who then learns
// nothing about the other members.
//
// A [Holder] keeps the newest roster on disk, never goes back to an older one,
// fetches newer ones in the background from the manager or from any member, and
// answers the only question a server has: may this key do that? ([Holder.Allow]).
//
// A [Ticket] lets a node join before the manager knows its key. What travels,
// and in what order, is in PROTOCOL.md.
package roster
