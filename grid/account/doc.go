// Package account is the approver's protocol: how a payer gets a signed cap to
// spend, and a payee turns what the payer signed into a line in the books.
//
// There is one [Approver], whoever runs it. A grid's manager runs one whose
// accounts are its members; a clearinghouse runs one whose accounts are grids.
// They differ in [Members], which says what account a key speaks for, and in
// nothing else.
//
// On the payer's side [Approvals] keeps approvals and renews them early, so that
// a read asks nobody. On the payee's side a [Poster] brings vouchers to the
// approver until each has its receipt. Both carry on while the approver is away:
// approvals hold until their end and then for the grace that is written in them,
// and vouchers wait in the payee's log.
//
// What travels, and in what order, is in PROTOCOL.md.
package account
