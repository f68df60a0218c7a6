package caps_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"trunkline/caps"
)

const (
	keyText  = "qjkmgknjfbipnvjz3u3w6saw5y"
	siText   = "tq2sxz7567puipfouwaaz6g6qm"
	hashText = "euxrbsbwcdv4ugqftqf25asv5orpsw7e2hl3z6uj24sivawz6eiq"
	chkText  = "URI:CHK:" + keyText + ":" + hashText + ":3:10:1000"
)

// everyKind is one cap of each known kind.
var everyKind = map[caps.Kind]string{
	caps.KindCHK:           chkText,
	caps.KindCHKVerify:     "URI:CHK-Verifier:" + siText + ":" + hashText + ":3:10:1000",
	caps.KindLiteral:       "URI:LIT:nbswy3dp",
	caps.KindSDMF:          "URI:SSK:" + keyText + ":" + hashText,
	caps.KindSDMFRead:      "URI:SSK-RO:" + keyText + ":" + hashText,
	caps.KindSDMFVerify:    "URI:SSK-Verifier:" + siText + ":" + hashText,
	caps.KindMDMF:          "URI:MDMF:" + keyText + ":" + hashText,
	caps.KindMDMFRead:      "URI:MDMF-RO:" + keyText + ":" + hashText,
	caps.KindMDMFVerify:    "URI:MDMF-Verifier:" + siText + ":" + hashText,
	caps.KindDirCHK:        "URI:DIR2-CHK:" + keyText + ":" + hashText + ":3:10:1000",
	caps.KindDirCHKVerify:  "URI:DIR2-CHK-Verifier:" + siText + ":" + hashText + ":3:10:1000",
	caps.KindDirLiteral:    "URI:DIR2-LIT:gi",
	caps.KindDirSDMF:       "URI:DIR2:" + keyText + ":" + hashText,
	caps.KindDirSDMFRead:   "URI:DIR2-RO:" + keyText + ":" + hashText,
	caps.KindDirSDMFVerify: "URI:DIR2-Verifier:" + siText + ":" + hashText,
	caps.KindDirMDMF:       "URI:DIR2-MDMF:" + keyText + ":" + hashText,
	caps.KindDirMDMFRead:   "URI:DIR2-MDMF-RO:" + keyText + ":" + hashText,
	caps.KindDirMDMFVerify: "URI:DIR2-MDMF-Verifier:" + siText + ":" + hashText,
}

func TestEveryKind(t *testing.T) {
	t.Parallel()
	if len(everyKind) != 18 {
		t.Fatalf("%d kinds, want 18", len(everyKind))
	}
	for kind, text := range everyKind {
		t.Run(kind.String(), func(t *testing.T) {
			t.Parallel()
			c := mustParse(t, text)
			if c.Kind() != kind || c.Text() != text || c.IsZero() || c.IsLongDistance() {
				t.Errorf("parsed as %s", c)
			}
			if kind.IsDirectory() != strings.HasPrefix(text, "URI:DIR2") || kind.IsVerify() != strings.Contains(text, "Verifier") {
				t.Error("directory or verify cap mistaken")
			}
			if kind.CanRead() == kind.IsVerify() || kind.CanWrite() && !kind.IsMutable() {
				t.Error("powers contradict each other")
			}
			checkWeakening(t, c)

			// A file becomes a directory and back, and only once.
			twin, isFile := c.Directory()
			if !isFile {
				twin, _ = c.File()
			}
			if isFile == c.IsDirectory() || twin.IsDirectory() == c.IsDirectory() {
				t.Error("file and directory mistaken")
			}
			back, ok := twin.File()
			if !isFile {
				back, ok = twin.Directory()
			}
			if !ok || !back.Equal(c) {
				t.Errorf("came back as %s", back)
			}

			// In another area it is the same thing.
			there, err := c.WithAreas(testArea(1), testArea(2))
			if err != nil {
				t.Fatal(err)
			}
			want := "URI:LD:" + testArea(1).String() + "+" + testArea(2).String() + ":" + strings.TrimPrefix(text, "URI:")
			if there.Text() != want {
				t.Errorf("long-distance text %s, want %s", there.Text(), want)
			}
			far := mustParse(t, want)
			if far.Text() != want || far.Kind() != kind || !far.IsLongDistance() || !far.Local().Equal(c) || far.Equal(c) {
				t.Errorf("long-distance cap read as %s", far)
			}
			if !slices.Equal(far.Areas(), []caps.AreaCode{testArea(1), testArea(2)}) {
				t.Errorf("areas %v", far.Areas())
			}
			checkWeakening(t, far)
			a, okA := c.StorageIndex()
			b, okB := far.StorageIndex()
			if a != b || okA != okB {
				t.Error("the area changed the storage index")
			}
		})
	}
}

