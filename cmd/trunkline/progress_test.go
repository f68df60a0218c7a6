package main

import (
	"io"
	"testing"
	"time"
)

// A bar ends whether all, some or none of what it was to count was counted, or more.
func TestProgressEnds(t *testing.T) {
	t.Parallel()
	for name, set := range map[string][]uint64{"none": nil, "some": {10}, "all": {10, 100}, "more": {10, 100, 150}} {
		for _, ok := range []bool{true, false} {
			done := make(chan struct{})
			go func() {
				defer close(done)
				p := drawProgress(io.Discard, "put", 100)
				for _, n := range set {
					p.set(n)
				}
				p.end(ok)
			}()
			select {
			case <-done:
			case <-time.After(patience):
				t.Fatalf("%s, %t: it does not end", name, ok)
			}
		}
	}
}
