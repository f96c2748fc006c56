package chat

import (
	"errors"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

func TestCheckJoin(t *testing.T) {
	for _, tt := range []struct {
		kind Kind
		role Role
		code Code
	}{
		{Channel, "", ""},
		{Channel, Member, ""},
		{Group, "", CodeNotFound},
		{Group, Member, ""},
		{Direct, "", CodeNotFound},
		{Direct, Member, ""},
	} {
		if got := CodeOf(CheckJoin(tt.kind, tt.role)); got != tt.code {
			t.Errorf("%s, role %q: %q, want %q", tt.kind, tt.role, got, tt.code)
		}
	}
}

func TestInitialRole(t *testing.T) {
	for _, k := range []Kind{Direct, Group, Channel} {
		if got := InitialRole(k, false); got != Member {
			t.Errorf("%s: who is brought in starts as %q", k, got)
		}
		if got, want := InitialRole(k, true), Owner; k != Direct && got != want {
			t.Errorf("%s: the maker starts as %q", k, got)
		}
	}
	if got := InitialRole(Direct, true); got != Member {
		t.Errorf("the maker of a direct conversation starts as %q", got)
	}
}

func TestAddMembers(t *testing.T) {
	now := time.Date(2026, 11, 3, 9, 0, 0, 1234567, time.FixedZone("JST", 9*3600))
	c := Conversation{ID: 7, Kind: Group, Seq: 12, Rev: 20, MembersRev: 15, Members: 2}
	out, err := c.AddMembers([]UserID{5, 4}, func(u UserID) Role { return InitialRole(c.Kind, u == 5) }, now)
	if err != nil {
		t.Fatal(err)
	}
	want := c
	want.Rev, want.MembersRev, want.Members = 21, 21, 4
	if out.Conversation != want {
		t.Errorf("after: %+v", out.Conversation)
	}
	at := time.Date(2026, 11, 3, 0, 0, 0, 1e6, time.UTC)
	if !slices.Equal(out.Put, []Membership{
		{Conversation: 7, User: 5, Role: Owner, JoinedAt: at, Read: 12, Received: 12},
		{Conversation: 7, User: 4, Role: Member, JoinedAt: at, Read: 12, Received: 12},
	}) {
		t.Errorf("put: %+v", out.Put)
	}
	if !slices.Equal(out.Joined(), []UserID{5, 4}) || out.Left() != nil {
		t.Errorf("joined %v, left %v", out.Joined(), out.Left())
	}
	c.Members = MaxMembers - 1
	if _, err := c.AddMembers([]UserID{5}, func(UserID) Role { return Member }, now); err != nil {
		t.Errorf("the last place: %v", err)
	}
	if _, err := c.AddMembers([]UserID{5, 6}, func(UserID) Role { return Member }, now); CodeOf(err) != CodeTooLarge {
		t.Errorf("one too many: %v", err)
	}
}

// Whoever leaves, in any order: a conversation that had an owner has one as long as
// it has members, and its counters are correct.
func TestRemoveKeepsAnOwner(t *testing.T) {
	for seed := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, 1))
		n := 1 + r.IntN(8)
		c := Conversation{ID: 1, Kind: Group, Rev: 30, MembersRev: 30, Members: n}
		in := make([]Membership, n)
		for i := range in {
			in[i] = Membership{User: UserID(i + 1), Role: []Role{Owner, Admin, Member}[r.IntN(3)], JoinedAt: time.UnixMilli(r.Int64N(3))}
		}
		in[0].Role = Owner
		r.Shuffle(n, func(i, j int) { in[i], in[j] = in[j], in[i] })
		for len(in) > 0 {
			goes := in[r.IntN(len(in))]
			asked := false
			out, err := c.Remove(goes.User, goes.Role, func() ([]Membership, error) {
				asked = true
				return slices.Clone(in), nil
			})
			if err != nil {
				t.Fatal(err)
			}
			if asked != (goes.Role == Owner) {
				t.Fatalf("seed %d: members were asked for: %v, as %s goes", seed, asked, goes.Role)
			}
			if !slices.Equal(out.Left(), []UserID{goes.User}) || out.Joined() != nil {
				t.Fatalf("seed %d: left %v, joined %v", seed, out.Left(), out.Joined())
			}
			in = slices.DeleteFunc(in, func(m Membership) bool { return m.User == goes.User })
			for _, change := range out.Roles[1:] {
				i := slices.IndexFunc(in, func(m Membership) bool { return m.User == change.User })
				if i < 0 {
					t.Fatalf("seed %d: %d is to be %s and is not in", seed, change.User, change.Role)
				}
				in[i].Role = change.Role
			}
			after := out.Conversation
			if after.Members != len(in) || after.Rev != c.Rev+1 || after.MembersRev != after.Rev {
				t.Fatalf("seed %d: %+v after %+v with %d members", seed, after, c, len(in))
			}
			if len(in) > 0 && !slices.ContainsFunc(in, func(m Membership) bool { return m.Role == Owner }) {
				t.Fatalf("seed %d: nobody owns it: %+v", seed, in)
			}
			c = after
		}
	}
}

