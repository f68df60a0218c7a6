package longdistance_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"sync"
	"testing"

	"trunkline/caps"
	"trunkline/grid/longdistance"
	"trunkline/grid/ssk"
	"trunkline/p2p"
)

// changeable is one version of a mutable file, as a contact point has it.
type changeable struct {
	verify    caps.MutableVerify
	key       caps.MutableReadKey
	header    ssk.Header
	publicKey []byte
	signature []byte
	shares    []*ssk.Share
	entries   [][][]byte // by share, then segment
	plaintext []byte
}

// pair is the key pair of file number n, made once.
func pair(n int) *ssk.Keys {
	pairsMu.Lock()
	defer pairsMu.Unlock()
	if k, ok := pairs[n]; ok {
		return k
	}
	k, err := ssk.GenerateKeys()
	if err != nil {
		panic(err)
	}
	pairs[n] = k
	return k
}

var (
	pairsMu sync.Mutex
	pairs   = make(map[int]*ssk.Keys)
)

// newChangeable makes version seq of file number n, of size bytes, any k of n
// shares of which are enough.
func newChangeable(t testing.TB, n int, format ssk.Format, seq uint64, size, k, shares int) *changeable {
	t.Helper()
	keys := pair(n)
	e, err := ssk.NewEncoder(ssk.EncoderConfig{Keys: keys, Format: format, Seq: seq, K: k, N: shares, Length: uint64(size)})
	must(t, err)
	c := &changeable{plaintext: make([]byte, size), entries: make([][][]byte, shares)}
	r := rand.New(rand.NewPCG(seq, uint64(size)))
	for i := range c.plaintext {
		c.plaintext[i] = byte(r.Uint32())
	}
	for seg := range e.Header().Segments() {
		at := int(e.Header().SegmentOffset(seg))
		entries, err := e.Encode(seg, c.plaintext[at:at+e.Header().SegmentLen(seg)])
		must(t, err)
		for i, entry := range entries.Data {
			c.entries[i] = append(c.entries[i], append([]byte(nil), entry...))
		}
		entries.Release()
	}
	encoded, err := e.Finish()
	must(t, err)
	kind := caps.KindSDMF
	if format == ssk.MDMF {
		kind = caps.KindMDMF
	}
	write, err := keys.Cap(kind)
	must(t, err)
	c.verify, _ = write.MutableVerify()
	c.key, _ = write.MutableReadKey()
	for num := range shares {
		whole := encoded.Front(num)
		for _, e := range c.entries[num] {
			whole = append(whole, e...)
		}
		c.load(t, num, append(whole, encoded.Back(num)...))
	}
	return c
}

// load reads a share as if it came from a server.
func (c *changeable) load(t testing.TB, num int, whole []byte) {
	t.Helper()
	head, err := ssk.ParseHead(whole)
	must(t, err)
	cut := func(s ssk.Section) []byte { return whole[s.Offset : s.Offset+s.Length] }
	chain, err := ssk.ParseChain(cut(head.ShareChain()))
	must(t, err)
	nodes := ssk.Nodes(0, cut(head.BlockTree()))
	s, err := ssk.NewShare(head.Header, num, nodes[0].Hash, chain)
	must(t, err)
	var entries [][]byte
	for seg := range head.Segments() {
		entries = append(entries, cut(head.Entry(seg)))
		must(t, s.Check(seg, entries[seg], nodes))
	}
	c.header, c.publicKey, c.signature = head.Header, cut(head.PublicKey()), cut(head.Signature())
	c.entries[num] = entries
	c.shares = append(c.shares, s)
}

// kept is a version whose every byte is the same in each run: an MDMF file of 100
// bytes, any 2 of 3 shares of which are enough.
func kept(t testing.TB) *changeable {
	t.Helper()
	text, err := os.ReadFile("testdata/version/cap")
	must(t, err)
	read, err := caps.Parse(strings.TrimSpace(string(text)))
	must(t, err)
	c := &changeable{entries: make([][][]byte, 3)}
	c.verify, _ = read.MutableVerify()
	c.key, _ = read.MutableReadKey()
	c.plaintext, err = os.ReadFile("testdata/version/plaintext")
	must(t, err)
	for num := range c.entries {
		whole, err := os.ReadFile(fmt.Sprintf("testdata/version/share%d", num))
		must(t, err)
		c.load(t, num, whole)
	}
	return c
}

