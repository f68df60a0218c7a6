package billing_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"math"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/record"

	"trunkline/billing"
	"trunkline/billing/billingtest"
	"trunkline/billing/sealed"
	"trunkline/caps"
)

var update = flag.Bool("update", false, "write testdata and seeds anew")

// The example: one object of each kind, in one story. PROTOCOL.md shows it.
func exampleTariff(t testing.TB) sealed.Sealed[billing.Tariff] { return billingtest.Tariff(t, nil) }

func exampleApproval(t testing.TB) sealed.Sealed[billing.Approval] {
	return billingtest.Approval(t, exampleTariff(t), nil)
}

func exampleVoucher(t testing.TB) sealed.Sealed[billing.Voucher] {
	return billingtest.Voucher(t, exampleApproval(t), exampleTariff(t), 5_000_000, 3)
}

func exampleReceipt(t testing.TB) sealed.Sealed[billing.Receipt] {
	v := exampleVoucher(t)
	return billingtest.Seal(t, "approver", billing.Receipt{
		Channel: v.Value.Channel, Voucher: v.Hash(), Entry: 1,
		Bytes: v.Value.Bytes, Lookups: v.Value.Lookups, Credits: v.Value.Credits,
		BookedAt: billingtest.Start + 60, Head: [32]byte{1, 2, 3},
	})
}

func exampleStatement(t testing.TB) sealed.Sealed[billing.Statement] {
	v := exampleVoucher(t)
	return billingtest.Seal(t, "approver", billing.Statement{
		Account: billingtest.Public("payer grid"), Period: billingtest.Period,
		IssuedAt: billingtest.Start + billingtest.Day, Currency: "EUR",
		Lines: []billing.Line{{
			Channel: v.Value.Channel, Counterparty: billingtest.Public("payee grid"), Entry: 1,
			Bytes: v.Value.Bytes, Lookups: v.Value.Lookups, Credits: -v.Value.Credits, Voucher: v.Hash(),
		}},
		Debit: v.Value.Credits,
	})
}

// kind is one kind of object, for tables over all of them.
type kind struct {
	example func(testing.TB) []byte
	open    func([]byte) (any, error)
	reseal  func(testing.TB, any) []byte // with the example's signer
	record  func() record.Record
}

func kindOf[T any, P sealed.Object[T]](signer string, example func(testing.TB) sealed.Sealed[T]) kind {
	return kind{
		example: func(t testing.TB) []byte { return example(t).Bytes },
		open: func(b []byte) (any, error) {
			s, err := sealed.Open[T, P](b)
			return s.Value, err
		},
		reseal: func(t testing.TB, v any) []byte { return billingtest.Seal[T, P](t, signer, v.(T)).Bytes },
		record: func() record.Record { return P(new(T)) },
	}
}

var kinds = map[string]kind{
	"tariff":    kindOf("payee grid", exampleTariff),
	"approval":  kindOf("approver", exampleApproval),
	"voucher":   kindOf("payer", exampleVoucher),
	"receipt":   kindOf("approver", exampleReceipt),
	"statement": kindOf("approver", exampleStatement),
}

// TestSubstitution offers each object as each other one.
func TestSubstitution(t *testing.T) {
	t.Parallel()
	domains := make(map[string]string)
	for is, from := range kinds {
		for domain := range strings.SplitSeq(from.record().Domain()+" "+string(from.record().Codec()), " ") {
			if other, taken := domains[domain]; taken {
				t.Errorf("%s and %s share %q", is, other, domain)
			}
			domains[domain] = is
		}
		for as, to := range kinds {
			_, err := to.open(from.example(t))
			if is == as && err != nil {
				t.Errorf("%s: %v", is, err)
			}
			if is != as && !errors.Is(err, sealed.ErrKind) && !errors.Is(err, sealed.ErrTooLarge) {
				t.Errorf("%s offered as %s: %v", is, as, err)
			}
			// Nor may a payload pass in another's envelope.
			payload, err := from.record().MarshalRecord()
			if err == nil && is != as && to.record().UnmarshalRecord(payload) == nil {
				t.Errorf("payload of %s is one of %s, too", is, as)
			}
		}
	}
}

