package area_test

import (
	"encoding/hex"
	"errors"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ipfs/boxo/ipns"
	"github.com/ipfs/boxo/path"
	"github.com/libp2p/go-libp2p/core/crypto"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"trunkline/caps"
	"trunkline/p2p"
	"trunkline/p2p/area"
	"trunkline/p2p/area/pb"
	p2ppb "trunkline/p2p/pb"
)

// foreign signs an IPNS record as other tools would.
func foreign(t testing.TB, key crypto.PrivKey, value string, seq uint64, end time.Time, opts ...ipns.Option) []byte {
	t.Helper()
	p, err := path.NewPath(value)
	if err != nil {
		t.Fatal(err)
	}
	record, err := ipns.NewRecord(key, p, seq, end, time.Minute, opts...)
	if err != nil {
		t.Fatal(err)
	}
	b, err := ipns.MarshalRecord(record)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func plain() ipns.Option { return ipns.WithV1Compatibility(false) }

func metadata(b any) ipns.Option { return ipns.WithMetadata(map[string]any{"_trunkline": b}) }

func TestRecordOpen(t *testing.T) {
	t.Parallel()
	g := newGrid(t)
	good := g.record(g.delegate, 3, 7, start)
	info, err := good.Open(g.area, start)
	if err != nil {
		t.Fatal(err)
	}
	if info.Area != g.area || info.Delegate != publicKey(t, g.delegate) || info.DelegationSeq != 3 || info.SheetSeq != 7 ||
		!info.NotAfter.Equal(start.Add(area.SheetLife)) || info.Sheet.Name != "Grid A, sheet 7" || info.Sheet.Epoch != 5 ||
		len(info.Sheet.Contacts) != 1 || info.Sheet.Contacts[0].String() != g.sheet().Contacts[0].String() {
		t.Fatalf("opened as %+v", info)
	}

	stranger := testKey(t, 77)
	thousand := &pb.Sheet{}
	for range 1000 {
		thousand.Contacts = append(thousand.Contacts, &p2ppb.Peer{Key: publicKey(t, g.delegate).Bytes()})
	}
	marshal := func(m proto.Message) []byte {
		b, err := proto.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	ends := start.Add(time.Hour)
	noop := ipns.NoopValue
	sheetOf := func(b any) []byte { return foreign(t, g.delegate, noop, 1, ends, plain(), metadata(b)) }
	contact := publicKey(t, g.delegate).Bytes()
	weak := make([]byte, 32) // order 4
	unknown := protowire.AppendVarint(protowire.AppendTag(nil, 99, protowire.VarintType), 1)

	for _, tc := range []struct {
		name   string
		record area.Record
		now    time.Time
		want   error
	}{
		{"nothing at all", area.Record{}, start, area.ErrMalformed},
		{"no sheet", area.Record{Delegation: good.Delegation}, start, area.ErrMalformed},
		{"layers swapped", area.Record{Delegation: good.Sheet, Sheet: good.Delegation}, start, area.ErrSignature},
		{"sheet expired", good, start.Add(area.SheetLife + 1), area.ErrExpired},
		{"both expired", good, start.Add(area.DelegationLife + time.Hour), area.ErrExpired},
		{"delegation by a stranger", area.Record{Delegation: mustDelegate(t, stranger, g.delegate), Sheet: good.Sheet}, start, area.ErrSignature},
		{"sheet by a stranger", area.Record{Delegation: good.Delegation, Sheet: g.record(stranger, 1, 8, start).Sheet}, start, area.ErrSignature},
		{"sheet by the grid key", area.Record{Delegation: good.Delegation, Sheet: g.record(g.delegate, 1, 8, start).Delegation}, start, area.ErrSignature},
		{"delegation is no path to a key", area.Record{Delegation: foreign(t, g.key, noop, 1, ends, plain()), Sheet: good.Sheet}, start, area.ErrMalformed},
		{"delegation to an old-style name", area.Record{Delegation: foreign(t, g.key, "/ipns/"+publicKey(t, g.delegate).String(), 1, ends, plain()), Sheet: good.Sheet}, start, area.ErrMalformed},
		{"delegation to a path behind a key", area.Record{Delegation: foreign(t, g.key, "/ipns/"+caps.NewAreaCode(publicKey(t, g.delegate)).String()+"/x", 1, ends, plain()), Sheet: good.Sheet}, start, area.ErrMalformed},
		{"delegation to a weak key", area.Record{Delegation: foreign(t, g.key, "/ipns/k51qzi5uqu5dg7hin2celae34lqmtp708tkh0v7o8txgmu84ry3v0utr3zifwg", 1, ends, plain()), Sheet: good.Sheet}, start, area.ErrMalformed},
		{"delegation to itself", area.Record{Delegation: foreign(t, g.key, "/ipns/"+g.area.String(), 1, ends, plain()), Sheet: good.Sheet}, start, area.ErrMalformed},
		{"delegation with a sheet in it", area.Record{Delegation: foreign(t, g.key, "/ipns/"+caps.NewAreaCode(publicKey(t, g.delegate)).String(), 1, ends, plain(), metadata([]byte{})), Sheet: good.Sheet}, start, area.ErrMalformed},
		{"version 1 and 2 together", area.Record{Delegation: foreign(t, g.key, "/ipns/"+caps.NewAreaCode(publicKey(t, g.delegate)).String(), 1, ends), Sheet: good.Sheet}, start, area.ErrMalformed},
		{"unsigned field in front", area.Record{Delegation: append(slices.Clone(unknown), good.Delegation...), Sheet: good.Sheet}, start, area.ErrMalformed},
		{"unsigned field behind", area.Record{Delegation: good.Delegation, Sheet: append(slices.Clone(good.Sheet), unknown...)}, start, area.ErrMalformed},
		{"sequence 0", area.Record{Delegation: foreign(t, g.key, "/ipns/"+caps.NewAreaCode(publicKey(t, g.delegate)).String(), 0, ends, plain()), Sheet: good.Sheet}, start, area.ErrMalformed},
		{"sequence 2^63", area.Record{Delegation: foreign(t, g.key, "/ipns/"+caps.NewAreaCode(publicKey(t, g.delegate)).String(), 1<<63, ends, plain()), Sheet: good.Sheet}, start, area.ErrMalformed},
		{"delegation of 20 KiB", area.Record{Delegation: make([]byte, 20<<10), Sheet: good.Sheet}, start, area.ErrTooLarge},
		{"sheet of 20 KiB", area.Record{Delegation: good.Delegation, Sheet: make([]byte, 20<<10)}, start, area.ErrTooLarge},
		{"a thousand contacts", area.Record{Delegation: good.Delegation, Sheet: foreign(t, g.delegate, noop, 1, ends, plain(), metadata(marshal(thousand)[:9000]))}, start, area.ErrTooLarge},
		{"33 contacts", area.Record{Delegation: good.Delegation, Sheet: sheetOf(marshal(&pb.Sheet{Contacts: thousand.Contacts[:33]}))}, start, area.ErrTooLarge},
		{"one contact twice", area.Record{Delegation: good.Delegation, Sheet: sheetOf(marshal(&pb.Sheet{Contacts: thousand.Contacts[:2]}))}, start, area.ErrMalformed},
		{"a contact with a weak key", area.Record{Delegation: good.Delegation, Sheet: sheetOf(marshal(&pb.Sheet{Contacts: []*p2ppb.Peer{{Key: weak}}}))}, start, area.ErrMalformed},
		{"a clearinghouse with a weak key", area.Record{Delegation: good.Delegation, Sheet: sheetOf(marshal(&pb.Sheet{Clearinghouses: []*p2ppb.Peer{{Key: weak}}}))}, start, area.ErrMalformed},
		{"a contact that is no address", area.Record{Delegation: good.Delegation, Sheet: sheetOf(marshal(&pb.Sheet{Contacts: []*p2ppb.Peer{{Key: contact, Addrs: []string{"http://x"}}}}))}, start, area.ErrMalformed},
		{"17 addresses", area.Record{Delegation: good.Delegation, Sheet: sheetOf(marshal(&pb.Sheet{Contacts: []*p2ppb.Peer{{Key: contact, Addrs: slices.Repeat([]string{"/ip4/1.1.1.1/tcp/1"}, 17)}}}))}, start, area.ErrMalformed},
		{"a name with a line break", area.Record{Delegation: good.Delegation, Sheet: sheetOf(marshal(&pb.Sheet{Name: "a\nb"}))}, start, area.ErrMalformed},
		{"a name of 65 bytes", area.Record{Delegation: good.Delegation, Sheet: sheetOf(marshal(&pb.Sheet{Name: strings.Repeat("n", 65)}))}, start, area.ErrTooLarge},
		{"a tariff of 1025 bytes", area.Record{Delegation: good.Delegation, Sheet: sheetOf(marshal(&pb.Sheet{Tariff: make([]byte, 1025)}))}, start, area.ErrTooLarge},
		{"a sheet that is text", area.Record{Delegation: good.Delegation, Sheet: sheetOf("text")}, start, area.ErrMalformed},
		{"a sheet that is no protobuf", area.Record{Delegation: good.Delegation, Sheet: sheetOf([]byte{0xff})}, start, area.ErrMalformed},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			if _, err := tc.record.Open(g.area, tc.now); !errors.Is(err, tc.want) {
				t.Fatalf("got %v, want %v", err, tc.want)
			}
		})
	}
	t.Run("another area's record", func(t *testing.T) {
		t.Parallel()
		other := caps.NewAreaCode(publicKey(t, stranger))
		if _, err := good.Open(other, start); !errors.Is(err, area.ErrSignature) {
			t.Fatalf("got %v, want ErrSignature", err)
		}
		if _, err := good.Open(caps.AreaCode{}, start); !errors.Is(err, area.ErrMalformed) {
			t.Fatalf("no area: %v", err)
		}
	})
	t.Run("valid to the last instant, whatever the machine's clock says", func(t *testing.T) {
		t.Parallel()
		for _, now := range []time.Time{start.AddDate(-50, 0, 0), start.Add(area.SheetLife)} {
			if _, err := good.Open(g.area, now); err != nil {
				t.Fatal(err)
			}
		}
		old := g.record(g.delegate, 1, 1, start.AddDate(-20, 0, 0))
		if _, err := old.Open(g.area, start.AddDate(-20, 0, 0)); err != nil {
			t.Fatal(err)
		}
	})
}

