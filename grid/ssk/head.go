package ssk

import (
	"encoding/binary"
	"fmt"
	"math"

	"trunkline/caps"
)

// Section is a part of a share: offset from the share's first byte and length, in bytes. It converts to a
// storage.Range.
type Section struct{ Offset, Length uint64 }

func (s Section) end() uint64 { return s.Offset + s.Length }

// Head is the beginning of a share: its version and where its parts lie. The signature covers the header alone; the
// places are the share's own claim, and what is found there is checked on its own. Values compare with ==: Tahoe
// counts shares together only if their heads are equal.
type Head struct {
	Header
	signature, publicKey, shareChain, blockTree, data, privateKey Section
}

const (
	chainEntry = 34 // u16 node number, hash
	sdmfHead   = 107
	mdmfHead   = 123

	// mdmfData is where the entries of MDMF shares begin, because Tahoe's updates in place count on it: the header
	// and the largest private key, signature, public key and chain that there once were.
	mdmfData = mdmfHead + 1220 + 260 + 292 + 272
)

// ParseHead reads the beginning of a share, HeadMax bytes or all of it. Every section has a length that fits the
// header and its bound, and none overlaps another; whether the share is long enough is seen when reading.
//
// Errors: ErrLayout.
func ParseHead(b []byte) (Head, error) {
	header, err := ParseHeader(b)
	if err != nil {
		return Head{}, err
	}
	h := Head{Header: header}
	if header.Format == SDMF {
		err = h.parseSDMF(b)
	} else {
		err = h.parseMDMF(b)
	}
	if err != nil {
		return Head{}, err
	}
	return h, h.fit()
}

// parseSDMF reads the offsets of tahoe-formats 6.6.
func (h *Head) parseSDMF(b []byte) error {
	if len(b) < sdmfHead {
		return fmt.Errorf("%w: %d bytes of a head of %d", ErrLayout, len(b), sdmfHead)
	}
	u32 := func(at int) uint64 { return uint64(binary.BigEndian.Uint32(b[at:])) }
	at := []uint64{
		sdmfHead, u32(75), u32(79), u32(83), u32(87),
		binary.BigEndian.Uint64(b[91:]), binary.BigEndian.Uint64(b[99:]),
	}
	return split(at, &h.publicKey, &h.signature, &h.shareChain, &h.blockTree, &h.data, &h.privateKey)
}

// parseMDMF reads the offsets of tahoe-formats 6.7.
func (h *Head) parseMDMF(b []byte) error {
	if len(b) < mdmfHead {
		return fmt.Errorf("%w: %d bytes of a head of %d", ErrLayout, len(b), mdmfHead)
	}
	at := []uint64{mdmfHead}
	for i := mdmfPrefix; i < mdmfHead; i += 8 {
		at = append(at, binary.BigEndian.Uint64(b[i:]))
	}
	var lead, gap Section
	return split(at, &lead, &h.privateKey, &h.shareChain, &h.signature, &h.publicKey, &gap, &h.data, &h.blockTree)
}

// split makes sections of the places where they begin and the last one ends.
func split(at []uint64, sections ...*Section) error {
	for i, s := range sections {
		if at[i+1] < at[i] || at[i+1] > math.MaxInt64 {
			return fmt.Errorf("%w: offsets are not in order", ErrLayout)
		}
		*s = Section{at[i], at[i+1] - at[i]}
	}
	return nil
}

// fit checks the sections' lengths.
func (h Head) fit() error {
	for _, s := range []struct {
		what  string
		got   Section
		exact bool
		want  uint64
	}{
		{"public key", h.publicKey, false, MaxPublicKey},
		{"signature", h.signature, false, MaxSignature},
		{"private key", h.privateKey, false, MaxPrivateKey},
		{"share hash chain", h.shareChain, true, uint64(chainLen(h.N))},
		{"block hash tree", h.blockTree, true, 32 * uint64(caps.TreeNodes(h.Segments()))},
		{"data", h.data, true, h.dataLen()},
	} {
		if s.got.Length > s.want || s.exact && s.got.Length != s.want {
			return fmt.Errorf("%w: %s of %d bytes, not %d", ErrLayout, s.what, s.got.Length, s.want)
		}
	}
	return nil
}

