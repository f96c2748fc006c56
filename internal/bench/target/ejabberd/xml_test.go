package ejabberd

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
)

// write is an element as text, for tests to compare.
func write(b *strings.Builder, e *element) {
	fmt.Fprintf(b, "<%s", e.name)
	for _, a := range e.attrs {
		fmt.Fprintf(b, " %s=%q", a.name, a.value)
	}
	fmt.Fprintf(b, ">%q", e.text)
	for i := range e.children {
		write(b, &e.children[i])
	}
	b.WriteString("</>")
}

func written(e *element) string {
	var b strings.Builder
	write(&b, e)
	return b.String()
}

// library reads the same with encoding/xml.
func library(frame []byte) (*element, error) {
	d := xml.NewDecoder(bytes.NewReader(frame))
	name := func(n xml.Name) []byte {
		if n.Space != "" {
			return []byte(n.Space + ":" + n.Local)
		}
		return []byte(n.Local)
	}
	var root *element
	var open []*element
	for {
		token, err := d.RawToken()
		if errors.Is(err, io.EOF) && root != nil && len(open) == 0 {
			return root, nil
		}
		if err != nil {
			return nil, err
		}
		switch token := token.(type) {
		case xml.StartElement:
			e := element{name: name(token.Name)}
			for _, a := range token.Attr {
				e.attrs = append(e.attrs, attribute{name(a.Name), []byte(a.Value)})
			}
			switch {
			case len(open) > 0:
				parent := open[len(open)-1]
				parent.children = append(parent.children, e)
				open = append(open, &parent.children[len(parent.children)-1])
			case root != nil:
				return nil, errors.New("more than one element")
			default:
				root = &e
				open = append(open, root)
			}
		case xml.EndElement:
			if len(open) == 0 || !bytes.Equal(open[len(open)-1].name, name(token.Name)) {
				return nil, errors.New("an end tag does not fit")
			}
			open = open[:len(open)-1]
		case xml.CharData:
			if len(open) > 0 {
				e := open[len(open)-1]
				e.text = append(e.text, token...)
			} else if len(bytes.TrimSpace(token)) > 0 {
				return nil, errors.New("text outside")
			}
		default:
			return nil, errors.New("not of XMPP")
		}
	}
}

var stanzas = []string{
	`<open xmlns='urn:ietf:params:xml:ns:xmpp-framing' version='1.0' xml:lang='en' id='1' from='localhost'/>`,
	`<stream:features xmlns:stream='http://etherx.jabber.org/streams'><mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><mechanism>PLAIN</mechanism></mechanisms></stream:features>`,
	`<message xml:lang='en' to='b@localhost/bench' from='a@localhost/bench' type='chat' id='7' xmlns='jabber:client'><archived by='b@localhost' id='1' xmlns='urn:xmpp:mam:tmp'/><body>1.7 &lt;&amp;&gt; &#x98db;&#33050; 飛脚</body></message>`,
	`<a h='5' xmlns='urn:xmpp:sm:3'/>`,
	"<a>x<![CDATA[<&]]>y<b/>z</a >",
	" <a\n\tb = 'c'\r\n>1\r2\r\n3</a> ",
}

func TestParse(t *testing.T) {
	for _, frame := range stanzas {
		got, err := parse([]byte(frame))
		if err != nil {
			t.Errorf("%s: %v", frame, err)
			continue
		}
		want, err := library([]byte(frame))
		if err != nil {
			t.Fatal(err)
		}
		if written(got) != written(want) {
			t.Errorf("%s\n got %s\nwant %s", frame, written(got), written(want))
		}
	}
	e, err := parse([]byte(stanzas[2]))
	if err != nil {
		t.Fatal(err)
	}
	if text := string(e.child("body", "").value()); text != "1.7 <&> 飛脚 飛脚" {
		t.Errorf("the body is %q", text)
	}
	if e.child("archived", "urn:xmpp:mam:2") != nil || e.child("archived", "urn:xmpp:mam:tmp") == nil ||
		e.child("x", "").child("y", "").value() != nil || e.attr("x") != nil {
		t.Error("what is there is not found, or what is not there is")
	}
}

func TestParseRefuses(t *testing.T) {
	for _, frame := range []string{
		``, `x`, `<`, `<a`, `<a>`, `<a/`, `</a>`, `<a></b>`, `<a/><b/>`, `<a/>x`, `<a b/>`, `<a b=c/>`, `<a b='c>`, `<a b='<'/>`, `<a b=`,
		`<a b='1' b='2'/>`, `<a b='1'c='2'/>`, `<a>&x;</a>`, `<a>&lt</a>`, `<a>&#0;</a>`, `<a>&#xD800;</a>`, `<a>&#;</a>`, `<a>&#x;</a>`,
		`<!-- --><a/>`, `<a><!-- --></a>`, `<?xml version="1.0"?><a/>`, `<!DOCTYPE a><a/>`, `<a><![CDATA[x</a>`, `<a>]]></a>`,
		"<a>\x00</a>", "<a>\xff</a>", "<a b='\x01'/>", `<1/>`, `<a :b='1'/>`, `<a b:='1'/>`, `<a:b:c/>`, `<a></a`, `<a></a b>`,
		strings.Repeat("<a>", deepest+1) + strings.Repeat("</a>", deepest+1),
	} {
		if e, err := parse([]byte(frame)); err == nil {
			t.Errorf("%q was taken: %s", frame, written(e))
		}
	}
	if _, err := parse([]byte(strings.Repeat("<a>", deepest) + strings.Repeat("</a>", deepest))); err != nil {
		t.Error(err)
	}
}

// Whatever comes, it is read as the library reads it, or refused.
func FuzzParse(f *testing.F) {
	for _, frame := range stanzas {
		f.Add([]byte(frame))
	}
	f.Fuzz(func(t *testing.T, frame []byte) {
		before := string(frame)
		got, err := parse(frame)
		if string(frame) != before {
			t.Fatal("the frame was written into")
		}
		if err != nil {
			return
		}
		want, err := library(frame)
		if err != nil {
			t.Fatalf("the library refuses what was taken: %v\n%s", err, written(got))
		}
		if written(got) != written(want) {
			t.Fatalf(" got %s\nwant %s", written(got), written(want))
		}
	})
}

// What is written for the server is read as it was meant.
func FuzzEscape(f *testing.F) {
	f.Add("1.7 <&> \"'\r\n\t飛脚")
	f.Fuzz(func(t *testing.T, text string) {
		in := appendEscaped(append(appendEscaped([]byte("<a b='"), text), "'>"...), text)
		e, err := parse(append(in, "</a>"...))
		if err != nil {
			return // it has characters that XML has not
		}
		if string(e.text) != text || string(e.attr("b")) != text {
			t.Fatalf("%q was read as %q and %q", text, e.text, e.attr("b"))
		}
	})
}
