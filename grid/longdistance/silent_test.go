package longdistance_test

import (
	"bytes"
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"trunkline/grid/longdistance"
)

// A payee that falls silent in the middle costs one wait: the others come
// first, and it is asked again only when nobody else is left.
func TestSilentPayee(t *testing.T) {
	t.Parallel()
	const segment, count = 1000, 60
	for _, tt := range []struct {
		name    string
		stalls  int64 // how often the first payee does
		payees  int
		waits   int
		success bool
	}{
		{"another_goes_on", 99, 2, 1, true},
		{"it_comes_back", 1, 1, 1, true},
		{"for_good", 99, 1, 2, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w, c := newWorld(t), newCiphertext(t, 1, segment*count, segment)
				var stalled atomic.Int64
				var offers []longdistance.Offer
				for i := range tt.payees {
					shelf := newShelf(c)
					if i == 0 {
						shelf.before = func(ctx context.Context, seg int) error {
							if seg < 20 || stalled.Add(1) > tt.stalls {
								return nil
							}
							<-ctx.Done()
							return ctx.Err()
						}
					}
					offers = append(offers, w.addPayee(shelf).offer())
				}
				p := w.addPayer(nil, func(_ *longdistance.PayerConfig, a *approvals) { a.window = 8 * segment })
				got, err := p.fetch(t.Context(), request(c), offers...)
				if (err == nil) != tt.success || !bytes.HasPrefix(c.data, got) {
					t.Errorf("%d bytes came: %v", len(got), err)
				}
				p.mu.Lock()
				defer p.mu.Unlock()
				if len(p.switched) != tt.waits {
					t.Errorf("%d waits, want %d: %v", len(p.switched), tt.waits, p.switched)
				}
			})
		})
	}
}