// checkWeakening holds for every cap: weaker forms cannot do more, name the same object in
// the same areas, and do not hold the key. (A search of the whole text would be fooled by
// a fingerprint that spells the key.)
func checkWeakening(t *testing.T, c caps.Cap) {
	t.Helper()
	read, err := c.ReadOnly()
	if err != nil {
		t.Errorf("ReadOnly: %v", err)
		return
	}
	if read.Kind().CanWrite() || read.Kind().CanRead() != c.Kind().CanRead() || read.IsDirectory() != c.IsDirectory() {
		t.Errorf("%s has the read-only form %s", c, read)
	}
	if _, err := caps.ParseIn(read.Text(), caps.Context{ReadOnly: true}); err != nil {
		t.Errorf("read-only form refused where nothing may write: %v", err)
	}
	if again, err := read.ReadOnly(); err != nil || !again.Equal(read) {
		t.Errorf("read-only form of the read-only form: %v", err)
	}
	if c.Kind().CanWrite() && keyOf(read.Text()) == keyOf(c.Text()) {
		t.Error("the read-only form holds the write key")
	}

	verify, ok := c.VerifyCap()
	if _, literal := c.Literal(); ok == literal {
		t.Errorf("has a verify cap: %t", ok)
	}
	if !ok {
		return
	}
	if !verify.Kind().IsVerify() || verify.IsDirectory() != c.IsDirectory() || !slices.Equal(verify.Areas(), c.Areas()) {
		t.Errorf("%s has the verify cap %s", c, verify)
	}
	if again, ok := verify.VerifyCap(); !ok || !again.Equal(verify) {
		t.Error("verify cap of the verify cap differs")
	}
	if other, ok := read.VerifyCap(); !ok || !other.Equal(verify) {
		t.Error("verify cap of the read-only form differs")
	}
	for _, stronger := range []caps.Cap{c, read} {
		if !stronger.Kind().IsVerify() && keyOf(verify.Text()) == keyOf(stronger.Text()) {
			t.Error("the verify cap holds a key")
		}
	}
	want, _ := c.StorageIndex()
	for _, w := range []caps.Cap{read, verify} {
		if si, ok := w.StorageIndex(); !ok || si != want {
			t.Errorf("%s has another storage index", w)
		}
	}
}

// keyOf is the first field of a plain or long-distance cap.
func keyOf(text string) string {
	fields := strings.Split(text, ":")
	if fields[1] == "LD" {
		fields = fields[2:]
	}
	return fields[2]
}