// TestEveryByte changes every byte of every object's envelope.
func TestEveryByte(t *testing.T) {
	t.Parallel()
	for name, k := range kinds {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			good := k.example(t)
			for i := range good {
				for _, x := range []byte{0x01, 0x80, 0xff} {
					b := bytes.Clone(good)
					b[i] ^= x
					if _, err := k.open(b); err == nil {
						t.Fatalf("byte %d changed by %#x is accepted", i, x)
					}
				}
				if _, err := k.open(good[:i]); err == nil {
					t.Fatalf("the first %d bytes are accepted", i)
				}
			}
			if _, err := k.open(append(bytes.Clone(good), 0)); err == nil {
				t.Fatal("a trailing byte is accepted")
			}
		})
	}
}

// TestPayload checks length, version and one spelling of the payloads alone, as
// a signer with bad intent could write them.
func TestPayload(t *testing.T) {
	t.Parallel()
	for name, k := range kinds {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			v, err := k.open(k.example(t))
			if err != nil {
				t.Fatal(err)
			}
			good := payloadOf(t, k, v)
			if err := k.record().UnmarshalRecord(good); err != nil {
				t.Fatal(err)
			}
			for n := range good {
				if err := k.record().UnmarshalRecord(good[:n]); !errors.Is(err, billing.ErrLength) {
					t.Fatalf("%d bytes of %d: %v", n, len(good), err)
				}
			}
			if err := k.record().UnmarshalRecord(append(bytes.Clone(good), 0)); !errors.Is(err, billing.ErrLength) {
				t.Errorf("trailing byte: %v", err)
			}
			for _, version := range []byte{0, 2, 255} {
				b := bytes.Clone(good)
				b[0] = version
				if err := k.record().UnmarshalRecord(b); !errors.Is(err, billing.ErrVersion) {
					t.Errorf("version %d: %v", version, err)
				}
			}
			// Whatever is accepted is written back the same.
			for i := 1; i < len(good); i++ {
				for _, x := range []byte{0x01, 0x80, 0xff} {
					b := bytes.Clone(good)
					b[i] ^= x
					r := k.record()
					if r.UnmarshalRecord(b) != nil {
						continue
					}
					again, err := r.MarshalRecord()
					if err != nil || !bytes.Equal(again, b) {
						t.Fatalf("byte %d changed by %#x is read, and written as another: %v", i, x, err)
					}
				}
			}
		})
	}
}

