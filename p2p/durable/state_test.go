package durable_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"trunkline/p2p/durable"
)

type counts struct {
	Schema int `json:"schema"`
	Count  int `json:"count"`
}

func TestState(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "state.json")
	want := counts{Schema: 2, Count: 7}
	if err := durable.WriteState(path, want); err != nil {
		t.Fatal(err)
	}
	var got counts
	if err := durable.ReadState(path, 100, 2, &got); err != nil || got != want {
		t.Errorf("read %+v, %v; want %+v", got, err, want)
	}
	if err := durable.ReadState(path, 100, 1, &got); !errors.Is(err, durable.ErrState) {
		t.Errorf("another schema: got %v, want ErrState", err)
	}
	if err := durable.ReadState(path, 10, 2, &got); !errors.Is(err, durable.ErrState) || !errors.Is(err, durable.ErrTooLarge) {
		t.Errorf("too long: got %v, want ErrState and ErrTooLarge", err)
	}
	if err := durable.ReadState(path+"x", 100, 2, &got); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("missing: got %v, want fs.ErrNotExist", err)
	}
	for name, content := range map[string]string{"torn": `{"schema": 2, "cou`, "shape": `{"schema": 2, "count": "seven"}`, "empty": ""} {
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := durable.ReadState(path, 100, 2, &got); !errors.Is(err, durable.ErrState) {
			t.Errorf("%s: got %v, want ErrState", name, err)
		}
	}
}
