package roster_test

import (
	"errors"
	"reflect"
	"testing"
	"time"

	"trunkline/caps"
	"trunkline/grid/roster"
)

func TestCertificateRoundTrip(t *testing.T) {
	t.Parallel()
	want := certificate(alice, roster.Client|roster.Gateway)
	b, err := want.MarshalRecord()
	if err != nil {
		t.Fatal(err)
	}
	var got roster.Certificate
	if err := got.UnmarshalRecord(b); err != nil || got != want {
		t.Fatalf("got %+v, %v", got, err)
	}
	for n := range b {
		if err := new(roster.Certificate).UnmarshalRecord(b[:n]); !errors.Is(err, roster.ErrMalformed) {
			t.Fatalf("%d of %d bytes: got %v, want ErrMalformed", n, len(b), err)
		}
	}
	if err := new(roster.Certificate).UnmarshalRecord(append(b, 0)); !errors.Is(err, roster.ErrMalformed) {
		t.Errorf("a byte more: got %v, want ErrMalformed", err)
	}
	if half := want.HalfLife(); half != start.Add(30*time.Minute) {
		t.Errorf("half life is %v", half)
	}
}

func TestCredentialVerify(t *testing.T) {
	t.Parallel()
	first := delegation(t, gridKey, managerKey, 1)
	good := certificate(alice, roster.Client)
	edit := func(fn func(*roster.Certificate)) []byte {
		c := good
		fn(&c)
		return seal(t, managerKey, c)
	}
	sealedGood := seal(t, managerKey, good)
	for name, c := range map[string]struct {
		cred  roster.Credential
		area  caps.AreaCode
		key   caps.PublicKey
		after time.Duration
		want  error
	}{
		"good":               {cred: roster.Credential{Delegation: first, Certificate: sealedGood}},
		"ended":              {cred: roster.Credential{Delegation: first, Certificate: sealedGood}, after: time.Hour + time.Second, want: roster.ErrExpired},
		"delegation_ended":   {cred: roster.Credential{Delegation: first, Certificate: edit(func(c *roster.Certificate) { c.NotAfter = start.Add(99 * 24 * time.Hour).Unix() })}, after: 40 * 24 * time.Hour, want: roster.ErrExpired},
		"other_key":          {cred: roster.Credential{Delegation: first, Certificate: sealedGood}, key: mallory, want: roster.ErrNotMember},
		"other_area_asked":   {cred: roster.Credential{Delegation: first, Certificate: sealedGood}, area: otherArea, want: roster.ErrSigner},
		"other_area_inside":  {cred: roster.Credential{Delegation: first, Certificate: edit(func(c *roster.Certificate) { c.Area = otherArea })}, want: roster.ErrArea},
		"self_signed":        {cred: roster.Credential{Delegation: first, Certificate: seal(t, aliceKey, good)}, want: roster.ErrSigner},
		"grid_key_signed":    {cred: roster.Credential{Delegation: first, Certificate: seal(t, gridKey, good)}, want: roster.ErrSigner},
		"forged_delegation":  {cred: roster.Credential{Delegation: delegation(t, malloryKey, testKey(7), 1), Certificate: seal(t, testKey(7), good)}, want: roster.ErrSigner},
		"roster_inside":      {cred: roster.Credential{Delegation: first, Certificate: seal(t, managerKey, sample(1))}, want: roster.ErrMalformed},
		"empty_certificate":  {cred: roster.Credential{Delegation: first}, want: roster.ErrMalformed},
		"delegation_of_next": {cred: roster.Credential{Delegation: delegation(t, gridKey, malloryKey, 2), Certificate: sealedGood}, want: roster.ErrSigner},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if c.area.IsZero() {
				c.area = theArea
			}
			if c.key.IsZero() {
				c.key = alice
			}
			b, err := c.cred.Marshal()
			if err != nil {
				t.Fatal(err)
			}
			parsed, err := roster.ParseCredential(b)
			if err != nil || !reflect.DeepEqual(parsed, c.cred) {
				t.Fatalf("parsed %+v, %v", parsed, err)
			}
			m, err := parsed.Verify(c.area, c.key, start.Add(c.after))
			if !errors.Is(err, c.want) || (err == nil) != (c.want == nil) {
				t.Fatalf("got %v, want %v", err, c.want)
			}
			if err == nil && (m.Area != theArea || m.Certificate != good || m.Delegation.Sequence != 1) {
				t.Errorf("got %+v", m)
			}
		})
	}
}

func TestCredentialBounds(t *testing.T) {
	t.Parallel()
	if _, err := (roster.Credential{Delegation: make([]byte, 5000)}).Marshal(); !errors.Is(err, roster.ErrMalformed) {
		t.Errorf("wrote a long credential: %v", err)
	}
	for name, b := range map[string][]byte{"long": make([]byte, roster.MaxCredentialBytes+1), "junk": {0xff}, "unknown_field": {0x1a, 0x00}} {
		if _, err := roster.ParseCredential(b); !errors.Is(err, roster.ErrMalformed) {
			t.Errorf("%s: got %v, want ErrMalformed", name, err)
		}
	}
	claimed, err := roster.Credential{Certificate: seal(t, malloryKey, certificate(alice, roster.Client))}.ClaimedArea()
	if err != nil || claimed != theArea {
		t.Errorf("ClaimedArea() = %v, %v", claimed, err)
	}
}
