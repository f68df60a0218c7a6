package gbs

import (
	"io"

	"trunkline/grid/storage"
)

// NewLentBody is a request's body.
func NewLentBody(parts ...[]byte) io.ReadCloser { return newLentBody(parts...) }

// DecodeMessages reads b as every message of a server. It says which of them it is.
func DecodeMessages(b []byte) (set, version, testWrite bool) {
	var nums shareSet
	set = decode(b, &nums) == nil
	for i, n := range nums {
		if n < 0 || n >= storage.MaxShares || i > 0 && nums[i-1] >= n {
			panic("share numbers out of order or bounds")
		}
	}
	_, err := decodeVersion(b)
	version = err == nil
	result, err := decodeTestWrite(b, []storage.Range{{Offset: 0, Length: 4}})
	for num, data := range result.Read {
		if num < 0 || num >= storage.MaxShares || len(data) != 1 || len(data[0]) > 4 {
			panic("reads out of bounds")
		}
	}
	return set, version, err == nil
}
