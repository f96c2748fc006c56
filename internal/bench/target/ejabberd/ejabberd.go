// Package ejabberd drives ejabberd: XMPP over WebSocket, each person with one
// connection, people in pairs as one-to-one chats and larger rooms as group
// chats (MUC), and what is stored from the archive (MAM).
//
// Accepted is the server's word that it has taken a message (XEP-0198), asked
// for behind the message: for one question on its way at a time, whose answer
// holds for all that went before it. ejabberd answers once the sender's
// connection has dealt with the message, which in a pair includes the sender's
// own archive; the recipient's archive, and that of a group, is written later.
// What is lost after that word is counted as lost.
package ejabberd

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/url"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"github.com/hikyaku-chat/hikyaku/internal/bench/target"
	"github.com/hikyaku-chat/hikyaku/internal/bench/target/frames"
)

// Options say how to speak to a server.
type Options struct {
	Domain string // the host that it serves; default localhost
	Rooms  string // the host of group chats; default conference. and the domain
}

// WithDefaults returns o with the default for each zero.
func (o Options) WithDefaults() Options {
	o.Domain = cmp.Or(o.Domain, "localhost")
	o.Rooms = cmp.Or(o.Rooms, "conference."+o.Domain)
	return o
}

// Target is a server.
type Target struct {
	address *url.URL
	Options
}

// New is the server at an address, such as http://127.0.0.1:5280, whose sockets
// are at /ws where the address has no path. It lets everybody make accounts in
// the stream (XEP-0077).
func New(address string, o Options) (*Target, error) {
	u, err := frames.Address(address, "/ws")
	if err != nil {
		return nil, fmt.Errorf("--url: %w", err)
	}
	return &Target{address: u, Options: o.WithDefaults()}, nil
}

// Name implements [target.Target].
func (t *Target) Name() string { return "ejabberd" }

// site is the accounts and conversations of a run.
type site struct {
	*Target
	plan     target.Plan
	password string
	rooms    []map[string]int // by user: rooms by the address that their messages come from
	version  atomic.Pointer[string]
}

// isPair reports whether a conversation is a one-to-one chat.
func (s *site) isPair(room int) bool { return len(s.plan.Rooms[room]) == 2 }

func (s *site) user(user int) string { return fmt.Sprintf("bench-%s-%d", s.plan.Run, user) }

// jid returns a user's address.
func (s *site) jid(user int) string { return s.user(user) + "@" + s.Domain }

// address returns the address that a user sends to in a conversation.
func (s *site) address(room, user int) string {
	members := s.plan.Rooms[room]
	switch {
	case !s.isPair(room):
		return fmt.Sprintf("bench-%s-%d@%s", s.plan.Run, room, s.Rooms)
	case members[0] == user:
		return s.jid(members[1])
	default:
		return s.jid(members[0])
	}
}

// registerConcurrency is how many streams make accounts side by side.
const registerConcurrency = 8

// Prepare implements [target.Target]. Group chats come into being when the
// first of their members comes in.
func (t *Target) Prepare(ctx context.Context, p target.Plan) (target.Site, error) {
	s := &site{Target: t, plan: p, password: rand.Text(), rooms: make([]map[string]int, p.Users)}
	for i := range s.rooms {
		s.rooms[i] = map[string]int{}
	}
	for room, members := range p.Rooms {
		if len(members) < 2 {
			return nil, fmt.Errorf("ejabberd has no conversation of %d persons (conversation %d)", len(members), room)
		}
		for _, m := range members {
			from := s.address(room, m)
			if _, twice := s.rooms[m][from]; twice || s.jid(m) == from {
				return nil, fmt.Errorf("ejabberd has one conversation between two persons, not several, and none with oneself (conversation %d)", room)
			}
			s.rooms[m][from] = room
		}
	}
	var making errgroup.Group
	for first := range min(registerConcurrency, p.Users) {
		making.Go(func() error {
			stream, err := open(ctx, t.address, t.Domain)
			if err != nil {
				return err
			}
			defer stream.close()
			for i := first; i < p.Users; i += registerConcurrency {
				err := stream.withContext(ctx, func() error { return stream.register(s.user(i), s.password) })
				if err != nil {
					return fmt.Errorf("make account %d of %d: %w", i+1, p.Users, err)
				}
			}
			return nil
		})
	}
	return s, making.Wait()
}

// Echoes implements [target.Site]: a group chat is the same for all, a pair's
// message goes to the other.
func (s *site) Echoes(room int) bool { return !s.isPair(room) }

// Version implements [target.Site].
func (s *site) Version() string {
	if v := s.version.Load(); v != nil {
		return *v
	}
	return ""
}

// login opens a stream for a user.
func (s *site) login(ctx context.Context, user int, resource string) (*session, error) {
	stream, err := open(ctx, s.Target.address, s.Domain)
	if err != nil {
		return nil, err
	}
	err = stream.withContext(ctx, func() error { return stream.login(s.user(user), s.password, resource) })
	if err != nil {
		stream.close()
		return nil, err
	}
	return stream, nil
}

// History implements [target.Site]. Of a pair, both have an archive, and what
// is stored is what is in both.
func (s *site) History(ctx context.Context, room int) ([]target.Message, error) {
	members := s.plan.Rooms[room]
	all, err := s.archive(ctx, room, members[0])
	if err != nil || !s.isPair(room) {
		return all, err
	}
	others, err := s.archive(ctx, room, members[1])
	if err != nil {
		return nil, err
	}
	there := make(map[string]bool, len(others))
	for _, m := range others {
		there[m.Text] = true
	}
	both := make([]target.Message, 0, len(all))
	for _, m := range all {
		if there[m.Text] {
			both = append(both, m)
		}
	}
	return both, nil
}

// pageSize is the largest page that ejabberd gives.
const pageSize = 250

// archive reads what the archive has of a conversation (XEP-0313), as one of
// its members has it.
func (s *site) archive(ctx context.Context, room, user int) ([]target.Message, error) {
	stream, err := s.login(ctx, user, "archive")
	if err != nil {
		return nil, err
	}
	defer stream.close()
	to, with := s.address(room, user), ""
	if s.isPair(room) {
		to, with = "", `<field var="with"><value>`+to+`</value></field>`
	}
	out, after := []target.Message{}, ""
	for {
		complete := false
		err := stream.withContext(ctx, func() error {
			e, err := stream.query("set", to, fmt.Sprintf(
				`<query xmlns="%s"><x xmlns="jabber:x:data" type="submit"><field var="FORM_TYPE" type="hidden"><value>%[1]s</value></field>%s</x>`+
					`<set xmlns="%s"><max>%d</max>%s</set></query>`, nsMAM, with, nsRSM, pageSize, after),
				func(e *element) {
					kept := e.child("result", nsMAM).child("forwarded", nsForward).child("message", "")
					if body := kept.child("body", ""); body != nil {
						out = append(out, target.Message{Text: string(body.text)})
					}
				})
			if err != nil {
				return err
			}
			fin := e.child("fin", nsMAM)
			last := fin.child("set", nsRSM).child("last", "").value()
			switch complete = fin != nil && string(fin.attr("complete")) == "true"; {
			case fin == nil:
				return errors.New("the server does not say where the page ends")
			case !complete && len(last) == 0:
				return errors.New("the server does not say where the next page begins")
			}
			after = "<after>" + string(appendEscaped(nil, last)) + "</after>"
			return nil
		})
		if err != nil {
			return nil, fmt.Errorf("read the archive of %s: %w", s.user(user), err)
		}
		if complete {
			return out, nil
		}
	}
}
