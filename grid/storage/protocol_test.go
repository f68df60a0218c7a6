package storage_test

import (
	"bytes"
	"encoding/hex"
	"os"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"trunkline/grid/storage"
	"trunkline/grid/storage/pb"
	"trunkline/p2p"
)

// framed is a message as it stands on the stream, with what follows it.
func framed(t *testing.T, m proto.Message, data []byte) []byte {
	t.Helper()
	b, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return append(append(protowire.AppendVarint(nil, uint64(len(b))), b...), data...)
}

// The worked example of PROTOCOL.md is what the code says.
func TestProtocolExample(t *testing.T) {
	t.Parallel()
	doc, err := os.ReadFile("PROTOCOL.md")
	if err != nil {
		t.Fatal(err)
	}
	si := make([]byte, 16)
	for i := range si {
		si[i] = byte(i)
	}
	failure := p2p.Failure(storage.ErrNotFound)
	for name, b := range map[string][]byte{
		"read": framed(t, &pb.Request{Id: 7, StorageIndex: si, Body: &pb.Request_Read{Read: &pb.Read{
			Share: 3, Ranges: []*pb.Range{{Offset: 0, Length: 68}, {Offset: 1000, Length: 4}},
		}}}, nil),
		"data":    framed(t, &pb.Answer{Id: 7, Body: &pb.Answer_Data{Data: &pb.Data{Length: 72, Last: true}}}, nil),
		"refusal": framed(t, &pb.Answer{Id: 7, Body: &pb.Answer_Refusal{Refusal: &pb.Refusal{Failure: failure, Reason: 1}}}, nil),
		"write":   framed(t, &pb.Request{Id: 9, StorageIndex: si, Body: &pb.Request_Write{Write: &pb.Write{Share: 3, Offset: 16, Length: 5}}}, []byte("hello")),
		"slot read": framed(t, &pb.Request{Id: 7, StorageIndex: si, Body: &pb.Request_ReadSlot{ReadSlot: &pb.ReadSlot{
			Ranges: []*pb.SlotRange{{Offset: 0, Length: 57}},
		}}}, nil),
		"slot part": framed(t, &pb.Answer{Id: 7, Body: &pb.Answer_SlotPart{SlotPart: &pb.SlotPart{Share: 3, Lengths: []uint64{57}}}}, nil),
		"slot data": framed(t, &pb.Answer{Id: 7, Body: &pb.Answer_Data{Data: &pb.Data{Length: 57, Last: true}}}, nil),
		"slot end":  framed(t, &pb.Answer{Id: 7, Body: &pb.Answer_SlotEnd{SlotEnd: &pb.SlotEnd{}}}, nil),
		"slot share": framed(t, &pb.Request{Id: 9, StorageIndex: si, Body: &pb.Request_SlotShare{SlotShare: &pb.SlotShare{
			Share: 3, Tests: []*pb.SlotTest{{Offset: 0, Size: 1}},
		}}}, nil),
		"slot write": framed(t, &pb.Request{Id: 9, StorageIndex: si, Body: &pb.Request_SlotWrite{SlotWrite: &pb.SlotWrite{Share: 3, Length: 5}}}, []byte("hello")),
		"slot apply": framed(t, &pb.Request{Id: 9, StorageIndex: si, Body: &pb.Request_SlotApply{SlotApply: &pb.SlotApply{}}}, nil),
		"applied":    framed(t, &pb.Answer{Id: 9, Body: &pb.Answer_SlotEnd{SlotEnd: &pb.SlotEnd{Applied: true}}}, nil),
	} {
		if !bytes.Contains(doc, []byte(hexLines(b))) {
			t.Errorf("%s is not in PROTOCOL.md:\n%s", name, hexLines(b))
		}
	}
}

// hexLines is b in lines of sixteen bytes.
func hexLines(b []byte) string {
	var lines []string
	for chunk := range slices.Chunk(b, 16) {
		lines = append(lines, strings.TrimRight(insertSpaces(hex.EncodeToString(chunk)), " "))
	}
	return strings.Join(lines, "\n") + "\n"
}

func insertSpaces(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i += 2 {
		b.WriteString(s[i:i+2] + " ")
	}
	return b.String()
}

// The numbers of the reasons never change.
func TestReasonNumbers(t *testing.T) {
	t.Parallel()
	for i, err := range []error{
		storage.ErrNotFound, storage.ErrRange, storage.ErrMutable, storage.ErrNoSpace, storage.ErrReadOnly,
		storage.ErrIncomplete, storage.ErrConflict, storage.ErrNoUpload, storage.ErrTooMany, storage.ErrFailed,
		storage.ErrDamaged, storage.ErrInvalid, storage.ErrEnabler, storage.ErrImmutable,
	} {
		if got := storage.TestingOnlyReason(err); got != uint32(i+1) {
			t.Errorf("%v has number %d, want %d", err, got, i+1)
		}
	}
}
