package sqlite

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"trunkline/billing"
	"trunkline/billing/ledger"
	"trunkline/billing/sealed"
	"trunkline/caps"
)

// Post implements ledger.Store.
func (s *Store) Post(ctx context.Context, v sealed.Sealed[billing.Voucher], at time.Time) (ledger.Posting, error) {
	if !v.Verified() {
		return ledger.Posting{}, ledger.ErrUnverified
	}
	return ask(ctx, s, func(w *writer) (ledger.Posting, error) { return w.post(v, at) })
}

// standing is a channel as post needs it.
type standing struct {
	payer, payerAccount, payeeAccount []byte
	released                          bool
	limitBytes                        uint64
	limitCredits                      billing.Credits
	entry                             uint64
	bytes, lookups                    uint64
	credits                           billing.Credits
	tariff                            billing.Tariff // its prices
}

func (w *writer) standing(id billing.ChannelID) (c standing, err error) {
	err = w.queryRow(`
		SELECT c.payer, c.payer_account, c.payee_account, c.released, c.limit_bytes, c.limit_credits,
			c.entry, c.bytes, c.lookups, c.credits, t.per_gib, t.per_lookup, t.free_bytes, t.toll_free
		FROM channels c JOIN tariffs t ON t.tariff = c.tariff
		WHERE c.channel = ?1`, []any{id[:]},
		&c.payer, &c.payerAccount, &c.payeeAccount, &c.released, &c.limitBytes, &c.limitCredits,
		&c.entry, &c.bytes, &c.lookups, &c.credits,
		&c.tariff.PerGiB, &c.tariff.PerLookup, &c.tariff.FreeBytes, &c.tariff.TollFree)
	if errors.Is(err, sql.ErrNoRows) {
		return c, refuse(fmt.Errorf("%w: %v", ledger.ErrNoChannel, id))
	}
	return c, err
}

// check refuses a voucher that the channel's approval does not stand for.
func (c standing) check(v sealed.Sealed[billing.Voucher]) error {
	if caps.PublicKey(c.payer) != v.Signer {
		return refuse(ledger.ErrPayer)
	}
	cost, err := c.tariff.Cost(v.Value.Bytes, v.Value.Lookups)
	if err != nil || cost != v.Value.Credits {
		return refuse(billing.ErrWrongCost)
	}
	if v.Value.Bytes > c.limitBytes || v.Value.Credits > c.limitCredits {
		return refuse(fmt.Errorf("%w: %d of %d bytes, %v of %v", billing.ErrOverCap,
			v.Value.Bytes, c.limitBytes, v.Value.Credits, c.limitCredits))
	}
	return nil
}

func (w *writer) post(v sealed.Sealed[billing.Voucher], at time.Time) (ledger.Posting, error) {
	c, err := w.standing(v.Value.Channel)
	if err != nil {
		return ledger.Posting{}, err
	}
	if err := c.check(v); err != nil {
		return ledger.Posting{}, err
	}
	if c.entry > 0 && !ledger.Above(v.Value, billing.Voucher{Bytes: c.bytes, Lookups: c.lookups, Credits: c.credits}) {
		return w.posted(v.Value.Channel, c)
	}
	delta := v.Value.Credits - c.credits
	if c.released {
		payer, err := w.account(caps.PublicKey(c.payerAccount))
		if err != nil {
			return ledger.Posting{}, err
		}
		if err := cover(payer, delta); err != nil {
			return ledger.Posting{}, err
		}
	}
	return w.book(v, c, delta, at)
}

// posted is the channel's posting as it stands.
func (w *writer) posted(id billing.ChannelID, c standing) (ledger.Posting, error) {
	p := ledger.Posting{Channel: id, Entry: c.entry, Bytes: c.bytes, Lookups: c.lookups, Credits: c.credits}
	var voucher, head []byte
	err := w.queryRow(`SELECT voucher_hash, booked_at, head FROM entries WHERE entry = ?1`,
		[]any{int64(c.entry)}, &voucher, &p.BookedAt, &head)
	copy(p.Voucher[:], voucher)
	copy(p.Head[:], head)
	return p, err
}

