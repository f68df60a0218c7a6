package roster

import (
	"fmt"
	"strings"
)

// Role is a set of things a member is approved for, one bit each. The bits are
// signed, so they are append-only.
type Role uint32

const (
	// Server may hold shares and is given them.
	Server Role = 1 << iota
	// Client may read and write shares, and call through the gateways.
	Client
	// Gateway may fetch from other grids on this grid's account.
	Gateway
	// Contact may read shares for strangers that pay.
	Contact

	allRoles = Server | Client | Gateway | Contact
)

var roleNames = [...]struct {
	role Role
	name string
}{{Server, "server"}, {Client, "client"}, {Gateway, "gateway"}, {Contact, "contact"}}

// Has reports whether every role in want is in r.
func (r Role) Has(want Role) bool { return r&want == want }

// Any reports whether at least one role of want is in r.
func (r Role) Any(want Role) bool { return r&want != 0 }

// Valid reports whether r has at least one role and no unknown bit.
func (r Role) Valid() bool { return r != 0 && r&^allRoles == 0 }

// String is the names joined by "+", as [ParseRoles] reads them, or "none".
func (r Role) String() string {
	var names []string
	for _, n := range roleNames {
		if r.Has(n.role) {
			names = append(names, n.name)
		}
	}
	if rest := r &^ allRoles; rest != 0 {
		names = append(names, fmt.Sprintf("unknown(%#x)", uint32(rest)))
	}
	if len(names) == 0 {
		return "none"
	}
	return strings.Join(names, "+")
}

// ParseRoles reads role names joined by "+" or ",", each at most once:
// "server", "client+gateway".
func ParseRoles(s string) (Role, error) {
	var r Role
	for part := range strings.FieldsFuncSeq(s, func(c rune) bool { return c == '+' || c == ',' }) {
		bit, ok := roleNamed(strings.TrimSpace(part))
		if !ok {
			return 0, fmt.Errorf("%w: no role is called %q; there are server, client, gateway and contact", ErrMalformed, part)
		}
		if r.Has(bit) {
			return 0, fmt.Errorf("%w: role %q is named twice", ErrMalformed, part)
		}
		r |= bit
	}
	if r == 0 {
		return 0, fmt.Errorf("%w: no role named", ErrMalformed)
	}
	return r, nil
}

func roleNamed(s string) (Role, bool) {
	for _, n := range roleNames {
		if n.name == s {
			return n.role, true
		}
	}
	return 0, false
}