func TestParseRefuses(t *testing.T) {
	t.Parallel()
	area, other := testArea(1).String(), testArea(2).String()
	rest := strings.TrimPrefix(chkText, "URI:")
	numbers := func(s string) string { return "URI:CHK:" + keyText + ":" + hashText + ":" + s }
	nine := make([]string, 9)
	for i := range nine {
		nine[i] = testArea(byte(i + 1)).String()
	}
	tests := map[string]struct {
		text string
		errs []error
	}{
		"empty":                  {"", []error{caps.ErrNoCap}},
		"space":                  {" \t\n", []error{caps.ErrNoCap}},
		"key_upper_case":         {"URI:CHK:" + strings.ToUpper(keyText) + ":" + hashText + ":3:10:1000", []error{caps.ErrMalformed, caps.ErrBase32Alphabet}},
		"key_trailing_bits":      {"URI:CHK:" + keyText[:25] + "z:" + hashText + ":3:10:1000", []error{caps.ErrMalformed, caps.ErrBase32TrailingBits}},
		"key_short":              {"URI:CHK:" + keyText[:25] + ":" + hashText + ":3:10:1000", []error{caps.ErrMalformed, caps.ErrBase32Length}},
		"key_missing":            {"URI:CHK::" + hashText + ":3:10:1000", []error{caps.ErrMalformed, caps.ErrBase32Length}},
		"hash_trailing_bits":     {"URI:SSK:" + keyText + ":" + hashText[:51] + "b", []error{caps.ErrMalformed, caps.ErrBase32TrailingBits}},
		"hash_with_1":            {"URI:SSK:" + keyText + ":1" + hashText[1:], []error{caps.ErrMalformed, caps.ErrBase32Alphabet}},
		"hash_missing":           {"URI:SSK:" + keyText, []error{caps.ErrMalformed}},
		"literal_upper_case":     {"URI:LIT:AE", []error{caps.ErrMalformed, caps.ErrBase32Alphabet}},
		"literal_trailing_bits":  {"URI:LIT:ab", []error{caps.ErrMalformed, caps.ErrBase32TrailingBits}},
		"literal_length":         {"URI:LIT:a", []error{caps.ErrMalformed, caps.ErrBase32Length}},
		"size_missing":           {numbers("3:10"), []error{caps.ErrMalformed}},
		"size_empty":             {numbers("3:10:"), []error{caps.ErrMalformed}},
		"size_negative":          {numbers("3:10:-1"), []error{caps.ErrMalformed}},
		"size_not_ascii_digits":  {numbers("3:10:１０"), []error{caps.ErrMalformed}},
		"k_plus":                 {numbers("+3:10:1000"), []error{caps.ErrMalformed}},
		"k_hexadecimal":          {numbers("0x3:10:1000"), []error{caps.ErrMalformed}},
		"tail_after_size":        {numbers("3:10:1000:x"), []error{caps.ErrMalformed}},
		"tail_after_fingerprint": {"URI:SSK:" + keyText + ":" + hashText + ":x", []error{caps.ErrMalformed}},
		"tail_of_directory":      {"URI:DIR2:" + keyText + ":" + hashText + ":", []error{caps.ErrMalformed}},
		"verifier_size_missing":  {"URI:CHK-Verifier:" + siText + ":" + hashText + ":3:10:x", []error{caps.ErrMalformed}},
		"space_inside":           {"URI:CHK:" + keyText + " :" + hashText + ":3:10:1000", []error{caps.ErrMalformed, caps.ErrBase32Length}},
		"k_zero":                 {numbers("0:10:1000"), []error{caps.ErrShareCounts}},
		"k_above_n":              {numbers("10:3:1000"), []error{caps.ErrShareCounts}},
		"n_257":                  {numbers("3:257:1000"), []error{caps.ErrShareCounts}},
		"n_beyond_64_bits":       {numbers("3:99999999999999999999999:1000"), []error{caps.ErrShareCounts}},
		"k_and_n_zero":           {numbers("0:0:0"), []error{caps.ErrShareCounts}},
		"k_wraps_16_bits":        {numbers("65537:65546:1000"), []error{caps.ErrShareCounts}},
		"size_zero":              {numbers("3:10:0"), []error{caps.ErrSize}},
		"size_2_63":              {numbers("3:10:9223372036854775808"), []error{caps.ErrSize}},
		"size_beyond_64_bits":    {numbers("3:10:99999999999999999999999"), []error{caps.ErrSize}},
		"verifier_size_zero":     {"URI:CHK-Verifier:" + siText + ":" + hashText + ":3:10:0", []error{caps.ErrSize}},
		"directory_k_zero":       {"URI:DIR2-CHK:" + keyText + ":" + hashText + ":0:10:1000", []error{caps.ErrShareCounts}},
		"prefix_lower_case":      {"uri:chk:" + keyText + ":" + hashText + ":3:10:1000", []error{caps.ErrMalformed}},
		"prefix_mixed_case":      {"URI:Chk:" + keyText + ":" + hashText + ":3:10:1000", []error{caps.ErrMalformed}},
		"prefix_alone":           {"URI:CHK", []error{caps.ErrMalformed}},
		"unknown_kind":           {"URI:CHK2:" + keyText, []error{caps.ErrUnknownKind}},
		"name_in_old_documents":  {"URI:SSK-RW:" + keyText + ":" + hashText, []error{caps.ErrUnknownKind}},
		"uri_alone":              {"URI:", []error{caps.ErrUnknownKind}},
		"other_scheme":           {"lafs://from_the_future", []error{caps.ErrUnknownKind}},
		"file_name":              {"thesis.pdf", []error{caps.ErrUnknownKind}},
		"two_prefixes":           {"ro.imm.URI:LIT:nbswy3dp", []error{caps.ErrUnknownKind}},
		"ro_with_write_cap":      {"ro.URI:SSK:" + keyText + ":" + hashText, []error{caps.ErrMustBeReadOnly}},
		"imm_with_read_cap":      {"imm.URI:DIR2-RO:" + keyText + ":" + hashText, []error{caps.ErrMustBeDeepImmutable}},
		"area_missing":           {"URI:LD::" + rest, []error{caps.ErrMalformed, caps.ErrAreaCode, caps.ErrKey}},
		"area_upper_case":        {"URI:LD:" + strings.ToUpper(area) + ":" + rest, []error{caps.ErrMalformed, caps.ErrAreaCode}},
		"area_short":             {"URI:LD:" + area[:61] + ":" + rest, []error{caps.ErrMalformed, caps.ErrAreaCode}},
		"area_of_weak_key":       {"URI:LD:k51qzi5uqu5dg7hin2celae34lqmtp708tkh0v7o8txgmu84ry3v0utr3zifwg:" + rest, []error{caps.ErrMalformed, caps.ErrKeySmallOrder}},
		"area_second_is_bad":     {"URI:LD:" + area + "+k51:" + rest, []error{caps.ErrMalformed, caps.ErrAreaCode}},
		"area_twice":             {"URI:LD:" + area + "+" + other + "+" + area + ":" + rest, []error{caps.ErrMalformed, caps.ErrAreaDuplicate}},
		"area_nine":              {"URI:LD:" + strings.Join(nine, "+") + ":" + rest, []error{caps.ErrMalformed, caps.ErrAreaCount}},
		"area_plus_at_end":       {"URI:LD:" + area + "+:" + rest, []error{caps.ErrMalformed, caps.ErrAreaCode}},
		"area_alone":             {"URI:LD:" + area, []error{caps.ErrMalformed}},
		"area_and_nothing":       {"URI:LD:" + area + ":", []error{caps.ErrUnknownKind}},
		"area_inside_area":       {"URI:LD:" + area + ":LD:" + other + ":" + rest, []error{caps.ErrMalformed, caps.ErrAreaNested}},
		"area_with_whole_cap":    {"URI:LD:" + area + ":" + chkText, []error{caps.ErrMalformed}},
		"area_and_mistyped_cap":  {"URI:LD:" + area + ":" + rest + ":x", []error{caps.ErrMalformed}},
		"area_and_bad_size":      {"URI:LD:" + area + ":CHK:" + keyText + ":" + hashText + ":3:10:0", []error{caps.ErrSize}},
		"area_and_unknown_kind":  {"URI:LD:" + area + ":FUTURE:abc", []error{caps.ErrUnknownKind}},
		"area_prefix_lower_case": {"URI:ld:" + area + ":" + rest, []error{caps.ErrMalformed}},
		"area_ro_with_write_cap": {"ro.URI:LD:" + area + ":SSK:" + keyText + ":" + hashText, []error{caps.ErrMustBeReadOnly}},
		"area_before_ro":         {"URI:LD:" + area + ":ro." + rest, []error{caps.ErrUnknownKind}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, err := caps.Parse(tt.text)
			if err == nil || !c.IsZero() {
				t.Fatalf("accepted as %s", c)
			}
			for _, want := range tt.errs {
				if !errors.Is(err, want) {
					t.Errorf("%v is not %v", err, want)
				}
			}
			if errors.Is(err, caps.ErrMalformed) && errors.Is(err, caps.ErrUnknownKind) {
				t.Errorf("%v is both a typo and a kind of the future", err)
			}
			for _, secret := range []string{keyText[:8], hashText[:8], "QJKMGKNJ", "from_the_future"} {
				if strings.Contains(err.Error(), secret) {
					t.Errorf("the error quotes the text: %v", err)
				}
			}
		})
	}
}

