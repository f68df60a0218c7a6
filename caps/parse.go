package caps

import (
	"fmt"
	"strings"
)

const (
	uriLead       = "URI:"
	longDistance  = "LD:"
	readOnlyLead  = "ro."
	immutableLead = "imm."
)

// Context says what a capability may be in the place where it was found.
type Context struct {
	// ReadOnly means nothing that can write: a directory's read slot.
	ReadOnly bool
	// DeepImmutable means nothing that can change: an entry of an immutable directory.
	// It includes ReadOnly.
	DeepImmutable bool
}

// Parse reads a capability that a person or a program hands in, to be used at once: space
// around it is dropped, and numbers that cannot be used are refused. It accepts every
// known kind, plain or long-distance.
//
// Errors: ErrNoCap; ErrMalformed, with the base32 or area error if it is one, for a
// mistyped cap; ErrUnknownKind for one of a kind that this version does not know;
// ErrShareCounts; ErrSize; ErrMustBeReadOnly and ErrMustBeDeepImmutable for a cap whose ro.
// or imm. prefix it contradicts. No error quotes the text.
//
// Source: tahoe-formats 1.2.
func Parse(text string) (Cap, error) {
	text = strings.TrimSpace(text)
	if text == "" {
		return Cap{}, ErrNoCap
	}
	c, err := ParseIn(text, Context{})
	if err != nil {
		return Cap{}, err
	}
	if c.kind == KindUnknown {
		return Cap{}, explainUnknown(c.open().text)
	}
	if err := c.Validate(); err != nil {
		return Cap{}, fmt.Errorf("%s capability: %w", c.kind, err)
	}
	return c, nil
}

// explainUnknown tells a mistyped beginning from a kind of a later version.
func explainUnknown(text string) error {
	if len(text) < len(uriLead) || !strings.EqualFold(text[:len(uriLead)], uriLead) {
		return fmt.Errorf("%w: it does not begin with %q", ErrUnknownKind, uriLead)
	}
	name, _, colon := strings.Cut(text[len(uriLead):], ":")
	for k := KindUnknown + 1; k < kinds; k++ {
		if known := k.String(); strings.EqualFold(name, known) {
			if !colon {
				return fmt.Errorf("%w: nothing follows %q", ErrMalformed, uriLead+known)
			}
			return fmt.Errorf("%w: the beginning must be spelled %q", ErrMalformed, uriLead+known+":")
		}
	}
	switch {
	case strings.EqualFold(name, "LD"):
		return fmt.Errorf("%w: the beginning must be spelled %q", ErrMalformed, uriLead+longDistance)
	case strings.EqualFold(name, "URI"):
		return fmt.Errorf("%w: %q stands there twice", ErrMalformed, uriLead)
	}
	return ErrUnknownKind
}

// ParseIn reads a capability as Tahoe does in that context, for directory entries and the
// web API. Unlike Parse it drops no space but one newline at the end of a known kind,
// leaves numbers unchecked until the cap is used, and returns a text of unknown kind as
// an unknown cap, verbatim and without error: a later version may understand it.
//
// Errors: ErrMustBeDeepImmutable or ErrMustBeReadOnly (more authority than the context or the
// text's own imm. or ro. prefix allows; this comes before syntax), ErrMalformed (a known
// kind whose grammar is broken). No error quotes the text.
//
// Source: tahoe-formats 1.4.
func ParseIn(text string, ctx Context) (Cap, error) {
	mayMutate := !ctx.DeepImmutable
	mayWrite := mayMutate && !ctx.ReadOnly
	var prefix string
	rest := text
	switch {
	case strings.HasPrefix(rest, immutableLead):
		prefix, mayMutate, mayWrite = immutableLead, false, false
	case strings.HasPrefix(rest, readOnlyLead):
		prefix, mayWrite = readOnlyLead, false
	}
	rest = rest[len(prefix):]

	areaText, rest, isLong, err := cutAreas(rest)
	if err != nil {
		return Cap{}, err
	}
	kind, bodyText := cutKind(rest)

	switch power := kind.facts().power; {
	case kind == KindUnknown:
	case power == powerWrite && !mayWrite, power == powerRead && !mayMutate:
		if !mayMutate {
			return Cap{}, ErrMustBeDeepImmutable
		}
		return Cap{}, ErrMustBeReadOnly
	}

	var areas []AreaCode
	if isLong {
		if areas, err = parseAreas(areaText); err != nil {
			return Cap{}, err
		}
	}
	b := &body{prefix: prefix, text: rest}
	if kind != KindUnknown {
		if b, err = parseBody(kind, bodyText); err != nil {
			return Cap{}, fmt.Errorf("%w: %s: %w", ErrMalformed, kind, err)
		}
	}
	c := newCap(kind, b)
	c.areas = areas
	return c, nil
}

