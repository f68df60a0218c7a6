package ssk

import "trunkline/caps"

// Encoded is a finished version: all of its shares but the entries. Safe for concurrent use.
//
// A whole share is Front, the entries of all segments, Back, in this order and without gaps. A share of the old
// version changes in place by writing Front at 0, the entries of the segments that were encoded at Head().Entry(seg),
// Back at Head().Front().Length plus the length of all entries, which is where BackOffset says, and ending the share
// at Head().Size().
type Encoded struct {
	head                         Head
	trees                        []caps.Tree // block hash trees, by share
	shares                       caps.Tree
	publicKey, signature, sealed []byte
}

// Head is that of all the shares, and with it the header.
func (x *Encoded) Head() Head { return x.head }

// Signature over the header. Read only.
func (x *Encoded) Signature() []byte { return x.signature }

// PublicKey is the file's. Read only.
func (x *Encoded) PublicKey() []byte { return x.publicKey }

// Front is everything of share num before its entries. The caller owns the result.
func (x *Encoded) Front(num int) []byte {
	b := make([]byte, x.head.data.Offset)
	copy(b, x.head.Bytes())
	copy(b[x.head.publicKey.Offset:], x.publicKey)
	copy(b[x.head.signature.Offset:], x.signature)
	appendChain(b[:x.head.shareChain.Offset], x.shares.Chain(num))
	if x.head.Format == SDMF {
		x.tree(b[x.head.blockTree.Offset:], num)
	} else {
		copy(b[x.head.privateKey.Offset:], x.sealed)
	}
	return b
}

// Back is everything of share num after its entries: with SDMF the private key, with MDMF the block hash tree. The
// caller owns the result.
func (x *Encoded) Back(num int) []byte {
	if x.head.Format == SDMF {
		return append([]byte(nil), x.sealed...)
	}
	b := make([]byte, x.head.blockTree.Length)
	x.tree(b, num)
	return b
}

// BackOffset is where Back lies in the share.
func (x *Encoded) BackOffset() uint64 { return x.head.data.end() }

func (x *Encoded) tree(b []byte, num int) {
	for i, h := range x.trees[num] {
		copy(b[32*i:], h[:])
	}
}
