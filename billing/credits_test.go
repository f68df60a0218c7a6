package billing_test

import (
	"encoding/json"
	"errors"
	"math"
	"math/big"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"trunkline/billing"
)

func TestCreditsText(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]billing.Credits{
		"0": 0, "1": billing.Unit, "1.25": 1_250_000, "-0.000001": -1, "0.5": 500_000,
		"9223372036854.775807": math.MaxInt64, "-9223372036854.775808": math.MinInt64,
	} {
		if got := want.String(); got != text {
			t.Errorf("%d prints as %q, want %q", int64(want), got, text)
		}
		got, err := billing.ParseCredits(text)
		if err != nil || got != want {
			t.Errorf("%q is %d, %v; want %d", text, int64(got), err, int64(want))
		}
	}
	if got, err := billing.ParseCredits("1.500000"); err != nil || got != 1_500_000 {
		t.Errorf("zeros at the end: %v, %v", got, err)
	}
}

func TestCreditsRefused(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]error{
		"": billing.ErrCredits, "-": billing.ErrCredits, "+1": billing.ErrCredits, " 1": billing.ErrCredits,
		"1 ": billing.ErrCredits, ".5": billing.ErrCredits, "1.": billing.ErrCredits, "1.0000000": billing.ErrCredits,
		"01": billing.ErrCredits, "-0": billing.ErrCredits, "-0.0": billing.ErrCredits, "1e3": billing.ErrCredits,
		"1,5": billing.ErrCredits, "0x1": billing.ErrCredits, "--1": billing.ErrCredits, "1.2.3": billing.ErrCredits,
		"1_000": billing.ErrCredits, "٣": billing.ErrCredits, "NaN": billing.ErrCredits,
		"9223372036854.775808": billing.ErrOverflow, "-9223372036854.775809": billing.ErrOverflow,
		"18446744073709551616": billing.ErrOverflow, "99999999999999999999999": billing.ErrOverflow,
	} {
		if got, err := billing.ParseCredits(text); !errors.Is(err, want) {
			t.Errorf("%q: %v, %v; want %v", text, got, err, want)
		}
	}
}

func TestCreditsJSON(t *testing.T) {
	t.Parallel()
	b, err := json.Marshal(struct{ Price billing.Credits }{1_250_000})
	if err != nil || string(b) != `{"Price":"1.25"}` {
		t.Fatalf("%s, %v", b, err)
	}
	var got struct{ Price billing.Credits }
	if err := json.Unmarshal(b, &got); err != nil || got.Price != 1_250_000 {
		t.Fatalf("%v, %v", got, err)
	}
}

// TestCreditsArithmetic compares with math/big, edges included.
func TestCreditsArithmetic(t *testing.T) {
	t.Parallel()
	edges := []int64{math.MinInt64, math.MinInt64 + 1, -1, 0, 1, math.MaxInt64 - 1, math.MaxInt64}
	check := func(t interface{ Errorf(string, ...any) }, a, b int64) {
		for name, f := range map[string]struct {
			got  func() (billing.Credits, error)
			want *big.Int
		}{
			"add": {func() (billing.Credits, error) { return billing.Credits(a).Add(billing.Credits(b)) }, new(big.Int).Add(big.NewInt(a), big.NewInt(b))},
			"sub": {func() (billing.Credits, error) { return billing.Credits(a).Sub(billing.Credits(b)) }, new(big.Int).Sub(big.NewInt(a), big.NewInt(b))},
			"neg": {billing.Credits(a).Neg, new(big.Int).Neg(big.NewInt(a))},
		} {
			got, err := f.got()
			if f.want.IsInt64() != (err == nil) || err == nil && int64(got) != f.want.Int64() {
				t.Errorf("%s %d %d: %d, %v; want %v", name, a, b, int64(got), err, f.want)
			}
			if err != nil && !errors.Is(err, billing.ErrOverflow) {
				t.Errorf("%s %d %d: %v", name, a, b, err)
			}
		}
	}
	for _, a := range edges {
		for _, b := range edges {
			check(t, a, b)
		}
	}
	rapid.Check(t, func(t *rapid.T) { check(t, rapid.Int64().Draw(t, "a"), rapid.Int64().Draw(t, "b")) })
}

func FuzzParseCredits(f *testing.F) {
	f.Fuzz(func(t *testing.T, text string) {
		c, err := billing.ParseCredits(text)
		if err != nil {
			return
		}
		canonical := text
		if strings.Contains(text, ".") {
			canonical = strings.TrimSuffix(strings.TrimRight(text, "0"), ".")
		}
		if c.String() != canonical {
			t.Fatalf("%q prints as %q", text, c.String())
		}
	})
}
