package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"trunkline/cmd/internal/tahoetest"
	"trunkline/cmd/internal/trunktest"
)

// rounds is how often everything is measured of every side, one side after the other within a round.
const rounds = 3

// side is one of those that are compared.
type side struct {
	name string
	node webNode
	load *load
}

// The aims beside Tahoe-LAFS: how many times faster, or how long at most.
var tahoeAims = []struct {
	what    string
	against int // index of the side
	times   float64
}{
	{"get 100 MiB", 0, 10}, {"get 100 MiB", 1, 5}, {"put 100 MiB", 0, 5},
}

var durationAims = map[string]time.Duration{
	"first byte of a range, warm":          10 * time.Millisecond,
	"one entry added to it":                50 * time.Millisecond,
	"one entry added to a small directory": 50 * time.Millisecond,
}

// compare measures the same requests to the web API of four nodes, each in front of five servers of its own kind,
// 3-of-5: the real Tahoe-LAFS with its two protocols, and ours with and without fsync, which Tahoe never does.
func compare(ctx context.Context) error {
	dir, err := os.MkdirTemp("", "trunkline-bench-tahoe-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	fmt.Printf("beside the real Tahoe-LAFS: 5 servers, 3-of-5, web API, loopback; load at start %s; medians of %d rounds; MB = 10^6 bytes\n\n",
		loadAverage(), rounds)
	var sides []side
	for _, s := range []struct {
		name     string
		foolscap bool
	}{{"Tahoe, HTTPS", false}, {"Tahoe, Foolscap", true}} {
		sub := filepath.Join(dir, fmt.Sprint("tahoe-foolscap-", s.foolscap))
		if err := os.Mkdir(sub, 0o700); err != nil {
			return err
		}
		grid, err := tahoetest.Start(ctx, sub, tahoetest.Options{Foolscap: s.foolscap})
		if err != nil {
			return err
		}
		defer func() { _ = grid.Stop() }()
		sides = append(sides, newSide(s.name, grid.Client.URL))
	}
	sub := filepath.Join(dir, "ours")
	if err := os.Mkdir(sub, 0o700); err != nil {
		return err
	}
	c, err := trunktest.New(ctx, sub)
	if err != nil {
		return err
	}
	defer c.Close()
	for _, s := range []struct{ name, grid, config string }{{"ours", "synced", ""}, {"ours, no fsync", "unsynced", "--no-sync"}} {
		base, err := ours(ctx, c, s.grid, s.config)
		if err != nil {
			return err
		}
		sides = append(sides, newSide(s.name, base))
	}
	for range rounds {
		for _, s := range sides {
			if err := s.node.measure(ctx, s.load); err != nil {
				return fmt.Errorf("%s: %w", s.name, err)
			}
		}
	}
	printSides(sides)
	return nil
}

func newSide(name, base string) side {
	return side{name, webNode{strings.TrimSuffix(base, "/"), &http.Client{Timeout: 5 * time.Minute}}, newLoad()}
}

// ours starts a grid of five servers and a client's node that serves the web API.
func ours(ctx context.Context, c *trunktest.Cluster, name, config string) (base string, err error) {
	var extra []string
	if config != "" {
		extra = append(extra, config)
	}
	grid, err := c.Grid(ctx, name, 5, nil, "", extra...)
	if err != nil {
		return "", err
	}
	home := name + "-client"
	if err := grid.Client(ctx, home, "client"); err != nil {
		return "", err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // bound and closed at once
	if err != nil {
		return "", err
	}
	address := l.Addr().String()
	if err := l.Close(); err != nil {
		return "", err
	}
	if err := c.Configure(home, map[string]string{"needed": "3", "happy": "3", "total": "5", "web.listen": fmt.Sprintf("%q", address)}); err != nil {
		return "", err
	}
	if _, err := c.Start(ctx, home); err != nil {
		return "", err
	}
	return "http://" + address, nil
}

func printSides(sides []side) {
	fmt.Printf("%-40s", "")
	for _, s := range sides {
		fmt.Printf(" %22s", s.name)
	}
	fmt.Printf("   %s is faster than\n", sides[2].name)
	mine := sides[2].load
	for _, what := range mine.order {
		fmt.Printf("%-40s", what)
		for _, s := range sides {
			took, size := s.load.median(what), s.load.size[what]
			text := took.Round(10 * time.Microsecond).String()
			if size > 0 {
				text = fmt.Sprintf("%s %5.0f MB/s", took.Round(time.Millisecond), float64(size)/1e6/took.Seconds())
			}
			fmt.Printf(" %22s", text)
		}
		ratio := func(i int) float64 { return sides[i].load.median(what).Seconds() / mine.median(what).Seconds() }
		fmt.Printf("   %.1f x, %.1f x%s\n", ratio(0), ratio(1), missedAim(what, ratio, mine.median(what)))
	}
}

// missedAim says which aim a line misses.
func missedAim(what string, ratio func(int) float64, took time.Duration) string {
	var missed []string
	for _, a := range tahoeAims {
		if a.what == what && ratio(a.against) < a.times {
			missed = append(missed, fmt.Sprintf("! (aim %.0f x)", a.times))
		}
	}
	if most, ok := durationAims[what]; ok && took > most {
		missed = append(missed, fmt.Sprintf("! (aim %v)", most))
	}
	if len(missed) == 0 {
		return ""
	}
	return " " + strings.Join(missed, " ")
}
