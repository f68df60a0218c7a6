package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"
)

// webNode is a node that speaks the Tahoe web API, ours or Tahoe's own: what is measured of both is the same requests.
type webNode struct {
	base   string // http://127.0.0.1:3456
	client *http.Client
}

// load is one set of figures, by the name of what was measured.
type load struct {
	order []string
	took  map[string][]time.Duration
	size  map[string]uint64 // bytes, of transfers
}

func newLoad() *load {
	return &load{took: map[string][]time.Duration{}, size: map[string]uint64{}}
}

// add records one run. size is 0 for what is no transfer.
func (l *load) add(what string, took time.Duration, size uint64) {
	if _, ok := l.took[what]; !ok {
		l.order = append(l.order, what)
	}
	l.took[what] = append(l.took[what], took)
	l.size[what] = size
}

func (l *load) median(what string) time.Duration {
	if len(l.took[what]) == 0 {
		return 0
	}
	return median(l.took[what], func(d time.Duration) time.Duration { return d })
}

// fresh returns bytes that no grid has: a convergent upload of known ones would measure nothing.
func fresh(n int) []byte {
	var key [32]byte
	for i := range key {
		key[i] = byte(rand.Uint32()) //nolint:gosec // noise for a benchmark
	}
	b := make([]byte, n)
	_, _ = rand.NewChaCha8(key).Read(b) // never fails
	return b
}

// ask sends a request and reads the whole answer, or throws it away and counts it.
func (n webNode) ask(ctx context.Context, method, path string, body []byte, header http.Header, keep bool) (answer []byte, first time.Duration, size uint64, err error) {
	req, err := http.NewRequestWithContext(ctx, method, n.base+path, bytes.NewReader(body))
	if err != nil {
		return nil, 0, 0, err
	}
	for k, v := range header {
		req.Header[k] = v
	}
	start := time.Now()
	resp, err := n.client.Do(req)
	if err != nil {
		return nil, 0, 0, err
	}
	defer resp.Body.Close()
	buf := make([]byte, 256<<10)
	for {
		m, err := resp.Body.Read(buf)
		if m > 0 && size == 0 {
			first = time.Since(start)
		}
		size += uint64(m) //nolint:gosec // never negative
		if keep && len(answer) < 8<<20 {
			answer = append(answer, buf[:m]...)
		}
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, 0, 0, fmt.Errorf("%s after %d bytes: %w", method, size, err)
		}
	}
	if resp.StatusCode >= http.StatusBadRequest {
		return nil, 0, 0, fmt.Errorf("%s: %s: %.200s", method, resp.Status, answer)
	}
	return answer, first, size, nil
}

func (n webNode) put(ctx context.Context, path string, body []byte) (string, error) {
	cap, _, _, err := n.ask(ctx, http.MethodPut, path, body, nil, true)
	return strings.TrimSpace(string(cap)), err
}

func (n webNode) post(ctx context.Context, path string, body []byte) (string, error) {
	cap, _, _, err := n.ask(ctx, http.MethodPost, path, body, nil, true)
	return strings.TrimSpace(string(cap)), err
}

// get reads a file and checks how much came.
func (n webNode) get(ctx context.Context, cap string, want uint64) (took time.Duration, err error) {
	start := time.Now()
	_, _, size, err := n.ask(ctx, http.MethodGet, "/uri/"+url.PathEscape(cap), nil, nil, false)
	if err == nil && size != want {
		err = fmt.Errorf("a get gave %d of %d bytes", size, want)
	}
	return time.Since(start), err
}

// measure runs everything once.
func (n webNode) measure(ctx context.Context, l *load) error {
	steps := []func(context.Context, *load) error{n.files, n.ranges, n.eight, n.directory, n.mutable}
	for _, step := range steps {
		if err := step(ctx, l); err != nil {
			return err
		}
	}
	return nil
}

func (n webNode) files(ctx context.Context, l *load) error {
	for _, mib := range []int{1, 10, 100} {
		data := fresh(mib << 20)
		start := time.Now()
		cap, err := n.put(ctx, "/uri", data)
		if err != nil {
			return err
		}
		l.add(fmt.Sprintf("put %d MiB", mib), time.Since(start), uint64(len(data)))
		took, err := n.get(ctx, cap, uint64(len(data)))
		if err != nil {
			return err
		}
		l.add(fmt.Sprintf("get %d MiB", mib), took, uint64(len(data)))
	}
	return nil
}

