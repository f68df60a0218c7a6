// Package clearinghouse approves and books calls between grids.
//
// It is a manager whose members are grids: the same approver and the same books,
// with an account for each admitted grid under its area code's key. A grid's
// gateways spend from it and prove themselves with a credential; its contact
// points earn for it and are known from the grid's own area record, which also
// names the only tariff that counts. The clearinghouse is told no cap, no storage
// index and no client.
//
// It is thin: asked once an hour for each pair of gateway and contact point, and
// for the vouchers at the end. While it is away, approvals hold to their end and
// through their grace.
//
// Everything it knows is in one folder:
//
//	clearinghouse.key   its host key and name, 0600
//	state.json          settings and the grids that wait to be admitted
//	ledger.sqlite       the grids' accounts
//	areas/              the directory: area records of admitted grids
//
// [Create] it once, then [Open] it, [Clearinghouse.Serve] and [Clearinghouse.Run].
package clearinghouse
