// Command bench measures the whole system in one run on one machine: every role a process of its own on loopback,
// beside a raw libp2p stream between two processes. It prints, for each file size, throughput, time to first byte,
// peak resident memory and CPU seconds per GB of every role, next to the aims.
//
// Wall times on shared machines move by a factor of two, CPU seconds by a quarter: compare the latter.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"trunkline/cmd/internal/tahoetest"
	"trunkline/cmd/internal/trunktest"
)

func main() {
	var (
		raw    = flag.Bool("raw-server", false, "serve the raw stream (the program starts itself so)")
		sizes  = flag.String("mib", "1,100,1024", "file sizes in MiB")
		runs   = flag.Int("runs", 3, "runs of each; medians are printed")
		tahoe  = flag.Bool("tahoe", false, "measure the web API beside the real Tahoe-LAFS (TRUNKLINE_TAHOE names its command) instead")
		noSync = flag.Bool("no-sync", false, "servers leave out fsync, as Tahoe-LAFS does")
	)
	flag.Parse()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Minute)
	defer cancel()
	var err error
	switch {
	case *raw:
		err = rawServer(ctx)
	case *tahoe:
		code, done, aloneErr := tahoetest.Alone()
		if done {
			os.Exit(code)
		}
		if err = aloneErr; err == nil {
			err = compare(ctx)
		}
	default:
		err = bench(ctx, *sizes, *runs, *noSync)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func bench(ctx context.Context, sizes string, runs int, noSync bool) error {
	fmt.Printf("machine: %s, %d cores; load at start %s; %d runs each, medians; MB = 10^6 bytes, GB = 10^9\n",
		runtime.GOARCH, runtime.NumCPU(), loadAverage(), runs)
	rate, cpu, err := rawStream(ctx)
	if err != nil {
		return fmt.Errorf("raw stream: %w", err)
	}
	fmt.Printf("raw libp2p stream, TCP+TLS, one hop: %.0f MB/s, %.2f CPU s/GB (both ends)\n\n", rate/1e6, cpu)

	dir, err := os.MkdirTemp("", "trunkline-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	b := &bencher{dir: dir, runs: runs}
	if b.c, err = trunktest.New(ctx, dir); err != nil {
		return err
	}
	defer b.c.Close()
	if b.house, err = b.c.Clearinghouse(ctx, "house"); err != nil {
		return err
	}
	var config []string
	if noSync {
		config = append(config, "--no-sync")
	}
	if b.alpha, err = b.c.Grid(ctx, "alpha", 10, b.house, "0.01", config...); err != nil {
		return err
	}
	if b.beta, err = b.c.Grid(ctx, "beta", 3, b.house, "0.01", config...); err != nil {
		return err
	}
	if err := errors.Join(b.alpha.Client(ctx, "alice", "client"), b.beta.Client(ctx, "bob", "client")); err != nil {
		return err
	}
	for _, s := range strings.Split(sizes, ",") {
		mib, err := strconv.Atoi(strings.TrimSpace(s))
		if err != nil {
			return fmt.Errorf("-mib: %w", err)
		}
		if err := b.size(ctx, uint64(mib)<<20, !noSync); err != nil {
			return err
		}
	}
	if b.missed > 0 {
		fmt.Printf("%d aims missed; they are marked with !\n", b.missed)
	}
	return nil
}

type bencher struct {
	dir         string
	runs        int
	c           *trunktest.Cluster
	house       *trunktest.Node
	alpha, beta *trunktest.Grid
	missed      int
}

// The aims of the project for large files: MB/s of plaintext, CPU seconds per GB over all roles, MiB resident.
const (
	aimGet      = 500
	aimLong     = 300
	aimPut      = 140
	aimCPUGet   = 1.3 * (1.2 + 2.1)
	aimCPULong  = 1.3 * 8.6
	aimCPUPut   = 1.3 * (3.7 + 3.34*2.1)
	aimResident = 256
	aimFirst    = 20 * time.Millisecond
	largeFile   = 1 << 30
)

func (b *bencher) size(ctx context.Context, size uint64, synced bool) error {
	fmt.Printf("== %d MiB\n", size>>20)
	var puts, gets, longs []trunktest.Measure
	var cap string
	for i := range b.runs {
		file := filepath.Join(b.dir, "file")
		if err := noise(file, size, uint64(i)^size); err != nil {
			return err
		}
		m, out, err := b.c.Measure(ctx, b.alpha.Servers, "alice", nil, "put", file)
		if err != nil {
			return err
		}
		puts, cap = append(puts, m), strings.TrimSpace(out)
		if m, _, err = b.c.Measure(ctx, b.alpha.Servers, "alice", strings.NewReader(cap), "get", "-"); err != nil {
			return err
		}
		if m.Bytes != size {
			return fmt.Errorf("local get gave %d of %d bytes", m.Bytes, size)
		}
		gets = append(gets, m)
		path := append([]*trunktest.Node{b.beta.Gateway, b.alpha.Contact}, b.alpha.Servers...)
		if m, _, err = b.c.Measure(ctx, path, "bob", strings.NewReader(cap), "get", "-"); err != nil {
			return err
		}
		if m.Bytes != size {
			return fmt.Errorf("long-distance get gave %d of %d bytes", m.Bytes, size)
		}
		longs = append(longs, m)
	}
	what := "put (with fsync)"
	if !synced {
		what = "put (without fsync)"
	}
	b.print(what, puts, size, aimPut, aimCPUPut)
	b.print("local get", gets, size, aimGet, aimCPUGet)
	b.print("long-distance get", longs, size, aimLong, aimCPULong)
	first, err := b.warmFirstByte(ctx, cap)
	if err != nil {
		return err
	}
	fmt.Printf("  first byte, long distance: new process %v, warm %v%s\n",
		median(longs, func(m trunktest.Measure) time.Duration { return m.FirstByte }).Round(100*time.Microsecond),
		first.Round(100*time.Microsecond), b.mark(first > aimFirst, "aim "+aimFirst.String()))
	roles := slices.Concat([]*trunktest.Node{b.house}, b.alpha.Nodes(), b.beta.Nodes())
	fmt.Print("  peak resident MiB:")
	seen := map[string]uint64{}
	var order []string
	for _, n := range roles {
		kind := n.Name[strings.LastIndexByte(n.Name, '-')+1:]
		kind = strings.TrimRight(kind, "0123456789")
		if _, ok := seen[kind]; !ok {
			order = append(order, kind)
		}
		seen[kind] = max(seen[kind], n.Usage().PeakRSS)
		n.ResetPeak()
	}
	client := uint64(0)
	for _, m := range slices.Concat(puts, gets, longs) {
		client = max(client, m.ClientRSS)
	}
	order, seen["client"] = append(order, "client"), client
	for _, kind := range order {
		fmt.Printf(" %s %d%s", kind, seen[kind]>>20, b.mark(seen[kind]>>20 >= aimResident, ""))
	}
	fmt.Print("\n\n")
	return nil
}

func (b *bencher) print(what string, ms []trunktest.Measure, size uint64, aimRate, aimCPU float64) {
	wall := median(ms, func(m trunktest.Measure) time.Duration { return m.Wall })
	rate := float64(size) / 1e6 / wall.Seconds()
	perGB := func(f func(trunktest.Measure) time.Duration) float64 {
		return median(ms, f).Seconds() / (float64(size) / 1e9)
	}
	all := perGB(func(m trunktest.Measure) time.Duration { return m.CPU() })
	large := size >= largeFile
	fmt.Printf("  %-20s %7.3f s  %6.0f MB/s%s  CPU s/GB: all %.1f%s, client %.1f", what, wall.Seconds(), rate,
		b.mark(large && rate < aimRate, fmt.Sprintf("aim %.0f", aimRate)), all,
		b.mark(large && all > aimCPU, fmt.Sprintf("aim %.1f", aimCPU)),
		perGB(func(m trunktest.Measure) time.Duration { return m.Client }))
	for _, kind := range []string{"gateway", "contact", "server"} {
		cpu := perGB(func(m trunktest.Measure) time.Duration { return m.Role[kind] })
		if cpu > 0 {
			fmt.Printf(", %s %.1f", kind, cpu)
		}
	}
	fmt.Println()
}

// mark is empty, or says that an aim was missed and counts it.
func (b *bencher) mark(missed bool, aim string) string {
	if !missed {
		return ""
	}
	b.missed++
	if aim == "" {
		return "!"
	}
	return "! (" + aim + ")"
}

func median[T any](ms []T, f func(T) time.Duration) time.Duration {
	ds := make([]time.Duration, len(ms))
	for i, m := range ms {
		ds[i] = f(m)
	}
	slices.Sort(ds)
	return ds[len(ds)/2]
}

func noise(path string, size, seed uint64) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	var key [32]byte
	for i := range 8 {
		key[i] = byte(seed >> (8 * i))
	}
	_, err = io.Copy(f, io.LimitReader(rand.NewChaCha8(key), int64(size)))
	return errors.Join(err, f.Close())
}

func loadAverage() string {
	raw, _ := os.ReadFile("/proc/loadavg")
	f := strings.Fields(string(raw))
	if len(f) == 0 {
		return "unknown"
	}
	return f[0]
}

// startSelf runs this program again with one flag.
func startSelf(ctx context.Context, arg string) (*exec.Cmd, io.ReadCloser, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, nil, err
	}
	cmd := exec.CommandContext(ctx, self, arg)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, nil, err
	}
	return cmd, out, cmd.Start()
}
