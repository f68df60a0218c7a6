package gbs_test

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"trunkline/caps"
	"trunkline/grid/gbs"
	"trunkline/grid/storage"
	"trunkline/p2p"
)

// answer is a handler that says one thing.
func answer(status int, contentType, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", contentType)
		w.WriteHeader(status)
		_, _ = w.Write([]byte(body))
	}
}

func cborHex(text string) http.HandlerFunc {
	b, err := hex.DecodeString(strings.ReplaceAll(text, " ", ""))
	if err != nil {
		panic(err)
	}
	return answer(http.StatusOK, "application/cbor", string(b))
}

func endless(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/cbor")
	for r.Context().Err() == nil {
		if _, err := w.Write(make([]byte, 1<<16)); err != nil {
			return
		}
	}
}

// Calls that the tables below make.
func version(ctx context.Context, s *gbs.Server) error {
	_, err := s.Version(ctx)
	return err
}

func shares(ctx context.Context, s *gbs.Server) error {
	_, err := s.Shares(ctx, caps.StorageIndex{})
	return err
}

func read(ctx context.Context, s *gbs.Server) error {
	dst := make([]byte, 10)
	err := s.Read(ctx, caps.StorageIndex{}, 0, []storage.Range{{Offset: 5, Length: 10}}, [][]byte{dst})
	if err == nil && string(dst) != "0123456789" {
		err = fmt.Errorf("read %q", dst)
	}
	return err
}

func allocate(ctx context.Context, s *gbs.Server) error {
	_, _, err := s.Allocate(ctx, caps.StorageIndex{}, []int{1, 2}, 10, [32]byte{}, [32]byte{})
	return err
}

func readSlot(ctx context.Context, s *gbs.Server) error {
	_, err := s.ReadSlot(ctx, caps.StorageIndex{}, []int{0}, []storage.Range{{Offset: 5, Length: 10}})
	return err
}

func testWrite(ctx context.Context, s *gbs.Server) error {
	_, err := s.TestWrite(ctx, caps.StorageIndex{}, storage.TestWrite{
		Shares: []storage.ShareChange{{Num: 0}}, Reads: []storage.Range{{Offset: 0, Length: 2}},
	})
	return err
}

// part answers a range request with a Content-Range and a body of any kind.
func part(contentRange, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Range", contentRange)
		answer(http.StatusPartialContent, "application/octet-stream", body)(w, r)
	}
}

