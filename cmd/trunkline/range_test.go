package main

import (
	"fmt"
	"testing"

	"trunkline/cmd/internal/node"
)

func TestParseRange(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]node.Range{
		"":                      {Whole: true},
		"0-0":                   {},
		"3-":                    {First: 3, ToEnd: true},
		"0-":                    {ToEnd: true},
		"-4":                    {Suffix: 4},
		"5-9":                   {First: 5, Last: 9},
		"9-9":                   {First: 9, Last: 9},
		"0-9223372036854775807": {Last: 1<<63 - 1},
	} {
		if got, err := parseRange(text); err != nil || got != want {
			t.Errorf("parseRange(%q) = %+v, %v, want %+v", text, got, err, want)
		}
	}
	for _, text := range []string{"-", "5", "5-4", "-0", "a-", "-b", "1-2-3", "--5", "+1-2", " 1-2", "0x1-2", "0-9223372036854775808", "1-2,4-5"} {
		if got, err := parseRange(text); err == nil {
			t.Errorf("parseRange(%q) = %+v, want an error", text, got)
		}
	}
}

// Whatever parses prints as a range that parses to the same.
func FuzzParseRange(f *testing.F) {
	f.Add("5-9")
	f.Fuzz(func(t *testing.T, text string) {
		r, err := parseRange(text)
		if err != nil {
			return
		}
		again := ""
		switch {
		case r.Whole:
		case r.Suffix > 0:
			again = fmt.Sprintf("-%d", r.Suffix)
		case r.ToEnd:
			again = fmt.Sprintf("%d-", r.First)
		default:
			again = fmt.Sprintf("%d-%d", r.First, r.Last)
		}
		if same, err := parseRange(again); err != nil || same != r {
			t.Fatalf("%q gave %+v, which prints as %q and that gives %+v, %v", text, r, again, same, err)
		}
	})
}
