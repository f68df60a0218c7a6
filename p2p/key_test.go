package p2p_test

import (
	"errors"
	"testing"

	"trunkline/p2p"
)

// A key file with any wrong bit is refused: a key whose halves do not belong
// together signs what nobody can verify, and gives itself away doing so.
func TestDamagedKey(t *testing.T) {
	t.Parallel()
	key, err := p2p.GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	sound, err := p2p.MarshalKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for i := range sound {
		for bit := range 8 {
			b := append([]byte(nil), sound...)
			b[i] ^= 1 << bit
			if _, err := p2p.UnmarshalKey(b); !errors.Is(err, p2p.ErrConfig) {
				t.Fatalf("bit %d of byte %d: %v", bit, i, err)
			}
		}
	}
}
