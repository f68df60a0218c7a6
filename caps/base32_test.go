package caps_test

import (
	"bytes"
	"encoding/hex"
	"errors"
	"strings"
	"testing"

	"trunkline/caps"
)

func TestBase32(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		text string
		want string // hex
		err  error
	}{
		"empty":                  {"", "", nil},
		"one_byte":               {"74", "ff", nil},
		"four_bytes":             {"mfrggza", "61626364", nil},
		"five_bytes":             {"mfrggzdf", "6162636465", nil},
		"length_1":               {"a", "", caps.ErrBase32Length},
		"length_3":               {"aaa", "", caps.ErrBase32Length},
		"length_6":               {"aaaaaa", "", caps.ErrBase32Length},
		"length_9":               {"nbswy3dpb", "", caps.ErrBase32Length},
		"upper_case":             {"AA", "", caps.ErrBase32Alphabet},
		"digit_1":                {"a1", "", caps.ErrBase32Alphabet},
		"digit_8":                {"a8", "", caps.ErrBase32Alphabet},
		"padding":                {"aa======", "", caps.ErrBase32Alphabet},
		"newline":                {"aa\n", "", caps.ErrBase32Alphabet},
		"not_ascii":              {"aä", "", caps.ErrBase32Alphabet},
		"bits_of_length_2":       {"ab", "", caps.ErrBase32TrailingBits},
		"bits_of_length_4":       {"aaai", "", caps.ErrBase32TrailingBits},
		"bits_of_length_5":       {"aaaab", "", caps.ErrBase32TrailingBits},
		"bits_of_length_7":       {"aaaaaae", "", caps.ErrBase32TrailingBits},
		"last_of_16_bytes":       {strings.Repeat("a", 25) + "b", "", caps.ErrBase32TrailingBits},
		"last_of_32_bytes":       {strings.Repeat("a", 51) + "b", "", caps.ErrBase32TrailingBits},
		"last_of_32_bytes_valid": {strings.Repeat("a", 51) + "q", strings.Repeat("00", 31) + "01", nil},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := caps.DecodeBase32(tt.text)
			if !errors.Is(err, tt.err) || tt.err == nil && err != nil {
				t.Fatalf("error %v, want %v", err, tt.err)
			}
			if hex.EncodeToString(got) != tt.want {
				t.Errorf("decoded to %x, want %s", got, tt.want)
			}
		})
	}
}

// Of the 32 characters that may end a text, only those of the table in tahoe-formats 1.1
// do.
func TestBase32LastCharacter(t *testing.T) {
	t.Parallel()
	const alphabet = "abcdefghijklmnopqrstuvwxyz234567"
	for length, allowed := range map[int]string{
		2: "aeimquy4", 4: "aq", 5: "acegikmoqsuwy246", 7: "aiqy", 8: alphabet,
		10: "aeimquy4", 26: "aeimquy4", 32: alphabet, 52: "aq", 103: "aiqy",
	} {
		for _, c := range alphabet {
			text := strings.Repeat("7", length-1) + string(c)
			_, err := caps.DecodeBase32(text)
			if got, want := err == nil, strings.ContainsRune(allowed, c); got != want {
				t.Errorf("%d characters, the last %c: accepted %t, want %t", length, c, got, want)
			}
		}
	}
}

func TestParseStorageIndex(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		text string
		err  error
	}{
		"good":      {"tq2sxz7567puipfouwaaz6g6qm", nil},
		"short":     {"tq2sxz7567puipfouwaaz6g6", caps.ErrBase32Length},
		"long":      {"tq2sxz7567puipfouwaaz6g6qmaa", caps.ErrBase32Length},
		"upper":     {"TQ2SXZ7567PUIPFOUWAAZ6G6QM", caps.ErrBase32Alphabet},
		"traversal": {"../../../../etc/passwd.....", caps.ErrBase32Length},
		"dots":      {"../../../../../etc/passwdm", caps.ErrBase32Alphabet},
		"bits":      {"tq2sxz7567puipfouwaaz6g6qn", caps.ErrBase32TrailingBits},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			si, err := caps.ParseStorageIndex(tt.text)
			if !errors.Is(err, tt.err) || tt.err == nil && err != nil {
				t.Fatalf("error %v, want %v", err, tt.err)
			}
			if err == nil && si.String() != tt.text {
				t.Errorf("printed as %s", si)
			}
			if err != nil && !si.IsZero() {
				t.Error("a value beside the error")
			}
		})
	}
}

func FuzzBase32(f *testing.F) {
	f.Fuzz(func(t *testing.T, text string) {
		b, err := caps.DecodeBase32(text)
		if err == nil {
			if again := caps.EncodeBase32(b); again != text {
				t.Errorf("%q decodes, and prints as %q", text, again)
			}
		} else if !errors.Is(err, caps.ErrBase32Alphabet) && !errors.Is(err, caps.ErrBase32Length) &&
			!errors.Is(err, caps.ErrBase32TrailingBits) {
			t.Errorf("unnamed error %v", err)
		}
		back, err := caps.DecodeBase32(caps.EncodeBase32([]byte(text)))
		if err != nil || !bytes.Equal(back, []byte(text)) {
			t.Errorf("%x does not survive: %x, %v", text, back, err)
		}
	})
}
