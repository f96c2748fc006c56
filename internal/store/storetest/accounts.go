package storetest

import (
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/hikyaku-chat/hikyaku/internal/chat"
	"github.com/hikyaku-chat/hikyaku/internal/store"
)

var accountTests = []testCase{
	{name: "the first account is admin", run: firstAdmin, fresh: true},
	{name: "of a race of first accounts one is admin", run: firstAdminRace, fresh: true},
	{name: "an account is kept as given", run: accountKept, fresh: true},
	{name: "names are taken once", run: namesTaken},
	{name: "one name in a race", run: nameRace},
	{name: "accounts by id", run: usersByID},
	{name: "credentials", run: credentials},
	{name: "search", run: searchUsers, fresh: true},
	{name: "list all", run: allUsers, fresh: true},
	{name: "update", run: updateUser},
	{name: "disabling ends sessions", run: disableUser},
	{name: "last seen never goes back", run: sawUser},
}

func firstAdmin(w *world) {
	first := must[chat.User](w)(w.s.CreateUser(w.ctx(), newUser("first"), nil))
	second := must[chat.User](w)(w.s.CreateUser(w.ctx(), newUser("second"), nil))
	asked := newUser("third")
	asked.Admin = true
	third := must[chat.User](w)(w.s.CreateUser(w.ctx(), asked, nil))
	w.same("admins", []bool{first.Admin, second.Admin, third.Admin}, []bool{true, false, true})
	w.same("count", must[int](w)(w.s.CountUsers(w.ctx())), 3)
}

func firstAdminRace(w *world) {
	w.same("count", must[int](w)(w.s.CountUsers(w.ctx())), 0)
	var mu sync.Mutex
	admins := 0
	parallel(w, 8, func(int) {
		u, err := w.s.CreateUser(w.ctx(), newUser(unique("racer")), nil)
		if err != nil {
			w.Error(err)
		}
		mu.Lock()
		defer mu.Unlock()
		if u.Admin {
			admins++
		}
	})
	w.same("admins", admins, 1)
}

func accountKept(w *world) {
	in := store.NewUser{Name: "zoë", Skeleton: "zoe", DisplayName: "Zoë 飛脚", Password: "secret"}
	u := must[chat.User](w)(w.s.CreateUser(w.ctx(), in, nil))
	w.recent("CreatedAt", u.CreatedAt)
	want := chat.User{ID: u.ID, Name: "zoë", DisplayName: "Zoë 飛脚", Admin: true, CreatedAt: u.CreatedAt}
	w.same("made", u, want)
	w.same("read", must[[]chat.User](w)(w.s.Users(w.ctx(), []chat.UserID{u.ID})), []chat.User{want})
	w.reopen()
	w.same("read after opening again", must[[]chat.User](w)(w.s.Users(w.ctx(), []chat.UserID{u.ID})), []chat.User{want})
}

func namesTaken(w *world) {
	a, b := unique("name"), unique("name")
	must[chat.User](w)(w.s.CreateUser(w.ctx(), store.NewUser{Name: a, Skeleton: a + "-looks", DisplayName: "x"}, nil))
	for _, u := range []store.NewUser{
		{Name: a, Skeleton: b, DisplayName: "x"},
		{Name: b, Skeleton: a + "-looks", DisplayName: "x"},
		{Name: a, Skeleton: a + "-looks", DisplayName: "x"},
	} {
		_, err := w.s.CreateUser(w.ctx(), u, nil)
		w.refused(err, chat.CodeNameTaken)
	}
	// What was refused has left nothing behind.
	must[chat.User](w)(w.s.CreateUser(w.ctx(), store.NewUser{Name: b, Skeleton: b, DisplayName: "x"}, nil))
}

func nameRace(w *world) {
	name := unique("same")
	var mu sync.Mutex
	made := 0
	parallel(w, 6, func(int) {
		_, err := w.s.CreateUser(w.ctx(), newUser(name), nil)
		mu.Lock()
		defer mu.Unlock()
		if err == nil {
			made++
		} else {
			w.refused(err, chat.CodeNameTaken)
		}
	})
	w.same("made", made, 1)
}

