package billing

// The most each side can lose, for people to read before they agree. None of
// them needs a party to be honest.

// PayeeLoss is what a payee loses at most to one payer account, in bytes served
// without a voucher and what those would have cost: its window, if that is
// positive, and nothing if the account prepays.
//
// Errors: ErrOverflow, if the price of that is.
func PayeeLoss(window int64, t Tariff) (bytes uint64, credits Credits, err error) {
	bytes = uint64(max(0, window))
	t.FreeBytes = 0
	credits, err = t.Cost(bytes, MaxUnpaidLookups)
	return bytes, credits, err
}

// PayerLoss is what a payer loses at most to one payee: what it signs ahead of
// what it has verified.
//
// Errors: ErrOverflow, if the price of that is.
func PayerLoss(ahead uint64, t Tariff) (Credits, error) {
	t.FreeBytes = 0
	return t.Cost(ahead, 0)
}

// KeyLoss is what the owner of an account loses at most when a key that may pay
// from it is stolen: all that is approved for the key, with grace. It ends when
// the last of the approvals does.
//
// Errors: ErrOverflow.
func KeyLoss(approved ...Approval) (credits Credits, until int64, err error) {
	highest := make(map[ChannelID]Approval)
	for _, a := range approved {
		if h, ok := highest[a.Channel]; !ok || a.LimitCredits() > h.LimitCredits() {
			highest[a.Channel] = a
		}
		until = max(until, a.GraceUntil)
	}
	for _, a := range highest {
		if credits, err = credits.Add(a.LimitCredits()); err != nil {
			return 0, 0, err
		}
	}
	return credits, until, nil
}
