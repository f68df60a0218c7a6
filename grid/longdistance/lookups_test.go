package longdistance_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"

	"trunkline/grid/longdistance"
	"trunkline/p2p"
)

// Look-ups that end in anything but an answer are not counted, by neither side:
// however many there were, the next one is served.
func TestFailedLookups(t *testing.T) {
	t.Parallel()
	c := newCiphertext(t, 1, 1000, 96)
	for name, failure := range map[string]error{
		"unavailable": p2p.ErrUnavailable, "not_found": p2p.ErrNotFound, "integrity": p2p.ErrIntegrity, "unsupported": p2p.ErrUnsupported,
	} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t)
			shelf, failing := newShelf(c), true
			y := w.addPayee(sourceFunc(func(ctx context.Context, r longdistance.Request) (longdistance.File, error) {
				if failing {
					return nil, failure
				}
				return shelf.Open(ctx, r)
			}))
			p := w.addPayer(nil)
			for i := range 40 {
				if _, err := p.fetch(t.Context(), request(c), y.offer()); !errors.Is(err, failure) {
					t.Fatalf("%s: look-up %d: %v", name, i, err)
				}
			}
			failing = false
			_, err := p.fetch(t.Context(), request(c), y.offer())
			must(t, err)
			must(t, p.Close())
			want := uint64(1)
			if errors.Is(failure, p2p.ErrNotFound) {
				want += 40
			}
			if _, n := y.vouched(); n != want {
				t.Errorf("%s: %d look-ups were signed for, want %d", name, n, want)
			}
		})
	}
}
