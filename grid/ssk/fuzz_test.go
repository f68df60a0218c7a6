package ssk_test

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

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

// Whatever a server shows as a share: if it verifies, it is a version that was signed.
func FuzzShare(f *testing.F) {
	needSeeds(f, "FuzzShare")
	files := []entry{vector(f, "sdmf-1000-2of3"), vector(f, "mdmf-1000-2of3")}
	f.Fuzz(func(t *testing.T, b []byte, num int) {
		for _, e := range files {
			v := verifyCap(t, parseCap(t, e.Cap))
			h, err := ssk.VerifyShare(bytes.NewReader(b), uint64(len(b)), v, num)
			if err != nil {
				continue
			}
			good, err := ssk.ParseHead(e.shares(t)[0])
			if err != nil || h.Header != good.Header {
				t.Errorf("another version verifies: %+v", h)
			}
		}
	})
}

func needSeeds(f *testing.F, target string) {
	f.Helper()
	if list, err := os.ReadDir(filepath.Join("testdata", "fuzz", target)); err != nil || len(list) < 4 {
		f.Fatalf("%d seeds for %s: %v", len(list), target, err)
	}
}
