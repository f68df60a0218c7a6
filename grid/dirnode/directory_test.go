package dirnode_test

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"trunkline/caps"
	"trunkline/grid/dirnode"
)

var now = time.Unix(1795458809, 0)

func TestMalformed(t *testing.T) {
	t.Parallel()
	good := entry("a", "URI:LIT:ey")
	for name, c := range map[string]struct {
		contents string
		o        dirnode.Options
		want     error
	}{
		"garbage":             {"x", dirnode.Options{}, dirnode.ErrMalformed},
		"cut":                 {good[:len(good)-1], dirnode.Options{}, dirnode.ErrMalformed},
		"no comma":            {good[:len(good)-1] + ";", dirnode.Options{}, dirnode.ErrMalformed},
		"more behind":         {good + "1", dirnode.Options{}, dirnode.ErrMalformed},
		"leading zero":        {"0" + good, dirnode.Options{}, dirnode.ErrMalformed},
		"huge length":         {"99999999999999999999:", dirnode.Options{}, dirnode.ErrMalformed},
		"negative length":     {"-1:,", dirnode.Options{}, dirnode.ErrMalformed},
		"three fields":        {netstrings(netstrings("a", "b", "c")), dirnode.Options{}, dirnode.ErrMalformed},
		"no field":            {netstrings(""), dirnode.Options{}, dirnode.ErrMalformed},
		"name is not UTF-8":   {entry("\xff", ""), dirnode.Options{}, dirnode.ErrMalformed},
		"write cap in fixed":  {good, dirnode.Options{Immutable: true}, dirnode.ErrMalformed},
		"too many children":   {strings.Repeat(netstrings(netstrings("", "", "", "")), dirnode.MaxChildren+1), dirnode.Options{}, dirnode.ErrTooLarge},
		"more than too large": {strings.Repeat("0", dirnode.MaxContents+1), dirnode.Options{}, dirnode.ErrTooLarge},
	} {
		if _, err := dirnode.Parse([]byte(c.contents), c.o); !errors.Is(err, c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestMalformedEntry shows that one bad entry harms no other, and that it stays as it is until somebody replaces it.
func TestMalformedEntry(t *testing.T) {
	t.Parallel()
	bad := map[string]string{
		"bad cap":        entry("bad", "URI:CHK:nonsense"),
		"write cap":      entry("bad", child(1).Write.Text()),
		"short write":    netstrings(netstrings("bad", "URI:LIT:ey", "short", "{}")),
		"ro write":       entry("bad", "ro."+child(1).Write.Text()),
		"imm of mutable": entry("bad", "imm."+child(1).Write.Text()),
	}
	for name, stored := range bad {
		contents := entry("aaa", "URI:LIT:ey") + stored + entry("zzz", "URI:LIT:ey")
		d := mustParse(t, []byte(contents), writer())
		if _, err := d.Get("bad"); !errors.Is(err, dirnode.ErrEntry) {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := d.Get("zzz"); err != nil {
			t.Errorf("%s: its neighbour: %v", name, err)
		}
		if !d.Has("bad") || d.Len() != 3 || !slices.Equal(d.Names(), []string{"aaa", "bad", "zzz"}) {
			t.Errorf("%s: it is not listed", name)
		}
		if err := d.Set("mmm", child(2), nil, now); err != nil {
			t.Fatal(err)
		}
		if !bytes.Contains(mustPack(t, d), []byte(stored)) {
			t.Errorf("%s: it was not kept", name)
		}
		if err := d.Set("bad", child(2), nil, now); err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(mustPack(t, d), []byte(stored)) || d.Len() != 4 {
			t.Errorf("%s: it was not replaced", name)
		}
	}
	if _, err := mustParse(t, []byte(netstrings(netstrings("x", child(1).Write.Text(), "", "{}"))), dirnode.Options{Immutable: true}).Get("x"); !errors.Is(err, caps.ErrMustBeDeepImmutable) {
		t.Errorf("a write cap in an immutable directory: %v", err)
	}
}

// TestVerbatim shows that a change leaves everything else as it is to the byte.
func TestVerbatim(t *testing.T) {
	t.Parallel()
	odd := []string{
		entry("a\u0301", "URI:LIT:ey"), // a name that is not NFC
		netstrings(netstrings("b", "URI:LIT:ey", string(make([]byte, 48)), `{ "odd" :1.10 }`)), // other spacing
		netstrings(netstrings("c", "future://cap   ", string(make([]byte, 48)), "no json") + "and more"),
		entry("d", ""), // no caps at all
	}
	d := mustParse(t, []byte(strings.Join(odd, "")), writer())
	for name, pair := range map[string]caps.Pair{"new": child(1), "": child(2), "zz": literal(t, "x")} {
		if err := d.Set(name, pair, nil, now); err != nil {
			t.Fatal(err)
		}
	}
	again := mustParse(t, mustPack(t, d), writer())
	for _, stored := range odd {
		if !bytes.Contains(mustPack(t, again), []byte(stored)) {
			t.Errorf("%q was changed", stored)
		}
	}
	for _, name := range []string{"new", "", "zz"} {
		if ok, err := again.Remove(name); !ok || err != nil {
			t.Errorf("removing %q: %v, %v", name, ok, err)
		}
	}
	if got := mustPack(t, again); string(got) != odd[1]+odd[2]+odd[3]+odd[0] {
		t.Errorf("after the new ones are gone it is %q", got)
	}
	if e, err := again.Get("d"); err != nil || !e.Pair.Read.IsZero() || !e.Pair.Write.IsZero() {
		t.Errorf("a child without caps: %v, %v", e.Pair, err)
	}
}

func TestNames(t *testing.T) {
	t.Parallel()
	d := dirnode.New(writer())
	hostile := []string{"", ".", "..", "a/b", "\x00", "\x1b[2J", "\u202egpj.exe", "é", strings.Repeat("x", dirnode.MaxName), "😀", "\ufffd"}
	for i, name := range hostile {
		if err := d.Set(name, child(byte(i)), nil, now); err != nil {
			t.Fatalf("%q: %v", name, err)
		}
	}
	d = mustParse(t, mustPack(t, d), writer())
	for i, name := range hostile {
		if e, err := d.Get(name); err != nil || !e.Pair.Write.Equal(child(byte(i)).Write) {
			t.Errorf("%.20q: %v", name, err)
		}
	}
	if !slices.IsSorted(d.Names()) || d.Len() != len(hostile) {
		t.Errorf("%d names, sorted %v", d.Len(), slices.IsSorted(d.Names()))
	}
	// One name in two spellings is one name.
	if !d.Has("e\u0301") {
		t.Error("a name is not found by another spelling")
	}
	if err := d.Set("e\u0301", child(200), nil, now); err != nil || d.Len() != len(hostile) {
		t.Errorf("a name in another spelling is another child: %v", err)
	}
	for what, name := range map[string]string{"not UTF-8": "a\xff", "too long": strings.Repeat("x", dirnode.MaxName+1)} {
		if err := d.Set(name, child(1), nil, now); !errors.Is(err, dirnode.ErrName) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// TestTwins has two entries of one name, which no writer makes: the later counts, and a change concerns both.
func TestTwins(t *testing.T) {
	t.Parallel()
	contents := entry("a\u0301", "URI:LIT:ey") + entry("b", "URI:LIT:ey") + entry("\u00e1", "URI:LIT:")
	d := mustParse(t, []byte(contents), writer())
	if d.Len() != 2 || len(d.Names()) != 2 {
		t.Fatalf("%d children", d.Len())
	}
	if e, err := d.Get("\u00e1"); err != nil || e.Pair.Read.Text() != "URI:LIT:" {
		t.Errorf("the earlier counts: %v", err)
	}
	if len(mustPack(t, d)) != len(contents) {
		t.Error("one was lost though nobody changed it")
	}
	set := mustParse(t, []byte(contents), writer())
	if err := set.Set("a\u0301", child(1), nil, now); err != nil {
		t.Fatal(err)
	}
	if got := mustPack(t, set); strings.Contains(string(got), "a\u0301") || strings.Count(string(got), "\u00e1") != 1 {
		t.Error("one of them stays beside what was set")
	}
	if ok, err := d.Remove("\u00e1"); !ok || err != nil || d.Has("a\u0301") {
		t.Errorf("the earlier is there again when the later is removed: %v", err)
	}
}

func TestSet(t *testing.T) {
	t.Parallel()
	d := dirnode.New(writer())
	noWrite := mustMetadata(t, `{"no-write": true}`)
	if err := d.Set("ro", child(1), &noWrite, now); err != nil {
		t.Fatal(err)
	}
	e, err := d.Get("ro")
	if err != nil || !e.Pair.Write.IsZero() || e.Pair.Read.Kind() != caps.KindSDMFRead {
		t.Errorf("no-write stores %v, %v", e.Pair, err)
	}
	// It holds for the next child of that name too.
	if err := d.Set("ro", child(2), nil, now); err != nil {
		t.Fatal(err)
	}
	if e, err := d.Get("ro"); err != nil || !e.Pair.Write.IsZero() {
		t.Errorf("no-write is forgotten: %v, %v", e.Pair, err)
	}
	// Adding keeps to what is given.
	if err := d.Add("as it is", dirnode.Entry{Pair: child(3), Metadata: noWrite}); err != nil {
		t.Fatal(err)
	}
	if e, err := d.Get("as it is"); err != nil || e.Pair.Write.IsZero() || e.Metadata != noWrite {
		t.Errorf("added: %v, %v", e, err)
	}
	if ok, err := d.Remove("nobody"); ok || err != nil {
		t.Errorf("removing nobody: %v, %v", ok, err)
	}
	if _, err := d.Get("nobody"); !errors.Is(err, dirnode.ErrNotFound) {
		t.Errorf("nobody: %v", err)
	}
}

func TestSetRefused(t *testing.T) {
	t.Parallel()
	unknown, err := caps.ParsePair("future://rw", "future://ro", caps.Context{})
	if err != nil {
		t.Fatal(err)
	}
	unknownRead, err := caps.ParsePair("", "future://ro", caps.Context{})
	if err != nil {
		t.Fatal(err)
	}
	read, err := child(1).Write.ReadOnly()
	if err != nil {
		t.Fatal(err)
	}
	fixed := dirnode.Options{Immutable: true}
	for name, c := range map[string]struct {
		o    dirnode.Options
		pair caps.Pair
		want error
	}{
		"without the write key":       {dirnode.Options{}, child(1), dirnode.ErrReadOnly},
		"no cap":                      {writer(), caps.Pair{}, caps.ErrNoCap},
		"write cap in fixed":          {fixed, child(1), caps.ErrMustBeDeepImmutable},
		"read cap of mutable":         {fixed, caps.Pair{Read: read}, caps.ErrMustBeDeepImmutable},
		"write cap as read cap":       {writer(), caps.Pair{Read: child(1).Write}, caps.ErrMustBeReadOnly},
		"unknown in fixed":            {fixed, unknown, caps.ErrMustBeDeepImmutable},
		"unknown, perhaps changeable": {fixed, unknownRead, caps.ErrMustBeDeepImmutable},
		"unknown that may write":      {writer(), caps.Pair{Write: unknown.Write}, caps.ErrMustNotBeUnknownRW},
	} {
		d := dirnode.New(c.o)
		if err := d.Set("x", c.pair, nil, now); !errors.Is(err, c.want) {
			t.Errorf("%s: %v", name, err)
		}
		if d.Len() != 0 {
			t.Errorf("%s: it is there nevertheless", name)
		}
	}
	if err := dirnode.New(writer()).Set("x", unknown, nil, now); err != nil {
		t.Errorf("unknown caps, both: %v", err)
	}
	if _, err := dirnode.New(dirnode.Options{}).Remove("x"); !errors.Is(err, dirnode.ErrReadOnly) {
		t.Errorf("removing without the write key: %v", err)
	}
}

// TestPadding: old writers filled caps up with spaces, or wrote spaces for none.
func TestPadding(t *testing.T) {
	t.Parallel()
	o := writer()
	write := child(1).Write
	sealed := func(text string) string { return string(dirnode.SealWriteCap(*o.Write, text)) }
	contents := netstrings(netstrings("both", "URI:LIT:ey   ", sealed(write.Text()+"  "), "{}")) + netstrings(netstrings("none", "URI:LIT:ey   ", sealed("   "), "{}"))
	d := mustParse(t, []byte(contents), o)
	if e, err := d.Get("both"); err != nil || !e.Pair.Write.Equal(write) {
		t.Errorf("a write cap with spaces is %v, %v", e.Pair, err)
	}
	if e, err := d.Get("none"); err != nil || !e.Pair.Write.IsZero() || e.Pair.Read.Text() != "URI:LIT:ey" {
		t.Errorf("a read cap with spaces is %v, %v", e.Pair, err)
	}
}

func TestTooLarge(t *testing.T) {
	t.Parallel()
	d := dirnode.New(writer())
	m := mustMetadata(t, `{"a": "`+strings.Repeat("x", dirnode.MaxMetadata-20)+`"}`)
	for i := range dirnode.MaxContents/dirnode.MaxMetadata + 1 {
		if err := d.Add(fmt.Sprint(i), dirnode.Entry{Pair: child(1), Metadata: m}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := d.Pack(); !errors.Is(err, dirnode.ErrTooLarge) {
		t.Errorf("packing: %v", err)
	}
}

func TestTenThousand(t *testing.T) {
	t.Parallel()
	d := dirnode.New(writer())
	for i := range 10000 {
		if err := d.Set(fmt.Sprintf("name %d", i*7919%10000), child(byte(i)), nil, now); err != nil {
			t.Fatal(err)
		}
	}
	again := mustParse(t, mustPack(t, d), writer())
	if again.Len() != 10000 || !slices.Equal(again.Names(), d.Names()) {
		t.Fatalf("%d children", again.Len())
	}
	for i := range 10000 {
		if e, err := again.Get(fmt.Sprintf("name %d", i*7919%10000)); err != nil || !e.Pair.Write.Equal(child(byte(i)).Write) {
			t.Fatalf("child %d: %v", i, err)
		}
	}
}
