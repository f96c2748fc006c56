package ejabberd

import (
	"bytes"
	"fmt"
	"strconv"
	"unicode/utf8"
)

// element is an XML element, read from one WebSocket frame (RFC 7395, section
// 3.3.3: each holds one whole element). Names are as they are written, with
// their prefixes: every element that is looked for is declared by its own xmlns.
// What is in it may lie in the frame, and is valid as long as that.
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

// is tells whether the element has a name.
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

// deepest is how deep elements may lie in each other.
const deepest = 64

// parse reads the one element of a frame. It takes less than all of XML: no
// comments, processing instructions, declarations or entities of a document's
// own, none of which XMPP has (RFC 6120, section 11.1).
func parse(frame []byte) (*element, error) {
	p := parser{in: frame}
	p.space()
	var e element
	if err := p.element(&e, deepest); err != nil {
		return nil, fmt.Errorf("read XML at byte %d: %w", p.at, err)
	}
	if p.space(); p.at < len(p.in) {
		return nil, fmt.Errorf("read XML at byte %d: there is more than one element", p.at)
	}
	return &e, nil
}

type parser struct {
	in []byte
	at int
}

type syntaxError string

func (s syntaxError) Error() string { return string(s) }

const errShort = syntaxError("it ends too early")

// next tells whether the text goes on with a word, and steps over it.
func (p *parser) next(word string) bool {
	if !bytes.HasPrefix(p.in[p.at:], []byte(word)) {
		return false
	}
	p.at += len(word)
	return true
}

func (p *parser) space() {
	for p.at < len(p.in) && isSpace(p.in[p.at]) {
		p.at++
	}
}

func isSpace(b byte) bool { return b == ' ' || b == '\t' || b == '\n' || b == '\r' }

// nameByte tells which bytes a name may have: XMPP's have letters, digits and
// these.
func nameByte(b byte, first bool) bool {
	return b >= 'a' && b <= 'z' || b >= 'A' && b <= 'Z' || b == '_' ||
		!first && (b == '-' || b == '.' || b >= '0' && b <= '9')
}

// name reads a name, with a prefix or without.
func (p *parser) name() ([]byte, error) {
	start := p.at
	for range 2 {
		begin := p.at
		for p.at < len(p.in) && nameByte(p.in[p.at], p.at == begin) {
			p.at++
		}
		if p.at == begin {
			return nil, syntaxError("a name is missing")
		}
		if begin > start || !p.next(":") {
			break
		}
	}
	return p.in[start:p.at], nil
}

func (p *parser) element(e *element, deep int) (err error) {
	if deep == 0 {
		return syntaxError("elements lie too deep in each other")
	}
	if !p.next("<") {
		return syntaxError("an element is missing")
	}
	if e.name, err = p.name(); err != nil {
		return err
	}
	for {
		before := p.at
		p.space()
		switch {
		case p.next("/>"):
			return nil
		case p.next(">"):
			return p.content(e, deep)
		case p.at == before:
			return syntaxError("an attribute or the end of a tag is missing")
		}
		if err := p.attribute(e); err != nil {
			return err
		}
	}
}

func (p *parser) attribute(e *element) error {
	name, err := p.name()
	if err != nil {
		return err
	}
	if e.attr(string(name)) != nil {
		return syntaxError("an attribute stands there twice")
	}
	p.space()
	if !p.next("=") {
		return syntaxError("an attribute has no value")
	}
	p.space()
	if p.at == len(p.in) {
		return errShort
	}
	quote := p.in[p.at]
	if quote != '"' && quote != '\'' {
		return syntaxError("an attribute's value has no quotes")
	}
	p.at++
	n := bytes.IndexByte(p.in[p.at:], quote)
	if n < 0 {
		return errShort
	}
	raw := p.in[p.at : p.at+n]
	if bytes.IndexByte(raw, '<') >= 0 {
		return syntaxError("an attribute's value has a tag in it")
	}
	value, err := unescape(raw)
	if err != nil {
		return err
	}
	p.at += n + 1
	e.attrs = append(e.attrs, attribute{name, value})
	return nil
}

