package chat

import (
	"strings"
	"testing"
	"time"
)

func TestParseClientID(t *testing.T) {
	good := "01939d2e-7c00-7abc-8def-0123456789ab"
	id, err := ParseClientID(good)
	if err != nil || id.String() != good {
		t.Fatalf("%s: %v, %v", good, id, err)
	}
	if got := id.Time().UnixMilli(); got != 0x01939d2e7c00 {
		t.Errorf("time %x", got)
	}
	for name, bad := range map[string]string{
		"empty":       "",
		"upper case":  strings.ToUpper(good),
		"version 4":   "01939d2e-7c00-4abc-8def-0123456789ab",
		"variant":     "01939d2e-7c00-7abc-cdef-0123456789ab",
		"no hyphens":  strings.ReplaceAll(good, "-", ""),
		"braces":      "{" + good + "}",
		"not hex":     "01939d2e-7c00-7abc-8def-0123456789ag",
		"hyphen late": "01939d2e7-c00-7abc-8def-0123456789ab",
		"one more":    "01939d2e-7c00-7abc-8def-0123456789-b",
		"two more":    "01939d2e-7c00-7abc-8def-0123456789--",
	} {
		if _, err := ParseClientID(bad); err == nil {
			t.Errorf("%s: %q was taken", name, bad)
		}
	}
}

func TestIDsHaveOneSpelling(t *testing.T) {
	var id UserID
	for _, bad := range []string{"", "0", "-1", "+1", "01", " 1", "1.0", "9223372036854775808", "abc"} {
		if err := id.UnmarshalText([]byte(bad)); err == nil {
			t.Errorf("%q was taken", bad)
		}
	}
	if err := id.UnmarshalText([]byte("9223372036854775807")); err != nil || id.String() != "9223372036854775807" {
		t.Errorf("%v, %v", id, err)
	}
}

func TestCheckBody(t *testing.T) {
	for name, tt := range map[string]struct {
		body string
		code Code
	}{
		"text":      {"hello 飛脚", ""},
		"longest":   {strings.Repeat("x", MaxBody), ""},
		"too long":  {strings.Repeat("x", MaxBody+1), CodeTooLarge},
		"empty":     {"", CodeInvalid},
		"blank":     {" \n\t\u3000", CodeInvalid},
		"not UTF-8": {"a\xff", CodeInvalid},
		"NUL":       {"a\x00b", CodeInvalid},
		"bell":      {"a\x07b", CodeInvalid},
		"escape":    {"\x1b[2J", CodeInvalid},
		"last C0":   {"a\x1f", CodeInvalid},
		"DEL":       {"\x7fa", CodeInvalid},
		"spaces":    {"a\tb\nc\r\nd", ""},
		"C1":        {"a\u0085b", ""},

		"zero-width space":    {"\u200b", CodeInvalid},
		"invisible and blank": {" \u2060\n\ufe0f\u3000", CodeInvalid},
		"Hangul filler":       {"\u3164", CodeInvalid},
		"blank of Braille":    {"\u2800\u2800", CodeInvalid},
		"soft hyphen":         {"\u00ad", CodeInvalid},
		"tags":                {"\U000E0041", CodeInvalid},
		"directions":          {"\u202e\u2066", CodeInvalid},
		"a mark alone":        {"\u0301", ""},
		"an emoji that joins": {"👨\u200d👩\ufe0f", ""},
		"a number sign":       {"\u0600", ""},
	} {
		if got := CodeOf(CheckBody(tt.body)); got != tt.code {
			t.Errorf("%s: %q, want %q", name, got, tt.code)
		}
	}
}