func mustDelegate(t testing.TB, by, to crypto.PrivKey) []byte {
	t.Helper()
	b, err := area.NewDelegation(by, publicKey(t, to), 1, start, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestEveryFlippedBit changes each bit of a record: it never opens.
func TestEveryFlippedBit(t *testing.T) {
	t.Parallel()
	g := newGrid(t)
	good := g.record(g.delegate, 1, 1, start)
	for _, layer := range []string{"delegation", "sheet"} {
		n := len(good.Delegation)
		if layer == "sheet" {
			n = len(good.Sheet)
		}
		for bit := range n * 8 {
			bad := area.Record{Delegation: slices.Clone(good.Delegation), Sheet: slices.Clone(good.Sheet)}
			b := bad.Delegation
			if layer == "sheet" {
				b = bad.Sheet
			}
			b[bit/8] ^= 1 << (bit % 8)
			if _, err := bad.Open(g.area, start); err == nil {
				t.Fatalf("bit %d of the %s does not matter", bit, layer)
			}
		}
		for cut := range n {
			bad := good
			if layer == "sheet" {
				bad.Sheet = good.Sheet[:cut]
			} else {
				bad.Delegation = good.Delegation[:cut]
			}
			if _, err := bad.Open(g.area, start); err == nil {
				t.Fatalf("the %s opens when cut to %d bytes", layer, cut)
			}
		}
	}
}

func TestSigningRefuses(t *testing.T) {
	t.Parallel()
	g := newGrid(t)
	delegate := publicKey(t, g.delegate)
	for name, tc := range map[string]struct {
		sign func() ([]byte, error)
		want error
	}{
		"itself as delegate": {func() ([]byte, error) { return area.NewDelegation(g.key, g.area.Key(), 1, start, time.Hour) }, area.ErrMalformed},
		"no delegate":        {func() ([]byte, error) { return area.NewDelegation(g.key, caps.PublicKey{}, 1, start, time.Hour) }, area.ErrMalformed},
		"sequence 0":         {func() ([]byte, error) { return area.NewDelegation(g.key, delegate, 0, start, time.Hour) }, area.ErrMalformed},
		"sequence 2^63":      {func() ([]byte, error) { return area.NewDelegation(g.key, delegate, 1<<63, start, time.Hour) }, area.ErrMalformed},
		"valid for no time":  {func() ([]byte, error) { return area.NewDelegation(g.key, delegate, 1, start, 0) }, area.ErrExpired},
		"no key":             {func() ([]byte, error) { return area.NewSheet(nil, g.sheet(), 1, start, time.Hour) }, p2p.ErrConfig},
		"a name too long": {func() ([]byte, error) {
			return area.NewSheet(g.delegate, area.Sheet{Name: strings.Repeat("n", 65)}, 1, start, time.Hour)
		}, area.ErrTooLarge},
		"a contact without a key": {func() ([]byte, error) {
			return area.NewSheet(g.delegate, area.Sheet{Contacts: []p2p.Peer{{}}}, 1, start, time.Hour)
		}, area.ErrMalformed},
		"a thousand contacts": {func() ([]byte, error) {
			return area.NewSheet(g.delegate, area.Sheet{Contacts: make([]p2p.Peer, 1000)}, 1, start, time.Hour)
		}, area.ErrTooLarge},
		"more than 4 KiB in all": {func() ([]byte, error) {
			s := area.Sheet{}
			for i := range byte(30) {
				long := "/dns4/" + strings.Repeat("a", 60) + "." + strings.Repeat("b", 60) + "/tcp/1"
				s.Contacts = append(s.Contacts, p2p.Peer{Key: publicKey(t, testKey(t, 100+i)), Addrs: []string{long}})
			}
			return area.NewSheet(g.delegate, s, 1, start, time.Hour)
		}, area.ErrTooLarge},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if _, err := tc.sign(); !errors.Is(err, tc.want) {
				t.Fatalf("got %v, want %v", err, tc.want)
			}
		})
	}
}