// putVersion puts a version on the shelf.
func (s *shelf) putVersion(c *changeable) *shelf {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.versions == nil {
		s.versions = make(map[caps.MutableVerify]*changeable)
	}
	s.versions[c.verify] = c
	return s
}

func (s *shelf) OpenMutable(_ context.Context, r longdistance.Request) (longdistance.Version, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c, ok := s.versions[r.Mutable.Cap]
	if !ok {
		return nil, fmt.Errorf("nothing on the shelf: %w", p2p.ErrNotFound)
	}
	s.opened++
	return &shelvedVersion{s, c}, nil
}

type shelvedVersion struct {
	shelf *shelf
	*changeable
}

func (v *shelvedVersion) Header() ssk.Header { return v.header }
func (v *shelvedVersion) PublicKey() []byte  { return v.publicKey }
func (v *shelvedVersion) Signature() []byte  { return v.signature }

func (v *shelvedVersion) ReadBlocks(ctx context.Context, first, count int, fn func(longdistance.Blocks) error) error {
	for seg := first; seg < first+count; seg++ {
		if v.shelf.before != nil {
			if err := v.shelf.before(ctx, seg); err != nil {
				return err
			}
		}
		b := longdistance.Blocks{Index: seg}
		for i := range v.header.K {
			num := v.header.K - 1 - i // in no order that matters
			if v.shelf.use != nil {
				num = v.shelf.use(seg, i)
			}
			b.Shares = append(b.Shares, v.shares[num])
			b.Entries = append(b.Entries, v.entries[num][seg])
		}
		if err := fn(b); err != nil {
			return err
		}
	}
	return nil
}

func (v *shelvedVersion) Close() error {
	v.shelf.mu.Lock()
	defer v.shelf.mu.Unlock()
	v.shelf.closed++
	return nil
}

// padded is what the segments that hold a range cost.
func (c *changeable) padded(offset, length uint64) (n uint64) {
	first, count := c.header.Cover(offset, length)
	for i := first; i < first+count; i++ {
		n += uint64(c.header.PaddedLen(i))
	}
	return n
}

// wanted asks for a whole mutable file.
func wanted(c *changeable) longdistance.Request {
	return longdistance.Request{Mutable: &longdistance.Wish{Cap: c.verify}, Length: 1 << 63}
}

// opened decodes and decrypts segments.
func (c *changeable) opened(h ssk.Header, b longdistance.Blocks) ([]byte, error) {
	d, err := ssk.NewDecoder(h, nil)
	if err != nil {
		return nil, err
	}
	var blocks []ssk.Block
	for i, s := range b.Shares {
		blocks = append(blocks, ssk.Block{Num: s.Num(), Entry: b.Entries[i]})
	}
	out, salt, err := d.Decode(b.Index, nil, blocks)
	if err != nil {
		return nil, err
	}
	ssk.Decrypt(c.key, salt, 0, out, out)
	return out, nil
}

// fetchVersion opens and reads a request for c to its end, and returns the
// segments' plaintext and what version it is of.
func (p *payer) fetchVersion(ctx context.Context, c *changeable, r longdistance.Request, offers ...longdistance.Offer) ([]byte, ssk.Header, error) {
	f, err := p.OpenMutable(ctx, longdistance.NewRoute(offers...), r)
	if err != nil {
		return nil, ssk.Header{}, err
	}
	first, count := f.Header().Cover(r.Offset, r.Length)
	var got []byte
	err = f.ReadBlocks(ctx, first, count, func(b longdistance.Blocks) error {
		plain, err := c.opened(f.Header(), b)
		got = append(got, plain...)
		return err
	})
	return got, f.Header(), errors.Join(err, f.Close())
}

// OpenMutable makes the gateway without a policy one for mutable files, too.
func (s *onwardSource) OpenMutable(ctx context.Context, r longdistance.Request) (longdistance.Version, error) {
	v, err := s.payer.OpenMutable(ctx, longdistance.NewRoute(s.offer), r)
	if err != nil {
		return nil, err
	}
	return v, nil
}
