package caps_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"trunkline/caps"
)

// Every cap of a mutable file or directory, of whatever strength, gives the same verify cap: of the file, without
// areas. All other kinds give none.
func TestMutableVerify(t *testing.T) {
	t.Parallel()
	for kind, text := range everyKind {
		t.Run(kind.String(), func(t *testing.T) {
			t.Parallel()
			c := mustParse(t, text)
			v, ok := c.MutableVerify()
			if ok == (strings.Contains(text, "CHK") || strings.Contains(text, "LIT")) {
				t.Fatalf("has a mutable verify cap: %t", ok)
			}
			if !ok {
				if v != (caps.MutableVerify{}) {
					t.Error("something came out all the same")
				}
				return
			}
			si, _ := c.StorageIndex()
			fingerprint, _ := c.KeyFingerprint()
			if v.StorageIndex != si || v.Fingerprint != fingerprint || v.MDMF != strings.Contains(text, "MDMF") {
				t.Errorf("storage index %s, MDMF %t", v.StorageIndex, v.MDMF)
			}
			want, ok := c.VerifyCap()
			if kind.IsVerify() {
				want, ok = c, true
			}
			if file, is := want.File(); is {
				want = file
			}
			if !ok || !v.Cap().Equal(want) || v.Text() != want.Text() {
				t.Errorf("as a cap: %s, want %s", v.Cap(), want)
			}
			if again, ok := v.Cap().MutableVerify(); !ok || again != v {
				t.Error("another verify cap came back")
			}
			far, err := c.WithAreas(testArea(1))
			if err != nil {
				t.Fatal(err)
			}
			if again, ok := far.MutableVerify(); !ok || again != v {
				t.Error("areas change the verify cap")
			}
		})
	}
	if v, ok := (caps.Cap{}).MutableVerify(); ok || v != (caps.MutableVerify{}) {
		t.Error("no cap has a verify cap")
	}
}

// Who has a verify cap can fetch: its full text comes from Text alone.
func TestMutableVerifyDoesNotPrint(t *testing.T) {
	t.Parallel()
	v, ok := mustParse(t, everyKind[caps.KindMDMFVerify]).MutableVerify()
	if !ok {
		t.Fatal("no verify cap")
	}
	var log strings.Builder
	slog.New(slog.NewJSONHandler(&log, nil)).Info("verify", "cap", v)
	texts := []string{log.String()}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x"} {
		texts = append(texts, fmt.Sprintf(verb, v))
	}
	for _, text := range texts {
		if strings.Contains(text, hashText) || strings.Contains(text, siText) {
			t.Errorf("shows too much: %s", text)
		}
	}
	if _, err := json.Marshal(v); !errors.Is(err, caps.ErrNotMarshalled) {
		t.Errorf("JSON: %v", err)
	}
}
