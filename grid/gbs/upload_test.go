package gbs_test

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"trunkline/caps"
	"trunkline/grid/gbs"
	"trunkline/grid/storage"
	"trunkline/p2p"
)

// uploads is a server that takes one share of one file, number 1, and notes what comes.
type uploads struct {
	mu     sync.Mutex
	size   int
	data   []byte
	have   map[int]bool // bytes that came
	writes []string     // Content-Range of each
	aborts int
	listed bool
	break1 bool // the answer to the write that completes the share is lost
	refuse int  // status of all writes
	late   int  // writes to the share that was complete
}

func (u *uploads) complete() bool { return len(u.have) == u.size }

func (u *uploads) handle(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	u.mu.Lock()
	defer u.mu.Unlock()
	switch {
	case r.Method == http.MethodPost:
		cborHex("a2 6c616c72656164792d68617665 d9010280 69616c6c6f6361746564 d9010281 01")(w, r)
	case strings.HasSuffix(r.URL.Path, "/abort"):
		u.aborts++
	case strings.HasSuffix(r.URL.Path, "/shares"):
		u.listed = true
		if u.complete() {
			cborHex("d9010281 01")(w, r)
		} else {
			cborHex("d9010280")(w, r)
		}
	case r.Method == http.MethodPatch:
		u.write(w, r, body)
	}
}

func (u *uploads) write(w http.ResponseWriter, r *http.Request, body []byte) {
	if u.refuse != 0 {
		w.WriteHeader(u.refuse)
		return
	}
	if u.complete() {
		u.late++
		w.WriteHeader(http.StatusNotFound)
		return
	}
	var first, last int
	if _, err := fmt.Sscanf(r.Header.Get("Content-Range"), "bytes %d-%d/*", &first, &last); err != nil || last-first+1 != len(body) {
		w.WriteHeader(http.StatusRequestedRangeNotSatisfiable)
		return
	}
	u.writes = append(u.writes, fmt.Sprintf("%d-%d", first, last))
	for i, c := range body {
		if u.have[first+i] && u.data[first+i] != c {
			w.WriteHeader(http.StatusConflict)
			return
		}
		u.have[first+i], u.data[first+i] = true, c
	}
	if u.complete() && u.break1 {
		panic(http.ErrAbortHandler)
	}
	status := http.StatusOK
	if u.complete() {
		status = http.StatusCreated
	}
	required, _ := hex.DecodeString("a168726571756972656480")
	answer(status, "application/cbor", string(required))(w, r)
}

// begin allocates share 1, of size bytes.
func begin(t *testing.T, u *uploads, size int) (s *gbs.Server, data []byte) {
	t.Helper()
	u.size, u.data, u.have = size, make([]byte, size), make(map[int]bool)
	config, _ := serve(t, u.handle)
	s = dial(t, config)
	have, allocated, err := s.Allocate(t.Context(), caps.StorageIndex{}, []int{1}, uint64(size), [32]byte{}, [32]byte{})
	if err != nil || len(have) != 0 || len(allocated) != 1 {
		t.Fatalf("have %v, allocated %v, %v", have, allocated, err)
	}
	data = make([]byte, size)
	for i := range data {
		data[i] = byte(i * i >> 3)
	}
	return s, data
}

var file = caps.StorageIndex{}

// Small writes travel together, and the last bytes only with the commit: the server would show the share before.
func TestWritesGather(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		size   int
		writes []string
	}{
		"a short one at the end": {5 << 19, []string{"0-1048575", "1048576-2097151", "2097152-2621439"}},
		"a full one at the end":  {2 << 20, []string{"0-1048575", "1048576-2097151"}},
		"one byte":               {1, []string{"0-0"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			u := &uploads{}
			s, data := begin(t, u, test.size)
			const piece = 100_001
			for off := 0; off < len(data); off += piece {
				part := bytes.Clone(data[off:min(off+piece, len(data))])
				if err := s.Write(t.Context(), file, 1, uint64(off), part); err != nil {
					t.Fatal(err)
				}
				clear(part)
			}
			if err := s.Commit(t.Context(), caps.StorageIndex{1}, 1); !errors.Is(err, storage.ErrNoUpload) {
				t.Errorf("a commit of another file: %v", err)
			}
			u.mu.Lock()
			if len(u.writes) >= len(test.writes) {
				t.Errorf("before the commit the server has %v", u.writes)
			}
			u.mu.Unlock()
			if err := s.Commit(t.Context(), file, 1); err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(u.writes, test.writes) || u.late > 0 {
				t.Errorf("writes %v and %d behind them, want %v", u.writes, u.late, test.writes)
			}
			if !bytes.Equal(u.data, data) {
				t.Error("the share differs")
			}
			if err := s.Write(t.Context(), file, 1, 0, data[:1]); !errors.Is(err, storage.ErrNoUpload) {
				t.Errorf("a write after the commit: %v", err)
			}
		})
	}
}