// cutKind splits a plain text into its kind and the body behind the kind's colon.
func cutKind(text string) (Kind, string) {
	rest, ok := strings.CutPrefix(text, uriLead)
	if !ok {
		return KindUnknown, ""
	}
	name, bodyText, ok := strings.Cut(rest, ":")
	if !ok {
		return KindUnknown, ""
	}
	kind, _ := kindNamed(name)
	return kind, bodyText
}

// cutAreas takes the areas out of a long-distance text and leaves the plain one.
func cutAreas(text string) (areas, plain string, isLong bool, err error) {
	rest, isLong := strings.CutPrefix(text, uriLead+longDistance)
	if !isLong {
		return "", text, false, nil
	}
	areas, rest, ok := strings.Cut(rest, ":")
	if !ok {
		return "", "", false, fmt.Errorf("%w: no capability behind the areas", ErrMalformed)
	}
	if strings.HasPrefix(rest, longDistance) {
		return "", "", false, ErrAreaNested
	}
	return areas, uriLead + rest, true, nil
}

// parseAreas reads area codes joined by "+".
func parseAreas(text string) ([]AreaCode, error) {
	if strings.Count(text, "+") >= MaxAreas {
		return nil, ErrAreaCount
	}
	var areas []AreaCode
	for part := range strings.SplitSeq(text, "+") {
		a, err := ParseAreaCode(part)
		if err != nil {
			return nil, fmt.Errorf("%w: area %d: %w", ErrMalformed, len(areas)+1, err)
		}
		areas = append(areas, a)
	}
	if err := checkAreas(areas); err != nil {
		return nil, err
	}
	return areas, nil
}

func checkAreas(areas []AreaCode) error {
	if len(areas) < 1 || len(areas) > MaxAreas {
		return ErrAreaCount
	}
	for i, a := range areas {
		if a.IsZero() {
			return ErrAreaCode
		}
		for _, b := range areas[:i] {
			if a == b {
				return ErrAreaDuplicate
			}
		}
	}
	return nil
}

func joinAreas(areas []AreaCode, show func(AreaCode) string) string {
	texts := make([]string, len(areas))
	for i, a := range areas {
		texts[i] = show(a)
	}
	return strings.Join(texts, "+")
}

// parseBody reads what stands behind the kind's colon.
func parseBody(kind Kind, text string) (*body, error) {
	// Tahoe's regular expressions end in $, which forgives one newline.
	text = strings.TrimSuffix(text, "\n")
	facts := kind.facts()
	b := new(body)
	if facts.shape == shapeLiteral {
		var err error
		b.literal, err = DecodeBase32(text)
		return b, err
	}

	keyText, rest, ok := strings.Cut(text, ":")
	if !ok {
		return nil, errFields
	}
	keyName := "key"
	if facts.power == powerVerify {
		keyName = "storage index"
	}
	if err := decodeField(b.key[:], keyText, keyName); err != nil {
		return nil, err
	}

	hashName := "UEB hash"
	if facts.shape != shapeCHK {
		hashName = "fingerprint"
	}
	hashText, rest, more := strings.Cut(rest, ":")
	if err := decodeField(b.hash[:], hashText, hashName); err != nil {
		return nil, err
	}
	switch {
	case facts.shape == shapeMDMF:
		return b, nil // hints of old versions may follow, and mean nothing
	case facts.shape == shapeSDMF && more:
		return nil, errTail
	case facts.shape == shapeSDMF:
		return b, nil
	case !more:
		return nil, errFields
	}
	return b, parseNumbers(b, rest, facts.power == powerVerify)
}

// parseNumbers reads k, n and size. Anything may follow the size if tail is set.
func parseNumbers(b *body, text string, tail bool) error {
	k, text, ok := strings.Cut(text, ":")
	if !ok {
		return errFields
	}
	n, size, ok := strings.Cut(text, ":")
	if !ok {
		return errFields
	}
	if tail {
		size = size[:len(size)-len(strings.TrimLeft(size, "0123456789"))]
	}
	for _, f := range []struct {
		to         *string
		text, name string
	}{{&b.k, k, "k"}, {&b.n, n, "n"}, {&b.size, size, "size"}} {
		if f.text == "" || strings.Trim(f.text, "0123456789") != "" {
			return fmt.Errorf("%s is not a decimal number", f.name)
		}
		// Copied so that the cap does not keep the text it was cut from.
		*f.to = strings.Clone(strings.TrimLeft(f.text[:len(f.text)-1], "0") + f.text[len(f.text)-1:])
	}
	return nil
}

// decodeField reads a field of exactly len(dst) bytes.
func decodeField(dst []byte, text, name string) error {
	err := ErrBase32Length
	if len(text) == base32Len(len(dst)) {
		err = decodeBase32(dst, text)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}
