package sqlite

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"errors"
	"fmt"
	"math"

	"trunkline/billing"
	"trunkline/billing/ledger"
)

// Check implements ledger.Store. It also asks SQLite to check the file.
func (s *Store) Check(ctx context.Context) (err error) {
	// One transaction, so that all is of one moment; with a write-ahead log it
	// does not hold the writer up.
	tx, err := s.read.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
	if err != nil {
		return fmt.Errorf("sqlite: beginning to check: %w", err)
	}
	defer func() { err = errors.Join(err, tx.Rollback()) }()

	var verdict string
	if err := tx.QueryRowContext(ctx, `PRAGMA integrity_check(1)`).Scan(&verdict); err != nil {
		return fmt.Errorf("sqlite: checking the file: %w", err)
	}
	if verdict != "ok" {
		return fmt.Errorf("%w: file: %s", ledger.ErrBroken, verdict)
	}
	audit := ledger.NewAudit()
	list, err := accounts(ctx, tx)
	if err != nil {
		return err
	}
	for _, a := range list {
		if err := audit.Account(a); err != nil {
			return err
		}
	}
	if err := each(ctx, tx, func(rows *sql.Rows) error { return auditChannel(audit, rows) }, `
		SELECT c.channel, c.payer, c.payer_account, c.payee_account, c.tariff, c.period,
			c.limit_bytes, c.limit_credits, c.grace_until, c.approval, c.reserved, c.released,
			c.entry, c.bytes, c.lookups, c.credits, e.voucher, t.envelope,
			t.per_gib, t.per_lookup, t.free_bytes, t.toll_free
		FROM channels c
		JOIN tariffs t ON t.tariff = c.tariff
		LEFT JOIN entries e ON e.entry = c.entry`); err != nil {
		return err
	}
	if err := eachEntry(ctx, tx, 1, math.MaxInt, func(e ledger.Entry, hash []byte) error {
		if want := sha256.Sum256(e.Voucher); string(hash) != string(want[:]) {
			return fmt.Errorf("%w: entry %d: hash is not the voucher's", ledger.ErrBroken, e.Number)
		}
		return audit.Entry(e)
	}); err != nil {
		return err
	}
	return audit.Finish()
}

// auditChannel takes one channel in and compares the columns that Post goes by
// with the approval and tariff they were copied from.
func auditChannel(audit *ledger.Audit, rows *sql.Rows) error {
	var (
		c                                     ledger.Channel
		id, payer, payerAccount, payeeAccount []byte
		tariff                                []byte
		period, limitBytes                    uint64
		limitCredits                          billing.Credits
		graceUntil                            int64
		v                                     billing.Voucher
		prices                                billing.Tariff
	)
	err := rows.Scan(&id, &payer, &payerAccount, &payeeAccount, &tariff, &period,
		&limitBytes, &limitCredits, &graceUntil, &c.ApprovalBytes, &c.Reserved, &c.Released,
		&c.Entry, &v.Bytes, &v.Lookups, &v.Credits, &c.LastBytes, &c.TariffBytes,
		&prices.PerGiB, &prices.PerLookup, &prices.FreeBytes, &prices.TollFree)
	if err != nil {
		return err
	}
	v.Channel = billing.ChannelID(id)
	if c.Entry > 0 {
		c.Last = &v
	}
	a, t, err := audit.Channel(v.Channel, c)
	if err != nil {
		return err
	}
	if string(payer) != string(a.Payer[:]) || string(payerAccount) != string(a.PayerAccount[:]) ||
		string(payeeAccount) != string(a.PayeeAccount[:]) || string(tariff) != string(a.Tariff[:]) ||
		period != a.Period || limitBytes != a.LimitBytes() || limitCredits != a.LimitCredits() || graceUntil != a.GraceUntil {
		return fmt.Errorf("%w: channel %v: columns differ from the approval", ledger.ErrBroken, v.Channel)
	}
	if prices.PerGiB != t.PerGiB || prices.PerLookup != t.PerLookup || prices.FreeBytes != t.FreeBytes || prices.TollFree != t.TollFree {
		return fmt.Errorf("%w: channel %v: columns differ from the tariff", ledger.ErrBroken, v.Channel)
	}
	return nil
}
