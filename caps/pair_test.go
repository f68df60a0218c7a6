package caps_test

import (
	"errors"
	"testing"

	"trunkline/caps"
)

func TestParsePair(t *testing.T) {
	t.Parallel()
	write, read := everyKind[caps.KindSDMF], everyKind[caps.KindSDMFRead]
	const future, other = "lafs://future", "lafs://other"
	normal, immutable := caps.Context{}, caps.Context{DeepImmutable: true}
	tests := map[string]struct {
		write, read string
		ctx         caps.Context
		wantWrite   string
		wantRead    string
		stored      string // the read slot in a directory of the same context
		err         error
	}{
		"nothing":                          {"", "", normal, "", "", "", nil},
		"write_alone":                      {write, "", normal, write, "", "", nil},
		"write_and_read":                   {write, read, normal, write, "", "", nil},
		"write_and_nonsense":               {write, "URI:CHK:x", normal, write, "", "", nil},
		"read_alone":                       {"", read, normal, "", read, read, nil},
		"read_with_ro":                     {"", "ro." + read, normal, "", read, read, nil},
		"read_in_write_slot":               {read, "", normal, "", read, read, nil},
		"fixed_in_write_slot":              {chkText, future, normal, "", chkText, chkText, nil},
		"write_in_read_slot":               {"", write, normal, "", "", "", caps.ErrMustBeReadOnly},
		"malformed_write":                  {write + ":x", "", normal, "", "", "", caps.ErrMalformed},
		"malformed_write_and_good_read":    {write + ":x", read, normal, "", "", "", caps.ErrMalformed},
		"malformed_read":                   {"", read + ":x", normal, "", "", "", caps.ErrMalformed},
		"immutable_write":                  {write, "", immutable, "", "", "", caps.ErrMustBeDeepImmutable},
		"immutable_read":                   {"", read, immutable, "", "", "", caps.ErrMustBeDeepImmutable},
		"immutable_fixed":                  {"", chkText, immutable, "", chkText, chkText, nil},
		"unknown_read":                     {"", future, normal, "", "ro." + future, future, nil},
		"unknown_read_ro":                  {"", "ro." + future, normal, "", "ro." + future, future, nil},
		"unknown_read_imm":                 {"", "imm." + future, normal, "", "imm." + future, "imm." + future, nil},
		"immutable_unknown_read":           {"", future, immutable, "", "imm." + future, future, nil},
		"immutable_unknown_read_ro":        {"", "ro." + future, immutable, "", "imm." + future, future, nil},
		"immutable_unknown_read_imm":       {"", "imm." + future, immutable, "", "imm." + future, future, nil},
		"unknown_write_alone":              {future, "", normal, "", "", "", caps.ErrMustNotBeUnknownRW},
		"unknown_write_alone_ro":           {"ro." + future, "", normal, "", "ro." + future, future, nil},
		"unknown_write_alone_imm":          {"imm." + future, "", normal, "", "imm." + future, "imm." + future, nil},
		"immutable_unknown_write":          {future, "", immutable, "", "", "", caps.ErrMustNotBeUnknownRW},
		"immutable_unknown_write_ro":       {"ro." + future, "", immutable, "", "", "", caps.ErrMustNotBeUnknownRW},
		"immutable_unknown_write_imm":      {"imm." + future, "", immutable, "", "imm." + future, future, nil},
		"immutable_unknown_write_and_read": {future, other, immutable, "", "", "", caps.ErrMustBeDeepImmutable},
		"immutable_unknown_imm_and_read":   {"imm." + future, other, immutable, "", "", "", caps.ErrMustBeDeepImmutable},
		"both_unknown":                     {future, other, normal, future, "ro." + other, other, nil},
		"both_unknown_ro":                  {future, "ro." + other, normal, future, "ro." + other, other, nil},
		"both_unknown_imm":                 {future, "imm." + other, normal, "", "", "", caps.ErrMustBeDeepImmutable},
		"unknown_write_known_read":         {future, read, normal, future, read, read, nil},
		"unknown_write_bad_read":           {future, read + ":x", normal, "", "", "", caps.ErrMalformed},
		"read_only_unknown_write":          {future, other, caps.Context{ReadOnly: true}, "", "", "", caps.ErrMustBeReadOnly},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p, err := caps.ParsePair(tt.write, tt.read, tt.ctx)
			if !errors.Is(err, tt.err) || tt.err == nil && err != nil {
				t.Fatalf("%v, want %v", err, tt.err)
			}
			if got := p.Write.Text(); got != tt.wantWrite {
				t.Errorf("write slot %q, want %q", got, tt.wantWrite)
			}
			if got := p.Read.Text(); got != tt.wantRead {
				t.Errorf("read slot %q, want %q", got, tt.wantRead)
			}
			if got := p.StoredRead(tt.ctx.DeepImmutable); got != tt.stored {
				t.Errorf("stored as %q, want %q", got, tt.stored)
			}
		})
	}
}

func TestUnknownCapsWeaken(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]error{
		"lafs://future": caps.ErrMustNotBeUnknownRW, "ro.lafs://future": nil, "imm.lafs://future": nil,
	} {
		c, err := caps.ParseIn(text, caps.Context{})
		if err != nil {
			t.Fatal(err)
		}
		r, err := c.ReadOnly()
		if !errors.Is(err, want) || want == nil && (err != nil || r.Text() != text) {
			t.Errorf("%s: %v, want %v", text, err, want)
		}
		if !errors.Is(c.Validate(), caps.ErrUnknownKind) {
			t.Errorf("%s is taken for valid", text)
		}
	}
}
