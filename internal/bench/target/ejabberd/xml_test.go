package ejabberd

import (
	"fmt"
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

// stanzas are frames, and what is read of them.
var stanzas = [][2]string{
	{
		`<open xmlns='urn:ietf:params:xml:ns:xmpp-framing' version='1.0' xml:lang='en' id='1' from='localhost'/>`,
		`<open xmlns="urn:ietf:params:xml:ns:xmpp-framing" version="1.0" xml:lang="en" id="1" from="localhost">""</>`,
	},
	{
		`<stream:features xmlns:stream='http://etherx.jabber.org/streams'><mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><mechanism>PLAIN</mechanism></mechanisms></stream:features>`,
		`<stream:features xmlns:stream="http://etherx.jabber.org/streams">""<mechanisms xmlns="urn:ietf:params:xml:ns:xmpp-sasl">""<mechanism>"PLAIN"</></></>`,
	},
	{
		`<message xml:lang='en' to='b@localhost/bench' from='a@localhost/bench' type='chat' id='7' xmlns='jabber:client'><archived by='b@localhost' id='1' xmlns='urn:xmpp:mam:tmp'/><body>1.7 &lt;&amp;&gt; &#x98db;&#33050; 飛脚</body></message>`,
		`<message xml:lang="en" to="b@localhost/bench" from="a@localhost/bench" type="chat" id="7" xmlns="jabber:client">""<archived by="b@localhost" id="1" xmlns="urn:xmpp:mam:tmp">""</><body>"1.7 <&> 飛脚 飛脚"</></>`,
	},
	{`<a h='5' xmlns='urn:xmpp:sm:3'/>`, `<a h="5" xmlns="urn:xmpp:sm:3">""</>`},
	{"<a>x<![CDATA[<&]]>y<b/>z</a >", `<a>"x<&yz"<b>""</></>`},
	{" <a\n\tb = 'c'\r\n>1\r2\r\n3</a> ", `<a b="c">"1\n2\n3"</>`},
}

func TestParse(t *testing.T) {
	for _, s := range stanzas {
		got, err := parse([]byte(s[0]))
		if err != nil {
			t.Errorf("%s: %v", s[0], err)
		} else if written(got) != s[1] {
			t.Errorf("%s\n got %s\nwant %s", s[0], written(got), s[1])
		}
	}
	e, err := parse([]byte(stanzas[2][0]))
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
		`<a>&x;</a>`, `<a>&lt</a>`, `<a>&#0;</a>`, `<a>&#;</a>`, `<a>&#x;</a>`,
		`<!-- --><a/>`, `<a><!-- --></a>`, `<?xml version="1.0"?><a/>`, `<!DOCTYPE a><a/>`, `<a><![CDATA[x</a>`, `<a>]]></a>`,
		"<a>\x00</a>", "<a>\xff</a>", "<a b='\x01'/>", `<1/>`, `<a:b:c/>`, `<a></a`, `<a></a b>`,
		strings.Repeat("<a>", maxDepth+1) + strings.Repeat("</a>", maxDepth+1),
	} {
		if e, err := parse([]byte(frame)); err == nil {
			t.Errorf("%q was taken: %s", frame, written(e))
		}
	}
	if _, err := parse([]byte(strings.Repeat("<a>", maxDepth) + strings.Repeat("</a>", maxDepth))); err != nil {
		t.Error(err)
	}
}

// appendElement writes an element as XML.
func appendElement(dst []byte, e *element) []byte {
	dst = append(append(dst, '<'), e.name...)
	for _, a := range e.attrs {
		dst = append(append(append(dst, ' '), a.name...), "='"...)
		dst = append(appendEscaped(dst, a.value), '\'')
	}
	dst = appendEscaped(append(dst, '>'), e.text)
	for i := range e.children {
		dst = appendElement(dst, &e.children[i])
	}
	return append(append(append(dst, "</"...), e.name...), '>')
}

// Whatever comes is refused, or read so that it can be written and read again.
func FuzzParse(f *testing.F) {
	for _, s := range stanzas {
		f.Add([]byte(s[0]))
	}
	f.Fuzz(func(t *testing.T, frame []byte) {
		e, err := parse(frame)
		if err != nil {
			return
		}
		again, err := parse(appendElement(nil, e))
		if err != nil {
			t.Fatalf("%v\n%s", err, written(e))
		}
		if written(again) != written(e) {
			t.Fatalf("%s\n became %s", written(e), written(again))
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

// BenchmarkParse is how many stanzas of a run the driver can read: texts of the
// size that the tool sends, as ejabberd delivers them, and its acknowledgements.
func BenchmarkParse(b *testing.B) {
	frames := [][]byte{
		[]byte(`<message xml:lang='en' to='bench-x-1@localhost/bench' from='bench-x-0@localhost/bench' type='chat' id='17' xmlns='jabber:client'>` +
			`<archived by='bench-x-1@localhost' id='1700000000000000' xmlns='urn:xmpp:mam:tmp'/>` +
			`<stanza-id by='bench-x-1@localhost' id='1700000000000000' xmlns='urn:xmpp:sid:0'/>` +
			`<body>0.17 ` + strings.Repeat("x", 115) + `</body></message>`),
		[]byte(`<a h='17' xmlns='urn:xmpp:sm:3'/>`),
	}
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		for _, frame := range frames {
			if _, err := parse(frame); err != nil {
				b.Fatal(err)
			}
			n++
		}
	}
	b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "stanzas/s")
}
