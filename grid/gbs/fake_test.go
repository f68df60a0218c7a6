package gbs_test

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"trunkline/caps"
	"trunkline/grid/gbs"
)

const swissnum = "swissnumberexample"

// certificate makes a self-signed one that has expired, as those of real servers have.
func certificate(t testing.TB) (tls.Certificate, [32]byte) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Unix(0, 0), NotAfter: time.Unix(1, 0)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, sha256.Sum256(parsed.RawSubjectPublicKeyInfo)
}

// serve starts a server of ours that is asked as a Tahoe server would be.
func serve(t testing.TB, handler http.HandlerFunc) (config gbs.Config, address string) {
	t.Helper()
	cert, spki := certificate(t)
	server := httptest.NewUnstartedServer(handler)
	server.Config.ErrorLog = log.New(io.Discard, "", 0) // handshakes fail on purpose
	server.TLS = &tls.Config{Certificates: []tls.Certificate{cert}}
	server.StartTLS()
	t.Cleanup(server.Close)
	address = server.Listener.Addr().String()
	return describe(t, nurl(t, spki, address)), address
}

func nurl(t testing.TB, spki [32]byte, address string) gbs.NURL {
	t.Helper()
	n, err := gbs.ParseNURL(fmt.Sprintf("pb://%s@%s/%s#v=1", base64.RawURLEncoding.EncodeToString(spki[:]), address, swissnum))
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func describe(t testing.TB, nurls ...gbs.NURL) gbs.Config {
	t.Helper()
	public := ed25519.NewKeyFromSeed(make([]byte, 32)).Public().(ed25519.PublicKey)
	key, err := caps.ParsePublicKey(public)
	if err != nil {
		t.Fatal(err)
	}
	return gbs.Config{Key: key, PeerID20: [20]byte{1}, PermutationSeed: []byte("seed"), NURLs: nurls}
}

// dial makes a client, which the end of the test closes.
func dial(t testing.TB, config gbs.Config) *gbs.Server {
	t.Helper()
	s, err := gbs.New(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// closedPort is an address where nobody listens.
func closedPort(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}
