// Package billing holds what both sides of a metered transfer must agree on:
// the signed objects and their exact bytes, the cost function, and the two
// meters.
//
// Only one number exists: the payer's last signature, a Voucher for the bytes
// the payer has verified so far. A voucher replaces all before it. A Tariff
// says what a byte costs, an Approval how far an approver stands behind a
// payer, a Receipt what the approver has booked, a Statement what a period
// came to. PROTOCOL.md in this folder has every field and the order of events.
//
// The package is pure: no clock, no network, no files, no goroutine, no lock.
// Times are handed in; who shares a meter between goroutines guards it.
package billing
