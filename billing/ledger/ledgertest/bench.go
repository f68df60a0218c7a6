package ledgertest

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"trunkline/billing"
	"trunkline/billing/billingtest"
	"trunkline/billing/ledger"
	"trunkline/billing/sealed"
)

// Bench measures durable changes a second, by 1 and by 64 callers. Signatures
// are made beforehand.
func Bench(b *testing.B, open Opener) {
	for _, callers := range []int{1, 64} {
		b.Run(fmt.Sprintf("Post/callers=%d", callers), func(b *testing.B) { benchPost(b, open, callers) })
		b.Run(fmt.Sprintf("Reserve/callers=%d", callers), func(b *testing.B) { benchReserve(b, open, callers) })
	}
}

// share runs f for 0 to b.N-1, by as many callers, and reports the rate.
func share(b *testing.B, callers int, f func(caller, i int) error) {
	b.Helper()
	b.ResetTimer()
	var next atomic.Int64
	var work sync.WaitGroup
	for c := range callers {
		work.Go(func() {
			for i := int(next.Add(1)) - 1; i < b.N; i = int(next.Add(1)) - 1 {
				if err := f(c, i); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	work.Wait()
	b.StopTimer()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "op/s")
}

func benchPost(b *testing.B, open Opener, callers int) {
	books := newBooks(b, open, ledger.MaxAmount)
	channels := make([]sealed.Sealed[billing.Approval], callers)
	for c := range channels {
		channels[c] = books.reserve(books.approval(fmt.Sprint("payer ", c), 1_000_000_000, nil))
	}
	vouchers := make([][]sealed.Sealed[billing.Voucher], callers)
	var work sync.WaitGroup
	for c := range channels {
		// A caller may come to do more than its share.
		work.Go(func() {
			for i := range min(b.N, 2*b.N/callers+1000) {
				vouchers[c] = append(vouchers[c], books.voucher(fmt.Sprint("payer ", c), channels[c], uint64(i+1)))
			}
		})
	}
	work.Wait()
	done := make([]int, callers)
	share(b, callers, func(c, _ int) error {
		v := vouchers[c][min(done[c], len(vouchers[c])-1)]
		done[c]++
		_, err := books.tryPost(v)
		return err
	})
}

func benchReserve(b *testing.B, open Opener, callers int) {
	books := newBooks(b, open, ledger.MaxAmount)
	approvals := make([]sealed.Sealed[billing.Approval], b.N)
	for i := range approvals {
		approvals[i] = billingtest.Approval(b, books.tariff, func(v *billing.Approval) {
			v.CapCredits, v.GraceCredits, v.Period = 1, 0, uint64(i)
		})
	}
	share(b, callers, func(_, i int) error { return books.tryReserve(approvals[i]) })
}
