package main

import (
	"context"
	"io"
	"log/slog"
	"time"

	"trunkline/caps"
	"trunkline/cmd/internal/node"
)

// warmFirstByte is the median time from asking to the first verified byte, for a client that has asked before: its
// stream to the gateway, the gateway's to the contact point and the opened file are all there.
func (b *bencher) warmFirstByte(ctx context.Context, cap string) (time.Duration, error) {
	target, err := caps.Parse(cap)
	if err != nil {
		return 0, err
	}
	c, err := node.OpenClient(ctx, node.Home{Dir: b.c.Home("bob")}, node.ClientOptions{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return 0, err
	}
	defer c.Close()
	const reads = 7
	var took []time.Duration
	for i := range reads {
		w := &firstWrite{start: time.Now()}
		if _, err := c.Get(ctx, target, node.Range{First: 0, Last: 1023}, w, func(uint64, uint64) {}); err != nil {
			return 0, err
		}
		if i > 0 {
			took = append(took, w.took)
		}
	}
	return median(took, func(d time.Duration) time.Duration { return d }), nil
}

type firstWrite struct {
	start time.Time
	took  time.Duration
}

func (w *firstWrite) Write(p []byte) (int, error) {
	if w.took == 0 {
		w.took = time.Since(w.start)
	}
	return io.Discard.Write(p)
}