// payloadOf marshals v, a value of kind k.
func payloadOf(t testing.TB, k kind, v any) []byte {
	t.Helper()
	p := reflect.New(reflect.TypeOf(v))
	p.Elem().Set(reflect.ValueOf(v))
	b, err := p.Interface().(record.Record).MarshalRecord()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestFieldsRefused sets one field of a good object to a bad value; neither end
// takes it.
func TestFieldsRefused(t *testing.T) {
	t.Parallel()
	tests := map[string]error{}
	check := func(name string, want error, obj record.Record) {
		t.Helper()
		if _, double := tests[name]; double {
			t.Fatalf("two cases %q", name)
		}
		tests[name] = want
		if _, err := obj.MarshalRecord(); !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", name, err, want)
		}
	}
	tariff := func(name string, want error, change func(*billing.Tariff)) {
		v := exampleTariff(t).Value
		change(&v)
		check("tariff/"+name, want, &v)
	}
	tariff("no area", billing.ErrKey, func(v *billing.Tariff) { v.Area = caps.AreaCode{} })
	tariff("sequence", billing.ErrRange, func(v *billing.Tariff) { v.Sequence = 1 << 63 })
	tariff("no currency", billing.ErrCurrency, func(v *billing.Tariff) { v.Currency = "" })
	tariff("long currency", billing.ErrCurrency, func(v *billing.Tariff) { v.Currency = "ABCDEFGHI" })
	tariff("lower case", billing.ErrCurrency, func(v *billing.Tariff) { v.Currency = "eur" })
	tariff("zero byte", billing.ErrCurrency, func(v *billing.Tariff) { v.Currency = "A\x00B" })
	tariff("negative price", billing.ErrRange, func(v *billing.Tariff) { v.PerGiB = -1 })
	tariff("negative look-up", billing.ErrRange, func(v *billing.Tariff) { v.PerLookup = -1 })
	tariff("free bytes", billing.ErrRange, func(v *billing.Tariff) { v.FreeBytes = 1 << 63 })
	tariff("times", billing.ErrPeriod, func(v *billing.Tariff) { v.ValidUntil = v.ValidFrom })
	tariff("before 1970", billing.ErrRange, func(v *billing.Tariff) { v.ValidFrom = -1 })
	tariff("toll-free price", billing.ErrRange, func(v *billing.Tariff) { v.TollFree = true })
	tariff("toll-free look-up", billing.ErrRange, func(v *billing.Tariff) { v.TollFree, v.PerGiB = true, 0 })
	tariff("toll-free free", billing.ErrRange, func(v *billing.Tariff) { v.TollFree, v.PerGiB, v.PerLookup, v.FreeBytes = true, 0, 0, 1 })

	approval := func(name string, want error, change func(*billing.Approval)) {
		v := exampleApproval(t).Value
		change(&v)
		check("approval/"+name, want, &v)
	}
	approval("no approver", billing.ErrKey, func(v *billing.Approval) { v.Approver = caps.PublicKey{} })
	approval("weak payer", billing.ErrKey, func(v *billing.Approval) { v.Payer = caps.PublicKey{1} })
	approval("no payee", billing.ErrKey, func(v *billing.Approval) { v.Payee = caps.PublicKey{} })
	approval("no account", billing.ErrKey, func(v *billing.Approval) { v.PayerAccount = caps.PublicKey{} })
	approval("one key", billing.ErrRange, func(v *billing.Approval) { v.Payee = v.Payer })
	approval("one account", billing.ErrRange, func(v *billing.Approval) { v.PayeeAccount = v.PayerAccount })
	approval("channel", billing.ErrChannel, func(v *billing.Approval) { v.Channel[0] ^= 1 })
	approval("period", billing.ErrChannel, func(v *billing.Approval) { v.Period++ })
	approval("cap bytes", billing.ErrRange, func(v *billing.Approval) { v.CapBytes = 1 << 63 })
	approval("grace bytes", billing.ErrRange, func(v *billing.Approval) { v.GraceBytes = 1 << 63 })
	approval("sum of bytes", billing.ErrRange, func(v *billing.Approval) { v.CapBytes, v.GraceBytes = math.MaxInt64, 1 })
	approval("cap", billing.ErrRange, func(v *billing.Approval) { v.CapCredits = -1 })
	approval("grace cap", billing.ErrRange, func(v *billing.Approval) { v.GraceCredits = -1 })
	approval("sum of credits", billing.ErrOverflow, func(v *billing.Approval) { v.CapCredits = math.MaxInt64 })
	approval("ends before it begins", billing.ErrPeriod, func(v *billing.Approval) { v.NotAfter = v.IssuedAt - 1 })
	approval("grace before the end", billing.ErrPeriod, func(v *billing.Approval) { v.GraceUntil = v.NotAfter - 1 })
	approval("before 1970", billing.ErrRange, func(v *billing.Approval) { v.IssuedAt = -1 })
	approval("epoch", billing.ErrRange, func(v *billing.Approval) { v.Epoch = 1 << 63 })

	voucher := func(name string, change func(*billing.Voucher)) {
		v := exampleVoucher(t).Value
		change(&v)
		check("voucher/"+name, billing.ErrRange, &v)
	}
	voucher("bytes", func(v *billing.Voucher) { v.Bytes = 1 << 63 })
	voucher("look-ups", func(v *billing.Voucher) { v.Lookups = 1 << 63 })
	voucher("credits", func(v *billing.Voucher) { v.Credits = -1 })

	receipt := func(name string, change func(*billing.Receipt)) {
		v := exampleReceipt(t).Value
		change(&v)
		check("receipt/"+name, billing.ErrRange, &v)
	}
	receipt("entry 0", func(v *billing.Receipt) { v.Entry = 0 })
	receipt("entry", func(v *billing.Receipt) { v.Entry = 1 << 63 })
	receipt("bytes", func(v *billing.Receipt) { v.Bytes = 1 << 63 })
	receipt("credits", func(v *billing.Receipt) { v.Credits = -1 })
	receipt("time", func(v *billing.Receipt) { v.BookedAt = -1 })

	statement := func(name string, want error, change func(*billing.Statement)) {
		v := exampleStatement(t).Value
		v.Lines = append([]billing.Line(nil), v.Lines...)
		change(&v)
		check("statement/"+name, want, &v)
	}
	statement("no account", billing.ErrKey, func(v *billing.Statement) { v.Account = caps.PublicKey{} })
	statement("no counterparty", billing.ErrKey, func(v *billing.Statement) { v.Lines[0].Counterparty = caps.PublicKey{} })
	statement("no currency", billing.ErrCurrency, func(v *billing.Statement) { v.Currency = "" })
	statement("period", billing.ErrRange, func(v *billing.Statement) { v.Period = 1 << 63 })
	statement("time", billing.ErrRange, func(v *billing.Statement) { v.IssuedAt = -1 })
	statement("line twice", billing.ErrRange, func(v *billing.Statement) { v.Lines = append(v.Lines, v.Lines[0]) })
	statement("debit", billing.ErrTotals, func(v *billing.Statement) { v.Debit++ })
	statement("credit", billing.ErrTotals, func(v *billing.Statement) { v.Credit++ })
	statement("sum", billing.ErrOverflow, func(v *billing.Statement) {
		v.Lines = append(v.Lines, v.Lines[0])
		v.Lines[1].Channel = billing.ChannelID(bytes.Repeat([]byte{255}, 32))
		v.Lines[0].Credits, v.Lines[1].Credits = math.MinInt64, -1
	})
	statement("lines", billing.ErrRange, func(v *billing.Statement) { v.Lines = make([]billing.Line, billing.MaxLines+1) })
}

