package gbs_test

import (
	"encoding/hex"
	"encoding/json"
	"os"
	"testing"

	"trunkline/grid/gbs"
)

// What a server sends is read within bounds, whatever it is.
func FuzzMessages(f *testing.F) {
	b, err := os.ReadFile("testdata/gbs-transcript.json")
	if err != nil {
		f.Fatal(err)
	}
	var tr transcript
	if err := json.Unmarshal(b, &tr); err != nil {
		f.Fatal(err)
	}
	known := 0
	for _, e := range tr.Exchanges {
		body, err := hex.DecodeString(e.ResponseBody)
		if err != nil {
			f.Fatal(err)
		}
		if set, version, testWrite := gbs.DecodeMessages(body); set || version || testWrite {
			known++
		}
		f.Add(body)
	}
	if known < 8 {
		f.Fatalf("only %d of the real answers can be read", known)
	}
	f.Fuzz(func(_ *testing.T, b []byte) { gbs.DecodeMessages(b) })
}

// What is read as a NURL is written as one that is read the same.
func FuzzNURL(f *testing.F) {
	f.Add("pb://L9dJp4AkUrbPkkYFlSmN2QT0RJf14pOmd_x7KgmIfDU@127.0.0.1:45671/swissnumberexample#v=1")
	f.Add("pb+tor://L9dJp4AkUrbPkkYFlSmN2QT0RJf14pOmd_x7KgmIfDU@abc.onion:80/a%20b#v=1")
	f.Fuzz(func(t *testing.T, text string) {
		n, err := gbs.ParseNURL(text)
		if err != nil {
			return
		}
		again, err := gbs.ParseNURL(n.Text())
		if err != nil || again != n {
			t.Errorf("%q is written as %q: %v", text, n.Text(), err)
		}
	})
}