// Bytes may come in any order, and again, if they are the same.
func TestWriteAgain(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		at, length int
		change     int // a byte of the second write that differs; negative: none
		want       error
	}{
		"same, sent":         {10, 20, -1, nil},
		"same, not sent":     {1500, 100, -1, nil},
		"same, both":         {900, 1100, -1, nil},
		"all of it":          {0, 2000, -1, nil},
		"other, sent":        {10, 20, 15, storage.ErrConflict},
		"other, not sent":    {1500, 100, 1550, storage.ErrConflict},
		"other, sent of two": {900, 1100, 950, storage.ErrConflict},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			u := &uploads{}
			s, data := begin(t, u, 2000)
			for _, span := range [][2]int{{0, 400}, {600, 1000}, {400, 600}, {1000, 2000}} { // only what follows on gathers
				if err := s.Write(t.Context(), file, 1, uint64(span[0]), data[span[0]:span[1]]); err != nil {
					t.Fatal(err)
				}
			}
			again := bytes.Clone(data[test.at : test.at+test.length])
			if test.change >= 0 {
				again[test.change-test.at] ^= 1
			}
			err := s.Write(t.Context(), file, 1, uint64(test.at), again)
			if err == nil {
				err = s.Commit(t.Context(), file, 1)
			}
			if !errors.Is(err, test.want) || test.want == nil && !bytes.Equal(u.data, data) {
				t.Errorf("%v, want %v", err, test.want)
			}
		})
	}
}

// A commit whose answer is lost succeeded if the share is listed.
func TestCommitAnswerLost(t *testing.T) {
	t.Parallel()
	u := &uploads{break1: true}
	s, data := begin(t, u, 1000)
	if err := s.Write(t.Context(), file, 1, 0, data); err != nil {
		t.Fatal(err)
	}
	if err := s.Commit(t.Context(), file, 1); err != nil || !u.listed {
		t.Errorf("%v, listed %v", err, u.listed)
	}
}

// A write that is refused surfaces, at the commit at the latest, and the server is told to forget the upload.
func TestWriteRefused(t *testing.T) {
	t.Parallel()
	for status, want := range map[int]error{
		http.StatusNotFound:            storage.ErrNoUpload,
		http.StatusConflict:            storage.ErrConflict,
		http.StatusUnauthorized:        p2p.ErrDenied,
		http.StatusInternalServerError: p2p.ErrInternal,
	} {
		t.Run(http.StatusText(status), func(t *testing.T) {
			t.Parallel()
			u := &uploads{refuse: status}
			s, data := begin(t, u, 3<<20)
			err := s.Write(t.Context(), file, 1, 0, data)
			if err == nil {
				err = s.Commit(t.Context(), file, 1)
			}
			if !errors.Is(err, want) {
				t.Errorf("%v, want %v", err, want)
			}
		})
	}
}

func TestWriteBounds(t *testing.T) {
	t.Parallel()
	u := &uploads{}
	s, data := begin(t, u, 1000)
	for name, at := range map[string]uint64{"past the end": 1, "beyond": 2000, "near 2^64": 1<<64 - 1} {
		if err := s.Write(t.Context(), file, 1, at, data); !errors.Is(err, storage.ErrRange) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := s.Write(t.Context(), file, 2, 0, data); !errors.Is(err, storage.ErrNoUpload) {
		t.Errorf("another share: %v", err)
	}
	if err := s.Abort(t.Context(), file, 1); err != nil || u.aborts != 1 {
		t.Errorf("abort: %v, %d requests", err, u.aborts)
	}
	if err := s.Commit(t.Context(), file, 1); !errors.Is(err, storage.ErrNoUpload) {
		t.Errorf("commit after the abort: %v", err)
	}
}
