package fec

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

// generator is Matrix without the check. Entry [r][c] is the Lagrange basis polynomial of piece c at the point of
// block r:
//
//	product over j != c, j < k, of (x_r + x_j) / (x_c + x_j)
//
// computed with logarithms: numerator and denominator are each sums of them, and a row of parity shares one
// numerator (the product over all j) that every column divides its own factor out of.
func generator(k, n int) [][]byte {
	f := newField()
	// below[c] = log of the product over j != c of (x_c + x_j), for c < k
	below := make([]int, k)
	for c := range below {
		for j := range k {
			if j != c {
				below[c] += f.log[f.point(c)^f.point(j)]
			}
		}
	}
	flat := make([]byte, n*k)
	rows := make([][]byte, n)
	for r := range rows {
		row := flat[r*k : (r+1)*k : (r+1)*k]
		rows[r] = row
		if r < k {
			row[r] = 1
			continue
		}
		above := 0
		for j := range k {
			above += f.log[f.point(r)^f.point(j)]
		}
		for c := range row {
			e := above - f.log[f.point(r)^f.point(c)] - below[c]
			row[c] = f.exp[((e%255)+255)%255]
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

// point is the evaluation point of block r: 0 for the first, then the powers of 2.
func (f *field) point(r int) byte {
	if r == 0 {
		return 0
	}
	return f.exp[r-1]
}
