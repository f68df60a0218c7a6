package ssk_test

import (
	"bytes"
	"fmt"
	"testing"

	"trunkline/grid/fec"
	"trunkline/grid/ssk"
)

func BenchmarkGenerateKeys(b *testing.B) {
	for b.Loop() {
		if _, err := ssk.GenerateKeys(); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkSign(b *testing.B) {
	keys := testKeys(b)
	for b.Loop() {
		if _, err := keys.Sign(ssk.Header{Seq: 1, K: 3, N: 10}); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkOpenKeys(b *testing.B) {
	keys := testKeys(b)
	sealed, w := keys.Sealed(), keys.WriteKey()
	for b.Loop() {
		if _, err := ssk.OpenKeys(w, sealed); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkVerifySignature(b *testing.B) {
	keys := testKeys(b)
	h := ssk.Header{Seq: 1, K: 3, N: 10}
	sig, err := keys.Sign(h)
	if err != nil {
		b.Fatal(err)
	}
	v, der := verifyCap(b, capOf(b, keys, ssk.SDMF)), keys.PublicDER()
	for b.Loop() {
		if err := ssk.VerifySignature(v, h, der, sig); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkEncode(b *testing.B) {
	keys := testKeys(b)
	for _, f := range []ssk.Format{ssk.SDMF, ssk.MDMF} {
		b.Run(f.String(), func(b *testing.B) {
			plain := pattern("bench", 8<<20)
			b.SetBytes(int64(len(plain)))
			for b.Loop() {
				e, err := ssk.NewEncoder(ssk.EncoderConfig{Keys: keys, Format: f, Seq: 1, K: 3, N: 10, Length: uint64(len(plain))})
				if err != nil {
					b.Fatal(err)
				}
				for seg := range e.Header().Segments() {
					d, err := e.EncodeFrom(seg, bytes.NewReader(plain))
					if err != nil {
						b.Fatal(err)
					}
					d.Release()
				}
				if _, err := e.Finish(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkVerifyShare(b *testing.B) {
	keys := testKeys(b)
	shares, _ := encode(b, ssk.EncoderConfig{Keys: keys, Format: ssk.MDMF, Seq: 1, K: 3, N: 10}, pattern("bench", 8<<20))
	v := verifyCap(b, capOf(b, keys, ssk.MDMF))
	b.SetBytes(int64(len(shares[0])))
	for b.Loop() {
		if _, err := ssk.VerifyShare(bytes.NewReader(shares[0]), uint64(len(shares[0])), v, 0); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkFar compares what a receiver has to do, and how much proof it gets, in the two ways of tahoe-formats 6.10:
// checking decoded ciphertext by encoding it again, or checking the k blocks that it is decoded from.
func BenchmarkFar(b *testing.B) {
	keys := testKeys(b)
	for _, c := range []struct {
		f    ssk.Format
		k, n int
		size int
	}{{ssk.SDMF, 3, 10, 100 << 10}, {ssk.MDMF, 3, 10, 8 << 20}, {ssk.MDMF, 1, 5, 8 << 20}, {ssk.MDMF, 25, 100, 8 << 20}} {
		plain := pattern("far", c.size)
		shares, x := encode(b, ssk.EncoderConfig{Keys: keys, Format: c.f, Seq: 1, K: c.k, N: c.n}, plain)
		h := x.Head().Header
		code, err := fec.New(c.k, c.n)
		if err != nil {
			b.Fatal(err)
		}
		d, err := ssk.NewDecoder(h, code)
		if err != nil {
			b.Fatal(err)
		}
		v := verifyCap(b, capOf(b, keys, c.f))
		last := make([]int, c.k) // no primary block: all has to be decoded
		first := make([]int, c.k)
		for i := range c.k {
			first[i], last[i] = i, c.n-c.k+i
		}
		name := fmt.Sprintf("%s-%dof%d-%d", c.f, c.k, c.n, c.size)
		for which, nums := range map[string][]int{"primary": first, "parity": last} {
			b.Run(name+"/forwarded-"+which, func(b *testing.B) {
				s := newSender(b, v, shares, nums...)
				var all [][]ssk.Block
				for seg := range h.Segments() {
					all = append(all, s.segment(b, seg))
				}
				proof := 34*s.nodes + c.k*(32+34*len(all[0][0].Chain))
				buf := make([]byte, h.PaddedLen(0))
				b.SetBytes(int64(c.size))
				for b.Loop() {
					r := ssk.NewReceiver(h)
					for seg, blocks := range all {
						if err := r.Check(seg, blocks); err != nil {
							b.Fatal(err)
						}
						if _, _, err := d.Decode(seg, buf, blocks); err != nil {
							b.Fatal(err)
						}
					}
				}
				b.ReportMetric(float64(proof)/float64(c.size)*1e6, "proof-B/MB")
			})
		}
		b.Run(name+"/encoded-again", func(b *testing.B) {
			all := ordered(c.n)
			s := newSender(b, v, shares, all...)
			type segment struct {
				cipher []byte
				salt   [ssk.SaltLen]byte
				proofs []ssk.Block
			}
			segments := make([]segment, h.Segments())
			for seg := range segments {
				blocks := s.segment(b, seg)
				cipher, salt, err := d.Decode(seg, nil, blocks[:c.k])
				if err != nil {
					b.Fatal(err)
				}
				segments[seg] = segment{cipher, salt, blocks}
			}
			proof := 34*s.nodes + 32*c.n
			b.SetBytes(int64(c.size))
			for b.Loop() {
				r := ssk.NewReceiver(h) // stands for n trees under one root
				for seg, s := range segments {
					if err := checkAgain(r, h, code, seg, s.cipher, s.salt, s.proofs); err != nil {
						b.Fatal(err)
					}
				}
			}
			b.ReportMetric(float64(proof)/float64(c.size)*1e6, "proof-B/MB")
		})
	}
}

// checkAgain is the receiver of the first way: it makes all n blocks and ties each to the root.
func checkAgain(r *ssk.Receiver, h ssk.Header, code *fec.Code, seg int, cipher []byte, salt [ssk.SaltLen]byte, proofs []ssk.Block) error {
	lead, size := h.EntryLen(seg)-h.BlockLen(seg), h.EntryLen(seg)
	buf := make([]byte, size*h.N)
	blocks, entries := make([][]byte, h.N), make([]ssk.Block, h.N)
	rest := cipher
	for i := range blocks {
		entry := buf[i*size : (i+1)*size]
		copy(entry[:lead], salt[:])
		blocks[i] = entry[lead:]
		if i < h.K {
			rest = rest[copy(blocks[i], rest):]
		}
		entries[i] = ssk.Block{Num: i, Entry: entry, Proof: proofs[i].Proof}
	}
	if err := code.Encode(blocks); err != nil {
		return err
	}
	return r.Check(seg, entries)
}
