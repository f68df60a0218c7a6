package area

import (
	"fmt"
	"time"

	"google.golang.org/protobuf/proto"

	"trunkline/caps"
	"trunkline/p2p/area/pb"
)

// Record is an area record: both IPNS records verbatim, enough to prove
// everything from the area code alone. The slices must not be changed.
type Record struct {
	Delegation []byte
	Sheet      []byte
}

// Info is what a record says, after every check.
type Info struct {
	Area     caps.AreaCode
	Delegate caps.PublicKey
	Sheet    Sheet
	// DelegationSeq and SheetSeq order records of one area: the first
	// decides, then, for the same delegate, the second.
	DelegationSeq, SheetSeq uint64
	// NotAfter is the earlier end of the two layers, and so for how long a
	// replay of this record could still be believed by somebody new.
	NotAfter time.Time
	// Record is the proof.
	Record Record

	// Ends of the layers, which order records of equal sequence numbers.
	delegationEnd, sheetEnd time.Time
}

// Open checks both layers against the area code at the time now. Errors:
// [ErrMalformed], [ErrTooLarge], [ErrSignature], [ErrExpired]. Whether a newer
// record was seen is the [Cache]'s question.
func (r Record) Open(area caps.AreaCode, now time.Time) (Info, error) {
	d, upper, err := openDelegation(area, r.Delegation, now)
	if err != nil {
		return Info{}, err
	}
	sheet, lower, err := openSheet(d.Delegate, r.Sheet, now)
	if err != nil {
		return Info{}, err
	}
	info := Info{
		Area: area, Delegate: d.Delegate, Sheet: sheet,
		DelegationSeq: upper.sequence, SheetSeq: lower.sequence,
		NotAfter: upper.notAfter, Record: r,
		delegationEnd: upper.notAfter, sheetEnd: lower.notAfter,
	}
	if lower.notAfter.Before(info.NotAfter) {
		info.NotAfter = lower.notAfter
	}
	return info, nil
}

// Marshal encodes the record for a file or a message.
func (r Record) Marshal() ([]byte, error) {
	return proto.Marshal(r.proto())
}

// ParseRecord decodes what Marshal wrote. It checks sizes only: Open does the
// rest.
func ParseRecord(b []byte) (Record, error) {
	if len(b) > MaxDelegation+MaxSheetRecord+16 {
		return Record{}, fmt.Errorf("%d bytes: %w", len(b), ErrTooLarge)
	}
	var m pb.Record
	if err := proto.Unmarshal(b, &m); err != nil {
		return Record{}, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	return recordFrom(&m), nil
}

func (r Record) proto() *pb.Record {
	return &pb.Record{Delegation: r.Delegation, Sheet: r.Sheet}
}

func recordFrom(m *pb.Record) Record {
	return Record{Delegation: m.GetDelegation(), Sheet: m.GetSheet()}
}
