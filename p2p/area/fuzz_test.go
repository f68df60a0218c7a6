package area_test

import (
	"bytes"
	"testing"

	"trunkline/p2p/area"
)

func FuzzOpenDelegation(f *testing.F) {
	g := newGrid(f)
	good := g.record(g.delegate, 1, 1, start)
	f.Fuzz(func(t *testing.T, b []byte) {
		d, err := area.OpenDelegation(g.area, b, start)
		if err == nil && (!bytes.Equal(b, good.Delegation) || d.Delegate != publicKey(t, g.delegate)) {
			t.Fatalf("%x opens, and the grid key did not sign it", b)
		}
	})
}

func FuzzRecordOpen(f *testing.F) {
	g := newGrid(f)
	good := g.record(g.delegate, 1, 1, start)
	f.Fuzz(func(t *testing.T, delegation, sheet []byte) {
		_, err := area.Record{Delegation: delegation, Sheet: sheet}.Open(g.area, start)
		if err == nil && (!bytes.Equal(delegation, good.Delegation) || !bytes.Equal(sheet, good.Sheet)) {
			t.Fatalf("%x, %x opens, and was not signed", delegation, sheet)
		}
	})
}

func FuzzParseSheet(f *testing.F) {
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := area.ParseSheet(b)
		if err != nil {
			return
		}
		printed, err := s.Marshal()
		if err != nil {
			t.Fatalf("parses and does not print: %v", err)
		}
		again, err := area.ParseSheet(printed)
		if err != nil {
			t.Fatalf("prints and does not parse: %v", err)
		}
		if twice, err := again.Marshal(); err != nil || !bytes.Equal(printed, twice) {
			t.Fatalf("%x prints as %x, then as %x", b, printed, twice)
		}
	})
}

func FuzzValidator(f *testing.F) {
	f.Fuzz(func(t *testing.T, key string, value []byte) {
		v := area.Validator{Now: newClock().Now}
		if err := v.Validate(key, value); err != nil {
			return
		}
		if i, err := v.Select(key, [][]byte{value, value}); err != nil || i != 0 {
			t.Fatalf("valid, and cannot be chosen: %d, %v", i, err)
		}
	})
}
