package mutable_test

import (
	"context"
	"testing"

	"trunkline/grid/mutable"
	"trunkline/grid/ssk"
	"trunkline/grid/transfer"
	"trunkline/grid/transfer/gridtest"
)

// A writer is overtaken while it makes its change, by one that does not reach the servers where it begins. It gets its version
// onto those three, enough to read it from, and is beaten on the others. What it does next is based on what the other one was
// told is there, not on its own version.
func TestOvertaken(t *testing.T) {
	t.Parallel()
	for _, format := range []ssk.Format{ssk.SDMF, ssk.MDMF} {
		t.Run(format.String(), func(t *testing.T) {
			t.Parallel()
			servers := gridtest.New(10)
			f := newFiles(t, servers, nil)
			file := create(t, f, format, []byte("old"))
			far := transfer.Permute(verifyCap(t, file).StorageIndex, fleet(servers)())[3:]
			other := newFiles(t, nil, func(c *mutable.Config) { c.Servers = func() []transfer.Server { return far } })
			calls := 0
			r, err := f.Modify(context.Background(), file, func(old []byte) ([]byte, error) {
				if calls++; calls == 1 {
					if _, err := other.Modify(context.Background(), file, func(old []byte) ([]byte, error) {
						return append(old, " theirs"...), nil
					}); err != nil {
						t.Errorf("the other writer: %v", err)
					}
				}
				return append(old, " ours"...), nil
			})
			if err != nil || calls != 2 || r.Header.Seq != 3 || r.Happiness != 10 {
				t.Fatalf("version %d on %d servers after %d calls: %v", r.Header.Seq, r.Happiness, calls, err)
			}
			mustRead(t, f, file, []byte("old theirs ours"))
		})
	}
}
