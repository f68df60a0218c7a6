package roster_test

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"strings"
	"testing"
	"time"

	"trunkline/caps"
	"trunkline/grid/roster"
	"trunkline/p2p"
)

func ticket() roster.Ticket {
	return roster.Ticket{
		Area:    theArea,
		Manager: p2p.Peer{Key: keyOf(managerKey), Addrs: []string{"/ip4/192.0.2.7/tcp/4001", "/ip6/2001:db8::1/udp/4001/quic-v1"}},
		Roles:   roster.Server,
		Expires: start.Add(time.Hour).Unix(),
		Secret:  roster.NewSecret([16]byte{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}),
	}
}

func TestTicketRoundTrip(t *testing.T) {
	t.Parallel()
	want := ticket()
	text, err := want.Text()
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range []string{text, "  " + text + "\n", "\t" + text} {
		got, err := roster.ParseTicket(s)
		if err != nil {
			t.Fatal(err)
		}
		if got.Secret.Bytes() != want.Secret.Bytes() {
			t.Error("another secret came back")
		}
		got.Secret, want.Secret = roster.Secret{}, roster.Secret{}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("got %+v, want %+v", got, want)
		}
		want = ticket()
	}
	if want.Expired(start.Add(time.Hour)) || !want.Expired(start.Add(time.Hour+time.Second)) {
		t.Error("the end is not where it ought to be")
	}
}

// Any one character that is wrong, missing, doubled or swapped with its neighbour
// is told apart from a ticket.
func TestTicketTypos(t *testing.T) {
	t.Parallel()
	text, err := ticket().Text()
	if err != nil {
		t.Fatal(err)
	}
	check := func(kind string, i int, s string) {
		t.Helper()
		if s == text {
			return
		}
		if _, err := roster.ParseTicket(s); !errors.Is(err, roster.ErrTicketText) {
			t.Errorf("%s at %d: got %v, want ErrTicketText", kind, i, err)
		} else if strings.Contains(err.Error(), text[len(roster.TicketPrefix)+4:len(roster.TicketPrefix)+12]) {
			t.Errorf("%s at %d: the error repeats the ticket", kind, i)
		}
	}
	for i := range text {
		for _, c := range "aq7yZ0-" {
			check("wrong", i, text[:i]+string(c)+text[i+1:])
		}
		check("missing", i, text[:i]+text[i+1:])
		check("doubled", i, text[:i+1]+text[i:])
		check("cut", i, text[:i])
		if i > 0 {
			check("swapped", i, text[:i-1]+text[i:i+1]+text[i-1:i]+text[i+1:])
		}
	}
	check("long", 0, roster.TicketPrefix+strings.Repeat("a", 1<<16))
}

func TestTicketRefusesOtherVersions(t *testing.T) {
	t.Parallel()
	for _, s := range []string{"", roster.TicketPrefix, "URI:CHK:abc", "trunkline-ticket"} {
		if _, err := roster.ParseTicket(s); !errors.Is(err, roster.ErrTicketText) {
			t.Errorf("%q: got %v, want ErrTicketText", s, err)
		}
	}
}

func TestTicketDoesNotPrintItsSecret(t *testing.T) {
	t.Parallel()
	tk := ticket()
	secret := tk.Secret.Bytes()
	text, err := tk.Text()
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		fmt.Fprintf(&out, verb+"\n", tk)
		fmt.Fprintf(&out, verb+"\n", &tk)
		fmt.Fprintf(&out, verb+"\n", tk.Secret)
		fmt.Fprintf(&out, verb+"\n", struct{ t roster.Ticket }{tk})
	}
	for _, h := range []slog.Handler{slog.NewTextHandler(&out, nil), slog.NewJSONHandler(&out, nil)} {
		slog.New(h).Info("ticket", "ticket", tk, "secret", tk.Secret)
	}
	if b, err := json.Marshal(tk); err == nil {
		out.Write(b)
	}
	for what, s := range map[string]string{
		"text": text[len(roster.TicketPrefix):], "hex": hex.EncodeToString(secret[:]), "base32": caps.EncodeBase32(secret[:]),
		"raw": string(secret[:]), "list": "1 2 3 4 5 6",
	} {
		if strings.Contains(out.String(), s) {
			t.Errorf("the secret is printed as %s", what)
		}
	}
	if !strings.Contains(out.String(), "[secret]") {
		t.Error("nothing says that there is a secret")
	}
}

func TestSecretNamesDiffer(t *testing.T) {
	t.Parallel()
	a, b := roster.RandomSecret(), roster.RandomSecret()
	if a.ID() == b.ID() || a.Hash() == b.Hash() || a.Bytes() == b.Bytes() {
		t.Error("two random secrets are one")
	}
	if a.Hash() == [32]byte(append(make([]byte, 16), make([]byte, 16)...)) {
		t.Error("a hash is zero")
	}
}