// What was stored before there was a rule stays: it is the answer to the same
// send, and may be deleted, or edited to what the rule allows.
func TestMessagesFromBeforeARule(t *testing.T) {
	const body = "\x01 from before"
	h := Head{Seq: 1, Rev: 1}
	old := Message{Seq: 1, Rev: 1, Sender: 7, Body: body}
	again := Submission{Sender: 7, Body: body}
	if m, v, err := h.Admit(&again, Member, Earlier{Message: &old}, 0, time.Now()); err != nil || v != Duplicate || m.Body != body {
		t.Errorf("sent again: %+v, %v, %v", m, v, err)
	}
	edited := old
	if _, err := h.Edit(&edited, 7, Member, body+"\x02", time.Now()); CodeOf(err) != CodeInvalid || edited.Body != body {
		t.Errorf("edited against the rule: %v", err)
	}
	if changed, err := h.Edit(&edited, 7, Member, "from now", time.Now()); err != nil || !changed {
		t.Errorf("edited: %v", err)
	}
	if changed, err := h.Delete(&old, 7, Member, time.Now()); err != nil || !changed {
		t.Errorf("deleted: %v", err)
	}
}

func TestCleanTitle(t *testing.T) {
	for in, want := range map[string]string{"  Team  ": "Team", "飛脚": "飛脚"} {
		if got, err := CleanTitle(in); err != nil || got != want {
			t.Errorf("%q: %q, %v", in, got, err)
		}
	}
	for _, bad := range []string{"", "   ", "a\nb", "a\u202eb", "\u200b", "\u3164\u2800", strings.Repeat("字", MaxTitle+1), "\xff"} {
		if _, err := CleanTitle(bad); err == nil {
			t.Errorf("%q was taken", bad)
		}
	}
}

func TestRights(t *testing.T) {
	const none = Role("")
	for _, k := range []Kind{Direct, Group, Channel} {
		if MayInvite(k, none) || MayRemove(k, none, Member) || MaySetRole(k, none, Member, Admin) || none.MayPost() || none.MayManage() {
			t.Errorf("%s: an outsider may do something", k)
		}
	}
	if MayInvite(Direct, Member) || MayRemove(Direct, Owner, Member) || MayLeave(Direct) || MaySetRole(Direct, Owner, Member, Admin) {
		t.Error("a direct conversation is closed")
	}
	type removal struct{ actor, target Role }
	allowed := map[removal]bool{
		{Owner, Owner}: true, {Owner, Admin}: true, {Owner, Member}: true, {Admin, Member}: true,
	}
	for _, actor := range []Role{Owner, Admin, Member} {
		for _, target := range []Role{Owner, Admin, Member} {
			if got := MayRemove(Group, actor, target); got != allowed[removal{actor, target}] {
				t.Errorf("%s removes %s: %v", actor, target, got)
			}
		}
	}
}

func TestSuccessor(t *testing.T) {
	at := func(day int) time.Time { return time.Date(2026, 1, day, 0, 0, 0, 0, time.UTC) }
	for name, tt := range map[string]struct {
		members   []Membership
		successor UserID
	}{
		"nobody":                 {nil, 0},
		"still has an owner":     {[]Membership{{User: 1, Role: Member, JoinedAt: at(1)}, {User: 2, Role: Owner, JoinedAt: at(2)}}, 0},
		"oldest member":          {[]Membership{{User: 1, Role: Member, JoinedAt: at(2)}, {User: 2, Role: Member, JoinedAt: at(1)}}, 2},
		"admin before member":    {[]Membership{{User: 1, Role: Member, JoinedAt: at(1)}, {User: 2, Role: Admin, JoinedAt: at(2)}}, 2},
		"same time, smaller id":  {[]Membership{{User: 9, Role: Member, JoinedAt: at(1)}, {User: 3, Role: Member, JoinedAt: at(1)}}, 3},
		"oldest of the admins":   {[]Membership{{User: 1, Role: Admin, JoinedAt: at(3)}, {User: 2, Role: Admin, JoinedAt: at(2)}}, 2},
		"only one is left at it": {[]Membership{{User: 5, Role: Member, JoinedAt: at(1)}}, 5},
	} {
		successor, ok := Successor(tt.members)
		if successor != tt.successor || ok != (tt.successor != 0) {
			t.Errorf("%s: %d, %v", name, successor, ok)
		}
	}
}