// What is accepted and printed otherwise.
func TestParseNormalises(t *testing.T) {
	t.Parallel()
	area := testArea(1).String()
	tests := map[string]struct{ text, want string }{
		"space_around":           {" \t" + chkText + "\r\n", chkText},
		"leading_zeros":          {"URI:CHK:" + keyText + ":" + hashText + ":003:0010:0001000", chkText},
		"verifier_tail":          {everyKind[caps.KindCHKVerify] + ":x:y", everyKind[caps.KindCHKVerify]},
		"directory_tail":         {everyKind[caps.KindDirCHKVerify] + "x", everyKind[caps.KindDirCHKVerify]},
		"mdmf_hints":             {everyKind[caps.KindMDMF] + ":3:131073", everyKind[caps.KindMDMF]},
		"mdmf_hints_empty":       {everyKind[caps.KindMDMFRead] + ":", everyKind[caps.KindMDMFRead]},
		"ro_prefix":              {"ro." + chkText, chkText},
		"imm_prefix":             {"imm." + chkText, chkText},
		"ro_prefix_and_area":     {"ro.URI:LD:" + area + ":LIT:nbswy3dp", "URI:LD:" + area + ":LIT:nbswy3dp"},
		"area_and_leading_zeros": {"URI:LD:" + area + ":CHK:" + keyText + ":" + hashText + ":3:10:01000", "URI:LD:" + area + ":CHK:" + keyText + ":" + hashText + ":3:10:1000"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := mustParse(t, tt.text).Text(); got != tt.want {
				t.Errorf("printed %s, want %s", got, tt.want)
			}
		})
	}
}

