package varint_test

import (
	"bytes"
	"encoding/binary"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/hikyaku-chat/hikyaku/internal/varint"
)

// What is written is read back.
func TestRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		one, text := rapid.Byte().Draw(t, "byte"), rapid.String().Draw(t, "text")
		fixed := rapid.SliceOfN(rapid.Byte(), 0, 20).Draw(t, "fixed")
		signed, unsigned := rapid.Int64().Draw(t, "signed"), rapid.Uint64().Draw(t, "unsigned")
		positive := rapid.Int64Min(1).Draw(t, "positive")
		b := append([]byte{one}, fixed...)
		b = binary.BigEndian.AppendUint64(b, unsigned)
		b = binary.AppendUvarint(b, unsigned)
		b = binary.AppendVarint(b, signed)
		b = binary.AppendUvarint(b, uint64(positive)) //nolint:gosec // it is positive
		b = varint.AppendBytes(b, text)
		r := varint.NewReader(b)
		got := make([]byte, len(fixed))
		if v := r.Byte(); v != one {
			t.Error("Byte", v)
		}
		if r.Fixed(got); !bytes.Equal(got, fixed) {
			t.Error("Fixed", got)
		}
		if v := r.Uint64(); v != unsigned {
			t.Error("Uint64", v)
		}
		if v := r.Uvarint(); v != unsigned {
			t.Error("Uvarint", v)
		}
		if v := r.Varint(); v != signed {
			t.Error("Varint", v)
		}
		if v := r.Positive(); v != positive {
			t.Error("Positive", v)
		}
		if v := r.Bytes(); string(v) != text {
			t.Errorf("Bytes %q", v)
		}
		if r.Failed() || r.Len() != 0 {
			t.Errorf("failed: %t, left: %d", r.Failed(), r.Len())
		}
	})
}

// For any input and any sequence of reads: nothing is read beyond the end, and after
// an error all fields are zero.
func FuzzReader(f *testing.F) {
	f.Add([]byte{1, 2, 3}, []byte{0, 1, 2, 3, 4, 5, 6})
	f.Add([]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 5}, []byte{5, 6})
	f.Add(bytes.Repeat([]byte{0x80}, 11), []byte{2})
	f.Add([]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1}, []byte{4})
	f.Fuzz(func(t *testing.T, b, ops []byte) {
		sent := slices.Clone(b)
		r := varint.NewReader(b)
		for _, op := range ops {
			before, failed := r.Len(), r.Failed()
			var fixed [3]byte
			zero := false
			switch op % 7 {
			case 0:
				zero = r.Byte() == 0
			case 1:
				zero = r.Uint64() == 0
			case 2:
				zero = r.Uvarint() == 0
			case 3:
				zero = r.Varint() == 0
			case 4:
				v := r.Positive()
				zero = v == 0
				if v < 0 || zero != r.Failed() {
					t.Fatalf("Positive is %d, failed: %t", v, r.Failed())
				}
			case 5:
				v := r.Bytes()
				zero = len(v) == 0
				if len(v) > before {
					t.Fatalf("%d of %d bytes", len(v), before)
				}
			case 6:
				r.Fixed(fixed[:])
				zero = fixed == [3]byte{}
			}
			if failed && (!r.Failed() || !zero) || r.Failed() && r.Len() != 0 || !r.Failed() && r.Len() >= before {
				t.Fatalf("operation %d: failed before %t, after %t, zero %t, %d bytes left of %d", op%7, failed, r.Failed(), zero, r.Len(), before)
			}
		}
		if !bytes.Equal(b, sent) {
			t.Fatal("the message was changed")
		}
	})
}