// Whatever a server says, it is an error of the right kind, and soon.
func TestHostile(t *testing.T) {
	t.Parallel()
	many := "d9010299012c" + strings.Repeat("00", 300)
	for name, test := range map[string]struct {
		handler http.HandlerFunc
		call    func(context.Context, *gbs.Server) error
		want    error
	}{
		"other secret":            {answer(401, "", "Wrong Authorization header"), shares, gbs.ErrSwissnum},
		"other secret at a write": {answer(401, "", "Wrong Authorization header"), testWrite, gbs.ErrSwissnum},
		"other write enabler":     {answer(401, "", ""), testWrite, storage.ErrEnabler},
		"redirect":                {func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/elsewhere", http.StatusFound) }, version, gbs.ErrProtocol},
		"its own fault":           {answer(500, "text/html", "<html>"), version, p2p.ErrInternal},
		"too busy":                {answer(503, "text/html", "<html>"), version, p2p.ErrBusy},
		"HTML":                    {answer(200, "text/html", "<html>"), version, gbs.ErrProtocol},
		"endless":                 {endless, version, gbs.ErrProtocol},
		"endless list":            {endless, shares, gbs.ErrProtocol},
		"empty":                   {cborHex(""), version, gbs.ErrProtocol},
		"a number":                {cborHex("07"), version, gbs.ErrProtocol},
		"text keys":               {cborHex("a1 62 6161 01"), version, gbs.ErrProtocol},
		"nothing in it":           {cborHex("a0"), version, gbs.ErrProtocol},
		"rest behind":             {cborHex("d9010280 00"), shares, gbs.ErrProtocol},
		"array, no set":           {cborHex("8101"), shares, gbs.ErrProtocol},
		"another tag":             {cborHex("d9010381 01"), shares, gbs.ErrProtocol},
		"number too large":        {cborHex("d9010281 190100"), shares, gbs.ErrProtocol},
		"negative number":         {cborHex("d9010281 20"), shares, gbs.ErrProtocol},
		"number twice":            {cborHex("d9010282 0505"), shares, gbs.ErrProtocol},
		"300 numbers":             {cborHex(many), shares, gbs.ErrProtocol},
		"a claim of 2^40 numbers": {cborHex("d90102 9b0000010000000000"), shares, gbs.ErrProtocol},
		"indefinite length":       {cborHex("d90102 9f01ff"), shares, gbs.ErrProtocol},
		"deep":                    {cborHex("d90102" + strings.Repeat("81", 100) + "01"), shares, gbs.ErrProtocol},
		"share not asked for":     {cborHex("a2 6c616c72656164792d68617665 d9010280 69616c6c6f6361746564 d9010281 09"), allocate, gbs.ErrProtocol},
		"share in both sets":      {cborHex("a2 6c616c72656164792d68617665 d9010281 01 69616c6c6f6361746564 d9010281 01"), allocate, gbs.ErrProtocol},
		"set missing":             {cborHex("a1 69616c6c6f6361746564 d9010281 01"), allocate, gbs.ErrProtocol},
		"key twice":               {cborHex("a2 69616c6c6f6361746564 d9010281 01 69616c6c6f6361746564 d9010281 01"), allocate, gbs.ErrProtocol},
		"the whole share":         {answer(200, "application/octet-stream", "0123456789"), read, gbs.ErrProtocol},
		"another range":           {part("bytes 6-15/*", "0123456789"), read, gbs.ErrProtocol},
		"a longer range":          {part("bytes 5-15/*", "0123456789a"), read, gbs.ErrProtocol},
		"a range backwards":       {part("bytes 5-4/*", ""), read, gbs.ErrProtocol},
		"no range":                {part("", "0123456789"), read, gbs.ErrProtocol},
		"a signed range":          {part("bytes +5-14/*", "0123456789"), read, gbs.ErrProtocol},
		"more than it says":       {part("bytes 5-14/*", "0123456789a"), read, gbs.ErrProtocol},
		"less than it says":       {part("bytes 5-14/*", "01234"), read, p2p.ErrUnavailable},
		"the share is shorter":    {part("bytes 5-13/*", "012345678"), read, storage.ErrRange},
		"the share ends before":   {answer(204, "", ""), read, storage.ErrRange},
		"no share":                {answer(404, "", ""), read, storage.ErrNotFound},
		"slot: less than it says": {part("bytes 5-14/*", "01234"), readSlot, p2p.ErrUnavailable},
		"slot: another range":     {part("bytes 0-14/*", "01234"), readSlot, gbs.ErrProtocol},
		"does not say whether":    {cborHex("a1 6464617461 a0"), testWrite, gbs.ErrProtocol},
		"more reads":              {cborHex("a2 6773756363657373 f5 6464617461 a1 00 82 4101 4102"), testWrite, gbs.ErrProtocol},
		"longer reads":            {cborHex("a2 6773756363657373 f5 6464617461 a1 00 81 43010203"), testWrite, gbs.ErrProtocol},
		"reads of share 256":      {cborHex("a2 6773756363657373 f5 6464617461 a1 190100 81 4101"), testWrite, gbs.ErrProtocol},
		"success is a number":     {cborHex("a2 6773756363657373 01 6464617461 a0"), testWrite, gbs.ErrProtocol},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			config, _ := serve(t, test.handler)
			if err := test.call(t.Context(), dial(t, config)); !errors.Is(err, test.want) {
				t.Errorf("%v, want %v", err, test.want)
			} else if strings.Contains(err.Error(), swissnum) || strings.Contains(err.Error(), "c3dpc3NudW1iZXJleGFtcGxl") {
				t.Errorf("the secret is in %q", err)
			}
		})
	}
}

// A server with another key is none, however it came to its address, and is told nothing.
func TestPinned(t *testing.T) {
	t.Parallel()
	var asked atomic.Bool
	_, address := serve(t, func(http.ResponseWriter, *http.Request) { asked.Store(true) })
	_, other := certificate(t)
	s := dial(t, describe(t, nurl(t, other, address)))
	if err := version(t.Context(), s); !errors.Is(err, gbs.ErrPinned) || !errors.Is(err, p2p.ErrUnreachable) {
		t.Errorf("%v, want %v", err, gbs.ErrPinned)
	}
	if asked.Load() {
		t.Error("it was asked something")
	}
}