func TestTypedCaps(t *testing.T) {
	t.Parallel()
	var key [16]byte
	copy(key[:], "sixteen key byte")
	read, err := caps.NewCHKRead(caps.NewReadKey(key), caps.Hash{1}, 3, 10, 1<<63-1)
	if err != nil {
		t.Fatal(err)
	}
	c := mustParse(t, read.Cap().Text())
	again, ok := c.CHK()
	if !ok || again.Verify() != read.Verify() || !again.Key().Equal(read.Key()) || again.Key().Bytes() != key {
		t.Errorf("read as %s", again)
	}
	if dir, _ := c.Directory(); dir.Text() == c.Text() {
		t.Error("a directory is a file")
	} else if again, ok := dir.CHK(); !ok || again.Verify() != read.Verify() {
		t.Error("the file of a directory is lost")
	}
	if si, ok := c.StorageIndex(); !ok || si != read.Verify().StorageIndex || si != read.Key().StorageIndex() {
		t.Error("storage index")
	}
	v, ok := c.CHKVerify()
	if !ok || v != read.Verify() || v.Text() != mustParse(t, v.Text()).Text() {
		t.Error("verify cap")
	}
	weak, _ := c.VerifyCap()
	if w, ok := weak.CHKVerify(); !ok || w != v {
		t.Error("verify cap of the verify cap")
	}
	if _, ok := weak.CHK(); ok {
		t.Error("a verify cap gave a read key")
	}

	lit, err := caps.NewLiteral([]byte("hello"))
	if err != nil || lit.Text() != "URI:LIT:nbswy3dp" {
		t.Errorf("literal %v, %v", lit, err)
	}
	content, ok := lit.Literal()
	if !ok || string(content) != "hello" {
		t.Error("literal content")
	}
	content[0] = 'j'
	if again, _ := lit.Literal(); string(again) != "hello" {
		t.Error("the caller changed the cap")
	}
	mine := []byte("hello")
	if lit, err = caps.NewLiteral(mine); err != nil {
		t.Fatal(err)
	}
	mine[0] = 'j'
	if again, _ := lit.Literal(); string(again) != "hello" {
		t.Error("the cap shares the caller's bytes")
	}
	if empty, err := caps.NewLiteral(nil); err != nil || empty.Text() != "URI:LIT:" || empty.IsZero() {
		t.Errorf("empty literal: %v", err)
	} else if b, ok := empty.Literal(); !ok || b == nil || len(b) != 0 {
		t.Error("empty literal has no content")
	}
	if _, err := caps.NewLiteral(make([]byte, caps.LiteralMax)); err != nil {
		t.Errorf("%d bytes: %v", caps.LiteralMax, err)
	}
	if _, err := caps.NewLiteral(make([]byte, caps.LiteralMax+1)); !errors.Is(err, caps.ErrLiteralSize) {
		t.Errorf("%d bytes: %v", caps.LiteralMax+1, err)
	}
	if long := mustParse(t, "URI:LIT:"+strings.Repeat("a", 1600)); long.Kind() != caps.KindLiteral {
		t.Error("a reader refuses a long literal")
	}

	for kind, text := range everyKind {
		c := mustParse(t, text)
		_, chk := c.CHK()
		_, verify := c.CHKVerify()
		_, literal := c.Literal()
		_, write := c.WriteKey()
		_, mutable := c.MutableReadKey()
		_, fingerprint := c.KeyFingerprint()
		isCHK, isLit := strings.Contains(kind.String(), "CHK"), strings.Contains(kind.String(), "LIT")
		if chk != (isCHK && kind.CanRead()) || verify != isCHK || literal != isLit || write != kind.CanWrite() ||
			mutable != kind.IsMutable() || fingerprint != (!isCHK && !isLit) {
			t.Errorf("%s: typed forms %t %t %t %t %t %t", kind, chk, verify, literal, write, mutable, fingerprint)
		}
		if _, err := caps.NewMutable(kind, caps.NewWriteKey(key), caps.Hash{}); (err == nil) != kind.CanWrite() {
			t.Errorf("NewMutable of %s: %v", kind, err)
		}
	}
}

