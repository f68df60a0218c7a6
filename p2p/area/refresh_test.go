package area_test

import (
	"testing"
	"time"

	"trunkline/p2p/area"
)

// A record that proved wrong is looked up again at once, though it is not due,
// and the caller waits for the answer; but not again and again.
func TestRefresh(t *testing.T) {
	t.Parallel()
	g, c, dht := newGrid(t), newClock(), newFakeDHT()
	delegate := publicKey(t, g.delegate)
	dht.publish(g, delegate, g.record(g.delegate, 3, 7, start))
	r := newResolver(t, c, area.Config{DHT: dht, RefreshAfter: time.Hour})
	sequence := func() uint64 {
		t.Helper()
		info, err := r.Resolve(t.Context(), g.area)
		if err != nil {
			t.Fatal(err)
		}
		return info.SheetSeq
	}
	sequence()
	r.Settle(g.area)
	dht.publish(g, delegate, g.record(g.delegate, 3, 8, start))

	before := dht.questions()
	r.Refresh(t.Context(), g.area)
	if got := dht.questions(); got != before {
		t.Errorf("%d questions right after a look-up", got-before)
	}
	c.turn(10 * time.Second)
	if got := sequence(); got != 7 {
		t.Fatalf("sequence %d out of the cache", got)
	}
	r.Refresh(t.Context(), g.area)
	if got := sequence(); got != 8 {
		t.Errorf("sequence %d after a refresh", got)
	}
}
