package caps_test

import (
	"bytes"
	"encoding/gob"
	"encoding/hex"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"trunkline/caps"
)

// The secret in every value below, and what it might look like when it leaks.
var (
	secretBytes = bytes.Repeat([]byte{0xa7}, 16)
	leaks       = []string{
		strings.Repeat(string([]byte{0xa7}), 2),
		hex.EncodeToString(secretBytes[:2]),
		strings.ToUpper(hex.EncodeToString(secretBytes[:2])),
		"167 167", "167,167", "0xa7", "0XA7", `\xa7`, `\u00a7`, "%a7",
		caps.EncodeBase32(secretBytes)[:10],
		"p6enp6en", // base64
	}
)

// secrets are all types that hold one, by name.
func secrets(t *testing.T) map[string]any {
	t.Helper()
	key := [16]byte(secretBytes)
	read, err := caps.NewCHKRead(caps.NewReadKey(key), caps.Hash{1}, 3, 10, 1000)
	if err != nil {
		t.Fatal(err)
	}
	write, err := caps.NewMutable(caps.KindDirMDMF, caps.NewWriteKey(key), caps.Hash{2})
	if err != nil {
		t.Fatal(err)
	}
	far, err := write.WithAreas(testArea(1))
	if err != nil {
		t.Fatal(err)
	}
	literal, err := caps.NewLiteral(secretBytes)
	if err != nil {
		t.Fatal(err)
	}
	unknown, err := caps.ParseIn("lafs://"+caps.EncodeBase32(secretBytes), caps.Context{})
	if err != nil {
		t.Fatal(err)
	}
	return map[string]any{
		"ReadKey":          caps.NewReadKey(key),
		"WriteKey":         caps.NewWriteKey(key),
		"MutableReadKey":   caps.NewMutableReadKey(key),
		"CHKRead":          read,
		"Cap_CHK":          read.Cap(),
		"Cap_write":        write,
		"Cap_far":          far,
		"Cap_literal":      literal,
		"Cap_unknown":      unknown,
		"Pair":             caps.Pair{Write: write, Read: unknown},
		"Secret":           caps.Secret(bytes.Repeat(secretBytes, 2)),
		"read_of_no_value": caps.CHKRead{},
	}
}

var verbs = []string{
	"%v", "%+v", "%#v", "%s", "%q", "%+q", "%#q", "%x", "%X", "% x", "%#x", "%d", "%o", "%b", "%c", "%U",
	"%T", "%t", "%e", "%p", "%50v", "%-5.3s", "%z",
}

func noLeak(t *testing.T, how, got string) {
	t.Helper()
	for _, leak := range leaks {
		if strings.Contains(got, leak) {
			t.Errorf("%s shows %q: %.300q", how, leak, got)
		}
	}
}

// wrappings are the ways in which a value gets printed without anyone meaning to.
func wrappings(v any) map[string]any {
	type exported struct{ Value any }
	type nested struct{ Inner exported }
	type embedded struct{ caps.Cap }
	all := map[string]any{
		"bare":               v,
		"pointer":            &v,
		"slice":              []any{v},
		"map_value":          map[string]any{"v": v},
		"exported_field":     exported{v},
		"pointer_to_struct":  &exported{v},
		"nested_struct":      nested{exported{v}},
		"pointer_in_struct":  exported{&v},
		"error":              fmt.Errorf("opening %v: %w", v, errors.New("x")),
		"error_with_details": fmt.Errorf("opening %+v or %#v or %x", v, v, v),
	}
	switch v := v.(type) {
	case caps.ReadKey:
		all["typed_pointer"] = &v
		all["hidden_field"] = struct{ v caps.ReadKey }{v}
		all["hidden_pointer"] = struct{ v *caps.ReadKey }{&v}
		all["hidden_slice"] = struct{ v []caps.ReadKey }{[]caps.ReadKey{v}}
	case caps.WriteKey:
		all["hidden_field"] = struct{ v caps.WriteKey }{v}
	case caps.MutableReadKey:
		all["hidden_field"] = struct{ v caps.MutableReadKey }{v}
	case caps.CHKRead:
		all["typed_pointer"] = &v
		all["hidden_field"] = struct{ v caps.CHKRead }{v}
		all["hidden_pointer"] = &struct{ v *caps.CHKRead }{&v}
	case caps.Cap:
		all["typed_pointer"] = &v
		all["typed_field"] = struct{ C caps.Cap }{v}
		all["typed_pointer_field"] = struct{ C *caps.Cap }{&v}
		all["hidden_field"] = struct{ c caps.Cap }{v}
		all["hidden_pointer"] = struct{ c *caps.Cap }{&v}
		all["hidden_slice"] = &struct{ c []caps.Cap }{[]caps.Cap{v}}
		all["hidden_map"] = struct{ c map[string]caps.Cap }{map[string]caps.Cap{"c": v}}
		all["hidden_interface"] = struct{ c any }{v}
		all["embedded"] = embedded{v}
	case caps.Pair:
		all["hidden_field"] = struct{ p caps.Pair }{v}
	}
	return all
}

