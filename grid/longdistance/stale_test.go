package longdistance_test

import (
	"bytes"
	"testing"

	"google.golang.org/protobuf/proto"

	"trunkline/grid/longdistance/pb"
)

// A payee decides to ask for a renewal before the answer to its last Due is in,
// and the question goes out after that answer's Ack: what is at hand has room,
// so nothing is wrong.
func TestStaleDue(t *testing.T) {
	t.Parallel()
	atLevels(t, func(t *testing.T, l level) {
		w, c := newWorld(t), newCiphertext(t, 1, 30_000, 1000)
		y := l.payee(w, newShelf(c))
		p := w.addPayer(nil)
		p.approvals.cap = 10_000
		stale := 0
		var due *pb.FromPayee // waits for its renewal
		y.lie = func(_ int, f frame) []frame {
			switch {
			case f.m.GetDue().GetRenewal():
				due = proto.CloneOf(f.m)
				p.approvals.mu.Lock()
				p.approvals.cap = 1 << 30
				p.approvals.mu.Unlock()
			case f.m.GetAck() != nil && due != nil:
				stale++
				again := frame{m: due}
				due = nil
				return []frame{f, again}
			}
			return []frame{f}
		}
		got, err := p.fetch(t.Context(), request(c), y.offer())
		must(t, err)
		if !bytes.Equal(got, c.data) || stale != 1 {
			t.Errorf("%d bytes came, after %d stale messages", len(got), stale)
		}
		if len(p.switched) > 0 {
			t.Errorf("failed: %v", p.switched)
		}
	})
}

// Processes of one payer that have yet to sign take up the cap together, so that
// each of them sees room where the payee has none left: the one that is asked
// raises the cap.
func TestSpentByOthers(t *testing.T) {
	t.Parallel()
	const limit = 40 << 20
	atLevels(t, func(t *testing.T, l level) {
		w, c := newWorld(t), newCiphertext(t, 1, 20_000, 1000)
		y := l.payee(w, newShelf(c))
		p := w.addPayer(nil)
		p.approvals.cap = limit
		y.lie = func(_ int, f frame) []frame {
			if f.m.GetSegment().GetIndex() != 7 {
				return []frame{f}
			}
			due := &pb.FromPayee{Message: &pb.FromPayee_Due{Due: &pb.Due{Window: wideWindow, Renewal: true}}}
			return []frame{{m: due}, f}
		}
		got, err := p.fetch(t.Context(), request(c), y.offer())
		must(t, err)
		if !bytes.Equal(got, c.data) || p.approvals.asked != 2 || len(p.switched) > 0 {
			t.Errorf("%d bytes came, %d approvals; failed: %v", len(got), p.approvals.asked, p.switched)
		}
	})
}

// Two processes of one payer are granted approvals in one second, and the lower
// one reaches the payee last.
func TestApprovalsOfOneSecond(t *testing.T) {
	t.Parallel()
	atLevels(t, func(t *testing.T, l level) {
		w, c := newWorld(t), newCiphertext(t, 1, 20_000, 1000)
		y := l.payee(w, newShelf(c))
		first := w.addPayer(nil)
		first.approvals.cap = 2 << 20
		_, err := first.fetch(t.Context(), request(c), y.offer())
		must(t, err)
		second := w.addPayer(first.key)
		second.approvals.cap = 1 << 20
		got, err := second.fetch(t.Context(), request(c), y.offer())
		must(t, err)
		if !bytes.Equal(got, c.data) {
			t.Errorf("%d bytes came", len(got))
		}
	})
}
