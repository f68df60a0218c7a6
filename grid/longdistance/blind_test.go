package longdistance_test

import (
	"reflect"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/reflect/protoreflect"

	"trunkline/caps"
	"trunkline/grid/longdistance"
	"trunkline/grid/longdistance/pb"
)

// I8: neither the types that gateways and contact points pass around nor their
// messages can hold a read key.
func TestNoRoomForReadKeys(t *testing.T) {
	t.Parallel()
	forbidden := []reflect.Type{
		reflect.TypeFor[caps.ReadKey](), reflect.TypeFor[caps.CHKRead](), reflect.TypeFor[caps.Cap](),
		reflect.TypeFor[caps.MutableReadKey](), reflect.TypeFor[caps.WriteKey](),
		reflect.TypeFor[any](), reflect.TypeFor[string](), reflect.TypeFor[[]byte](),
	}
	seen := make(map[reflect.Type]bool)
	var walk func(t *testing.T, path string, typ reflect.Type)
	walk = func(t *testing.T, path string, typ reflect.Type) {
		if slices.Contains(forbidden, typ) {
			t.Errorf("%s is a %v", path, typ)
		}
		if seen[typ] {
			return
		}
		seen[typ] = true
		switch typ.Kind() {
		case reflect.Struct:
			for i := range typ.NumField() {
				walk(t, path+"."+typ.Field(i).Name, typ.Field(i).Type)
			}
		case reflect.Pointer, reflect.Slice, reflect.Array, reflect.Chan:
			walk(t, path+"[]", typ.Elem())
		case reflect.Map:
			walk(t, path+"[key]", typ.Key())
			walk(t, path+"[]", typ.Elem())
		case reflect.Interface, reflect.Func, reflect.UnsafePointer:
			t.Errorf("%s is a %v, which can hold anything", path, typ)
		}
	}
	walk(t, "Request", reflect.TypeFor[longdistance.Request]())
	for _, typ := range forbidden[:5] { // the test must be able to fail
		sub := &testing.T{}
		seen = make(map[reflect.Type]bool)
		walk(sub, "x", reflect.StructOf([]reflect.StructField{{Name: "X", Type: typ}}))
		if !sub.Failed() {
			t.Errorf("a struct with a %v passes", typ)
		}
	}

	// On the wire: every field of bytes has a fixed place in this list, and
	// none of them is long enough only for a cap.
	want := strings.Fields(`
		Hello.approval Hello.area Welcome.tariff Welcome.voucher Request.areas Request.storage_index Request.ueb_hash
		Mutable.fingerprint Mutable.version Begin.ueb Begin.version Begin.public_key Begin.signature Segment.chain Blocks.shares Voucher.envelope Ack.latest Renewal.approval`)
	var got []string
	messages := pb.File_grid_longdistance_pb_range_proto.Messages()
	for i := range messages.Len() {
		fields := messages.Get(i).Fields()
		for j := range fields.Len() {
			f := fields.Get(j)
			switch f.Kind() {
			case protoreflect.BytesKind:
				got = append(got, string(f.Parent().Name())+"."+string(f.Name()))
			case protoreflect.StringKind:
				t.Errorf("%s is text", f.FullName())
			}
		}
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("fields of bytes are %v, want %v", got, want)
	}
}
