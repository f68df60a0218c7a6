package ledger

import (
	"fmt"
	"unicode"
	"unicode/utf8"

	"trunkline/billing"
)

// MaxAmount bounds Deposit and CreditLine: a thousand million units. So sums
// over an account, and over thousands of them, stay far from overflow.
const MaxAmount = 1_000_000_000 * billing.Unit

// Check says whether terms can be granted.
//
// Errors: ErrTerms, billing.ErrCurrency.
func (t Terms) Check() error {
	if err := billing.CheckCurrency(t.Currency); err != nil {
		return fmt.Errorf("%w: %w", ErrTerms, err)
	}
	if len(t.Name) > MaxName || !utf8.ValidString(t.Name) {
		return fmt.Errorf("%w: name is not UTF-8 of at most %d bytes", ErrTerms, MaxName)
	}
	for _, r := range t.Name {
		if !unicode.IsPrint(r) {
			return fmt.Errorf("%w: name has a character that does not print", ErrTerms)
		}
	}
	for _, c := range []billing.Credits{t.Deposit, t.CreditLine} {
		if c < 0 || c > MaxAmount {
			return fmt.Errorf("%w: amount %v is not from 0 to %v", ErrTerms, c, MaxAmount)
		}
	}
	return nil
}
