package p2p_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"trunkline/p2p"
	"trunkline/p2p/pb"
)

// TestKindNumbers pins the numbers on the wire, which are only appended to.
func TestKindNumbers(t *testing.T) {
	t.Parallel()
	for i, kind := range []error{
		p2p.ErrMalformed, p2p.ErrDenied, p2p.ErrNotFound, p2p.ErrConflict, p2p.ErrExpired, p2p.ErrUnpaid, p2p.ErrBusy,
		p2p.ErrUnsupported, p2p.ErrInternal, p2p.ErrRefused, p2p.ErrTooLarge, p2p.ErrUnavailable, p2p.ErrIntegrity,
	} {
		f := p2p.Failure(fmt.Errorf("step: %w", kind))
		if f.GetKind() != uint32(i+1) {
			t.Errorf("%v is number %d, want %d", kind, f.GetKind(), i+1)
		}
		if back := p2p.FromFailure(f); !errors.Is(back, kind) {
			t.Errorf("%v came back as %v", kind, back)
		}
	}
}

func TestFailureTexts(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name string
		err  error
		kind error
		text string
	}{
		{"a kind's own words", p2p.ErrBusy, p2p.ErrBusy, "busy"},
		{"wrapped keeps its text", fmt.Errorf("share 3: %w", p2p.ErrNotFound), p2p.ErrNotFound, "share 3: not found"},
		{"no kind tells nothing", errors.New("open /secret/path: no space"), p2p.ErrInternal, "internal error"},
		{"a deadline is unavailable", fmt.Errorf("asking: %w", context.DeadlineExceeded), p2p.ErrUnavailable, "asking: context deadline exceeded"},
		{"passed on", fmt.Errorf("behind: %w", &p2p.RemoteError{Kind: p2p.Unpaid, Text: "pay"}), p2p.ErrUnpaid, "behind: peer answered: pay"},
		{"not printable", fmt.Errorf("a\x1b[31m\nb\xff: %w", p2p.ErrDenied), p2p.ErrDenied, "a [31m b: denied"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			f := p2p.Failure(tc.err)
			if f.GetText() != tc.text {
				t.Errorf("text is %q, want %q", f.GetText(), tc.text)
			}
			if back := p2p.FromFailure(f); !errors.Is(back, tc.kind) {
				t.Errorf("came back as %v, want %v", back, tc.kind)
			}
		})
	}
	if p2p.Failure(nil) != nil || p2p.FromFailure(nil) != nil {
		t.Error("no error became a failure")
	}
}

func TestFailureFromAStranger(t *testing.T) {
	t.Parallel()
	err := p2p.FromFailure(&pb.Failure{Kind: 4_000_000_000, Text: strings.Repeat("é", 600) + "\n"})
	if !errors.Is(err, p2p.ErrInternal) {
		t.Errorf("an unknown kind reads as %v, want internal", err)
	}
	remote := err.(*p2p.RemoteError) //nolint:errorlint,forcetypeassert // FromFailure's documented type
	if len(remote.Text) > p2p.MaxFailureText || strings.ContainsRune(remote.Text, '\n') || !strings.HasPrefix(remote.Text, "éé") {
		t.Errorf("text of %d bytes: %q", len(remote.Text), remote.Text)
	}
	if errors.Is(p2p.FromFailure(&pb.Failure{}), p2p.ErrMalformed) || !errors.Is(p2p.FromFailure(&pb.Failure{}), p2p.ErrInternal) {
		t.Error("kind 0 does not read as internal")
	}
}