// A server that does not answer, or stops in the middle, is given up by the caller or by the clock, and closing waits
// for nobody.
func TestSilent(t *testing.T) {
	t.Parallel()
	hang := func(header ...string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body) // only then does it see that the client went
			if len(header) > 0 {
				w.Header().Set("Content-Type", "application/cbor")
				if r.Header.Get("Range") != "" {
					w.Header().Set("Content-Range", "bytes 5-14/*")
					w.WriteHeader(http.StatusPartialContent)
				}
				_, _ = w.Write([]byte(header[0]))
				_ = http.NewResponseController(w).Flush()
			}
			<-r.Context().Done()
		}
	}
	for name, call := range map[string]func(context.Context, *gbs.Server) error{
		"version": version, "shares": shares, "read": read, "allocate": allocate, "slot": readSlot, "test-and-write": testWrite,
	} {
		for when, handler := range map[string]http.HandlerFunc{"at once": hang(), "in the middle": hang("\xa2")} {
			t.Run(name+" "+when, func(t *testing.T) {
				t.Parallel()
				config, _ := serve(t, handler)
				ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
				defer cancel()
				if err := call(ctx, dial(t, config)); !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("%v, want %v", err, context.DeadlineExceeded)
				}
				patient, err := gbs.New(config)
				if err != nil {
					t.Fatal(err)
				}
				done := make(chan error)
				go func() { done <- call(context.Background(), patient) }()
				if err := patient.Close(); err != nil {
					t.Error(err)
				}
				if err := <-done; !errors.Is(err, storage.ErrClosed) {
					t.Errorf("%v, want %v", err, storage.ErrClosed)
				}
				if name == "test-and-write" {
					return // its answer may be long, and so may it take
				}
				config.Timeout = 50 * time.Millisecond
				if err := call(t.Context(), dial(t, config)); !errors.Is(err, p2p.ErrStepTimeout) {
					t.Errorf("%v, want %v", err, p2p.ErrStepTimeout)
				}
			})
		}
	}
}

// Of several addresses the first that answers is used, and stays the first.
func TestAddresses(t *testing.T) {
	t.Parallel()
	config, address := serve(t, cborHex("d9010280"))
	var dialled atomic.Int32
	config.NURLs = []gbs.NURL{nurl(t, config.NURLs[0].SPKI, closedPort(t)), config.NURLs[0]}
	config.Dial = func(ctx context.Context, network, to string) (net.Conn, error) {
		if to != address {
			dialled.Add(1)
		}
		return (&net.Dialer{}).DialContext(ctx, network, to)
	}
	s := dial(t, config)
	for range 3 {
		if err := shares(t.Context(), s); err != nil {
			t.Fatal(err)
		}
	}
	if n := dialled.Load(); n != 1 {
		t.Errorf("the address that is out of order was dialled %d times", n)
	}
	nobody := describe(t, config.NURLs[0])
	if err := shares(t.Context(), dial(t, nobody)); !errors.Is(err, p2p.ErrUnreachable) {
		t.Errorf("%v, want %v", err, p2p.ErrUnreachable)
	}
}

// A connection that breaks under a request which does no harm twice is tried again; others are left to the caller.
func TestBreaks(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		call  func(context.Context, *gbs.Server) error
		again bool
	}{
		"shares":         {shares, true},
		"version":        {version, true},
		"slot":           {readSlot, true},
		"allocate":       {allocate, false},
		"test-and-write": {testWrite, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var requests atomic.Int32
			config, _ := serve(t, func(_ http.ResponseWriter, r *http.Request) {
				if !strings.HasSuffix(r.URL.Path, "/abort") {
					requests.Add(1)
				}
				panic(http.ErrAbortHandler)
			})
			if err := test.call(t.Context(), dial(t, config)); !errors.Is(err, p2p.ErrUnavailable) {
				t.Errorf("%v, want %v", err, p2p.ErrUnavailable)
			}
			want := int32(1)
			if test.again {
				want = 2
			}
			if n := requests.Load(); n != want {
				t.Errorf("%d requests, want %d", n, want)
			}
		})
	}
}

