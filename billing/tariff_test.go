package billing_test

import (
	"errors"
	"math"
	"math/big"
	"testing"
	"time"

	"pgregory.net/rapid"

	"trunkline/billing"
	"trunkline/billing/billingtest"
)

// referee is the cost with numbers that have no end.
func referee(t billing.Tariff, bytes, lookups uint64) *big.Int {
	if t.TollFree {
		return new(big.Int)
	}
	billable := new(big.Int).Sub(new(big.Int).SetUint64(bytes), new(big.Int).SetUint64(t.FreeBytes))
	if billable.Sign() < 0 {
		billable.SetInt64(0)
	}
	cost := billable.Mul(billable, big.NewInt(int64(t.PerGiB)))
	cost.Add(cost, big.NewInt(1<<30-1))
	cost.Rsh(cost, 30)
	perLookup := new(big.Int).Mul(new(big.Int).SetUint64(lookups), big.NewInt(int64(t.PerLookup)))
	return cost.Add(cost, perLookup)
}

func checkCost(t interface{ Fatalf(string, ...any) }, tariff billing.Tariff, bytes, lookups uint64) {
	want := referee(tariff, bytes, lookups)
	got, err := tariff.Cost(bytes, lookups)
	if want.IsInt64() != (err == nil) || err == nil && int64(got) != want.Int64() {
		t.Fatalf("%d bytes, %d look-ups at %+v: %d, %v; want %v", bytes, lookups, tariff, int64(got), err, want)
	}
	if err != nil && !errors.Is(err, billing.ErrOverflow) {
		t.Fatalf("error is %v", err)
	}
}

// TestCostReferee is the algebra of M7, with math/big as referee.
func TestCostReferee(t *testing.T) {
	t.Parallel()
	edges := []uint64{0, 1, 2, 1<<30 - 1, 1 << 30, 1<<30 + 1, 1 << 33, math.MaxInt64 - 1, math.MaxInt64, 1 << 63, math.MaxUint64}
	prices := []billing.Credits{0, 1, 2, 3, 999_999, billing.Unit, 1<<30 - 1, 1 << 30, 1<<30 + 1, math.MaxInt64}
	for _, price := range prices {
		for _, lookup := range []billing.Credits{0, 1, math.MaxInt64} {
			for _, free := range []uint64{0, 1, 1 << 30, math.MaxInt64} {
				tariff := billing.Tariff{PerGiB: price, PerLookup: lookup, FreeBytes: free}
				for _, bytes := range edges {
					for _, lookups := range []uint64{0, 1, 2, math.MaxUint64} {
						checkCost(t, tariff, bytes, lookups)
					}
				}
			}
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		tariff := billing.Tariff{
			PerGiB:    billing.Credits(rapid.Int64Min(0).Draw(t, "price")),
			PerLookup: billing.Credits(rapid.Int64Min(0).Draw(t, "lookup")),
			FreeBytes: rapid.Uint64().Draw(t, "free"),
		}
		checkCost(t, tariff, rapid.Uint64().Draw(t, "bytes"), rapid.Uint64().Draw(t, "lookups"))
	})
}

// TestCostRounding walks all byte counts around the places where a price of few
// credits steps up.
func TestCostRounding(t *testing.T) {
	t.Parallel()
	for price := billing.Credits(1); price <= 64; price++ {
		tariff := billing.Tariff{PerGiB: price}
		for step := range uint64(price) {
			edge := step << 30 / uint64(price)
			for bytes := edge - min(edge, 3); bytes <= edge+3; bytes++ {
				checkCost(t, tariff, bytes, 0)
			}
		}
	}
}

// TestCostIsCumulative: cutting a transfer up, in any way and order, comes to
// the same, and never to less.
func TestCostIsCumulative(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		tariff := billing.Tariff{PerGiB: billing.Credits(rapid.Int64Range(0, 1<<40).Draw(t, "price")), FreeBytes: rapid.Uint64Max(1<<31).Draw(t, "free")}
		parts := rapid.SliceOf(rapid.Uint64Max(1<<32)).Draw(t, "parts")
		var total uint64
		var sum, last billing.Credits
		for _, p := range parts {
			total += p
			now, err := tariff.Cost(total, 0)
			if err != nil {
				t.Fatal(err)
			}
			if now < last {
				t.Fatalf("cost falls from %v to %v", last, now)
			}
			sum += now - last
			last = now
		}
		if whole, err := tariff.Cost(total, 0); err != nil || whole != sum {
			t.Fatalf("in parts %v, at once %v, %v", sum, whole, err)
		}
	})
}

func TestCostSpecial(t *testing.T) {
	t.Parallel()
	if got, err := (billing.Tariff{TollFree: true, PerGiB: math.MaxInt64}).Cost(math.MaxUint64, math.MaxUint64); got != 0 || err != nil {
		t.Errorf("toll-free: %v, %v", got, err)
	}
	if _, err := (billing.Tariff{PerGiB: -1}).Cost(1, 0); !errors.Is(err, billing.ErrRange) {
		t.Errorf("negative price: %v", err)
	}
	if _, err := (billing.Tariff{PerLookup: -1}).Cost(0, 0); !errors.Is(err, billing.ErrRange) {
		t.Errorf("negative price of look-ups: %v", err)
	}
}

func TestTariffTimes(t *testing.T) {
	t.Parallel()
	tariff := billingtest.Tariff(t, nil).Value
	for _, tt := range []struct {
		name string
		at   int64
		want error
	}{
		{"long before", tariff.ValidFrom - 301, billing.ErrNotYet},
		{"by a slow clock", tariff.ValidFrom - 300, nil},
		{"at the start", tariff.ValidFrom, nil},
		{"last second", tariff.ValidUntil - 1, nil},
		{"after", tariff.ValidUntil, billing.ErrExpired},
	} {
		if err := tariff.Validate(time.Unix(tt.at, 0)); !errors.Is(err, tt.want) {
			t.Errorf("%s: %v, want %v", tt.name, err, tt.want)
		}
	}
}

func FuzzCost(f *testing.F) {
	f.Fuzz(func(t *testing.T, price, lookup int64, free, bytes, lookups uint64) {
		if price < 0 || lookup < 0 {
			return
		}
		checkCost(t, billing.Tariff{PerGiB: billing.Credits(price), PerLookup: billing.Credits(lookup), FreeBytes: free}, bytes, lookups)
	})
}
