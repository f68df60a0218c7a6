package fec

import "slices"

// Matrix returns the generator matrix of zfec for k of n: n rows of k columns, the first k rows the identity.
// Block r of a segment is the sum over c of Matrix[r][c] times piece c. Row r does not depend on n.
// The caller owns the result. The only error is ErrParameters.
//
// Source: fec_new in zfec's fec.c.
func Matrix(k, n int) ([][]byte, error) {
	if err := check(k, n); err != nil {
		return nil, err
	}
	return generator(k, n), nil
}

// generator is Matrix without the check.
func generator(k, n int) [][]byte {
	all := make([]int, n)
	for i := range all {
		all[i] = i
	}
	return interpolate(all[:k], all)
}

// interpolate returns the matrix that turns the blocks numbered from (distinct) into the blocks numbered to: a row for
// each of to, a column for each of from. The pieces are blocks 0..k-1, so this one formula both encodes and decodes.
//
// Each block is the value at its own point of one polynomial of degree < len(from), so entry [t][f] is the Lagrange
// basis polynomial of block from[f] at the point of block to[t]:
//
//	product over j != f of (x_to[t] + x_from[j]) / (x_from[f] + x_from[j])
//
// It is computed in logarithms: a row shares one numerator, the product over all j, out of which each column divides
// its own factor.
func interpolate(from, to []int) [][]byte {
	f := newField()
	below := make([]int, len(from)) // log of each column's denominator
	for c, a := range from {
		for _, b := range from {
			if a != b {
				below[c] += f.logDifference(a, b)
			}
		}
	}
	k := len(from)
	flat := make([]byte, len(to)*k)
	rows := make([][]byte, len(to))
	for t, r := range to {
		row := flat[t*k : (t+1)*k : (t+1)*k]
		rows[t] = row
		if c := slices.Index(from, r); c >= 0 {
			row[c] = 1
			continue
		}
		above := 0
		for _, a := range from {
			above += f.logDifference(r, a)
		}
		for c, a := range from {
			e := (above - f.logDifference(r, a) - below[c]) % 255
			row[c] = f.exp[(e+255)%255]
		}
	}
	return rows
}

// field is GF(2^8) modulo x^8+x^4+x^3+x^2+1, written in powers of its generator 2.
type field struct {
	exp [255]byte
	log [256]int // log[0] is never used
}

func newField() *field {
	f := new(field)
	x := 1
	for i := range f.exp {
		f.exp[i] = byte(x)
		f.log[x] = i
		x <<= 1
		if x&0x100 != 0 {
			x ^= 0x11d
		}
	}
	return f
}

// logDifference is the logarithm of x_a + x_b, for a != b.
func (f *field) logDifference(a, b int) int { return f.log[f.point(a)^f.point(b)] }

// point is the evaluation point of block r: 0 for the first, then the powers of 2.
func (f *field) point(r int) byte {
	if r == 0 {
		return 0
	}
	return f.exp[r-1]
}
