// Package billingtest makes keys, tariffs and approvals for tests.
package billingtest

import (
	"crypto/ed25519"
	"crypto/sha256"
	"fmt"
	"testing"

	"github.com/libp2p/go-libp2p/core/crypto"

	"trunkline/billing"
	"trunkline/billing/sealed"
	"trunkline/caps"
)

// Key is a key that depends on name alone.
func Key(name string) crypto.PrivKey {
	seed := sha256.Sum256([]byte("billingtest " + name))
	k, err := crypto.UnmarshalEd25519PrivateKey(ed25519.NewKeyFromSeed(seed[:]))
	if err != nil {
		panic(fmt.Sprintf("billingtest: %v", err))
	}
	return k
}

// Public is the public part of Key(name).
func Public(name string) caps.PublicKey {
	raw, err := Key(name).GetPublic().Raw()
	if err != nil {
		panic(fmt.Sprintf("billingtest: %v", err))
	}
	k, err := caps.ParsePublicKey(raw)
	if err != nil {
		panic(fmt.Sprintf("billingtest: %v", err))
	}
	return k
}

// Times of everything here, unix seconds.
const (
	Start  = 1_800_000_000
	Hour   = 3600
	Day    = 24 * Hour
	GiB    = 1 << 30
	Period = 7
)

// Tariff is a valid tariff of the area of key "payee grid": 2 a GiB, 0.001 a
// look-up. change may alter it before it is signed; nil leaves it.
func Tariff(t testing.TB, change func(*billing.Tariff)) sealed.Sealed[billing.Tariff] {
	t.Helper()
	v := billing.Tariff{
		Area:     caps.NewAreaCode(Public("payee grid")),
		Sequence: 1, Currency: "EUR",
		PerGiB: 2 * billing.Unit, PerLookup: billing.Unit / 1000,
		ValidFrom: Start, ValidUntil: Start + 30*Day,
	}
	if change != nil {
		change(&v)
	}
	return Seal(t, "payee grid", v)
}

// Approval is a valid approval by key "approver" for tariff: payer key "payer"
// of account "payer grid", payee key "payee" of account "payee grid", a cap of
// 1 GiB and 10, a grace of 64 MiB and 1. change may alter it before its channel
// is computed and it is signed; nil leaves it.
func Approval(t testing.TB, tariff sealed.Sealed[billing.Tariff], change func(*billing.Approval)) sealed.Sealed[billing.Approval] {
	t.Helper()
	v := billing.Approval{
		Approver: Public("approver"), Payer: Public("payer"), Payee: Public("payee"),
		PayerAccount: Public("payer grid"), PayeeAccount: Public("payee grid"),
		Tariff: billing.HashTariff(tariff), Period: Period,
		CapBytes: GiB, CapCredits: 10 * billing.Unit,
		IssuedAt: Start, NotAfter: Start + Hour, GraceUntil: Start + 25*Hour,
		GraceBytes: 64 << 20, GraceCredits: billing.Unit,
		Window: billing.StartWindow,
	}
	if change != nil {
		change(&v)
	}
	v.Channel = billing.NewChannelID(v.Approver, v.Payer, v.Payee, v.Tariff, v.Period)
	return Seal(t, "approver", v)
}

// Voucher is the voucher of key "payer" for so many bytes and look-ups on the
// channel of a, at the price of tariff.
func Voucher(t testing.TB, a sealed.Sealed[billing.Approval], tariff sealed.Sealed[billing.Tariff], bytes, lookups uint64) sealed.Sealed[billing.Voucher] {
	t.Helper()
	cost, err := tariff.Value.Cost(bytes, lookups)
	if err != nil {
		t.Fatal(err)
	}
	return Seal(t, "payer", billing.Voucher{Channel: a.Value.Channel, Bytes: bytes, Lookups: lookups, Credits: cost})
}

// Seal signs v with the key of that name.
func Seal[T any, P sealed.Object[T]](t testing.TB, name string, v T) sealed.Sealed[T] {
	t.Helper()
	s, err := sealed.Seal[T, P](Key(name), v)
	if err != nil {
		t.Fatalf("sealing a %T: %v", v, err)
	}
	return s
}
