package ssk_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"trunkline/caps"
	"trunkline/grid/ssk"
)

// A head that parses writes itself back, and its sections lie where a reader may look.
func FuzzParseHead(f *testing.F) {
	needSeeds(f, "FuzzParseHead")
	f.Fuzz(func(t *testing.T, b []byte) {
		h, err := ssk.ParseHead(b)
		if err != nil {
			return
		}
		if again := h.Bytes(); !bytes.Equal(again, b[:len(again)]) {
			t.Error("head comes out differently")
		}
		if again, err := ssk.ParseHeader(h.Prefix()); err != nil || again != h.Header {
			t.Errorf("header comes out differently: %v", err)
		}
		sections := []ssk.Section{h.PublicKey(), h.Signature(), h.PrivateKey(), h.ShareChain(), h.BlockTree()}
		if n := h.Segments(); n > 0 {
			sections = append(sections, h.Entry(0), h.Entry(n-1))
		}
		for _, s := range sections {
			if s.Offset+s.Length > h.Size() || s.Offset+s.Length < s.Offset {
				t.Errorf("section %+v of a share of %d bytes", s, h.Size())
			}
		}
		if got := h.PaddedLen(0); got < 0 || got > ssk.MaxSegment+h.K {
			t.Errorf("segment of %d bytes", got)
		}
	})
}

// Whatever a server makes of a share, with bytes changed, cut or added: if it verifies, it is the version that was
// signed. The input is the change, which keeps it short.
func FuzzShare(f *testing.F) {
	needSeeds(f, "FuzzShare")
	type file struct {
		v      caps.MutableVerify
		head   ssk.Head
		shares map[int][]byte
	}
	var files []file
	for _, id := range []string{"sdmf-1000-2of3", "mdmf-1000-2of3", "mdmf-0-3of10", "sdmf-shrunk-3of10"} {
		e := vector(f, id)
		shares := e.shares(f)
		head, err := ssk.ParseHead(shares[0])
		if err != nil {
			f.Fatal(err)
		}
		files = append(files, file{verifyCap(f, parseCap(f, e.Cap)), head, shares})
	}
	f.Fuzz(func(t *testing.T, which uint8, num int, at uint16, patch []byte, length uint16) {
		file := files[int(which)%len(files)]
		b := append(bytes.Clone(file.shares[((num%3)+3)%3]), make([]byte, 100)...)
		copy(b[int(at)%len(b):], patch)
		b = b[:min(int(length), len(b))]
		head, err := ssk.VerifyShare(bytes.NewReader(b), uint64(len(b)), file.v, num)
		if err != nil {
			if !errors.Is(err, ssk.ErrCorrupt) && !errors.Is(err, ssk.ErrNoSegment) {
				t.Errorf("%v is no verdict", err)
			}
			return
		}
		if head.Header != file.head.Header {
			t.Errorf("another version verifies: %+v", head)
		}
	})
}

func needSeeds(f *testing.F, target string) {
	f.Helper()
	if list, err := os.ReadDir(filepath.Join("testdata", "fuzz", target)); err != nil || len(list) < 4 {
		f.Fatalf("%d seeds for %s: %v", len(list), target, err)
	}
}
