package ejabberd

import (
	"context"
	"encoding/base64"
	"fmt"
	"net/url"
	"time"

	"github.com/hikyaku-chat/hikyaku/internal/bench/target/frames"
)

// The namespaces that are spoken.
const (
	nsFraming  = "urn:ietf:params:xml:ns:xmpp-framing"
	nsSASL     = "urn:ietf:params:xml:ns:xmpp-sasl"
	nsBind     = "urn:ietf:params:xml:ns:xmpp-bind"
	nsClient   = "jabber:client"
	nsRegister = "jabber:iq:register"
	nsVersion  = "jabber:iq:version"
	nsSM       = "urn:xmpp:sm:3"
	nsMUC      = "http://jabber.org/protocol/muc"
	nsMAM      = "urn:xmpp:mam:2"
	nsRSM      = "http://jabber.org/protocol/rsm"
	nsForward  = "urn:xmpp:forward:0"
)

// timeout bounds each conversation of a session with the server: opening,
// logging in, asking for a page.
const timeout = 30 * time.Second

// session is an XMPP stream over WebSocket (RFC 7395), of which one goroutine
// reads. Until messages flow, that is whoever opened it.
type session struct {
	*frames.Conn
	domain string
	ids    int
}

// open opens a stream. Its server's features are read.
func open(ctx context.Context, address *url.URL, domain string) (*session, error) {
	conn, err := frames.Dial(ctx, address, "xmpp")
	if err != nil {
		return nil, err
	}
	s := &session{Conn: conn, domain: domain}
	if err := s.withContext(ctx, s.start); err != nil {
		s.close()
		return nil, fmt.Errorf("open a stream to %s at %s: %w", domain, address.Host, err)
	}
	return s, nil
}

// withContext does something that reads, bounded by timeout and by the context.
func (s *session) withContext(ctx context.Context, do func() error) error {
	return s.Within(ctx, timeout, do)
}

// close says goodbye as RFC 7395 wants it (section 3.6) and does not wait for the
// answer.
func (s *session) close() {
	s.Close([]byte(`<close xmlns="` + nsFraming + `"/>`))
}

// streamError is why the server ended a stream.
type streamError struct{ condition, text string }

func (e *streamError) Error() string {
	if e.text == "" {
		return "the server ended the stream: " + e.condition
	}
	return fmt.Sprintf("the server ended the stream: %s: %s", e.condition, e.text)
}

// next reads an element. The end of the stream is an error.
func (s *session) next() (*element, error) {
	frame, err := s.Read()
	if err != nil {
		return nil, err
	}
	e, err := parse(frame)
	if err != nil {
		return nil, err
	}
	switch {
	case e.is("stream:error"):
		failure := &streamError{condition: "no condition"}
		for i := range e.children {
			if c := &e.children[i]; c.is("text") {
				failure.text = string(c.text)
			} else {
				failure.condition = string(c.name)
			}
		}
		return nil, failure
	case e.is("close"):
		return nil, &streamError{condition: "closed"}
	}
	return e, nil
}

// expect reads up to an element of one of the names, past others.
func (s *session) expect(names ...string) (*element, error) {
	for {
		e, err := s.next()
		if err != nil {
			return nil, err
		}
		for _, name := range names {
			if e.is(name) {
				return e, nil
			}
		}
	}
}

// start opens the stream, also anew after the login.
func (s *session) start() error {
	f := append([]byte(nil), `<open xmlns="`+nsFraming+`" version="1.0" to="`...)
	f = appendEscaped(f, s.domain)
	if err := s.Write(append(f, `"/>`...)); err != nil {
		return err
	}
	_, err := s.expect("stream:features")
	return err
}

// login names the account (SASL PLAIN, RFC 4616) and binds a resource.
func (s *session) login(user, password, resource string) error {
	secret := base64.StdEncoding.EncodeToString([]byte("\x00" + user + "\x00" + password))
	if err := s.Write([]byte(`<auth xmlns="` + nsSASL + `" mechanism="PLAIN">` + secret + `</auth>`)); err != nil {
		return err
	}
	answer, err := s.expect("success", "failure")
	if err != nil {
		return err
	}
	if answer.is("failure") {
		return fmt.Errorf("log in as %s: %s", user, condition(answer))
	}
	if err := s.start(); err != nil {
		return err
	}
	if _, err := s.query("set", "", `<bind xmlns="`+nsBind+`"><resource>`+resource+`</resource></bind>`); err != nil {
		return fmt.Errorf("bind a resource of %s: %w", user, err)
	}
	return nil
}

// condition is the first thing that an error says.
func condition(e *element) string {
	if e == nil || len(e.children) == 0 {
		return "no reason was given"
	}
	return string(e.children[0].name)
}

// query sends a question (an iq) and reads up to its answer. to is empty for the
// own account. What comes in between goes to others.
func (s *session) query(kind, to, query string, others ...func(*element)) (*element, error) {
	s.ids++
	id := fmt.Sprintf("ask-%d", s.ids)
	f := append([]byte(nil), `<iq xmlns="`+nsClient+`" type="`+kind+`" id="`+id...)
	if to != "" {
		f = append(f, `" to="`...)
		f = appendEscaped(f, to)
	}
	f = append(f, `">`+query+`</iq>`...)
	if err := s.Write(f); err != nil {
		return nil, err
	}
	for {
		e, err := s.next()
		if err != nil {
			return nil, err
		}
		if !e.is("iq") || string(e.attr("id")) != id {
			for _, other := range others {
				other(e)
			}
			continue
		}
		if string(e.attr("type")) != "result" {
			return nil, fmt.Errorf("the server answers %s", condition(e.child("error", "")))
		}
		return e, nil
	}
}

// register makes an account (XEP-0077), before anybody logs in.
func (s *session) register(user, password string) error {
	q := append([]byte(nil), `<query xmlns="`+nsRegister+`"><username>`...)
	q = appendEscaped(q, user)
	q = append(q, `</username><password>`...)
	q = appendEscaped(q, password)
	q = append(q, `</password></query>`...)
	_, err := s.query("set", s.domain, string(q))
	return err
}

// version asks the server what it is (XEP-0092); empty when it does not say.
func (s *session) version() (string, error) {
	e, err := s.query("get", s.domain, `<query xmlns="`+nsVersion+`"/>`)
	if err != nil {
		return "", err
	}
	q := e.child("query", nsVersion)
	return string(q.child("name", "").value()) + " " + string(q.child("version", "").value()), nil
}