// A body is its parts, one after another, until whoever lent it takes it back.
func TestLentBody(t *testing.T) {
	t.Parallel()
	parts := [][]byte{[]byte("one"), nil, []byte("and two"), []byte("3")}
	whole := bytes.Join(parts, nil)
	for size := 1; size < len(whole)+2; size++ {
		var got []byte
		b := gbs.NewLentBody(parts...)
		for p := make([]byte, size); ; {
			n, err := b.Read(p)
			if got = append(got, p[:n]...); errors.Is(err, io.EOF) {
				break
			}
		}
		if !bytes.Equal(got, whole) {
			t.Errorf("%d at a time: %q", size, got)
		}
		b = gbs.NewLentBody(parts...)
		p := make([]byte, size)
		if n, err := b.Read(p); n != min(size, len(whole)) || err != nil {
			t.Errorf("read %d of %d: %v", n, size, err)
		}
		if err := b.Close(); err != nil {
			t.Error(err)
		}
		if n, err := b.Read(p); n != 0 || !errors.Is(err, io.EOF) {
			t.Errorf("%d bytes were read of what was taken back (%v)", n, err)
		}
	}
}

func TestParseNURL(t *testing.T) {
	t.Parallel()
	hash := strings.Repeat("A", 43)
	for name, test := range map[string]struct {
		text string
		ok   bool
	}{
		"plain":              {"pb://" + hash + "@example.org:1234/swiss#v=1", true},
		"IPv6":               {"pb://" + hash + "@[::1]:1234/swiss#v=1", true},
		"Tor":                {"pb+tor://" + hash + "@abc.onion:80/swiss#v=1", true},
		"older protocol":     {"pb://" + strings.Repeat("a", 32) + "@tcp:127.0.0.1:1234/swiss", false},
		"no version":         {"pb://" + hash + "@example.org:1234/swiss", false},
		"version 2":          {"pb://" + hash + "@example.org:1234/swiss#v=2", false},
		"other scheme":       {"https://" + hash + "@example.org:1234/swiss#v=1", false},
		"short hash":         {"pb://" + hash[1:] + "@example.org:1234/swiss#v=1", false},
		"padded hash":        {"pb://" + hash + "=@example.org:1234/swiss#v=1", false},
		"loose bits in hash": {"pb://" + hash[1:] + "B@example.org:1234/swiss#v=1", false},
		"no hash":            {"pb://example.org:1234/swiss#v=1", false},
		"a password":         {"pb://" + hash + ":x@example.org:1234/swiss#v=1", false},
		"no port":            {"pb://" + hash + "@example.org/swiss#v=1", false},
		"port 0":             {"pb://" + hash + "@example.org:0/swiss#v=1", false},
		"port 65536":         {"pb://" + hash + "@example.org:65536/swiss#v=1", false},
		"no host":            {"pb://" + hash + "@:1234/swiss#v=1", false},
		"no swissnum":        {"pb://" + hash + "@example.org:1234/#v=1", false},
		"a path":             {"pb://" + hash + "@example.org:1234/a/b#v=1", false},
		"a query":            {"pb://" + hash + "@example.org:1234/swiss?x#v=1", false},
		"long":               {"pb://" + hash + "@example.org:1234/" + strings.Repeat("s", 3000) + "#v=1", false},
		"empty":              {"", false},
	} {
		n, err := gbs.ParseNURL(test.text)
		if (err == nil) != test.ok || err != nil && !errors.Is(err, gbs.ErrNURL) {
			t.Errorf("%s: %v", name, err)
		}
		if err == nil && n.Text() != test.text {
			t.Errorf("%s: it is written as another", name)
		}
		if err != nil && len(test.text) > 0 && strings.Contains(err.Error(), "swiss") {
			t.Errorf("%s: the secret is in the error", name)
		}
	}
}

// A client prints as a name, since there are secrets in it.
func TestPrintServer(t *testing.T) {
	t.Parallel()
	config, _ := serve(t, endless)
	s := dial(t, config)
	for _, text := range []string{fmt.Sprint(s), fmt.Sprintf("%+v", s), fmt.Sprintf("%#v", s), fmt.Sprintf("%+v", config)} {
		if strings.Contains(text, swissnum) || bytes.Contains([]byte(text), []byte("c3dpc3NudW1iZXJ")) {
			t.Errorf("%q has the secret in it", text)
		}
	}
}