// Numbers that only Tahoe's parser lets through cannot be used, by any way in.
func TestNumbersOutOfRange(t *testing.T) {
	t.Parallel()
	for numbers, want := range map[string]error{
		"10:3:1000": caps.ErrShareCounts, "0:0:0": caps.ErrShareCounts, "3:257:1": caps.ErrShareCounts,
		"3:10:0": caps.ErrSize, "3:10:9223372036854775808": caps.ErrSize, "1:1:99999999999999999999": caps.ErrSize,
		"256:256:1": nil, "1:1:9223372036854775807": nil,
	} {
		text := "URI:CHK:" + keyText + ":" + hashText + ":" + numbers
		c, err := caps.ParseIn(text, caps.Context{})
		if err != nil || c.Text() != text {
			t.Errorf("%s: ParseIn: %v", numbers, err)
		}
		weak, _ := c.VerifyCap()
		for _, c := range []caps.Cap{c, weak} {
			if err := c.Validate(); !errors.Is(err, want) || want == nil && err != nil {
				t.Errorf("%s: %v, want %v", numbers, err, want)
			}
			if _, ok := c.CHKVerify(); ok != (want == nil) {
				t.Errorf("%s: a typed verify cap: %t", numbers, ok)
			}
		}
		if _, ok := c.CHK(); ok != (want == nil) {
			t.Errorf("%s: a typed read cap: %t", numbers, ok)
		}
	}
	for _, v := range []struct {
		k, n int
		size uint64
		want error
	}{
		{0, 10, 1, caps.ErrShareCounts},
		{-1, 10, 1, caps.ErrShareCounts},
		{11, 10, 1, caps.ErrShareCounts},
		{1, 257, 1, caps.ErrShareCounts},
		{3, 10, 0, caps.ErrSize},
		{3, 10, 1 << 63, caps.ErrSize},
	} {
		if _, err := caps.NewCHKRead(caps.ReadKey{}, caps.Hash{}, v.k, v.n, v.size); !errors.Is(err, v.want) {
			t.Errorf("%+v: %v", v, err)
		}
	}
	if (caps.CHKVerify{}).Validate() == nil {
		t.Error("the zero verify cap is valid")
	}
}

