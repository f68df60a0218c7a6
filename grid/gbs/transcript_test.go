package gbs_test

import (
	"bytes"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"

	"trunkline/caps"
	"trunkline/grid/gbs"
	"trunkline/grid/storage"
)

// transcript is what was said to a real Tahoe server, and what it answered.
type transcript struct {
	NURL        string
	Swissnum    string
	Certificate string `json:"certificate_pem"`
	Exchanges   []*exchange
}

type exchange struct {
	Name, Method, Path string
	RequestHeaders     [][2]string `json:"request_headers"`
	RequestBody        string      `json:"request_body_hex"`
	Status             int
	ResponseHeaders    [][2]string `json:"response_headers"`
	ResponseBody       string      `json:"response_body_hex"`
}

func readTranscript(t *testing.T) transcript {
	t.Helper()
	b, err := os.ReadFile("testdata/gbs-transcript.json")
	if err != nil {
		t.Fatal(err)
	}
	var tr transcript
	if err := json.Unmarshal(b, &tr); err != nil {
		t.Fatal(err)
	}
	if len(tr.Exchanges) != 52 {
		t.Fatalf("%d exchanges", len(tr.Exchanges))
	}
	return tr
}

func (tr transcript) find(t *testing.T, name string) *exchange {
	t.Helper()
	i := slices.IndexFunc(tr.Exchanges, func(e *exchange) bool { return e.Name == name })
	if i < 0 {
		t.Fatalf("no exchange %q", name)
	}
	return tr.Exchanges[i]
}

// matters are the headers by which a server tells requests apart, sorted. The upload secret is ours to choose.
func matters(header http.Header) []string {
	var lines []string
	for _, name := range []string{"Authorization", "Accept", "Content-Type", "Content-Range", "Range", "X-Tahoe-Authorization"} {
		for _, v := range header[name] {
			if strings.HasPrefix(v, "upload-secret ") {
				v = "upload-secret"
			}
			lines = append(lines, name+": "+v)
		}
	}
	slices.Sort(lines)
	return lines
}

