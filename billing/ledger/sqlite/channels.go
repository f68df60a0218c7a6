package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"trunkline/billing"
	"trunkline/billing/ledger"
	"trunkline/billing/sealed"
	"trunkline/caps"
)

// Reserve implements ledger.Store.
func (s *Store) Reserve(ctx context.Context, r ledger.Reservation) error {
	if !r.Approval.Verified() || !r.Tariff.Verified() {
		return ledger.ErrUnverified
	}
	if err := r.Approval.Value.CheckTariff(r.Tariff); err != nil {
		return err
	}
	return s.change(ctx, func(w *writer) error { return w.reserve(r) })
}

func (w *writer) reserve(r ledger.Reservation) error {
	a := r.Approval.Value
	payer, err := w.parties(a, r.Tariff.Value.Currency)
	if err != nil {
		return err
	}
	if err := w.checkEpoch(a); err != nil {
		return err
	}
	var old struct {
		approval          []byte
		credits, reserved billing.Credits
	}
	err = w.queryRow(`SELECT approval, credits, reserved FROM channels WHERE channel = ?1`,
		[]any{a.Channel[:]}, &old.approval, &old.credits, &old.reserved)
	switch {
	case errors.Is(err, sql.ErrNoRows):
	case err != nil:
		return err
	default:
		before, err := sealed.Open[billing.Approval](old.approval)
		if err != nil {
			return fmt.Errorf("%w: approval of channel %v: %w", ledger.ErrBroken, a.Channel, err)
		}
		if err := before.Value.CheckRenewal(a); err != nil {
			return refuse(err)
		}
	}
	reserved := a.LimitCredits() - old.credits
	asked := reserved - old.reserved // negative never: limits do not fall
	if err := cover(payer, asked); err != nil {
		return err
	}
	return w.putChannel(r, reserved, asked)
}

// parties reads the payer's account and refuses if either account may not take
// part.
func (w *writer) parties(a billing.Approval, currency string) (payer ledger.Account, err error) {
	payer, err = w.account(a.PayerAccount)
	if err != nil {
		return payer, err
	}
	payee, err := w.account(a.PayeeAccount)
	if err != nil {
		return payer, err
	}
	for _, p := range []ledger.Account{payer, payee} {
		if p.Suspended {
			return payer, refuse(fmt.Errorf("%w: %v", ledger.ErrSuspended, p.Key))
		}
		if p.Currency != currency {
			return payer, refuse(fmt.Errorf("%w: tariff is in %s, account %v in %s", ledger.ErrCurrency, currency, p.Key, p.Currency))
		}
	}
	return payer, nil
}

func (w *writer) checkEpoch(a billing.Approval) error {
	var epoch uint64
	if err := w.queryRow(selectEpoch, nil, &epoch); err != nil {
		return err
	}
	if a.Epoch != epoch {
		return refuse(fmt.Errorf("%w: %d instead of %d", ledger.ErrEpoch, a.Epoch, epoch))
	}
	if epoch == 0 {
		return nil
	}
	var revoked int
	err := w.queryRow(`SELECT count(*) FROM revocations WHERE key IN (?1, ?2, ?3, ?4)`,
		[]any{a.Payer[:], a.Payee[:], a.PayerAccount[:], a.PayeeAccount[:]}, &revoked)
	if err == nil && revoked > 0 {
		return refuse(ledger.ErrRevoked)
	}
	return err
}