func TestWithAreas(t *testing.T) {
	t.Parallel()
	c := mustParse(t, chkText)
	nine := make([]caps.AreaCode, 9)
	for i := range nine {
		nine[i] = testArea(byte(i + 1))
	}
	for name, tt := range map[string]struct {
		areas []caps.AreaCode
		err   error
	}{
		"none":      {nil, caps.ErrAreaCount},
		"nine":      {nine, caps.ErrAreaCount},
		"duplicate": {[]caps.AreaCode{nine[0], nine[1], nine[0]}, caps.ErrAreaDuplicate},
		"zero":      {[]caps.AreaCode{nine[0], {}}, caps.ErrAreaCode},
	} {
		if _, err := c.WithAreas(tt.areas...); !errors.Is(err, tt.err) {
			t.Errorf("%s: %v, want %v", name, err, tt.err)
		}
	}
	eight, err := c.WithAreas(nine[:8]...)
	if err != nil || mustParse(t, eight.Text()).Text() != eight.Text() {
		t.Errorf("eight areas: %v", err)
	}
	nine[0] = testArea(100)
	if eight.Areas()[0] == nine[0] {
		t.Error("the caller changed the cap's areas")
	}
	eight.Areas()[0] = nine[0]
	if eight.Areas()[0] == nine[0] {
		t.Error("the caller changed the cap's areas through Areas")
	}
	one, err := eight.WithAreas(testArea(50))
	if err != nil || !slices.Equal(one.Areas(), []caps.AreaCode{testArea(50)}) {
		t.Errorf("other areas in their place: %v", err)
	}

	for _, text := range []string{"URI:FUTURE:abc", "ro.URI:FUTURE:abc", "URI:"} {
		u, err := caps.ParseIn(text, caps.Context{})
		if err != nil {
			t.Fatal(err)
		}
		far, err := u.WithAreas(testArea(1))
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		again, err := caps.ParseIn(far.Text(), caps.Context{})
		if err != nil || again.Text() != far.Text() || !again.IsLongDistance() || again.Local().Text() != text {
			t.Errorf("%s came back as %s: %v", text, again.Text(), err)
		}
	}
	u, err := caps.ParseIn("lafs://future", caps.Context{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := u.WithAreas(testArea(1)); !errors.Is(err, caps.ErrNoAreaForm) {
		t.Errorf("a cap that is no URI: %v", err)
	}
}

func TestZeroCap(t *testing.T) {
	t.Parallel()
	var c caps.Cap
	if c.Text() != "" || !c.IsZero() || c.Kind() != caps.KindUnknown || len(c.Areas()) != 0 || !c.Equal(caps.Cap{}) {
		t.Errorf("the zero cap is %s", c)
	}
	if _, err := c.ReadOnly(); !errors.Is(err, caps.ErrNoCap) {
		t.Errorf("ReadOnly: %v", err)
	}
	if _, err := c.WithAreas(testArea(1)); !errors.Is(err, caps.ErrNoCap) {
		t.Errorf("WithAreas: %v", err)
	}
	if err := c.Validate(); !errors.Is(err, caps.ErrNoCap) {
		t.Errorf("Validate: %v", err)
	}
	_, a := c.VerifyCap()
	_, b := c.StorageIndex()
	_, d := c.CHK()
	_, e := c.CHKVerify()
	_, f := c.Literal()
	_, g := c.Directory()
	_, h := c.File()
	_, i := c.WriteKey()
	_, j := c.MutableReadKey()
	_, k := c.KeyFingerprint()
	if a || b || d || e || f || g || h || i || j || k {
		t.Error("the zero cap has something")
	}
	if (caps.ReadKey{}).Bytes() != [16]byte{} || !(caps.ReadKey{}).Equal(caps.NewReadKey([16]byte{})) {
		t.Error("the zero read key is not zero")
	}
}

func FuzzParse(f *testing.F) {
	f.Fuzz(func(t *testing.T, text string) {
		c, err := caps.Parse(text)
		if err != nil {
			if !c.IsZero() {
				t.Error("a cap beside the error")
			}
			named := []error{
				caps.ErrNoCap, caps.ErrMalformed, caps.ErrUnknownKind, caps.ErrShareCounts, caps.ErrSize,
				caps.ErrMustBeReadOnly, caps.ErrMustBeDeepImmutable,
			}
			if !slices.ContainsFunc(named, func(e error) bool { return errors.Is(err, e) }) {
				t.Errorf("unnamed error %v", err)
			}
			return
		}
		canonical := c.Text()
		again, err := caps.Parse(canonical)
		if err != nil || again.Text() != canonical || again.Kind() != c.Kind() {
			t.Fatalf("%q prints as %q, which reads as %q: %v", text, canonical, again.Text(), err)
		}
		if err := c.Validate(); err != nil {
			t.Errorf("%q was accepted and is not valid: %v", text, err)
		}
		checkWeakening(t, c)
		if literal, ok := c.Literal(); !ok && strings.Contains(c.String(), keyOf(canonical)) {
			t.Errorf("String shows the key of %q (%d)", text, len(literal))
		}
		if !c.Local().Equal(c) != c.IsLongDistance() {
			t.Errorf("%q: long-distance %t", text, c.IsLongDistance())
		}
	})
}

func FuzzParseIn(f *testing.F) {
	f.Fuzz(func(t *testing.T, text string, readOnly, deepImmutable bool) {
		ctx := caps.Context{ReadOnly: readOnly, DeepImmutable: deepImmutable}
		c, err := caps.ParseIn(text, ctx)
		if err != nil {
			if !c.IsZero() || !errors.Is(err, caps.ErrMalformed) && !errors.Is(err, caps.ErrMustBeReadOnly) &&
				!errors.Is(err, caps.ErrMustBeDeepImmutable) {
				t.Errorf("unnamed error %v", err)
			}
			return
		}
		canonical := c.Text()
		again, err := caps.ParseIn(canonical, ctx)
		if err != nil || again.Text() != canonical || again.Kind() != c.Kind() {
			t.Fatalf("%q prints as %q, which reads as %q: %v", text, canonical, again.Text(), err)
		}
		if c.Kind() == caps.KindUnknown {
			if canonical != text {
				t.Errorf("an unknown cap %q was not kept as it came: %q", text, canonical)
			}
			return
		}
		if (readOnly || deepImmutable) && c.Kind().CanWrite() || deepImmutable && c.Kind().IsMutable() {
			t.Errorf("%s accepted in %+v", c, ctx)
		}
		checkWeakening(t, c)
	})
}
