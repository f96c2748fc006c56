package ejabberd

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"strconv"
)

// element is an XML element, read from one WebSocket frame (RFC 7395, section
// 3.3.3: each holds one whole element). Names are as they are written, with
// their prefixes: every element that is looked for is declared by its own xmlns.
type element struct {
	name     []byte
	attrs    []attribute
	children []element
	text     []byte // of its own, without that of its children
}

type attribute struct{ name, value []byte }

// attr is the value of an attribute; nil when it has none of this name.
func (e *element) attr(name string) []byte {
	for i := range e.attrs {
		if string(e.attrs[i].name) == name {
			return e.attrs[i].value
		}
	}
	return nil
}

// is reports whether the element has a name.
func (e *element) is(name string) bool { return string(e.name) == name }

// child is the first child of a name, in a namespace unless that is empty. It is
// nil, of which everything may be asked as well, when there is none.
func (e *element) child(name, space string) *element {
	if e == nil {
		return nil
	}
	for i := range e.children {
		c := &e.children[i]
		if c.is(name) && (space == "" || string(c.attr("xmlns")) == space) {
			return c
		}
	}
	return nil
}

// value is the text of an element, which may be nil.
func (e *element) value() []byte {
	if e == nil {
		return nil
	}
	return e.text
}

// maxDepth is how deep elements may lie in each other.
const maxDepth = 64

// parse reads the one element of a frame. It takes less than all of XML: no
// comments, processing instructions, declarations or entities of a document's
// own, none of which XMPP has (RFC 6120, section 11.1).
func parse(frame []byte) (*element, error) {
	d := xml.NewDecoder(bytes.NewReader(frame))
	root := &element{} // of a document, which has one element
	if err := readInto(root, d, maxDepth); err != nil {
		return nil, fmt.Errorf("read XML at byte %d: %w", d.InputOffset(), err)
	}
	if len(root.children) != 1 || len(bytes.TrimSpace(root.text)) > 0 {
		return nil, errors.New("read XML: a frame is not one element")
	}
	return &root.children[0], nil
}

// readInto reads all up to the end of an element, or of the document. Names are
// raw: the decoder would put a namespace into the place of each prefix.
func readInto(e *element, d *xml.Decoder, deep int) error {
	for {
		token, err := d.RawToken()
		if err == io.EOF && deep == maxDepth {
			return nil
		}
		if err != nil {
			return err
		}
		switch token := token.(type) {
		case xml.StartElement:
			if deep == 0 {
				return errors.New("elements lie too deep in each other")
			}
			child := element{name: name(token.Name)}
			for _, a := range token.Attr {
				child.attrs = append(child.attrs, attribute{name(a.Name), []byte(a.Value)})
			}
			if err := readInto(&child, d, deep-1); err != nil {
				return err
			}
			e.children = append(e.children, child)
		case xml.EndElement:
			if deep == maxDepth || !bytes.Equal(name(token.Name), e.name) {
				return errors.New("an end tag does not fit")
			}
			return nil
		case xml.CharData:
			e.text = append(e.text, token...)
		default:
			return errors.New("there is something that is neither an element nor text")
		}
	}
}

func name(n xml.Name) []byte {
	if n.Space == "" {
		return []byte(n.Local)
	}
	return []byte(n.Space + ":" + n.Local)
}

// appendEscaped writes text so that it stands for itself, in an element or in
// an attribute.
func appendEscaped[T []byte | string](dst []byte, text T) []byte {
	for i := range len(text) {
		switch b := text[i]; b {
		case '<':
			dst = append(dst, "&lt;"...)
		case '>':
			dst = append(dst, "&gt;"...)
		case '&':
			dst = append(dst, "&amp;"...)
		case '"':
			dst = append(dst, "&quot;"...)
		case '\'':
			dst = append(dst, "&apos;"...)
		case '\t', '\n', '\r':
			dst = append(dst, '&', '#')
			dst = strconv.AppendInt(dst, int64(b), 10)
			dst = append(dst, ';')
		default:
			dst = append(dst, b)
		}
	}
	return dst
}