func (n webNode) ranges(ctx context.Context, l *load) error {
	const size = 100 << 20
	cap, err := n.put(ctx, "/uri", fresh(size))
	if err != nil {
		return err
	}
	for i := range 6 {
		at := size/2 + i*3<<20
		header := http.Header{"Range": {fmt.Sprintf("bytes=%d-%d", at, at+1023)}}
		_, first, got, err := n.ask(ctx, http.MethodGet, "/uri/"+url.PathEscape(cap), nil, header, false)
		if err != nil {
			return err
		}
		if got != 1024 {
			return fmt.Errorf("a range of 1024 bytes gave %d", got)
		}
		if i == 0 {
			l.add("first byte of a range, first time", first, 0)
		} else {
			l.add("first byte of a range, warm", first, 0)
		}
	}
	return nil
}

func (n webNode) eight(ctx context.Context, l *load) error {
	const size = 10 << 20
	var caps [8]string
	for i := range caps {
		var err error
		if caps[i], err = n.put(ctx, "/uri", fresh(size)); err != nil {
			return err
		}
	}
	var wg sync.WaitGroup
	errs := make([]error, len(caps))
	start := time.Now()
	for i, cap := range caps {
		wg.Go(func() { _, errs[i] = n.get(ctx, cap, size) })
	}
	wg.Wait()
	l.add("8 gets of 10 MiB at once", time.Since(start), uint64(len(caps)*size))
	return errors.Join(errs...)
}

func (n webNode) directory(ctx context.Context, l *load) error {
	const entries = 1000
	children := make(map[string]any, entries)
	for i := range entries {
		children[fmt.Sprintf("entry %04d", i)] = []any{"filenode", map[string]any{"ro_uri": "URI:LIT:krugkidfnzsc4"}}
	}
	body, err := json.Marshal(children)
	if err != nil {
		return err
	}
	start := time.Now()
	if _, err = n.post(ctx, "/uri?t=mkdir", nil); err != nil {
		return err
	}
	l.add("mkdir", time.Since(start), 0)
	start = time.Now()
	cap, err := n.post(ctx, "/uri?t=mkdir-with-children", body)
	if err != nil {
		return err
	}
	l.add("directory of 1000 made in one call", time.Since(start), 0)
	dir := "/uri/" + url.PathEscape(cap)
	for range 5 {
		start = time.Now()
		listed, _, _, err := n.ask(ctx, http.MethodGet, dir+"?t=json", nil, nil, true)
		if err != nil {
			return err
		}
		if got := bytes.Count(listed, []byte("URI:LIT:")); got < entries {
			return fmt.Errorf("a directory of %d lists %d", entries, got)
		}
		l.add("directory of 1000 listed", time.Since(start), 0)
	}
	for i := range 5 {
		start = time.Now()
		if _, err := n.put(ctx, fmt.Sprintf("%s/new%%20%d?t=uri", dir, i), []byte("URI:LIT:krugkidfnzsc4")); err != nil {
			return err
		}
		l.add("one entry added to it", time.Since(start), 0)
	}
	small, err := n.post(ctx, "/uri?t=mkdir", nil)
	if err != nil {
		return err
	}
	for i := range 10 {
		start = time.Now()
		if _, err := n.put(ctx, fmt.Sprintf("/uri/%s/%d?t=uri", url.PathEscape(small), i), []byte("URI:LIT:krugkidfnzsc4")); err != nil {
			return err
		}
		l.add("one entry added to a small directory", time.Since(start), 0)
	}
	return nil
}

func (n webNode) mutable(ctx context.Context, l *load) error {
	for _, m := range []struct {
		format string
		size   int
		name   string
	}{{"SDMF", 1000, "SDMF 1 KB"}, {"SDMF", 1 << 20, "SDMF 1 MiB"}, {"MDMF", 10 << 20, "MDMF 10 MiB"}} {
		start := time.Now()
		cap, err := n.put(ctx, "/uri?format="+m.format, fresh(m.size))
		if err != nil {
			return err
		}
		l.add(m.name+" made", time.Since(start), 0)
		for range 3 {
			start = time.Now()
			if _, err := n.put(ctx, "/uri/"+url.PathEscape(cap), fresh(m.size)); err != nil {
				return err
			}
			l.add(m.name+" overwritten", time.Since(start), 0)
			took, err := n.get(ctx, cap, uint64(m.size)) //nolint:gosec // never negative
			if err != nil {
				return err
			}
			l.add(m.name+" read", took, 0)
		}
	}
	return nil
}
