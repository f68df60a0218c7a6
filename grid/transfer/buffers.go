package transfer

import (
	"sync"
	"sync/atomic"
)

// buffers lends byte slices of up to size bytes and counts what is out.
type buffers struct {
	size int
	pool sync.Pool
	out  atomic.Int64 // bytes lent and not given back
	peak atomic.Int64
}

// get lends n bytes, at most size, with arbitrary contents.
func (b *buffers) get(n int) []byte {
	out := b.out.Add(int64(b.size))
	for {
		peak := b.peak.Load()
		if out <= peak || b.peak.CompareAndSwap(peak, out) {
			break
		}
	}
	if p, ok := b.pool.Get().(*[]byte); ok {
		return (*p)[:n]
	}
	return make([]byte, b.size)[:n]
}

// put takes back what get lent. Nobody may use it any more.
func (b *buffers) put(buf []byte) {
	b.out.Add(-int64(b.size))
	buf = buf[:b.size]
	b.pool.Put(&buf)
}
