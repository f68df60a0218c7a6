package web

import (
	"context"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"

	"trunkline/billing"
	"trunkline/caps"
	"trunkline/grid/longdistance"
	"trunkline/grid/tree"
	"trunkline/p2p"
)

// Free is the limit under which only what is toll-free is read across grids: the
// smallest amount there is.
const Free billing.Credits = 1

// segmentSlack is what a read across grids may be billed beyond the bytes that
// were wanted: whole segments at both ends.
const segmentSlack = 2 << 20

// Price is what a read across grids costs at most.
type Price struct {
	TollFree  bool
	Currency  string
	PerGiB    billing.Credits
	PerLookup billing.Credits
	Cost      billing.Credits // of the read that was asked about
}

// moneyError says that a read was not made because it costs money: the limit
// stood, and it would have gone over it.
type moneyError struct {
	cap    caps.Cap
	agreed bool // a person agreed to pay for all its areas
	text   string
	cause  error
}

func (e *moneyError) Error() string { return e.text }
func (e *moneyError) Unwrap() []error {
	return []error{&problem{status: http.StatusPaymentRequired, text: e.text}, e.cause}
}

// purse is the Files of one request: reads across grids go over what it may cost
// only where a person agreed, and all of them together not over the ceiling.
// The rest is the home grid's, and free.
type purse struct {
	tree.Files // at the limit Free
	h          *Handler

	mu    sync.Mutex
	spent billing.Credits
}

func (h *Handler) newPurse() *purse { return &purse{Files: h.config.Files(Free), h: h} }

// far says whether reading c may leave the home grid.
func (h *Handler) far(home caps.AreaCode, c caps.Cap) bool {
	areas := c.Areas()
	if len(areas) == 0 {
		return false
	}
	return slices.ContainsFunc(areas, func(a caps.AreaCode) bool { return a != home })
}

// unagreed are the areas of c for which nobody agreed to pay yet.
func (h *Handler) unagreed(home caps.AreaCode, c caps.Cap) []caps.AreaCode {
	return slices.DeleteFunc(c.Areas(), func(a caps.AreaCode) bool { return a == home || h.config.Agreed.Has(a) })
}

// Read is a method of tree.Files.
func (p *purse) Read(ctx context.Context, c caps.Cap, begin func(size uint64) (offset, length uint64, w io.Writer, err error)) error {
	if !p.h.far(p.Home(), c) {
		return p.Files.Read(ctx, c, begin)
	}
	limit, agreed := Free, len(p.h.unagreed(p.Home(), c)) == 0
	if agreed && p.h.config.Ceiling > 0 {
		left := p.left()
		if left <= 0 {
			return p.refusal(c, agreed, nil)
		}
		limit = left
	}
	files := p.Files
	if limit > Free {
		files = p.h.config.Files(limit)
	}
	var wanted uint64
	err := files.Read(ctx, c, func(size uint64) (uint64, uint64, io.Writer, error) {
		offset, length, w, err := begin(size)
		wanted = length
		return offset, length, w, err
	})
	if limit > Free {
		p.spend(ctx, c, wanted)
	}
	if tooDear(err) {
		return p.refusal(c, agreed, err)
	}
	return err
}

// tooDear says whether a read was refused for what it costs.
func tooDear(err error) bool {
	return err != nil && (errors.Is(err, p2p.ErrRefused) || errors.Is(err, longdistance.ErrTariff))
}

func (p *purse) left() billing.Credits {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.h.config.Ceiling - p.spent
}

// spend counts what a read may have cost. Where nobody knows, it has cost all
// that it could.
func (p *purse) spend(ctx context.Context, c caps.Cap, bytes uint64) {
	cost := p.h.config.Ceiling
	if p.h.config.Price != nil {
		if price, err := p.h.config.Price(ctx, c, bytes+segmentSlack); err == nil {
			cost = price.Cost
			if price.TollFree {
				cost = 0
			}
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.spent += min(cost, p.h.config.Ceiling-p.spent) // never over the ceiling, so that it cannot overflow
}

// refusal says why a read was not made, and what to do.
func (p *purse) refusal(c caps.Cap, agreed bool, cause error) error {
	e := &moneyError{cap: c, agreed: agreed, cause: cause}
	if cause == nil {
		e.cause = p2p.ErrRefused
	}
	switch {
	case p.h.config.Ceiling == 0:
		e.text = "this file is in another grid, and calls that cost money are off for the web API: " + p.h.config.CeilingHint
	case !agreed:
		var codes []string
		for _, a := range p.h.unagreed(p.Home(), c) {
			codes = append(codes, a.Short())
		}
		e.text = "this call costs money, and nobody has agreed yet to pay for the area " + strings.Join(codes, " or ") +
			": open this address in a browser, see the price, and say yes there"
	default:
		e.text = "this request would cost more than the ceiling of " + p.h.config.Ceiling.String() + " for one: " + p.h.config.CeilingHint
		if cause != nil && !errors.Is(cause, longdistance.ErrTariff) {
			e.text += " (" + cause.Error() + ")"
		}
	}
	return e
}

// agree takes a person's word that calls to an area may cost money. It is a form
// of our own page: the guard has seen to that.
func (h *Handler) agree(w *answer, r *http.Request, rest []string) error {
	if len(rest) > 0 {
		return problemf(http.StatusNotFound, "there is nothing at this address")
	}
	if err := methods(w, r, http.MethodPost); err != nil {
		return err
	}
	a, err := queryArgs(r)
	if err != nil {
		return err
	}
	if _, err := a.addForm(r, h.spool); err != nil {
		return err
	}
	defer a.file.Close()
	codes := a.values["area"]
	if len(codes) == 0 || len(codes) > caps.MaxAreas {
		return badRequest("name the areas that calls may cost money to")
	}
	var areas []caps.AreaCode
	for _, text := range codes {
		code, err := caps.ParseAreaCode(text)
		if err != nil {
			return badRequest("area= is no area code: %w", err)
		}
		areas = append(areas, code)
	}
	for _, code := range areas {
		if err := h.config.Agreed.Add(code); err != nil {
			return err
		}
		h.config.Logger.InfoContext(r.Context(), "a person agreed to pay for an area", "area_code", code.String())
	}
	return h.whenDone(w, r, a, "/")
}

// whenDone sends a browser on to where a form said, on this node alone.
func (h *Handler) whenDone(w *answer, r *http.Request, a args, otherwise string) error {
	to := a.text("when_done")
	if to == "" {
		to = otherwise
	}
	// A slash or backslash behind the first would make it another host's.
	if !strings.HasPrefix(to, "/") || strings.HasPrefix(to, "//") || strings.ContainsAny(to, "\\\r\n\t") {
		return badRequest("when_done= must be an address on this node")
	}
	w.Header().Set("Location", to)
	w.WriteHeader(http.StatusSeeOther)
	return nil
}
