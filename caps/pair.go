package caps

import "strings"

// Pair is what a directory entry, or a request with a write and a read slot, says about
// one child. Either may be the zero Cap, which stands for nothing given.
//
// A known capability stands in Write if it can write, else in Read, alone. Two unknown
// ones may stand side by side, since neither can be derived from the other. An unknown
// one in Read carries ro. or imm. in its text.
type Pair struct{ Write, Read Cap }

// ParsePair reads the two slots, either of which may be empty, in the context of their
// directory.
//
// If the write slot holds a known capability, it alone counts. A write cap in the read slot is
// refused, where Tahoe would let it write.
//
// Errors: those of ParseIn, and ErrMustNotBeUnknownRW for an unknown cap that may allow
// writing and has nothing to read with beside it.
//
// Source: tahoe-formats 1.4.
func ParsePair(write, read string, ctx Context) (Pair, error) {
	if write == "" {
		return parseReadSlot(read, ctx)
	}
	w, err := ParseIn(write, ctx)
	if err != nil {
		return Pair{}, err
	}
	if w.kind != KindUnknown {
		if w.kind.CanWrite() {
			return Pair{Write: w}, nil
		}
		return Pair{Read: w}, nil
	}

	prefix := w.open().prefix
	immutable := ctx.DeepImmutable
	switch {
	case read == "" && prefix == immutableLead, read == "" && prefix == readOnlyLead && !immutable:
		return parseReadSlot(write, ctx)
	case read == "":
		return Pair{}, ErrMustNotBeUnknownRW
	case immutable, strings.HasPrefix(read, immutableLead):
		return Pair{}, ErrMustBeDeepImmutable
	case ctx.ReadOnly:
		return Pair{}, ErrMustBeReadOnly
	}
	p, err := parseReadSlot(read, ctx)
	if err != nil {
		return Pair{}, err
	}
	p.Write = w
	return p, nil
}

func parseReadSlot(text string, ctx Context) (Pair, error) {
	if text == "" {
		return Pair{}, nil
	}
	ctx.ReadOnly = true
	r, err := ParseIn(text, ctx)
	if err != nil {
		return Pair{}, err
	}
	if r.kind == KindUnknown {
		b := *r.open()
		switch {
		case ctx.DeepImmutable:
			b.prefix = immutableLead
		case b.prefix == "":
			b.prefix = readOnlyLead
		}
		r = r.weakened(KindUnknown, &b)
	}
	return Pair{Read: r}, nil
}

// StoredRead is the text of the read slot as a directory stores it: without the ro. that
// the slot implies, and without the imm. that an immutable directory implies. It is the
// whole capability, as Cap.Text is; empty if there is none.
func (p Pair) StoredRead(directoryImmutable bool) string {
	if p.Read.kind != KindUnknown {
		return p.Read.Text()
	}
	drop := readOnlyLead
	if directoryImmutable {
		drop = immutableLead
	}
	return strings.TrimPrefix(p.Read.Text(), drop)
}
