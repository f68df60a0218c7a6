package billing_test

import (
	"testing"

	"trunkline/billing"
	"trunkline/billing/billingtest"
	"trunkline/billing/sealed"
)

// BenchmarkSign is a voucher made and signed.
func BenchmarkSign(b *testing.B) {
	v := exampleVoucher(b).Value
	key := billingtest.Key("payer")
	b.ReportAllocs()
	for b.Loop() {
		if _, err := sealed.Seal(key, v); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkVerify is a voucher opened.
func BenchmarkVerify(b *testing.B) {
	v := exampleVoucher(b)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := sealed.OpenFrom[billing.Voucher](v.Signer, v.Bytes); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkVerifyApproval is an approval opened: five keys to check besides.
func BenchmarkVerifyApproval(b *testing.B) {
	a := exampleApproval(b).Bytes
	b.ReportAllocs()
	for b.Loop() {
		if _, err := sealed.Open[billing.Approval](a); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkMeter is a segment of 1 MiB through both meters, voucher included,
// without the signature.
func BenchmarkMeter(b *testing.B) {
	tariff := billingtest.Tariff(b, nil)
	a := billingtest.Approval(b, tariff, func(v *billing.Approval) {
		v.CapBytes, v.CapCredits = billing.MaxCount/2, billing.MaxCount/2
	})
	payer, err := billing.NewPayer(a.Value, tariff)
	if err != nil {
		b.Fatal(err)
	}
	payee, err := billing.NewPayee(a.Value, tariff, billing.NewWindow(billing.StartWindow), nil)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	b.SetBytes(1 << 20)
	for b.Loop() {
		send(b, payer, payee, 1<<20)
		pay(b, payer, payee)
	}
}