// TestLargestSheetFits fills every field to its bound, as far as 4 KiB go.
func TestLargestSheetFits(t *testing.T) {
	t.Parallel()
	g := newGrid(t)
	s := area.Sheet{Name: strings.Repeat("n", area.MaxName), Tariff: make([]byte, area.MaxTariff), Epoch: 1<<64 - 1}
	for i := range byte(area.MaxContacts) {
		s.Contacts = append(s.Contacts, p2p.Peer{Key: publicKey(t, testKey(t, 100+i)), Addrs: []string{"/ip4/192.0.2.1/tcp/1"}})
	}
	for i := range byte(area.MaxClearinghouses) {
		s.Clearinghouses = append(s.Clearinghouses, p2p.Peer{Key: publicKey(t, testKey(t, 100+i))})
	}
	b, err := area.NewSheet(g.delegate, s, 1, start, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	r := area.Record{Delegation: mustDelegate(t, g.key, g.delegate), Sheet: b}
	info, err := r.Open(g.area, start)
	if err != nil || len(info.Sheet.Contacts) != area.MaxContacts || len(info.Sheet.Clearinghouses) != area.MaxClearinghouses {
		t.Fatalf("%v", err)
	}
	packed, err := r.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	back, err := area.ParseRecord(packed)
	if err != nil || string(back.Sheet) != string(r.Sheet) || string(back.Delegation) != string(r.Delegation) {
		t.Fatalf("the record changed in its envelope: %v", err)
	}
}

// TestOtherToolsReadOurs opens both layers with boxo alone, as `ipfs name
// inspect` does.
func TestOtherToolsReadOurs(t *testing.T) {
	t.Parallel()
	g := newGrid(t)
	now := time.Now() // boxo has no other clock
	r := g.record(g.delegate, 1, 1, now)
	for name, layer := range map[string][]byte{g.area.String(): r.Delegation, caps.NewAreaCode(publicKey(t, g.delegate)).String(): r.Sheet} {
		n, err := ipns.NameFromString(name)
		if err != nil {
			t.Fatal(err)
		}
		if n.String() != name {
			t.Fatalf("IPNS writes the name %s, we write %s", n, name)
		}
		record, err := ipns.UnmarshalRecord(layer)
		if err != nil {
			t.Fatal(err)
		}
		if err := ipns.ValidateWithName(record, n); err != nil {
			t.Fatal(err)
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
	g := newGrid(t)
	r := g.record(g.delegate, 1, 1, start)
	for name, got := range map[string]string{
		"area code":  g.area.String(),
		"DHT key":    area.RecordKey(0, g.area.Key()),
		"delegation": hex.EncodeToString(r.Delegation),
		"sheet":      hex.EncodeToString(r.Sheet),
	} {
		if !strings.Contains(said, got) {
			t.Errorf("PROTOCOL.md does not have this %s:\n%s", name, got)
		}
	}
}

func TestValidator(t *testing.T) {
	t.Parallel()
	g := newGrid(t)
	c := newClock()
	v := area.Validator{Now: c.Now}
	r := g.record(g.delegate, 1, 1, start)
	grid, delegate := g.area.Key(), publicKey(t, g.delegate)
	name := g.area.String()
	for _, tc := range []struct {
		name, key string
		value     []byte
		want      error
	}{
		{"delegation under the grid's name", area.RecordKey(0, grid), r.Delegation, nil},
		{"and under the last replica", area.RecordKey(area.Replicas-1, grid), r.Delegation, nil},
		{"sheet under the delegate's name", area.RecordKey(1, delegate), r.Sheet, nil},
		{"a replica too many", area.RecordKey(area.Replicas, grid), r.Delegation, area.ErrMalformed},
		{"sheet under the grid's name", area.RecordKey(0, grid), r.Sheet, area.ErrSignature},
		{"delegation under the delegate's name", area.RecordKey(0, delegate), r.Delegation, area.ErrSignature},
		{"an IPNS record that is neither", area.RecordKey(0, grid), foreign(t, g.key, ipns.NoopValue, 1, start.Add(time.Hour), plain()), area.ErrMalformed},
		{"nothing", area.RecordKey(0, grid), nil, area.ErrMalformed},
		{"rubbish", area.RecordKey(0, grid), []byte("rubbish"), area.ErrMalformed},
		{"too large", area.RecordKey(0, grid), make([]byte, 11<<10), area.ErrTooLarge},
		{"two digits", "/area/00/" + name, r.Delegation, area.ErrMalformed},
		{"no digit", "/area//" + name, r.Delegation, area.ErrMalformed},
		{"no name", "/area/0/", r.Delegation, area.ErrMalformed},
		{"upper case name", "/area/0/" + strings.ToUpper(name), r.Delegation, area.ErrMalformed},
		{"peer ID for a name", "/area/0/" + grid.String(), r.Delegation, area.ErrMalformed},
		{"another kind", "/ipns/0/" + name, r.Delegation, area.ErrMalformed},
		{"weak name", "/area/0/k51qzi5uqu5dm51929uk66vs4sy3b4alj4zrl25c3ad0uyc612u1renvoot9xb", r.Delegation, area.ErrMalformed},
		{"expired", area.RecordKey(0, grid), foreign(t, g.key, "/ipns/"+caps.NewAreaCode(delegate).String(), 9, start.Add(-1), plain()), area.ErrExpired},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			if err := v.Validate(tc.key, tc.value); !errors.Is(err, tc.want) {
				t.Fatalf("got %v, want %v", err, tc.want)
			}
		})
	}
	older, newer := g.record(g.delegate, 1, 1, start).Sheet, g.record(g.delegate, 1, 2, start).Sheet
	longer := g.record(g.delegate, 1, 2, start.Add(time.Minute)).Sheet
	if i, err := v.Select("", [][]byte{older, longer, newer}); err != nil || i != 1 {
		t.Fatalf("selected %d, %v", i, err)
	}
	if _, err := v.Select("", nil); err == nil {
		t.Fatal("selected from nothing")
	}
}