// What we send is what Tahoe's client sent, byte for byte, and what the real server answered to it means what we take
// it for.
func TestTranscript(t *testing.T) {
	t.Parallel()
	tr := readTranscript(t)
	var mu sync.Mutex
	var expected *exchange
	config, _ := serve(t, func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		e := expected
		mu.Unlock()
		body, _ := io.ReadAll(r.Body)
		want := http.Header{"Accept": {"application/cbor"}}
		for _, h := range e.RequestHeaders {
			if h[0] != "Accept" {
				want.Add(h[0], h[1])
			}
		}
		if r.Method != e.Method || r.URL.Path != e.Path || hex.EncodeToString(body) != e.RequestBody {
			t.Errorf("%s: sent %s %s %x, want %s %s %s", e.Name, r.Method, r.URL.Path, body, e.Method, e.Path, e.RequestBody)
		}
		if got, want := matters(r.Header), matters(want); !slices.Equal(got, want) {
			t.Errorf("%s: headers %q, want %q", e.Name, got, want)
		}
		answer, err := hex.DecodeString(e.ResponseBody)
		if err != nil {
			t.Error(err)
		}
		for _, h := range e.ResponseHeaders {
			if h[0] != "Transfer-Encoding" && h[0] != "Content-Length" {
				w.Header().Set(h[0], h[1])
			}
		}
		w.WriteHeader(e.Status)
		_, _ = w.Write(answer)
	})
	s := dial(t, config)
	si := caps.StorageIndex(mustDecode(t, "aebagbafaydqqcikbmga2dqpca"))
	slot := caps.StorageIndex(mustDecode(t, "aabacagbaaqdaqcqmbyibefawa"))
	unknown := caps.StorageIndex{}
	fill := func(c byte) [32]byte { return [32]byte(bytes.Repeat([]byte{c}, 32)) }
	ctx := t.Context()
	read := func(si caps.StorageIndex, num int, offset, length uint64) func() error {
		return func() error {
			return s.Read(ctx, si, num, []storage.Range{{Offset: offset, Length: length}}, [][]byte{make([]byte, length)})
		}
	}
	testWrite := func(enabler byte, applied bool, want map[int][][]byte) func() error {
		return func() error {
			r, err := s.TestWrite(ctx, slot, storage.TestWrite{
				Enabler: fill(enabler), Renew: fill('r'), Cancel: fill('c'),
				Shares: []storage.ShareChange{{
					Num: 3, Tests: []storage.Test{{Offset: 0, Size: 1}}, Writes: []storage.Change{{Offset: 0, Data: []byte("xxxxxxxxxx")}},
				}},
				Reads: []storage.Range{{Offset: 0, Length: 5}},
			})
			if err == nil && (r.Applied != applied || !reflect.DeepEqual(r.Read, want)) {
				return fmt.Errorf("applied %v, read %v", r.Applied, r.Read)
			}
			return err
		}
	}
	for _, step := range []struct {
		name string
		do   func() error
		want error
	}{
		{"version", func() error {
			v, err := s.Version(ctx)
			if err == nil && (v.Application != "tahoe-lafs/unknown" || v.Available != 0xdd218e000 || v.MaxImmutable != v.Available || v.MaxMutable != 0xf582a1a1341000) {
				err = fmt.Errorf("version %+v", v)
			}
			return err
		}, nil},
		{"list-empty", func() error {
			infos, err := s.Shares(ctx, si)
			if len(infos) > 0 {
				err = errors.New("there are shares")
			}
			return err
		}, nil},
		{"allocate", func() error {
			have, allocated, err := s.Allocate(ctx, si, []int{1, 7}, 48, fill('r'), fill('c'))
			if err == nil && (len(have) > 0 || !slices.Equal(allocated, []int{1, 7})) {
				err = fmt.Errorf("have %v, allocated %v", have, allocated)
			}
			return err
		}, nil},
		{"abort", func() error { return s.Abort(ctx, si, 7) }, nil},
		{"read-range", read(si, 1, 10, 10), nil},
		{"read-range-past", read(si, 1, 40, 60), storage.ErrRange},
		{"read-range-beyond", read(si, 1, 48, 52), storage.ErrRange},
		{"lease", func() error { return s.AddLease(ctx, si, fill('r'), fill('c')) }, nil},
		{"lease-unknown", func() error { return s.AddLease(ctx, unknown, fill('r'), fill('c')) }, storage.ErrNotFound},
		{"corrupt", func() error { return s.Advise(ctx, si, 1, "bad hash") }, nil},
		{"corrupt-404", func() error { return s.Advise(ctx, si, 3, "bad hash") }, storage.ErrNotFound},
		{"mut-create", testWrite('w', true, map[int][][]byte{}), nil},
		{"mut-testfail", testWrite('w', false, map[int][][]byte{3: {[]byte("xxxxx")}}), nil},
		{"mut-badwe", testWrite('q', false, nil), storage.ErrEnabler},
		{"mut-list-unknown", func() error {
			got, err := s.ReadSlot(ctx, unknown, nil, []storage.Range{{Offset: 0, Length: 1}})
			if len(got) > 0 {
				err = errors.New("there are shares")
			}
			return err
		}, nil},
		{"mut-read", func() error {
			got, err := s.ReadSlot(ctx, slot, []int{3}, []storage.Range{{Offset: 2, Length: 3}})
			if err == nil && string(got[3][0]) != "xxx" {
				err = fmt.Errorf("read %v", got)
			}
			return err
		}, nil},
		{"mut-read-404", func() error {
			got, err := s.ReadSlot(ctx, slot, []int{4}, []storage.Range{{Offset: 2, Length: 3}})
			if len(got) > 0 {
				err = errors.New("there is a share")
			}
			return err
		}, nil},
		{"mut-read-beyond", func() error {
			got, err := s.ReadSlot(ctx, slot, []int{3}, []storage.Range{{Offset: 20, Length: 5}})
			if err == nil && (len(got) != 1 || len(got[3][0]) > 0) {
				err = fmt.Errorf("read %v", got)
			}
			return err
		}, nil},
		{"mut-delete", func() error {
			r, err := s.TestWrite(ctx, slot, storage.TestWrite{
				Enabler: fill('w'), Renew: fill('r'), Cancel: fill('c'), Shares: []storage.ShareChange{{Num: 3, Truncate: true}},
			})
			if err == nil && (!r.Applied || len(r.Read[3]) > 0) {
				err = fmt.Errorf("applied %v, read %v", r.Applied, r.Read)
			}
			return err
		}, nil},
	} {
		mu.Lock()
		expected = tr.find(t, step.name)
		mu.Unlock()
		if err := step.do(); !errors.Is(err, step.want) {
			t.Errorf("%s: %v, want %v", step.name, err, step.want)
		}
	}
}

// The pin of a real server's NURL is the hash of its certificate's key.
func TestRealNURL(t *testing.T) {
	t.Parallel()
	tr := readTranscript(t)
	n, err := gbs.ParseNURL(tr.NURL)
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode([]byte(tr.Certificate))
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	if n.SPKI != sha256.Sum256(cert.RawSubjectPublicKeyInfo) {
		t.Error("the pin is not the hash of the key")
	}
	if n.Address() != "127.0.0.1:45671" || n.Text() != tr.NURL {
		t.Errorf("address %s", n.Address())
	}
	if text := fmt.Sprintf("%v %+v %#v %s %q %x", n, n, n, n, n, n); strings.Contains(text, tr.Swissnum) {
		t.Error("the secret is printed")
	}
}

func mustDecode(t *testing.T, text string) []byte {
	t.Helper()
	b, err := caps.DecodeBase32(text)
	if err != nil {
		t.Fatal(err)
	}
	return b
}