// TestDecoderRefuses writes payloads that no encoder of ours would.
func TestDecoderRefuses(t *testing.T) {
	t.Parallel()
	patch := func(name string, at int, with ...byte) ([]byte, kind) {
		k := kinds[name]
		v, err := k.open(k.example(t))
		if err != nil {
			t.Fatal(err)
		}
		b := payloadOf(t, k, v)
		copy(b[at:], with)
		return b, k
	}
	for _, tt := range []struct {
		name, kind string
		at         int
		with       []byte
		want       error
	}{
		{"flag of 2", "tariff", 89, []byte{2}, billing.ErrRange},
		{"currency with a hole", "tariff", 41, []byte("E\x00R"), billing.ErrCurrency},
		{"weak area", "tariff", 1, append([]byte{1}, make([]byte, 31)...), billing.ErrKey},
		{"negative price", "tariff", 49, []byte{255}, billing.ErrRange},
		{"weak approver", "approval", 1, append([]byte{1}, make([]byte, 31)...), billing.ErrKey},
		{"cap of 2^63", "approval", 201, []byte{128}, billing.ErrRange},
		{"bytes of 2^63", "voucher", 33, []byte{128}, billing.ErrRange},
		{"negative credits", "voucher", 49, []byte{128}, billing.ErrRange},
		{"entry 0", "receipt", 65, make([]byte, 8), billing.ErrRange},
		{"two lines announced", "statement", 73, binary.BigEndian.AppendUint32(nil, 2), billing.ErrLength},
		{"no line announced", "statement", 73, make([]byte, 4), billing.ErrLength},
		{"wrong sum", "statement", 57, []byte{0, 1}, billing.ErrTotals},
	} {
		b, k := patch(tt.kind, tt.at, tt.with...)
		if err := k.record().UnmarshalRecord(b); !errors.Is(err, tt.want) {
			t.Errorf("%s: %s: %v, want %v", tt.kind, tt.name, err, tt.want)
		}
	}
}

