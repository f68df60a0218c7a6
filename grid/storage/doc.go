// Package storage keeps one server's shares on disk and serves them over the share protocol.
//
// # On disk
//
// A [Store] reads and writes the directory tree of a Tahoe-LAFS storage server, byte for byte:
//
//	shares/<p>/<SI>/<shnum>                      complete shares
//	shares/incoming/<SI>-<shnum>.<n>.trunkline   our uploads and changes in progress
//	corruption-advisories/<time>--<SI>-<shnum>   reports from clients
//
// so an existing Tahoe directory can be served as it is. Never run a Tahoe node and a Store in
// read-write mode on one directory: the node deletes shares/incoming whole when it starts.
//
// A share exists whole or not at all. An upload lives under incoming until every byte of it was
// written; then its lease is added, the file synced, renamed into place and the directories synced,
// and only then is the commit answered. After a sync that failed nothing the kernel says about the
// disk can be relied upon, so the store takes no more writes until it is opened again.
//
// Mutable shares are never written in place, but for their leases: a change makes a new file, which is renamed over the
// old one. Several shares of one storage index change together or not at all, by way of a record of what is going to be
// done:
//
//	shares/incoming/<SI>.<n>.slot.trunkline      a change that has happened, until it is all in place
//
// Leases tell how long shares are wanted, and nothing happens when they end: [Store.Expired] lists such shares and
// [Store.Collect] removes them, when an operator says so.
//
// # On the wire
//
// [Server] answers /trunkline/share/1 from a Store, [Remote] speaks it to one server. See PROTOCOL.md.
package storage