// newHead lays out the shares of a version as Tahoe does, from the lengths of what is not given by the header.
//
// Errors: ErrGeometry.
func newHead(header Header, publicKey, signature, privateKey int) (Head, error) {
	if err := header.Validate(); err != nil {
		return Head{}, err
	}
	h := Head{Header: header}
	h.publicKey.Length = uint64(publicKey)
	h.signature.Length = uint64(signature)
	h.privateKey.Length = uint64(privateKey)
	h.shareChain.Length = uint64(chainLen(header.N))
	h.blockTree.Length = 32 * uint64(caps.TreeNodes(header.Segments()))
	h.data.Length = header.dataLen()
	if header.Format == SDMF {
		place(sdmfHead, &h.publicKey, &h.signature, &h.shareChain, &h.blockTree, &h.data, &h.privateKey)
		if h.data.Offset > math.MaxUint32 {
			return Head{}, fmt.Errorf("%w: does not fit an SDMF share", ErrGeometry)
		}
		return h, nil
	}
	place(mdmfHead, &h.privateKey, &h.shareChain, &h.signature, &h.publicKey)
	if h.publicKey.end() > mdmfData {
		return Head{}, fmt.Errorf("%w: keys do not fit an MDMF share", ErrGeometry)
	}
	place(mdmfData, &h.data, &h.blockTree)
	return h, nil
}

// place puts sections back to back.
func place(at uint64, sections ...*Section) {
	for _, s := range sections {
		s.Offset = at
		at = s.end()
	}
}

// Bytes is the share's beginning that ParseHead reads: 107 bytes for SDMF, 123 for MDMF. The caller owns the result.
func (h Head) Bytes() []byte {
	b := h.Prefix()
	if h.Format == SDMF {
		for _, s := range []Section{h.signature, h.shareChain, h.blockTree, h.data} {
			b = binary.BigEndian.AppendUint32(b, uint32(s.Offset))
		}
		b = binary.BigEndian.AppendUint64(b, h.privateKey.Offset)
		return binary.BigEndian.AppendUint64(b, h.privateKey.end())
	}
	for _, at := range []uint64{
		h.privateKey.Offset, h.shareChain.Offset, h.signature.Offset, h.publicKey.Offset,
		h.publicKey.end(), h.data.Offset, h.blockTree.Offset, h.blockTree.end(),
	} {
		b = binary.BigEndian.AppendUint64(b, at)
	}
	return b
}

// Signature is where the signature over the header lies, at most MaxSignature bytes.
func (h Head) Signature() Section { return h.signature }

// PublicKey is where the public key lies, at most MaxPublicKey bytes.
func (h Head) PublicKey() Section { return h.publicKey }

// PrivateKey is where the private key lies, sealed with the write key, at most MaxPrivateKey bytes. No hash covers it.
func (h Head) PrivateKey() Section { return h.privateKey }

// ShareChain is where the share hash chain lies, for ParseChain, at most MaxChain bytes.
func (h Head) ShareChain() Section { return h.shareChain }

// BlockTree is where the whole block hash tree lies, nodes of 32 bytes by number.
func (h Head) BlockTree() Section { return h.blockTree }

// BlockTreeNode is where one node of it lies, 0 <= number < TreeNodes(Segments()). Node 0 is the root.
func (h Head) BlockTreeNode(number int) Section {
	return Section{h.blockTree.Offset + 32*uint64(number), 32}
}

// Entry is where the share keeps what it has of segment seg: the block, with MDMF the salt and the block. Entries lie
// back to back.
func (h Head) Entry(seg int) Section {
	return Section{h.data.Offset + uint64(seg)*uint64(h.EntryLen(0)), uint64(h.EntryLen(seg))}
}

// Front is everything before the entries: head, public key, signature and chain, with SDMF the block hash tree, with
// MDMF the private key. A read of FirstRead bytes gets them all where Tahoe or we wrote.
func (h Head) Front() Section { return Section{0, h.data.Offset} }

// Size is the length of the share in bytes. A container may hold more, left over from longer versions.
func (h Head) Size() uint64 { return max(h.privateKey.end(), h.blockTree.end()) }
