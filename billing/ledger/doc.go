// Package ledger is an approver's books: accounts, the caps reserved on them,
// and one entry for each voucher that raised what a channel owes.
//
// An entry moves an amount from the payer's account to the payee's, so that
// debits equal credits by construction. Nothing is booked without the payer's
// signature, nothing beyond the cap, and nothing is reserved that the account
// does not cover. Entries are numbered without gaps and chained by hash.
//
// Store is the contract. Engines are in the folders below; all of them pass the
// suite in ledgertest.
package ledger
