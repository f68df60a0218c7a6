package area

import "trunkline/caps"

// Settle waits until no look-up of area is under way.
func (r *Resolver) Settle(area caps.AreaCode) {
	r.mu.Lock()
	f := r.flights[area]
	r.mu.Unlock()
	if f != nil {
		<-f.done
	}
}
