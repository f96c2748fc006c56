// Package varint reads and writes the fields of binary messages: numbers as varints
// (see encoding/binary), and bytes and lists with their length in front.
package varint

import "encoding/binary"

// AppendBytes appends the length of p and p.
func AppendBytes[T ~[]byte | ~string](b []byte, p T) []byte {
	return append(binary.AppendUvarint(b, uint64(len(p))), p...)
}

// Reader reads the fields of a message. After an error all fields read as zero, so
// that it is enough to check Failed at the end. It is not safe for concurrent use.
type Reader struct {
	b      []byte
	failed bool
}

// NewReader returns a reader of b, which must not change while what Bytes
// returned is in use.
func NewReader(b []byte) *Reader { return &Reader{b: b} }

// Len returns how many bytes are left.
func (r *Reader) Len() int { return len(r.b) }

// Failed reports whether something could not be read.
func (r *Reader) Failed() bool { return r.failed }

// Fail makes the reader fail, for a caller that has read an invalid value.
func (r *Reader) Fail() { r.b, r.failed = nil, true }

// Byte reads a byte.
func (r *Reader) Byte() byte {
	if len(r.b) == 0 {
		r.Fail()
		return 0
	}
	v := r.b[0]
	r.b = r.b[1:]
	return v
}

// Uint64 reads eight bytes, big endian.
func (r *Reader) Uint64() uint64 {
	if len(r.b) < 8 {
		r.Fail()
		return 0
	}
	v := binary.BigEndian.Uint64(r.b)
	r.b = r.b[8:]
	return v
}

// Uvarint reads an unsigned number.
func (r *Reader) Uvarint() uint64 {
	v, n := binary.Uvarint(r.b)
	if n <= 0 {
		r.Fail()
		return 0
	}
	r.b = r.b[n:]
	return v
}

// Varint reads a signed number.
func (r *Reader) Varint() int64 {
	v, n := binary.Varint(r.b)
	if n <= 0 {
		r.Fail()
		return 0
	}
	r.b = r.b[n:]
	return v
}

// Positive reads an unsigned number that must be a positive int64, such as an
// id. It returns 0 when it is not.
func (r *Reader) Positive() int64 {
	v := int64(r.Uvarint()) //nolint:gosec // what is too large is negative
	if v <= 0 {
		r.Fail()
		return 0
	}
	return v
}

// Count reads the number of items that follow, of at least one byte each.
func (r *Reader) Count() int {
	n := r.Uvarint()
	if n > uint64(len(r.b)) {
		r.Fail()
		return 0
	}
	return int(n) //nolint:gosec // not above the length
}

// Fixed fills p with the bytes that follow.
func (r *Reader) Fixed(p []byte) {
	if len(r.b) < len(p) {
		r.Fail()
		return
	}
	r.b = r.b[copy(p, r.b):]
}

// Bytes reads a length and so many bytes. They share the message's memory.
func (r *Reader) Bytes() []byte {
	n := r.Count()
	v := r.b[:n:n]
	r.b = r.b[n:]
	return v
}
