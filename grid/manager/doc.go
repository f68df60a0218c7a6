// Package manager runs a grid: it says who belongs, at what price, and keeps the
// members' accounts.
//
// Two keys matter. The grid key is the area code; it signs nothing but the
// delegation, and its file may be kept offline between renewals. The manager's own
// key, the delegate, is the key of its host: it signs rosters, certificates,
// tariffs, contact sheets, approvals and receipts.
//
// Everything a manager knows is in one folder:
//
//	grid.key      the grid key, 0600; may be moved away
//	manager.key   the manager's host key, 0600
//	state.json    members, tickets, tariffs, numbers; replaced whole
//	ledger.sqlite the members' accounts
//
// A manager is [Create]d once, then [Open]ed; [Manager.Serve] answers on a host and
// [Manager.Run] renews what is due. Its operations are plain methods with results
// that can be written as JSON, and are safe to call at any time in between.
package manager
