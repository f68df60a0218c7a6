package tahoe_test

import (
	"encoding/json"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"trunkline/caps"
	"trunkline/grid/tahoe"
)

// vectors are made with Tahoe's own grid_manager code.
type vectors struct {
	Manager      string            `json:"grid_manager_public_key"`
	ServerID     string            `json:"server_id"`
	Certificates []json.RawMessage `json:"certificates"`
	FileText     string            `json:"certificate_file_text"`
	Checks       []struct {
		Certificate int       `json:"certificate"`
		Now         time.Time `json:"now"`
		Valid       bool      `json:"valid"`
	} `json:"checks"`
}

func readVectors(t *testing.T) (v vectors, manager caps.PublicKey) {
	t.Helper()
	raw, err := os.ReadFile("testdata/gridmanager.json")
	must(t, err)
	must(t, json.Unmarshal(raw, &v))
	manager, err = tahoe.ParsePublicKey(v.Manager)
	must(t, err)
	if len(v.Checks) == 0 || tahoe.FormatPublicKey(manager) != v.Manager {
		t.Fatal("the vectors are not those they should be")
	}
	return v, manager
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestCertificates(t *testing.T) {
	t.Parallel()
	v, manager := readVectors(t)
	managers := []caps.PublicKey{{1}, manager}
	for _, c := range v.Checks {
		cert, err := tahoe.ParseCertificate(v.Certificates[c.Certificate])
		must(t, err)
		err = cert.Check(managers, v.ServerID, c.Now)
		if c.Valid && err != nil || !c.Valid && !errors.Is(err, tahoe.ErrExpired) {
			t.Errorf("certificate %d at %v: %v", c.Certificate, c.Now, err)
		}
	}
	cert, err := tahoe.ParseCertificate([]byte(v.FileText))
	must(t, err)
	now := v.Checks[0].Now
	must(t, cert.Check(managers, v.ServerID, now))
	if err := cert.Check(managers[:1], v.ServerID, now); !errors.Is(err, tahoe.ErrSignature) {
		t.Errorf("of no trusted manager: %v", err)
	}
	if err := cert.Check(managers, "v0-"+strings.Repeat("a", 52), now); !errors.Is(err, tahoe.ErrOtherServer) {
		t.Errorf("for another server: %v", err)
	}
	again, err := tahoe.ParseCertificate(cert.JSON())
	must(t, err)
	must(t, again.Check(managers, v.ServerID, now))
}

// No character of a certificate can be another one.
func TestEveryByteOfACertificate(t *testing.T) {
	t.Parallel()
	v, manager := readVectors(t)
	good := v.Certificates[0]
	for i := range good {
		for _, flip := range []byte{1, 32} {
			bad := []byte(string(good))
			bad[i] ^= flip
			cert, err := tahoe.ParseCertificate(bad)
			if err != nil {
				continue
			}
			if cert.Check([]caps.PublicKey{manager}, v.ServerID, v.Checks[0].Now) == nil && string(cert.JSON()) != string(mustParse(t, good).JSON()) {
				t.Fatalf("byte %d can be %q", i, bad[i])
			}
		}
	}
}

func mustParse(t *testing.T, b []byte) tahoe.Certificate {
	t.Helper()
	c, err := tahoe.ParseCertificate(b)
	must(t, err)
	return c
}