func TestNothingPrintsASecret(t *testing.T) {
	t.Parallel()
	for name, v := range secrets(t) {
		for how, wrapped := range wrappings(v) {
			t.Run(name+"/"+how, func(t *testing.T) {
				t.Parallel()
				for _, verb := range verbs {
					// Under %p, which vet refuses, fmt asks no method; only a closure helps.
					if verb == "%p" && name == "Secret" {
						continue
					}
					noLeak(t, verb, fmt.Sprintf(verb, wrapped))
				}
				noLeak(t, "Sprint", fmt.Sprint(wrapped))

				if b, err := json.Marshal(wrapped); err == nil {
					noLeak(t, "JSON", string(b))
				} else {
					noLeak(t, "JSON error", err.Error())
				}
				if b, err := xml.Marshal(wrapped); err == nil {
					noLeak(t, "XML", string(b))
				}
				var buf bytes.Buffer
				if err := gob.NewEncoder(&buf).Encode(wrapped); err == nil {
					noLeak(t, "gob", buf.String())
				}

				buf.Reset()
				for _, h := range []slog.Handler{slog.NewTextHandler(&buf, nil), slog.NewJSONHandler(&buf, nil)} {
					log := slog.New(h)
					log.Info("m", "v", wrapped)
					log.WithGroup("g").With("v", wrapped).Info("m", slog.Group("h", "v", wrapped))
				}
				noLeak(t, "slog", buf.String())
			})
		}
	}
}

// The test above must be able to see a leak.
func TestLeaksAreSeen(t *testing.T) {
	t.Parallel()
	plain := struct{ b [16]byte }{[16]byte(secretBytes)}
	for _, got := range []string{
		fmt.Sprintf("%v", plain), fmt.Sprintf("%x", plain), fmt.Sprintf("%X", plain), fmt.Sprintf("%#v", plain),
		string(secretBytes), fmt.Sprintf("%q", secretBytes), caps.EncodeBase32(secretBytes),
		mustMarshal(secretBytes), mustMarshal([16]byte(secretBytes)),
	} {
		seen := false
		for _, leak := range leaks {
			seen = seen || strings.Contains(got, leak)
		}
		if !seen {
			t.Errorf("nobody would notice %q", got)
		}
	}
}

func mustMarshal(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return string(b)
}

// What is shown instead.
func TestRedactedForms(t *testing.T) {
	t.Parallel()
	c := mustParse(t, chkText)
	far, err := c.WithAreas(testArea(1), testArea(2))
	if err != nil {
		t.Fatal(err)
	}
	read, _ := c.CHK()
	weak, _ := c.VerifyCap()
	unknown, err := caps.ParseIn("ro.lafs://future", caps.Context{})
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		value any
		want  string
	}{
		{c, "CHK(tq2sxz7567…)"},
		{weak, "CHK-Verifier(tq2sxz7567…)"},
		{read, "CHK(tq2sxz7567…)"},
		{read.Verify(), "CHK-Verifier(tq2sxz7567…)"},
		{read.Key(), "[secret]"},
		{caps.Secret{}, "[secret]"},
		{far, "LD:" + testArea(1).Short() + "+" + testArea(2).Short() + ":CHK(tq2sxz7567…)"},
		{mustParse(t, "URI:LIT:nbswy3dp"), "LIT(5 bytes)"},
		{mustParse(t, everyKind[caps.KindDirSDMFRead]), "DIR2-RO(ehbphstvmh…)"},
		{unknown, "unknown(13 characters)"},
		{caps.Cap{}, "no capability"},
	} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x", "%d"} {
			if got := fmt.Sprintf(verb, tt.value); got != tt.want {
				t.Errorf("%s gives %q, want %q", verb, got, tt.want)
			}
		}
		if got := fmt.Sprintf("%q", tt.value); got != fmt.Sprintf("%q", tt.want) {
			t.Errorf("%%q gives %s", got)
		}
		if got := tt.value.(fmt.GoStringer).GoString() + tt.value.(fmt.Stringer).String(); got != tt.want+tt.want {
			t.Errorf("GoString and String give %q", got)
		}
		if got := tt.value.(slog.LogValuer).LogValue().String(); got != tt.want {
			t.Errorf("slog gives %q, want %q", got, tt.want)
		}
		if _, err := json.Marshal(tt.value); !errors.Is(err, caps.ErrNotMarshalled) {
			t.Errorf("JSON of %s: %v", tt.want, err)
		}
	}
}

func TestSecretEqual(t *testing.T) {
	t.Parallel()
	if a, b := (caps.Secret{1}), (caps.Secret{2}); a.Equal(b) || !a.Equal(a) {
		t.Error("lease secrets")
	}
	if a, b := caps.NewReadKey([16]byte{1}), caps.NewReadKey([16]byte{2}); a.Equal(b) || !a.Equal(a) {
		t.Error("read keys")
	}
}