func usersByID(w *world) {
	ids := w.users(3)
	got := must[[]chat.User](w)(w.s.Users(w.ctx(), []chat.UserID{ids[2], 1, ids[0]}))
	found := []chat.UserID{}
	for _, u := range got {
		found = append(found, u.ID)
	}
	w.same("found", sorted(found...), sorted(ids[0], ids[2]))
	w.same("none asked", must[[]chat.User](w)(w.s.Users(w.ctx(), nil)), []chat.User(nil))
}

func credentials(w *world) {
	name := unique("login")
	made := must[chat.User](w)(w.s.CreateUser(w.ctx(), newUser(name), nil))
	u, password, err := w.s.Credentials(w.ctx(), name)
	w.nothing(err)
	w.same("account", u, made)
	w.same("password", password, "hash of "+name)
	_, _, err = w.s.Credentials(w.ctx(), unique("nobody"))
	w.refused(err, chat.CodeNotFound)

	off := true
	must[chat.User](w)(w.s.UpdateUser(w.ctx(), made.ID, store.UserChange{Disabled: &off}))
	u, _, err = w.s.Credentials(w.ctx(), name)
	w.nothing(err)
	w.same("a disabled account says so", u.Disabled, true)
}

func searchUsers(w *world) {
	for _, u := range []struct{ name, display string }{
		{"alma", "Alma Straße"},
		{"bela", "Béla 100%"},
		{"cara", "Under_score"},
		{"dora", "back\\slash"},
		{"emil", "ＥＭＩＬ wide"},
		{"gone", "Alma the second"},
		{"ilya", "Илья Émile"},
	} {
		made := must[chat.User](w)(w.s.CreateUser(w.ctx(), store.NewUser{Name: u.name, Skeleton: u.name, DisplayName: u.display}, nil))
		if u.name == "gone" {
			off := true
			must[chat.User](w)(w.s.UpdateUser(w.ctx(), made.ID, store.UserChange{Disabled: &off}))
		}
	}
	for _, c := range []struct{ text, want string }{
		{"", "alma bela cara dora emil ilya"},
		{"alma", "alma"},
		{"LMA", "alma"},
		{"STRASSE", "alma"},
		{"%", "bela"},
		{"0%", "bela"},
		{"_", "cara"},
		{"r_s", "cara"},
		{"\\", "dora"},
		{"emil", "emil"},
		{"BÉLA", "bela"},
		{"be\u0301la", "bela"},
		{"иль", "ilya"},
		{"ИЛЬЯ", "ilya"},
		{"é", "bela ilya"},
		{"nobody", ""},
	} {
		var names []string
		for _, u := range must[[]chat.User](w)(w.s.SearchUsers(w.ctx(), c.text, "", 100)) {
			names = append(names, u.Name)
		}
		if got := strings.Join(names, " "); got != c.want {
			w.Errorf("search %q: got %q, want %q", c.text, got, c.want)
		}
	}
	// Paging by one.
	var names []string
	for after := ""; ; {
		page := must[[]chat.User](w)(w.s.SearchUsers(w.ctx(), "", after, 1))
		if len(page) == 0 {
			break
		}
		after = page[0].Name
		names = append(names, after)
	}
	w.same("paged", strings.Join(names, " "), "alma bela cara dora emil ilya")
	// The display name can change.
	u, _, err := w.s.Credentials(w.ctx(), "cara")
	w.nothing(err)
	name := "Quite New"
	must[chat.User](w)(w.s.UpdateUser(w.ctx(), u.ID, store.UserChange{DisplayName: &name}))
	w.same("by the new name", len(must[[]chat.User](w)(w.s.SearchUsers(w.ctx(), "quite", "", 9))), 1)
	w.same("by the old name", len(must[[]chat.User](w)(w.s.SearchUsers(w.ctx(), "under", "", 9))), 0)
}

