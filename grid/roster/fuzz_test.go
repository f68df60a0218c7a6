package roster_test

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"trunkline/grid/roster"
	"trunkline/grid/roster/pb"
)

var update = flag.Bool("update", false, "write the fuzz seeds again")

// seeds are the inputs that fuzzing starts from, by target.
func seeds(t testing.TB) map[string][]any {
	t.Helper()
	must := func(b []byte, err error) []byte {
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	full, small := sample(5), sample(1)
	small.Members, small.Clearinghouses, small.LocalTariff, small.ExportTariff, small.ManagerAddrs = nil, nil, nil, nil, nil
	cert := certificate(alice, roster.Client)
	text, err := ticket().Text()
	if err != nil {
		t.Fatal(err)
	}
	cred := roster.Credential{Delegation: []byte("delegation"), Certificate: []byte("certificate")}
	return map[string][]any{
		"FuzzRoster":      {must(full.MarshalRecord()), must(small.MarshalRecord()), []byte{}},
		"FuzzCertificate": {must(cert.MarshalRecord()), []byte{}},
		"FuzzTicket":      {text, roster.TicketPrefix, text[:40]},
		"FuzzCredential":  {must(cred.Marshal()), []byte{0x0a, 0x00}},
		"FuzzRequest": {
			must(proto.Marshal(&pb.Request{Kind: &pb.Request_Get{Get: &pb.Get{Area: theArea.Key().Bytes(), Certificate: true, Addrs: []string{"/ip4/1.2.3.4/tcp/5"}}}})),
			must(proto.Marshal(&pb.Request{Kind: &pb.Request_Join{Join: &pb.Join{Area: theArea.Key().Bytes(), Secret: make([]byte, 16), Name: "n"}}})),
		},
		"FuzzAnswer": {
			must(proto.Marshal(&pb.Answer{Delegation: []byte("d"), Roster: []byte("r"), Certificate: []byte("c")})),
			must(proto.Marshal(&pb.Answer{Unchanged: true})),
		},
	}
}

// Fuzzing without seeds passes for nothing, so their absence is a failure.
func TestFuzzSeeds(t *testing.T) {
	for target, values := range seeds(t) {
		dir := filepath.Join("testdata", "fuzz", target)
		if *update {
			if err := os.MkdirAll(dir, 0o755); err != nil {
				t.Fatal(err)
			}
		}
		for i, v := range values {
			path := filepath.Join(dir, fmt.Sprintf("seed%d", i))
			text := "go test fuzz v1\n"
			switch v := v.(type) {
			case string:
				text += fmt.Sprintf("string(%q)\n", v)
			case []byte:
				text += fmt.Sprintf("[]byte(%q)\n", v)
			}
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
}

// What parses prints to the same bytes.
func FuzzRoster(f *testing.F) {
	f.Fuzz(func(t *testing.T, b []byte) {
		var r roster.Roster
		if err := r.UnmarshalRecord(b); err != nil {
			return
		}
		again, err := r.MarshalRecord()
		if err != nil || !bytes.Equal(again, b) {
			t.Fatalf("%x came back as %x, %v", b, again, err)
		}
	})
}

func FuzzCertificate(f *testing.F) {
	f.Fuzz(func(t *testing.T, b []byte) {
		var c roster.Certificate
		if err := c.UnmarshalRecord(b); err != nil {
			return
		}
		again, err := c.MarshalRecord()
		if err != nil || !bytes.Equal(again, b) {
			t.Fatalf("%x came back as %x, %v", b, again, err)
		}
	})
}

func FuzzTicket(f *testing.F) {
	f.Fuzz(func(t *testing.T, s string) {
		tk, err := roster.ParseTicket(s)
		if err != nil {
			return
		}
		again, err := tk.Text()
		if err != nil || again != strings.TrimSpace(s) {
			t.Fatalf("%q came back as %q, %v", s, again, err)
		}
	})
}

// Junk is refused or bounded, never a panic.
func FuzzCredential(f *testing.F) {
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := roster.ParseCredential(b)
		if err != nil {
			return
		}
		if len(c.Delegation)+len(c.Certificate) > roster.MaxCredentialBytes {
			t.Fatal("over the bound")
		}
		_, _ = c.ClaimedArea()
		_, _ = c.Verify(theArea, alice, start)
	})
}

func FuzzRequest(f *testing.F) {
	s := roster.TestingOnlyService(theArea)
	f.Fuzz(func(t *testing.T, b []byte) {
		var req pb.Request
		if err := proto.Unmarshal(b, &req); err != nil {
			return
		}
		if a := s(t.Context(), mallory, &req); a.GetFailure() == nil {
			t.Fatal("a stranger got an answer")
		}
	})
}

func FuzzAnswer(f *testing.F) {
	f.Fuzz(func(t *testing.T, b []byte) {
		var a pb.Answer
		if err := proto.Unmarshal(b, &a); err != nil {
			return
		}
		got, err := roster.TestingOnlyParseAnswer(&a)
		if err != nil {
			return
		}
		if !got.Unchanged {
			_, _ = roster.Open(theArea, got.Bundle, start)
		}
	})
}
