package p2p

import (
	"bufio"
	"bytes"
	"io"
	"net/netip"
	"strconv"
	"time"

	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"
	"google.golang.org/protobuf/proto"

	"trunkline/caps"
)

// Libp2p returns the host under h.
func Libp2p(h *Host) host.Host { return h.host }

// ReadFrame reads one message from b. It returns how many bytes that took and
// how many were allocated to hold the encoded message.
func ReadFrame(b []byte, m proto.Message, limit int) (used, held int, err error) {
	source := bytes.NewReader(b)
	r := bufio.NewReaderSize(source, headerBuffer)
	scratch, err := readFrame(r, m, limit, nil)
	return len(b) - source.Len() - r.Buffered(), cap(scratch), err
}

// AppendFrame writes one message behind its length.
func AppendFrame(b []byte, m proto.Message) ([]byte, error) { return appendFrame(b, m) }

// Dialable is the dial filter.
func Dialable(a ma.Multiaddr, allowPrivate bool) bool {
	return gater{allowPrivate: allowPrivate}.dialable(a)
}

// IsPublic is what the dial filter thinks of an IP address.
var IsPublic = isPublic

// RankTCPFirst is the dial ranker.
var RankTCPFirst = rankTCPFirst

// KeyOfID is what the connection gater asks of a peer ID.
func KeyOfID(id peer.ID) (caps.PublicKey, error) { return keyOfID(id) }

// Gate says whether the gater lets a peer pass, dialled and secured.
func Gate(id peer.ID) (dial, secured bool) {
	g := gater{}
	return g.InterceptPeerDial(id), g.InterceptSecured(network.DirInbound, id, nil)
}

// ConnectionsFrom opens connections from one address until the resource
// manager of c refuses, and returns how many it took.
func ConnectionsFrom(c Config, from netip.Addr) (int, error) {
	c, err := c.withDefaults()
	if err != nil {
		return 0, err
	}
	m, err := newResourceManager(c)
	if err != nil {
		return 0, err
	}
	defer m.Close()
	proto := "/ip4/"
	if from.Is6() {
		proto = "/ip6/"
	}
	a, err := ma.NewMultiaddr(proto + from.String() + "/tcp/4001")
	if err != nil {
		return 0, err
	}
	for n := 0; ; n++ {
		scope, err := m.OpenConnection(network.DirInbound, true, a)
		if err != nil {
			return n, nil //nolint:nilerr // the refusal is the result
		}
		// Each is another peer's, and through its handshake.
		if err := scope.SetPeer(peer.ID(strconv.Itoa(n))); err != nil {
			return n, nil //nolint:nilerr // the refusal is the result
		}
	}
}

// Deadlines returns how often a deadline was set while n bytes were read, or
// written, in one step, when the peer delivers or takes chunk bytes at a time.
func Deadlines(n, chunk int) (reading, writing int, err error) {
	raw := &drip{left: n, chunk: chunk}
	h := &Host{}
	h.buffers.New = func() any { b := make([]byte, 0, writeBuffer); return &b }
	s := newStream(neverEnds{}, raw, caps.PublicKey{}, "/test", time.Minute, &h.buffers)
	if err := s.ReadData(make([]byte, n)); err != nil {
		return 0, 0, err
	}
	if err := s.write(make([]byte, n)); err != nil {
		return 0, 0, err
	}
	return raw.reads, raw.writes, nil
}

// drip is a raw stream that counts deadlines.
type drip struct {
	left, chunk   int
	reads, writes int
}

func (d *drip) Read(p []byte) (int, error) {
	n := min(len(p), d.chunk, d.left)
	d.left -= n
	if n == 0 && len(p) > 0 {
		return 0, io.EOF
	}
	return n, nil
}
func (d *drip) Write(p []byte) (int, error)                  { return len(p), nil }
func (d *drip) Close() error                                 { return nil }
func (d *drip) CloseWrite() error                            { return nil }
func (d *drip) ResetWithError(network.StreamErrorCode) error { return nil }
func (d *drip) SetReadDeadline(time.Time) error              { d.reads++; return nil }
func (d *drip) SetWriteDeadline(time.Time) error             { d.writes++; return nil }

// neverEnds is a context that no test has to cancel.
type neverEnds struct{}

func (neverEnds) Deadline() (time.Time, bool) { return time.Time{}, false }
func (neverEnds) Done() <-chan struct{}       { return nil }
func (neverEnds) Err() error                  { return nil }
func (neverEnds) Value(any) any               { return nil }