func TestApprovalSigner(t *testing.T) {
	t.Parallel()
	a := exampleApproval(t).Value
	_, err := sealed.Seal(billingtest.Key("payer"), a)
	if !errors.Is(err, sealed.ErrSigner) || !errors.Is(err, billing.ErrApprover) {
		t.Errorf("approved by the payer: %v", err)
	}
	// As somebody would write it who does not use our Seal.
	env, err := record.Seal(&a, billingtest.Key("payer"))
	if err != nil {
		t.Fatal(err)
	}
	b, err := env.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := sealed.Open[billing.Approval](b); !errors.Is(err, billing.ErrApprover) {
		t.Errorf("approved by the payer, opened: %v", err)
	}
}

func TestApprovalTimes(t *testing.T) {
	t.Parallel()
	a := exampleApproval(t).Value
	for _, tt := range []struct {
		at    int64
		want  error
		grace bool
	}{
		{a.IssuedAt - 301, billing.ErrNotYet, false},
		{a.IssuedAt - 300, nil, false},
		{a.NotAfter, nil, false},
		{a.NotAfter + 1, nil, true},
		{a.GraceUntil, nil, true},
		{a.GraceUntil + 1, billing.ErrExpired, true},
	} {
		now := time.Unix(tt.at, 0)
		if err := a.CheckTime(now); !errors.Is(err, tt.want) || a.InGrace(now) != tt.grace {
			t.Errorf("at %+d: %v, grace %v", tt.at-a.IssuedAt, err, a.InGrace(now))
		}
	}
}

// TestRenewal: each field of an approval may rise on its channel, none may fall.
func TestRenewal(t *testing.T) {
	t.Parallel()
	a := exampleApproval(t).Value
	a.Epoch = 5
	for name, change := range map[string]func(*billing.Approval, int64){
		"cap bytes":   func(v *billing.Approval, d int64) { v.CapBytes += uint64(d) },
		"cap":         func(v *billing.Approval, d int64) { v.CapCredits += billing.Credits(d) },
		"grace bytes": func(v *billing.Approval, d int64) { v.GraceBytes += uint64(d) },
		"grace cap":   func(v *billing.Approval, d int64) { v.GraceCredits += billing.Credits(d) },
		"not after":   func(v *billing.Approval, d int64) { v.NotAfter += d },
		"grace until": func(v *billing.Approval, d int64) { v.GraceUntil += d },
		"epoch":       func(v *billing.Approval, d int64) { v.Epoch += uint64(d) },
		"window":      func(*billing.Approval, int64) {},
	} {
		up, down := a, a
		change(&up, 1)
		change(&down, -1)
		if err := a.CheckRenewal(up); err != nil {
			t.Errorf("%s raised: %v", name, err)
		}
		if err := a.CheckRenewal(down); name != "window" && !errors.Is(err, billing.ErrLowered) {
			t.Errorf("%s lowered: %v", name, err)
		}
	}
	for name, change := range map[string]func(*billing.Approval){
		"channel":       func(v *billing.Approval) { v.Channel[0]++ },
		"payer account": func(v *billing.Approval) { v.PayerAccount[0]++ },
		"payee account": func(v *billing.Approval) { v.PayeeAccount[0]++ },
	} {
		b := a
		change(&b)
		if err := a.CheckRenewal(b); !errors.Is(err, billing.ErrWrongChannel) {
			t.Errorf("other %s: %v", name, err)
		}
	}
}

// TestChannelID: the id depends on each of its five parts, and on their places.
func TestChannelID(t *testing.T) {
	t.Parallel()
	seen := make(map[billing.ChannelID]string)
	for i := range 32 {
		var parts [3]caps.PublicKey
		var tariff billing.TariffHash
		parts[i%3][i/3] = 1
		tariff[i] = 1
		for _, id := range []struct {
			name string
			id   billing.ChannelID
		}{
			{fmt.Sprintf("key %d byte %d", i%3, i/3), billing.NewChannelID(parts[0], parts[1], parts[2], billing.TariffHash{}, 0)},
			{fmt.Sprintf("tariff byte %d", i), billing.NewChannelID(caps.PublicKey{}, caps.PublicKey{}, caps.PublicKey{}, tariff, 0)},
			{fmt.Sprintf("period bit %d", i), billing.NewChannelID(caps.PublicKey{}, caps.PublicKey{}, caps.PublicKey{}, billing.TariffHash{}, 1<<i)},
		} {
			if other, double := seen[id.id]; double {
				t.Errorf("%s and %s give one id", id.name, other)
			}
			seen[id.id] = id.name
		}
	}
}

