package mutable

import "context"

// A writer can be cut off at any moment, and every server it has reached by then has lost its shares of the old version. As long as
// the shares of both versions together are 2K-1 different ones, either can be read whatever has been reached: with fewer than K
// of the old there are K of the new. With fewer shares than that, as after servers were away or where one server has several,
// it depends on the order.

// shares are those of the old version on servers that were not sent anything, and those of the new version.
func (p *publication) shares() (old, current map[int]bool) {
	old, current = make(map[int]bool), make(map[int]bool)
	for _, t := range p.targets {
		switch t.outcome {
		case unsent, refused:
			for _, num := range t.base {
				old[num] = true
			}
		case applied:
			for num := range t.tests {
				current[num] = true
			}
		}
	}
	return old, current
}

// sure reports whether either version can be read whichever servers are reached from here on. Where there was no old version to
// lose it is.
func (p *publication) sure() bool {
	old, current := p.shares()
	if len(current) >= p.header.K {
		return true
	}
	had := false
	for _, t := range p.targets {
		had = had || len(t.base) > 0
	}
	for num := range current {
		old[num] = true
	}
	return !had || len(old) >= 2*p.header.K-1
}

// spares reports whether either version can be read after t alone was reached.
func (p *publication) spares(t *target) bool {
	if len(t.base) == 0 {
		return true
	}
	was := t.outcome
	defer func() { t.outcome = was }()
	t.outcome = applied
	old, current := p.shares()
	return len(old) >= p.header.K || len(current) >= p.header.K
}

// careful sends to one server after the other, those first that have nothing to lose, until it is sure. It stops early where no
// order is safe.
func (p *publication) careful(ctx context.Context) error {
	if p.sure() {
		return nil
	}
	if err := p.round(ctx, hurried, func(t *target) bool { return len(t.base) == 0 }); err != nil {
		return err
	}
	for !p.sure() {
		var next *target
		for _, t := range p.targets {
			if t.outcome == unsent && p.spares(t) {
				next = t
				break
			}
		}
		if next == nil {
			return nil
		}
		if err := p.batch(ctx, hurried, []*target{next}); err != nil {
			return err
		}
	}
	return nil
}
