package p2p_test

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"trunkline/caps"
	"trunkline/p2p"
	"trunkline/p2p/pb"
)

func TestFrameLengths(t *testing.T) {
	t.Parallel()
	const limit = 100_000
	varint := func(n uint64) []byte { return binary.AppendUvarint(nil, n) }
	for _, tc := range []struct {
		name string
		in   []byte
		want error // nil: a message
	}{
		{"empty stream", nil, io.EOF},
		{"zero length", []byte{0}, nil},
		{"one byte short of its message", append(varint(3), 8, 1), io.ErrUnexpectedEOF},
		{"length cut after its first byte", []byte{0x80}, io.ErrUnexpectedEOF},
		{"at the limit, nothing behind", varint(limit), io.ErrUnexpectedEOF},
		{"at the limit, half behind", append(varint(limit), make([]byte, limit/2)...), io.ErrUnexpectedEOF},
		{"one above the limit", varint(limit + 1), p2p.ErrTooLarge},
		{"2^31", varint(1 << 31), p2p.ErrTooLarge},
		{"2^32-1", varint(math.MaxUint32), p2p.ErrTooLarge},
		{"2^63-1", varint(math.MaxInt64), p2p.ErrTooLarge},
		{"2^63", varint(1 << 63), p2p.ErrTooLarge},
		{"2^64-1", varint(math.MaxUint64), p2p.ErrTooLarge},
		{"2^64 and more", bytes.Repeat([]byte{0xff}, 20), p2p.ErrTooLarge},
		{"zero in two bytes", []byte{0x80, 0}, p2p.ErrFrame},
		{"one in two bytes", []byte{0x81, 0, 8}, p2p.ErrFrame},
		{"one in nine bytes", []byte{0x81, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0}, p2p.ErrFrame},
		{"not a message", []byte{1, 0xff}, p2p.ErrMalformed},
		{"text that is not UTF-8", []byte{3, 0x12, 1, 0xff}, p2p.ErrMalformed},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			_, held, err := p2p.ReadFrame(tc.in, &pb.Failure{}, limit)
			if !errors.Is(err, tc.want) {
				t.Fatalf("got %v, want %v", err, tc.want)
			}
			if held > limit {
				t.Fatalf("%d bytes allocated, the limit is %d", held, limit)
			}
			if errors.Is(err, p2p.ErrTooLarge) && held > 0 {
				t.Fatalf("%d bytes allocated for a length that is refused", held)
			}
		})
	}
}

// TestFrameTruncated cuts a frame at each byte.
func TestFrameTruncated(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"x", strings.Repeat("long ", 1000)} {
		frame, err := p2p.AppendFrame(nil, &pb.Failure{Kind: 7, Text: text})
		if err != nil {
			t.Fatal(err)
		}
		for cut := 1; cut < len(frame); cut++ {
			if _, _, err := p2p.ReadFrame(frame[:cut], &pb.Failure{}, 1<<16); !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Fatalf("cut at %d of %d: %v, want io.ErrUnexpectedEOF", cut, len(frame), err)
			}
		}
	}
}

// TestExample holds the example in PROTOCOL.md to what the code does.
func TestExample(t *testing.T) {
	t.Parallel()
	doc, err := os.ReadFile("PROTOCOL.md")
	if err != nil {
		t.Fatal(err)
	}
	said := strings.Join(strings.Fields(string(doc)), "")
	key, err := caps.ParsePeerID(goodID)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range []proto.Message{
		p2p.Failure(fmt.Errorf("share 3: %w", p2p.ErrNotFound)),
		p2p.Peer{Key: key, Addrs: []string{"/ip4/192.0.2.7/tcp/4001"}}.Proto(),
	} {
		frame, err := p2p.AppendFrame(nil, m)
		if err != nil {
			t.Fatal(err)
		}
		if got := hex.EncodeToString(frame); !strings.Contains(said, got) {
			t.Errorf("PROTOCOL.md does not have this frame of %v:\n%s", m, got)
		}
	}
}

func FuzzFrame(f *testing.F) {
	f.Fuzz(func(t *testing.T, in []byte) {
		const limit = 8192
		var m pb.Failure
		used, held, err := p2p.ReadFrame(in, &m, limit)
		if held > limit {
			t.Fatalf("%d bytes allocated, the limit is %d", held, limit)
		}
		if err != nil {
			return
		}
		// What was read prints to a frame that reads the same.
		frame, err := p2p.AppendFrame(nil, &m)
		if err != nil {
			t.Fatal(err)
		}
		var again pb.Failure
		if _, _, err := p2p.ReadFrame(frame, &again, limit+16); err != nil || !proto.Equal(&m, &again) {
			t.Fatalf("%x read, then %v read back with %v", in[:used], &again, err)
		}
	})
}