// book writes the next entry.
func (w *writer) book(v sealed.Sealed[billing.Voucher], c standing, delta billing.Credits, at time.Time) (ledger.Posting, error) {
	ctx := context.Background()
	var number uint64
	var head []byte
	err := w.queryRow(`SELECT entry, head FROM entries ORDER BY entry DESC LIMIT 1`, nil, &number, &head)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return ledger.Posting{}, err
	}
	e := ledger.Entry{
		Number: number + 1, Channel: v.Value.Channel,
		Payer: caps.PublicKey(c.payerAccount), Payee: caps.PublicKey(c.payeeAccount),
		Amount: delta, Voucher: v.Bytes, BookedAt: at.Unix(),
	}
	var previous [sha256.Size]byte
	copy(previous[:], head)
	e.Head = e.Chain(previous)
	hash := v.Hash()
	id := v.Value.Channel
	err = w.exec(ctx, `
		INSERT INTO entries (entry, channel, payer_account, payee_account, amount, voucher, voucher_hash, booked_at, head)
		VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)`,
		int64(e.Number), id[:], c.payerAccount, c.payeeAccount, int64(delta), v.Bytes, hash[:], e.BookedAt, e.Head[:])
	if err != nil {
		return ledger.Posting{}, err
	}
	reserved := delta // leaves the reservation as it becomes a debt
	if c.released {
		reserved = 0
	}
	err = w.exec(ctx, `
		UPDATE channels SET entry = ?2, bytes = ?3, lookups = ?4, credits = ?5, reserved = reserved - ?6
		WHERE channel = ?1`,
		id[:], int64(e.Number), int64(v.Value.Bytes), int64(v.Value.Lookups), int64(v.Value.Credits), int64(reserved))
	if err != nil {
		return ledger.Posting{}, err
	}
	if delta != 0 {
		err = w.exec(ctx, `UPDATE accounts SET balance = balance - ?2, reserved = reserved - ?3 WHERE account = ?1`,
			c.payerAccount, int64(delta), int64(reserved))
		if err != nil {
			return ledger.Posting{}, err
		}
		err = w.exec(ctx, `UPDATE accounts SET balance = balance + ?2 WHERE account = ?1`, c.payeeAccount, int64(delta))
		if err != nil {
			return ledger.Posting{}, err
		}
	}
	return ledger.Posting{
		Channel: id, Entry: e.Number, Voucher: hash, Delta: delta,
		Bytes: v.Value.Bytes, Lookups: v.Value.Lookups, Credits: v.Value.Credits,
		BookedAt: e.BookedAt, Head: e.Head,
	}, nil
}

// Entries implements ledger.Store.
func (s *Store) Entries(ctx context.Context, first uint64, limit int) ([]ledger.Entry, error) {
	var list []ledger.Entry
	if first > billing.MaxCount || limit <= 0 {
		return nil, nil
	}
	err := eachEntry(ctx, s.read, first, limit, func(e ledger.Entry, _ []byte) error {
		list = append(list, e)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("sqlite: reading entries: %w", err)
	}
	return list, nil
}

// eachEntry calls f with each entry and the hash that is kept of its voucher.
func eachEntry(ctx context.Context, q querier, first uint64, limit int, f func(e ledger.Entry, hash []byte) error) error {
	return each(ctx, q, func(rows *sql.Rows) error {
		var e ledger.Entry
		var channel, payer, payee, hash, head []byte
		if err := rows.Scan(&e.Number, &channel, &payer, &payee, &e.Amount, &e.Voucher, &hash, &e.BookedAt, &head); err != nil {
			return err
		}
		copy(e.Channel[:], channel)
		copy(e.Payer[:], payer)
		copy(e.Payee[:], payee)
		copy(e.Head[:], head)
		return f(e, hash)
	}, `SELECT entry, channel, payer_account, payee_account, amount, voucher, voucher_hash, booked_at, head
		FROM entries WHERE entry >= ?1 ORDER BY entry LIMIT ?2`, int64(first), limit)
}

// Lines implements ledger.Store.
func (s *Store) Lines(ctx context.Context, account caps.PublicKey, period uint64) ([]billing.Line, error) {
	if _, err := s.Account(ctx, account); err != nil {
		return nil, err
	}
	if period > billing.MaxCount {
		return nil, nil
	}
	var lines []billing.Line
	err := each(ctx, s.read, func(rows *sql.Rows) error {
		var l billing.Line
		var channel, counterparty, hash []byte
		if err := rows.Scan(&channel, &counterparty, &l.Entry, &l.Bytes, &l.Lookups, &l.Credits, &hash); err != nil {
			return err
		}
		copy(l.Channel[:], channel)
		copy(l.Counterparty[:], counterparty)
		copy(l.Voucher[:], hash)
		lines = append(lines, l)
		return nil
	}, `SELECT c.channel, c.payer_account, c.entry, c.bytes, c.lookups, c.credits, e.voucher_hash
		FROM channels c JOIN entries e ON e.entry = c.entry
		WHERE c.payee_account = ?1 AND c.period = ?2
		UNION ALL
		SELECT c.channel, c.payee_account, c.entry, c.bytes, c.lookups, -c.credits, e.voucher_hash
		FROM channels c JOIN entries e ON e.entry = c.entry
		WHERE c.payer_account = ?1 AND c.period = ?2
		ORDER BY 1`, account[:], int64(period))
	if err != nil {
		return nil, fmt.Errorf("sqlite: reading lines: %w", err)
	}
	return lines, nil
}
