package transfer_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"testing"

	"trunkline/caps"
	"trunkline/grid/chk"
	"trunkline/grid/transfer"
	"trunkline/grid/transfer/gridtest"
)

// plaintext is size bytes that do not repeat within a segment.
func plaintext(size int) []byte {
	b := make([]byte, 0, size+8)
	for i := uint64(0); len(b) < size; i++ {
		b = binary.BigEndian.AppendUint64(b, i*0x9e3779b97f4a7c15)
	}
	return b[:size]
}

// all makes the servers what an upload or a read is given.
func all(servers []*gridtest.Server) []transfer.Server {
	list := make([]transfer.Server, len(servers))
	for i, s := range servers {
		list[i] = s
	}
	return list
}

func config(servers []*gridtest.Server, k, n, happy int, maxSegment uint64) transfer.UploadConfig {
	return transfer.UploadConfig{
		K: k, N: n, Happy: happy, MaxSegment: maxSegment,
		Secret: []byte("convergence"), Servers: all(servers),
	}
}

// put uploads and fails the test if it cannot.
func put(t testing.TB, cfg transfer.UploadConfig, data []byte) (caps.CHKRead, transfer.UploadResult) {
	t.Helper()
	r, err := transfer.Upload(t.Context(), cfg, bytes.NewReader(data), uint64(len(data)))
	if err != nil {
		t.Fatalf("upload: %v", err)
	}
	read, ok := r.Cap.CHK()
	if !ok {
		t.Fatalf("upload made %v", r.Cap)
	}
	return read, r
}

// get opens a file and reads its ciphertext whole, checking the order and
// proof of every segment.
func get(ctx context.Context, cfg transfer.Config, v caps.CHKVerify) (ciphertext []byte, blamed []transfer.Blame, err error) {
	f, err := transfer.Open(ctx, cfg, v)
	if err != nil {
		var few *transfer.NotEnoughSharesError
		if errors.As(err, &few) {
			blamed = few.Blamed
		}
		return nil, blamed, err
	}
	defer f.Close()
	ciphertext, err = readAll(ctx, f, 0, f.Geometry().Segments)
	return ciphertext, f.Blamed(), err
}

func readAll(ctx context.Context, f *transfer.File, first, count int) ([]byte, error) {
	g := f.Geometry()
	v, err := chk.ParseUEB(f.UEB(), verifyOf(f))
	if err != nil {
		return nil, err
	}
	var out []byte
	next := first
	err = f.Read(ctx, first, count, func(s transfer.Segment) error {
		if s.Index != next {
			return errors.New("segments out of order")
		}
		next++
		if len(s.Data) != g.SegmentLen(s.Index) {
			return errors.New("segment of a wrong length")
		}
		h := caps.CrypttextSegmentHash(s.Data)
		if err := caps.VerifyChain(v.CrypttextRoot, g.Segments, s.Index, h, s.Chain); err != nil {
			return err
		}
		out = append(out, s.Data...)
		return nil
	})
	if err == nil && next != first+count {
		err = errors.New("segments missing")
	}
	return out, err
}

// verifyOf makes a verify cap that the file's UEB fits, to parse it with.
func verifyOf(f *transfer.File) caps.CHKVerify {
	g := f.Geometry()
	return caps.CHKVerify{UEBHash: caps.UEBHash(f.UEB()), K: g.K, N: g.N, Size: g.Size}
}

// decrypted checks that ciphertext is data under the key, or the part of it
// from offset on.
func decrypted(t testing.TB, read caps.CHKRead, ciphertext, data []byte, offset uint64) {
	t.Helper()
	got := bytes.Clone(ciphertext)
	chk.Decrypt(read.Key(), offset, got)
	if !bytes.Equal(got, data) {
		t.Fatalf("%d bytes came back, not the %d that were stored", len(got), len(data))
	}
}
