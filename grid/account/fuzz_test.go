package account_test

import (
	"encoding/hex"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"trunkline/billing"
	"trunkline/billing/ledger/sqlite"
	"trunkline/billing/sealed"
	"trunkline/grid/account"
	"trunkline/grid/account/pb"
)

var update = flag.Bool("update", false, "write the fuzz seeds again")

func exampleAsk(t testing.TB) *pb.Request {
	t.Helper()
	return &pb.Request{Kind: &pb.Request_Approve{Approve: &pb.Approve{
		Payee: payee.Bytes(), PayeeArea: theArea.Key().Bytes(), Tariff: newTariff(t, nil).Bytes, WantBytes: mib,
	}}}
}

func seeds(t testing.TB) [][]byte {
	t.Helper()
	v, err := sealed.Seal(payerKey, billing.Voucher{Channel: billing.ChannelID{1}, Bytes: mib, Credits: 1})
	if err != nil {
		t.Fatal(err)
	}
	var out [][]byte
	for _, req := range []*pb.Request{
		exampleAsk(t),
		{Kind: &pb.Request_Post{Post: &pb.Post{Voucher: v.Bytes}}},
		{Kind: &pb.Request_Statement{Statement: &pb.GetStatement{Account: payerAccount.Bytes(), Current: true}}},
		{Kind: &pb.Request_Join{Join: &pb.Join{Delegation: []byte("d"), Sheet: []byte("s"), Area: theArea.Key().Bytes(), Name: "n"}}},
		{Kind: &pb.Request_Status{Status: &pb.GetStatus{}}},
		{},
	} {
		b, err := proto.MarshalOptions{Deterministic: true}.Marshal(req)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, b)
	}
	return out
}

// Fuzzing without seeds passes for nothing, so their absence is a failure.
func TestFuzzSeeds(t *testing.T) {
	t.Parallel()
	dir := filepath.Join("testdata", "fuzz", "FuzzRequest")
	if *update {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for i, b := range seeds(t) {
		path := filepath.Join(dir, fmt.Sprintf("seed%d", i))
		text := fmt.Sprintf("go test fuzz v1\n[]byte(%q)\n", b)
		if *update {
			if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		got, err := os.ReadFile(path)
		if err != nil || string(got) != text {
			t.Errorf("%s is not what it ought to be (%v); run go test -run TestFuzzSeeds -update", path, err)
		}
	}
}

// Whatever a stranger sends, it gets a refusal, or the status that everybody may
// have; and the approver stands.
func FuzzRequest(f *testing.F) {
	store, err := sqlite.Open(f.Context(), filepath.Join(f.TempDir(), "ledger.sqlite"))
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { _ = store.Close() })
	c := &clock{now: start}
	a, err := account.NewApprover(account.ApproverConfig{Store: store, Key: approverKey, Members: people{}, Now: c.Now})
	if err != nil {
		f.Fatal(err)
	}
	stranger := keyOf(strangerKey)
	f.Fuzz(func(t *testing.T, b []byte) {
		var req pb.Request
		if err := proto.Unmarshal(b, &req); err != nil {
			return
		}
		answer := a.TestingOnlyAnswer(t.Context(), stranger, &req)
		if answer.GetFailure() == nil && req.GetStatus() == nil {
			t.Fatalf("a stranger got %v", answer)
		}
		if n := proto.Size(answer); n > 8<<10 {
			t.Fatalf("an answer of %d bytes", n)
		}
	})
}

// The worked example in PROTOCOL.md is what is sent.
func TestProtocolExample(t *testing.T) {
	t.Parallel()
	doc, err := os.ReadFile("PROTOCOL.md")
	if err != nil {
		t.Fatal(err)
	}
	b, err := proto.MarshalOptions{Deterministic: true}.Marshal(exampleAsk(t))
	if err != nil {
		t.Fatal(err)
	}
	if want := hex.EncodeToString(b); !strings.Contains(strings.Join(strings.Fields(string(doc)), ""), want) {
		t.Errorf("PROTOCOL.md lacks the example\n%s", want)
	}
}