func allUsers(w *world) {
	want := []string{"anna", "bert", "carl", "dina"}
	for _, name := range []string{"carl", "anna", "dina", "bert"} {
		made := must[chat.User](w)(w.s.CreateUser(w.ctx(), newUser(name), nil))
		if name == "bert" {
			off := true
			must[chat.User](w)(w.s.UpdateUser(w.ctx(), made.ID, store.UserChange{Disabled: &off}))
		}
	}
	var names []string
	for after := ""; ; {
		page := must[[]chat.User](w)(w.s.AllUsers(w.ctx(), after, 1))
		if len(page) == 0 {
			break
		}
		after = page[0].Name
		names = append(names, after)
	}
	w.same("paged", names, want)
	w.same("at once", len(must[[]chat.User](w)(w.s.AllUsers(w.ctx(), "anna", 10))), 3)
}

func updateUser(w *world) {
	name := unique("changed")
	u := must[chat.User](w)(w.s.CreateUser(w.ctx(), newUser(name), nil))
	display, password, yes, no := "New name", "new hash", true, false
	got := must[chat.User](w)(w.s.UpdateUser(w.ctx(), u.ID, store.UserChange{DisplayName: &display}))
	u.DisplayName = display
	w.same("display name", got, u)
	got = must[chat.User](w)(w.s.UpdateUser(w.ctx(), u.ID, store.UserChange{Admin: &yes, Password: &password}))
	u.Admin = true
	w.same("admin", got, u)
	_, hash, err := w.s.Credentials(w.ctx(), name)
	w.nothing(err)
	w.same("password", hash, password)
	got = must[chat.User](w)(w.s.UpdateUser(w.ctx(), u.ID, store.UserChange{Admin: &no, Disabled: &yes}))
	u.Admin, u.Disabled = false, true
	w.same("disabled", got, u)
	w.same("read", must[[]chat.User](w)(w.s.Users(w.ctx(), []chat.UserID{u.ID})), []chat.User{u})
	w.same("nothing", must[chat.User](w)(w.s.UpdateUser(w.ctx(), u.ID, store.UserChange{})), u)
	_, err = w.s.UpdateUser(w.ctx(), 1, store.UserChange{Admin: &yes})
	w.refused(err, chat.CodeNotFound)
}

func disableUser(w *world) {
	u, other := w.user(), w.user()
	mine, theirs := token(), token()
	w.session(u, mine, time.Hour)
	w.session(other, theirs, time.Hour)
	off := true
	must[chat.User](w)(w.s.UpdateUser(w.ctx(), u, store.UserChange{Disabled: &off}))
	_, _, err := w.s.SessionByToken(w.ctx(), mine, time.Now())
	w.refused(err, chat.CodeUnauthenticated)
	_, _, err = w.s.SessionByToken(w.ctx(), theirs, time.Now())
	w.nothing(err)
	_, err = w.s.CreateSession(w.ctx(), store.Session{User: u, Token: token(), ExpiresAt: ms(time.Hour)})
	w.refused(err, chat.CodeNotFound)
	// Enabled again, the old sessions do not come back.
	on := false
	must[chat.User](w)(w.s.UpdateUser(w.ctx(), u, store.UserChange{Disabled: &on}))
	_, _, err = w.s.SessionByToken(w.ctx(), mine, time.Now())
	w.refused(err, chat.CodeUnauthenticated)
	w.session(u, token(), time.Hour)
}

func sawUser(w *world) {
	u := w.user()
	late, early := ms(-time.Minute), ms(-time.Hour)
	w.nothing(w.s.SetLastSeen(w.ctx(), u, late))
	w.nothing(w.s.SetLastSeen(w.ctx(), u, early))
	got := must[[]chat.User](w)(w.s.Users(w.ctx(), []chat.UserID{u}))
	w.same("last seen", got[0].LastSeen, late)
	w.refused(w.s.SetLastSeen(w.ctx(), 1, late), chat.CodeNotFound)
	times := make([]time.Time, 16)
	for i := range times {
		times[i] = ms(time.Duration(i) * time.Second)
	}
	parallel(w, len(times), func(i int) {
		if err := w.s.SetLastSeen(w.ctx(), u, times[i]); err != nil {
			w.Error(err)
		}
	})
	got = must[[]chat.User](w)(w.s.Users(w.ctx(), []chat.UserID{u}))
	w.same("last seen", got[0].LastSeen, slices.MaxFunc(times, time.Time.Compare))
}