func TestRemoveReturnsTheError(t *testing.T) {
	failure := errors.New("the members cannot be read")
	_, err := Conversation{Members: 2}.Remove(1, Owner, func() ([]Membership, error) { return nil, failure })
	if !errors.Is(err, failure) {
		t.Error(err)
	}
}

func TestSetRoleIsAChangeOfMembership(t *testing.T) {
	out := Conversation{Rev: 4, MembersRev: 2, Members: 3}.SetRole(9, Admin)
	if (out.Conversation != Conversation{Rev: 5, MembersRev: 5, Members: 3}) || !slices.Equal(out.Roles, []RoleChange{{9, Admin}}) {
		t.Errorf("%+v", out)
	}
	if out.Left() != nil || out.Joined() != nil {
		t.Errorf("left %v, joined %v", out.Left(), out.Joined())
	}
}

// Marks never go back and never pass the last message, whatever is requested.
func TestAdvance(t *testing.T) {
	asked := []int64{-1 << 63, -1, 0, 1, 4, 5, 6, 9, 10, 11, 1<<63 - 1}
	for seq := range int64(11) {
		for was := range seq + 1 {
			for _, read := range asked {
				for _, received := range asked {
					m := Membership{User: 1, Read: was, Received: seq / 2}
					got, moved, readMoved := m.Advance(seq, read, received)
					if got.Read < m.Read || got.Received < m.Received || got.Read > seq || got.Received > max(seq, m.Received) {
						t.Fatalf("%+v of %d, asked %d and %d: %+v", m, seq, read, received, got)
					}
					if moved != (got != m) || readMoved != (got.Read != m.Read) {
						t.Fatalf("%+v of %d, asked %d and %d: %+v, moved %v, %v", m, seq, read, received, got, moved, readMoved)
					}
					if read >= m.Read && read <= seq && got.Read != read {
						t.Fatalf("%+v of %d, asked %d: %+v", m, seq, read, got)
					}
					if again, moved, _ := got.Advance(seq, read, received); moved || again != got {
						t.Fatalf("asked again, %+v moved to %+v", got, again)
					}
				}
			}
		}
	}
}

func TestRename(t *testing.T) {
	text := func(s string) *string { return &s }
	c := Conversation{Kind: Group, Title: "old", Topic: "about", Rev: 3}
	for name, tt := range map[string]struct {
		role         Role
		title, topic *string
		want         Conversation
		changed      bool
		code         Code
	}{
		"title":        {Owner, text(" new "), nil, Conversation{Kind: Group, Title: "new", Topic: "about", Rev: 4}, true, ""},
		"topic":        {Admin, nil, text(""), Conversation{Kind: Group, Title: "old", Rev: 4}, true, ""},
		"both":         {Admin, text("a"), text("b"), Conversation{Kind: Group, Title: "a", Topic: "b", Rev: 4}, true, ""},
		"nothing":      {Owner, nil, nil, c, false, ""},
		"the same":     {Owner, text("old "), text("about"), c, false, ""},
		"empty title":  {Owner, text(" "), nil, c, false, CodeInvalid},
		"bad topic":    {Owner, text("new"), text("two\nlines"), c, false, CodeInvalid},
		"by a member":  {Member, text("new"), nil, c, false, CodeForbidden},
		"by no member": {"", text("new"), nil, c, false, CodeForbidden},
	} {
		got, changed, err := c.Rename(tt.role, tt.title, tt.topic)
		if got != tt.want || changed != tt.changed || CodeOf(err) != tt.code {
			t.Errorf("%s: %+v, %v, %v", name, got, changed, err)
		}
	}
	if _, _, err := (Conversation{Kind: Direct}).Rename(Owner, text("new"), nil); CodeOf(err) != CodeForbidden {
		t.Errorf("a direct conversation: %v", err)
	}
}
