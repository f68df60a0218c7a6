package billing

import "fmt"

// Clone copies a meter, for tests that explore what can happen from one state.
func (p *Payer) Clone() *Payer {
	c := *p
	if p.flight != nil {
		f := *p.flight
		c.flight = &f
	}
	if p.behind != nil {
		m := *p.behind
		c.behind = &m
	}
	return &c
}

// CloneOn copies a meter onto a copy of its window.
func (p *Payee) CloneOn(w *Window) *Payee {
	c := *p
	c.window = w
	if p.grace != nil {
		m := *p.grace
		c.grace = &m
	}
	return &c
}

// Clone copies a window.
func (w *Window) Clone() *Window {
	c := *w
	return &c
}

// State tells meters apart.
func (p *Payer) State() string {
	s := fmt.Sprint(p.verified, p.accepted, p.known.Mark())
	if p.flight != nil {
		s += fmt.Sprint(*p.flight)
	}
	if p.behind != nil {
		s += fmt.Sprint("behind", *p.behind)
	}
	return s
}
