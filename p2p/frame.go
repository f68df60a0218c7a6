package p2p

import (
	"bufio"
	"fmt"
	"io"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
)

const (
	// headerBuffer is the read buffer of a stream. It is small on purpose:
	// bulk data larger than it goes past it, straight into the caller's
	// buffer, so that at most this much of a block is copied twice.
	headerBuffer = 4 << 10
	// maxLengthBytes is the longest varint a 63-bit length has.
	maxLengthBytes = 9
)

// appendFrame appends m behind its length.
func appendFrame(b []byte, m proto.Message) ([]byte, error) {
	opts := proto.MarshalOptions{}
	size := opts.Size(m)
	b = protowire.AppendVarint(b, uint64(size))
	opts.UseCachedSize = true
	b, err := opts.MarshalAppend(b, m)
	if err != nil {
		return nil, fmt.Errorf("encoding message: %w", err)
	}
	return b, nil
}

// readLength reads the length in front of a message. io.EOF means the end
// before its first byte.
func readLength(r io.ByteReader, limit int) (int, error) {
	var n uint64
	for i := range maxLengthBytes {
		c, err := r.ReadByte()
		if err != nil {
			if err == io.EOF && i > 0 { //nolint:errorlint // io.ByteReader's exact value
				err = io.ErrUnexpectedEOF
			}
			return 0, err
		}
		n |= uint64(c&0x7f) << (7 * i)
		if c&0x80 != 0 {
			continue
		}
		if c == 0 && i > 0 {
			return 0, ErrFrame
		}
		if n > uint64(limit) {
			return 0, fmt.Errorf("a message of %d bytes, at most %d are allowed: %w", n, limit, ErrTooLarge)
		}
		return int(n), nil
	}
	return 0, fmt.Errorf("a message length of more than %d bytes: %w", maxLengthBytes, ErrTooLarge)
}

// readFrame reads one message of at most limit bytes into m. scratch is reused
// and returned, possibly grown; nothing larger than the message is allocated,
// and nothing at all before its length was checked.
func readFrame(r *bufio.Reader, m proto.Message, limit int, scratch []byte) ([]byte, error) {
	n, err := readLength(r, limit)
	if err != nil {
		return scratch, err
	}
	// A small message is decoded where it lies in the buffer.
	if n <= r.Size() {
		b, err := r.Peek(n)
		if err != nil {
			return scratch, truncated(err)
		}
		err = decode(b, m)
		_, _ = r.Discard(n) // n bytes are there: Peek returned them
		return scratch, err
	}
	if cap(scratch) < n {
		scratch = make([]byte, n)
	}
	b := scratch[:n]
	if _, err := io.ReadFull(r, b); err != nil {
		return scratch, truncated(err)
	}
	return scratch, decode(b, m)
}

// decode replaces m by what b says. The decoder copies what it keeps.
func decode(b []byte, m proto.Message) error {
	if err := proto.Unmarshal(b, m); err != nil {
		return fmt.Errorf("decoding message: %w: %w", ErrMalformed, err)
	}
	return nil
}

// truncated makes an end inside a frame say so.
func truncated(err error) error {
	if err == io.EOF { //nolint:errorlint // io.Reader's exact value
		return io.ErrUnexpectedEOF
	}
	return err
}
