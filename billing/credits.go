package billing

import (
	"fmt"
	"math"
	"math/bits"
	"strconv"
	"strings"
)

// Credits is an amount of money: a whole number of micro-units of a tariff's
// currency, so 1_250_000 is 1.25. It may be negative. Arithmetic that can
// leave the range is done with Add, Sub and Neg, which say so.
type Credits int64

// Unit is one whole unit of currency.
const Unit Credits = 1_000_000

// decimals is how many digits stand behind the point.
const decimals = 6

// Add returns c + d, or ErrOverflow.
func (c Credits) Add(d Credits) (Credits, error) {
	sum := c + d
	if (sum > c) != (d > 0) && d != 0 {
		return 0, fmt.Errorf("%w: %v + %v", ErrOverflow, c, d)
	}
	return sum, nil
}

// Sub returns c - d, or ErrOverflow.
func (c Credits) Sub(d Credits) (Credits, error) {
	diff := c - d
	if (diff < c) != (d > 0) && d != 0 {
		return 0, fmt.Errorf("%w: %v - %v", ErrOverflow, c, d)
	}
	return diff, nil
}

// Neg returns -c, or ErrOverflow.
func (c Credits) Neg() (Credits, error) { return Credits(0).Sub(c) }

// String is the exact decimal number in whole units, as short as it can be:
// "0", "1.25", "-0.000001". ParseCredits reads it back.
func (c Credits) String() string {
	mag := c.magnitude()
	s := strconv.FormatUint(mag/uint64(Unit), 10)
	if frac := mag % uint64(Unit); frac != 0 {
		s += "." + strings.TrimRight(fmt.Sprintf("%0*d", decimals, frac), "0")
	}
	if c < 0 {
		return "-" + s
	}
	return s
}

func (c Credits) magnitude() uint64 {
	if c < 0 {
		return -uint64(c)
	}
	return uint64(c)
}

// ParseCredits reads a decimal number of whole units: an optional minus, digits
// without leading zeros, and at most six digits behind a point. Zeros at the
// end are fine, "1.50" is "1.5"; a plus, spaces, exponents, "-0", ".5" and "1."
// are not.
//
// Errors: ErrCredits, ErrOverflow.
func ParseCredits(s string) (Credits, error) {
	digits, negative := strings.CutPrefix(s, "-")
	whole, frac, point := strings.Cut(digits, ".")
	if !isDigits(whole) || len(whole) > 1 && whole[0] == '0' || point && (!isDigits(frac) || len(frac) > decimals) {
		return 0, fmt.Errorf("%w: %.40q", ErrCredits, s)
	}
	units, err := strconv.ParseUint(whole, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("%w: %.40q", ErrOverflow, s)
	}
	micros, err := strconv.ParseUint((frac + "000000")[:decimals], 10, 64)
	if err != nil {
		return 0, fmt.Errorf("%w: %.40q", ErrCredits, s)
	}
	hi, lo := bits.Mul64(units, uint64(Unit))
	lo, carry := bits.Add64(lo, micros, 0)
	limit := uint64(math.MaxInt64)
	if negative {
		limit++
	}
	switch {
	case hi != 0 || carry != 0 || lo > limit:
		return 0, fmt.Errorf("%w: %.40q", ErrOverflow, s)
	case negative && lo == 0:
		return 0, fmt.Errorf("%w: %.40q", ErrCredits, s)
	case negative:
		return Credits(-lo), nil
	}
	return Credits(lo), nil
}

func isDigits(s string) bool {
	for _, r := range s {
		if r < '0' || r > '9' {
			return false
		}
	}
	return s != ""
}

// MarshalText writes what String does, so that amounts in JSON and TOML are
// exact.
func (c Credits) MarshalText() ([]byte, error) { return []byte(c.String()), nil }

// UnmarshalText reads what ParseCredits does.
func (c *Credits) UnmarshalText(b []byte) error {
	v, err := ParseCredits(string(b))
	if err != nil {
		return err
	}
	*c = v
	return nil
}