// TestExample pins the worked example of PROTOCOL.md: the objects' bytes, and
// that the document shows them.
func TestExample(t *testing.T) {
	t.Parallel()
	doc, err := os.ReadFile("PROTOCOL.md")
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	show := func(name string, b []byte) {
		fmt.Fprintf(&out, "%s (%d bytes)\n", name, len(b))
		for len(b) > 0 {
			n := min(32, len(b))
			fmt.Fprintf(&out, "  %x\n", b[:n])
			b = b[n:]
		}
	}
	show("tariff", exampleTariff(t).Bytes)
	show("approval", exampleApproval(t).Bytes)
	id := exampleApproval(t).Value.Channel
	show("channel id", id[:])
	show("voucher", exampleVoucher(t).Bytes)
	show("receipt", exampleReceipt(t).Bytes)
	show("statement", exampleStatement(t).Bytes)
	if *update {
		before, _, _ := bytes.Cut(doc, []byte("```text\ntariff ("))
		doc = append(before, "```text\n"+out.String()+"```\n"...)
		if err := os.WriteFile("PROTOCOL.md", doc, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Contains(doc, []byte(out.String())) {
		t.Errorf("PROTOCOL.md does not show what the code writes:\n%s", out.String())
	}
}

// TestLargestStatement is at the limit of lines.
func TestLargestStatement(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("checks 16384 keys")
	}
	v := exampleStatement(t).Value
	line := v.Lines[0]
	v.Lines = make([]billing.Line, billing.MaxLines)
	for i := range v.Lines {
		v.Lines[i] = line
		binary.BigEndian.PutUint32(v.Lines[i].Channel[:], uint32(i))
	}
	v.Debit = -line.Credits * billing.MaxLines
	s := billingtest.Seal(t, "approver", v)
	got, err := sealed.Open[billing.Statement](s.Bytes)
	if err != nil || !reflect.DeepEqual(got.Value, v) {
		t.Fatal(err)
	}
}

// fuzzKind is the law for all objects: what is read is written back the same.
func fuzzKind(f *testing.F, name string) {
	k := kinds[name]
	f.Fuzz(func(t *testing.T, b []byte) {
		if v, err := k.open(b); err == nil {
			if _, err := k.open(k.reseal(t, v)); err != nil {
				t.Fatalf("read, but not written again: %v", err)
			}
		}
		// The fuzzer cannot sign; behind the signature it tries this.
		r := k.record()
		if r.UnmarshalRecord(b) != nil {
			return
		}
		again, err := r.MarshalRecord()
		if err != nil || !bytes.Equal(again, b) {
			t.Fatalf("written as %x, %v", again, err)
		}
	})
}

func FuzzTariff(f *testing.F)    { fuzzKind(f, "tariff") }
func FuzzApproval(f *testing.F)  { fuzzKind(f, "approval") }
func FuzzVoucher(f *testing.F)   { fuzzKind(f, "voucher") }
func FuzzReceipt(f *testing.F)   { fuzzKind(f, "receipt") }
func FuzzStatement(f *testing.F) { fuzzKind(f, "statement") }

// TestSeeds keeps the fuzz targets' seeds: each object whole, and its payload.
func TestSeeds(t *testing.T) {
	t.Parallel()
	for name, k := range kinds {
		target := "testdata/fuzz/Fuzz" + strings.ToUpper(name[:1]) + name[1:]
		v, err := k.open(k.example(t))
		if err != nil {
			t.Fatal(err)
		}
		for file, b := range map[string][]byte{"envelope": k.example(t), "payload": payloadOf(t, k, v)} {
			want := fmt.Appendf(nil, "go test fuzz v1\n[]byte(%q)\n", b)
			if *update {
				if err := os.MkdirAll(target, 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(target+"/"+file, want, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			got, err := os.ReadFile(target + "/" + file)
			if err != nil || !bytes.Equal(got, want) {
				t.Errorf("seed %s/%s is missing or old (%v); run go test -run TestSeeds -update", target, file, err)
			}
		}
	}
}
