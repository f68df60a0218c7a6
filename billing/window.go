package billing

// Windows of a payee towards payer accounts.
const (
	// StartWindow is a fair initial window for an approved payer, in bytes.
	StartWindow int64 = 4 << 20
	// MaxWindow is what a window grows to at most, in bytes: more than twice
	// what 1 Gb/s over 100 ms keeps on its way.
	MaxWindow int64 = 64 << 20
	// MinWindow is below what a halved window becomes zero, in bytes.
	MinWindow int64 = 64 << 10
	// MaxUnpaidLookups is how many answered look-ups an account may leave
	// unsigned, over all its channels.
	MaxUnpaidLookups = 16
)

// Window is the credit that a payee gives to one payer account: the bytes it
// sends without a voucher for them, summed over all channels and streams of the
// account. It is one number W. While W > 0 the payee sends as long as the sum
// stays at or below W; with W <= 0 every channel must be -W ahead.
//
// What streams that died left unsigned stays in the sum as ghosts, so that
// dying does not pay. When ghosts have eaten the window, the account has to
// prepay, until Forgive.
//
// Not safe for concurrent use: the lock that guards the account guards its
// window and the meters on it.
type Window struct {
	limit    int64
	unpaid   uint64 // sent on living streams, without a voucher
	ghosts   uint64 // sent on dead ones
	unlooked uint64 // look-ups without a voucher
}

// NewWindow makes a window of initial bytes, at most MaxWindow.
func NewWindow(initial int64) *Window { return &Window{limit: min(initial, MaxWindow)} }

// Limit is W.
func (w *Window) Limit() int64 { return w.limit }

// SetLimit changes W, to at most MaxWindow.
func (w *Window) SetLimit(limit int64) { w.limit = min(limit, MaxWindow) }

// Exposure is what the payee would lose if the account never signed again, in
// bytes. It is never above the highest W there was, nor above 0 if W was not.
func (w *Window) Exposure() uint64 { return w.unpaid + w.ghosts }

// Room is how many bytes may be sent now without a voucher; if negative, how
// far a channel must be ahead besides. It is what the payee tells the payer.
func (w *Window) Room() int64 {
	if w.limit <= 0 {
		return w.limit
	}
	return max(0, w.limit-int64(w.Exposure()))
}

// Settled notes that the approver has booked bytes from this account. A
// positive window grows by as many, at most to its double and MaxWindow.
func (w *Window) Settled(bytes uint64) {
	if w.limit > 0 {
		w.limit = min(w.limit+int64(min(bytes, uint64(w.limit))), MaxWindow)
	}
}

// Defaulted notes that the account did not pay what it should have. A positive
// window is halved, below MinWindow to nothing.
func (w *Window) Defaulted() {
	if w.limit > 0 {
		w.limit /= 2
		if w.limit < MinWindow {
			w.limit = 0
		}
	}
}

// Forgive writes the ghosts off, as the payee does once a period is settled,
// and returns how many bytes that were: the period's loss, at most W.
func (w *Window) Forgive() uint64 {
	lost := w.ghosts
	w.ghosts = 0
	return lost
}