// putChannel writes what reserve decided.
func (w *writer) putChannel(r ledger.Reservation, reserved, asked billing.Credits) error {
	ctx, a, t := context.Background(), r.Approval.Value, r.Tariff.Value
	err := w.exec(ctx, `
		INSERT INTO tariffs (tariff, per_gib, per_lookup, free_bytes, toll_free, envelope)
		VALUES (?1, ?2, ?3, ?4, ?5, ?6)
		ON CONFLICT (tariff) DO NOTHING`,
		a.Tariff[:], int64(t.PerGiB), int64(t.PerLookup), int64(t.FreeBytes), t.TollFree, r.Tariff.Bytes)
	if err != nil {
		return err
	}
	err = w.exec(ctx, `
		INSERT INTO channels (channel, payer, payer_account, payee_account, tariff, period,
			limit_bytes, limit_credits, grace_until, approval, reserved)
		VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)
		ON CONFLICT (channel) DO UPDATE SET
			limit_bytes = excluded.limit_bytes, limit_credits = excluded.limit_credits,
			grace_until = excluded.grace_until, approval = excluded.approval,
			reserved = excluded.reserved, released = 0`,
		a.Channel[:], a.Payer[:], a.PayerAccount[:], a.PayeeAccount[:], a.Tariff[:], int64(a.Period),
		int64(a.LimitBytes()), int64(a.LimitCredits()), a.GraceUntil, r.Approval.Bytes, int64(reserved))
	if err != nil {
		return err
	}
	return w.exec(ctx, `UPDATE accounts SET reserved = reserved + ?2 WHERE account = ?1`, a.PayerAccount[:], int64(asked))
}

// Channel implements ledger.Store.
func (s *Store) Channel(ctx context.Context, id billing.ChannelID) (ledger.Channel, error) {
	var c ledger.Channel
	v := billing.Voucher{Channel: id}
	err := s.read.QueryRowContext(ctx, `
		SELECT c.approval, t.envelope, c.entry, c.bytes, c.lookups, c.credits, e.voucher, c.reserved, c.released
		FROM channels c
		JOIN tariffs t ON t.tariff = c.tariff
		LEFT JOIN entries e ON e.entry = c.entry
		WHERE c.channel = ?1`, id[:]).
		Scan(&c.ApprovalBytes, &c.TariffBytes, &c.Entry, &v.Bytes, &v.Lookups, &v.Credits, &c.LastBytes, &c.Reserved, &c.Released)
	if errors.Is(err, sql.ErrNoRows) {
		return ledger.Channel{}, fmt.Errorf("%w: %v", ledger.ErrNoChannel, id)
	}
	if err != nil {
		return ledger.Channel{}, fmt.Errorf("sqlite: reading a channel: %w", err)
	}
	a, err := sealed.Open[billing.Approval](c.ApprovalBytes)
	if err != nil {
		return ledger.Channel{}, fmt.Errorf("%w: approval of channel %v: %w", ledger.ErrBroken, id, err)
	}
	c.Approval = a.Value
	if c.Entry > 0 {
		c.Last = &v
	}
	return c, nil
}

// Expire implements ledger.Store.
func (s *Store) Expire(ctx context.Context, now time.Time) (int, error) {
	before := now.Add(-billing.ClockTolerance).Unix()
	total := 0
	for {
		n, err := ask(ctx, s, func(w *writer) (int, error) { return w.expire(before) })
		total += n
		if err != nil || n < expireBatch {
			return total, err
		}
	}
}

// expireBatch is how many channels are released at a time, so that others'
// changes come between.
const expireBatch = 256

func (w *writer) expire(before int64) (int, error) {
	ctx := context.Background()
	type open struct {
		channel  billing.ChannelID
		account  caps.PublicKey
		reserved int64
	}
	var due []open
	err := each(ctx, w.conn, func(rows *sql.Rows) error {
		var o open
		var channel, account []byte
		err := rows.Scan(&channel, &account, &o.reserved)
		copy(o.channel[:], channel)
		copy(o.account[:], account)
		due = append(due, o)
		return err
	}, `SELECT channel, payer_account, reserved FROM channels
		WHERE released = 0 AND grace_until < ?1 LIMIT ?2`, before, expireBatch)
	if err != nil {
		return 0, err
	}
	for _, o := range due {
		if err := w.exec(ctx, `UPDATE channels SET reserved = 0, released = 1 WHERE channel = ?1`, o.channel[:]); err != nil {
			return 0, err
		}
		if err := w.exec(ctx, `UPDATE accounts SET reserved = reserved - ?2 WHERE account = ?1`, o.account[:], o.reserved); err != nil {
			return 0, err
		}
	}
	return len(due), nil
}
