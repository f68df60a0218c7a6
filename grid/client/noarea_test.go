package client_test

import (
	"bytes"
	"errors"
	"testing"

	"trunkline/caps"
	"trunkline/grid/client"
)

// A grid whose servers belong to no area, such as one of Tahoe servers: its caps are plain, and all works but calls.
func TestGridWithoutArea(t *testing.T) {
	t.Parallel()
	g := newGrid(t)
	c := g.client(g.mutables, func(c *client.Config) { c.Home, c.Gateways = caps.AreaCode{}, nil })
	data := random(t, 100_000)
	put, err := c.Put(t.Context(), bytes.NewReader(data), uint64(len(data)), nil)
	must(t, err)
	write := create(t, c, caps.KindSDMF, data)
	for _, target := range []caps.Cap{put.Cap, write} {
		if target.IsLongDistance() {
			t.Errorf("%v names an area", target)
		}
		if got, result, err := read(t, c, target, client.Range{}); err != nil || !bytes.Equal(got, data) || result.Hop != client.HopLocal {
			t.Errorf("%v: %d bytes by %s, %v", target, len(got), result.Hop, err)
		}
		if h, err := c.Check(t.Context(), target, false, false); err != nil || !h.Healthy() {
			t.Errorf("%v: %s, %v", target, h.Summary(), err)
		}
	}
	must(t, c.Overwrite(t.Context(), write, bytes.NewReader(data), 10))
	far, err := write.WithAreas(g.area)
	must(t, err)
	if err := c.Overwrite(t.Context(), far, bytes.NewReader(data), 10); !errors.Is(err, client.ErrFar) {
		t.Errorf("a far file was overwritten: %v", err)
	}
	stranger := client.New(client.Config{})
	if _, err := stranger.Put(t.Context(), bytes.NewReader(data), 1000, nil); !errors.Is(err, client.ErrNoHome) {
		t.Errorf("a stranger put a file: %v", err)
	}
	if _, _, err := read(t, stranger, put.Cap, client.Range{}); !errors.Is(err, client.ErrNoArea) {
		t.Errorf("a stranger read a plain cap: %v", err)
	}
}
