package web

import (
	"bytes"
	"context"
	"io"
	"os"
	"strconv"
	"strings"
	"testing"
)

// An upload is as long as it was said to be, and waits where nobody else finds it.
func TestSpool(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		sent   int
		want   int64
		status int
	}{
		{"nothing", 0, 0, 0},
		{"in memory", inMemory, inMemory, 0},
		{"on disk", inMemory + 1, inMemory + 1, 0},
		{"of no known length", inMemory + 1, -1, 0},
		{"short, in memory", 9, 10, 400},
		{"short, on disk", inMemory + 1, inMemory + 2, 400},
		{"long, on disk", inMemory + 2, inMemory + 1, 400},
		{"as long as can be", 2 * inMemory, -1, 0},
		{"longer than can be", 2*inMemory + 1, -1, 413},
		{"said to be longer than can be", 0, 2*inMemory + 1, 413},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := &spool{dir: t.TempDir(), max: 2 * inMemory}
			sent := strings.Repeat("x", c.sent)
			u, err := s.take(context.Background(), strings.NewReader(sent), c.want, nil)
			if status(err) != c.status {
				t.Fatalf("status %d, want %d: %v", status(err), c.status, err)
			}
			if err == nil {
				got, err := io.ReadAll(io.NewSectionReader(u, 0, int64(u.size)))
				if err != nil || !bytes.Equal(got, []byte(sent)) {
					t.Errorf("%d bytes were kept, want %d: %v", len(got), c.sent, err)
				}
				if u.file != nil && !u.named {
					if info, err := u.file.Stat(); err != nil || info.Mode().Perm() != 0o600 {
						t.Errorf("its mode is %v, %v", info.Mode(), err)
					}
				}
			}
			u.Close()
			if left, err := os.ReadDir(s.dir); err != nil || len(left) > 0 {
				t.Errorf("left behind: %v, %v", left, err)
			}
		})
	}
}

// What has arrived of an upload can be read while the rest is on its way; of one
// that breaks off nothing is read afterwards.
func TestSpoolWhileItArrives(t *testing.T) {
	t.Parallel()
	const half = inMemory + 1
	first, second := bytes.Repeat([]byte("1"), half), bytes.Repeat([]byte("2"), half)
	for _, whole := range []bool{true, false} {
		t.Run(strconv.FormatBool(whole), func(t *testing.T) {
			t.Parallel()
			s := &spool{dir: t.TempDir(), max: 2 * half}
			src, body := io.Pipe()
			go func() { body.Write(first) }() //nolint:errcheck // the reader sees what is missing
			u, err := s.begin(t.Context(), src, 2*half, nil)
			if err != nil {
				t.Fatal(err)
			}
			defer u.Close()
			got := make([]byte, half)
			if _, err := u.ReadAt(got, 0); err != nil || !bytes.Equal(got, first) {
				t.Fatalf("the first half, before the second was sent: %v", err)
			}
			go func() {
				if whole {
					body.Write(second) //nolint:errcheck // as above
				}
				body.Close()
			}()
			_, err = u.ReadAt(got, half)
			if !whole {
				if status(err) != 400 || status(u.whole()) != 400 {
					t.Errorf("the second half, which never came: %v, %v", err, u.whole())
				}
				return
			}
			if err != nil || !bytes.Equal(got, second) || u.whole() != nil {
				t.Errorf("the second half: %v, %v", err, u.whole())
			}
		})
	}
}