// content reads all up to the end tag.
func (p *parser) content(e *element, deep int) error {
	for {
		n := bytes.IndexByte(p.in[p.at:], '<')
		if n < 0 {
			return errShort
		}
		if n > 0 {
			raw := p.in[p.at : p.at+n]
			if bytes.Contains(raw, []byte("]]>")) {
				return syntaxError("the end of a CDATA section is out of place")
			}
			text, err := unescape(raw)
			if err != nil {
				return err
			}
			p.at += n
			e.add(text)
		}
		switch {
		case p.next("</"):
			name, err := p.name()
			if err != nil {
				return err
			}
			if !bytes.Equal(name, e.name) {
				return syntaxError("an end tag does not fit")
			}
			if p.space(); !p.next(">") {
				return syntaxError("an end tag does not end")
			}
			return nil
		case p.next("<![CDATA["):
			n := bytes.Index(p.in[p.at:], []byte("]]>"))
			if n < 0 {
				return errShort
			}
			text, err := characters(p.in[p.at : p.at+n])
			if err != nil {
				return err
			}
			e.add(text)
			p.at += n + len("]]>")
		default:
			e.children = append(e.children, element{})
			if err := p.element(&e.children[len(e.children)-1], deep-1); err != nil {
				return err
			}
		}
	}
}

// add adds to the element's text, without writing into the frame.
func (e *element) add(text []byte) {
	if len(e.text) == 0 {
		e.text = text[:len(text):len(text)]
		return
	}
	e.text = append(e.text, text...)
}

// unescape resolves references. Without any, the text stays where it is.
func unescape(raw []byte) ([]byte, error) {
	raw, err := characters(raw)
	if err != nil {
		return nil, err
	}
	amp := bytes.IndexByte(raw, '&')
	if amp < 0 {
		return raw, nil
	}
	out := make([]byte, 0, len(raw))
	for ; amp >= 0; amp = bytes.IndexByte(raw, '&') {
		out = append(out, raw[:amp]...)
		raw = raw[amp+1:]
		end := bytes.IndexByte(raw, ';')
		if end < 0 {
			return nil, syntaxError("a reference does not end")
		}
		r, err := reference(string(raw[:end]))
		if err != nil {
			return nil, err
		}
		out = utf8.AppendRune(out, r)
		raw = raw[end+1:]
	}
	return append(out, raw...), nil
}

func reference(name string) (rune, error) {
	switch name {
	case "lt":
		return '<', nil
	case "gt":
		return '>', nil
	case "amp":
		return '&', nil
	case "quot":
		return '"', nil
	case "apos":
		return '\'', nil
	}
	if len(name) < 2 || name[0] != '#' {
		return 0, syntaxError("a reference is unknown")
	}
	digits, base := name[1:], 10
	if digits[0] == 'x' {
		digits, base = digits[1:], 16
	}
	n, err := strconv.ParseUint(digits, base, 31)
	if err != nil || !allowed(rune(n)) {
		return 0, syntaxError("a reference is to no character")
	}
	return rune(n), nil
}

// characters makes sure that a text has only what XML may have (XML 1.0,
// section 2.2), and turns its line ends into one (section 2.11).
func characters(text []byte) ([]byte, error) {
	returns := false
	for i := 0; i < len(text); {
		if b := text[i]; b >= ' ' && b < utf8.RuneSelf {
			i++
			continue
		}
		r, size := utf8.DecodeRune(text[i:])
		if r == utf8.RuneError && size == 1 || !allowed(r) {
			return nil, syntaxError("there is a character that XML has not")
		}
		returns = returns || r == '\r'
		i += size
	}
	if returns {
		text = bytes.ReplaceAll(bytes.ReplaceAll(text, []byte("\r\n"), []byte("\n")), []byte("\r"), []byte("\n"))
	}
	return text, nil
}

func allowed(r rune) bool {
	return r == '\t' || r == '\n' || r == '\r' || r >= ' ' && r <= 0xD7FF || r >= 0xE000 && r <= 0xFFFD || r >= 0x10000 && r <= utf8.MaxRune
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
