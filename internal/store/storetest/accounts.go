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
	{name: "the last administrator stays", run: lastAdministrator, fresh: true},
	{name: "of two administrators who demote each other one stays", run: mutualDemotion, fresh: true},
	{name: "last seen never goes back", run: lastSeenNeverGoesBack},
}

func firstAdmin(f *fixture) {
	first := must[chat.User](f)(f.s.CreateUser(f.ctx(), newUser("first"), nil))
	second := must[chat.User](f)(f.s.CreateUser(f.ctx(), newUser("second"), nil))
	asked := newUser("third")
	asked.Admin = true
	third := must[chat.User](f)(f.s.CreateUser(f.ctx(), asked, nil))
	f.equal("admins", []bool{first.Admin, second.Admin, third.Admin}, []bool{true, false, true})
}

func firstAdminRace(f *fixture) {
	f.equal("there is an account", must[bool](f)(f.s.HasUsers(f.ctx())), false)
	var mu sync.Mutex
	admins := 0
	parallel(f, 8, func(int) {
		u, err := f.s.CreateUser(f.ctx(), newUser(unique("racer")), nil)
		if err != nil {
			f.Error(err)
		}
		mu.Lock()
		defer mu.Unlock()
		if u.Admin {
			admins++
		}
	})
	f.equal("admins", admins, 1)
	f.equal("there is an account", must[bool](f)(f.s.HasUsers(f.ctx())), true)
}

func accountKept(f *fixture) {
	in := store.NewUser{Name: "zoë", Skeleton: "zoe", DisplayName: "Zoë 飛脚", Password: "secret"}
	u := must[chat.User](f)(f.s.CreateUser(f.ctx(), in, nil))
	f.recent("CreatedAt", u.CreatedAt)
	want := chat.User{ID: u.ID, Name: "zoë", DisplayName: "Zoë 飛脚", Admin: true, CreatedAt: u.CreatedAt}
	f.equal("made", u, want)
	f.equal("read", must[[]chat.User](f)(f.s.Users(f.ctx(), []chat.UserID{u.ID})), []chat.User{want})
	f.reopen()
	f.equal("read after opening again", must[[]chat.User](f)(f.s.Users(f.ctx(), []chat.UserID{u.ID})), []chat.User{want})
}

func namesTaken(f *fixture) {
	a, b := unique("name"), unique("name")
	must[chat.User](f)(f.s.CreateUser(f.ctx(), store.NewUser{Name: a, Skeleton: a + "-looks", DisplayName: "x"}, nil))
	for _, u := range []store.NewUser{
		{Name: a, Skeleton: b, DisplayName: "x"},
		{Name: b, Skeleton: a + "-looks", DisplayName: "x"},
		{Name: a, Skeleton: a + "-looks", DisplayName: "x"},
	} {
		f.refused(f.s.CheckUser(f.ctx(), u, nil), chat.CodeNameTaken)
		_, err := f.s.CreateUser(f.ctx(), u, nil)
		f.refused(err, chat.CodeNameTaken)
	}
	f.noError(f.s.CheckUser(f.ctx(), store.NewUser{Name: b, Skeleton: b}, nil))
	// What was refused has left nothing behind.
	must[chat.User](f)(f.s.CreateUser(f.ctx(), store.NewUser{Name: b, Skeleton: b, DisplayName: "x"}, nil))
}

// demote takes an account's administration of the installation.
func (f *fixture) demote(id chat.UserID) error {
	off := false
	_, err := f.s.UpdateUser(f.ctx(), id, store.UserChange{Admin: &off})
	return err
}

func lastAdministrator(f *fixture) {
	on := true
	first := must[chat.User](f)(f.s.CreateUser(f.ctx(), newUser("first"), nil))
	second := must[chat.User](f)(f.s.CreateUser(f.ctx(), newUser("second"), nil))
	f.refused(f.demote(first.ID), chat.CodeConflict)
	_, err := f.s.UpdateUser(f.ctx(), first.ID, store.UserChange{Disabled: &on})
	f.refused(err, chat.CodeConflict)
	f.equal("nothing changed", must[[]chat.User](f)(f.s.Users(f.ctx(), []chat.UserID{first.ID})), []chat.User{first})
	f.noError(f.demote(second.ID)) // who is none

	must[chat.User](f)(f.s.UpdateUser(f.ctx(), second.ID, store.UserChange{Admin: &on}))
	f.noError(f.demote(first.ID))
	// One who is locked does not count.
	must[chat.User](f)(f.s.UpdateUser(f.ctx(), first.ID, store.UserChange{Admin: &on, Disabled: &on}))
	f.refused(f.demote(second.ID), chat.CodeConflict)
}

func mutualDemotion(f *fixture) {
	on := true
	for range 10 {
		var two []chat.UserID
		for range 2 {
			u := must[chat.User](f)(f.s.CreateUser(f.ctx(), newUser(unique("chief")), nil))
			must[chat.User](f)(f.s.UpdateUser(f.ctx(), u.ID, store.UserChange{Admin: &on}))
			two = append(two, u.ID)
		}
		for _, u := range must[[]chat.User](f)(f.s.AllUsers(f.ctx(), "", "", 100)) {
			if u.Admin && !slices.Contains(two, u.ID) {
				f.noError(f.demote(u.ID))
			}
		}
		parallel(f, 2, func(i int) {
			if err := f.demote(two[i]); err != nil {
				f.refused(err, chat.CodeConflict)
			}
		})
		admins := 0
		for _, u := range must[[]chat.User](f)(f.s.Users(f.ctx(), two)) {
			if u.Admin {
				admins++
			}
		}
		f.equal("administrators", admins, 1)
	}
}

func nameRace(f *fixture) {
	name := unique("same")
	var mu sync.Mutex
	made := 0
	parallel(f, 6, func(int) {
		_, err := f.s.CreateUser(f.ctx(), newUser(name), nil)
		mu.Lock()
		defer mu.Unlock()
		if err == nil {
			made++
		} else {
			f.refused(err, chat.CodeNameTaken)
		}
	})
	f.equal("made", made, 1)
}

func usersByID(f *fixture) {
	ids := f.users(3)
	got := must[[]chat.User](f)(f.s.Users(f.ctx(), []chat.UserID{ids[2], 1, ids[0]}))
	found := []chat.UserID{}
	for _, u := range got {
		found = append(found, u.ID)
	}
	f.equal("found", sorted(found...), sorted(ids[0], ids[2]))
	f.equal("none asked", must[[]chat.User](f)(f.s.Users(f.ctx(), nil)), []chat.User(nil))
}

func credentials(f *fixture) {
	name := unique("login")
	made := must[chat.User](f)(f.s.CreateUser(f.ctx(), newUser(name), nil))
	u, password, err := f.s.Credentials(f.ctx(), name)
	f.noError(err)
	f.equal("account", u, made)
	f.equal("password", password, "hash of "+name)
	_, _, err = f.s.Credentials(f.ctx(), unique("nobody"))
	f.refused(err, chat.CodeNotFound)

	off := true
	must[chat.User](f)(f.s.UpdateUser(f.ctx(), made.ID, store.UserChange{Disabled: &off}))
	u, _, err = f.s.Credentials(f.ctx(), name)
	f.noError(err)
	f.equal("a disabled account says so", u.Disabled, true)
}

func searchUsers(f *fixture) {
	for _, u := range []struct{ name, display string }{
		{"alma", "Alma Straße"},
		{"bela", "Béla 100%"},
		{"cara", "Under_score"},
		{"dora", "back\\slash"},
		{"emil", "ＥＭＩＬ wide"},
		{"gone", "Alma the second"},
		{"ilya", "Илья Émile"},
		{"kaho", "ﾀﾅｶ かほ"},
		{"mull", "Siobhán Müller-İpek"},
	} {
		made := must[chat.User](f)(f.s.CreateUser(f.ctx(), store.NewUser{Name: u.name, Skeleton: u.name, DisplayName: u.display}, nil))
		if u.name == "gone" {
			off := true
			must[chat.User](f)(f.s.UpdateUser(f.ctx(), made.ID, store.UserChange{Disabled: &off}))
		}
	}
	for _, c := range []struct{ text, want string }{
		{"", "alma bela cara dora emil ilya kaho mull"},
		{"alma", "alma"},
		{"LMA", "alma"},
		{"STRASSE", "alma"},
		{"%", "bela"},
		{"0%", "bela"},
		{"_", "cara"},
		{"r_s", "cara"},
		{"\\", "dora"},
		{"emil", "emil ilya"},
		{"BÉLA", "bela"},
		{"be\u0301la", "bela"},
		{"иль", "ilya"},
		{"ИЛЬЯ", "ilya"},
		{"Émile", "ilya"},
		{"emile", "ilya"},
		{"siobhan", "mull"},
		{"MULLER", "mull"},
		{"ipek", "mull"},
		{"たなか", "kaho"},
		{"タナカ", "kaho"},
		{"だなか", ""},
		{"@bela", "bela"},
		{"＠ＢＥＬＡ", "bela"},
		{" bela ", "bela"},
		{"@", "alma bela cara dora emil ilya kaho mull"},
		{"nobody", ""},
	} {
		var names []string
		for _, u := range must[[]chat.User](f)(f.s.SearchUsers(f.ctx(), c.text, "", 100)) {
			names = append(names, u.Name)
		}
		if got := strings.Join(names, " "); got != c.want {
			f.Errorf("search %q: got %q, want %q", c.text, got, c.want)
		}
	}
	// Paging by one.
	var names []string
	for after := ""; ; {
		page := must[[]chat.User](f)(f.s.SearchUsers(f.ctx(), "", after, 1))
		if len(page) == 0 {
			break
		}
		after = page[0].Name
		names = append(names, after)
	}
	f.equal("paged", strings.Join(names, " "), "alma bela cara dora emil ilya kaho mull")
	// The display name can change.
	u, _, err := f.s.Credentials(f.ctx(), "cara")
	f.noError(err)
	name := "Quite New"
	must[chat.User](f)(f.s.UpdateUser(f.ctx(), u.ID, store.UserChange{DisplayName: &name}))
	f.equal("by the new name", len(must[[]chat.User](f)(f.s.SearchUsers(f.ctx(), "quite", "", 9))), 1)
	f.equal("by the old name", len(must[[]chat.User](f)(f.s.SearchUsers(f.ctx(), "under", "", 9))), 0)
}

func allUsers(f *fixture) {
	want := []string{"anna", "bert", "carl", "dina"}
	for _, name := range []string{"carl", "anna", "dina", "bert"} {
		made := must[chat.User](f)(f.s.CreateUser(f.ctx(), newUser(name), nil))
		if name == "bert" {
			off := true
			must[chat.User](f)(f.s.UpdateUser(f.ctx(), made.ID, store.UserChange{Disabled: &off}))
		}
	}
	var names []string
	for after := ""; ; {
		page := must[[]chat.User](f)(f.s.AllUsers(f.ctx(), "", after, 1))
		if len(page) == 0 {
			break
		}
		after = page[0].Name
		names = append(names, after)
	}
	f.equal("paged", names, want)
	f.equal("at once", len(must[[]chat.User](f)(f.s.AllUsers(f.ctx(), "", "anna", 10))), 3)
	display := "Quite Other"
	u, _, err := f.s.Credentials(f.ctx(), "dina")
	f.noError(err)
	must[chat.User](f)(f.s.UpdateUser(f.ctx(), u.ID, store.UserChange{DisplayName: &display}))
	for text, want := range map[string][]string{"R": {"bert", "carl", "dina"}, "quite": {"dina"}, "ber": {"bert"}, "%": nil} {
		var names []string
		for _, u := range must[[]chat.User](f)(f.s.AllUsers(f.ctx(), text, "", 10)) {
			names = append(names, u.Name)
		}
		f.equal("search "+text, names, want)
	}
	f.equal("search, paged", len(must[[]chat.User](f)(f.s.AllUsers(f.ctx(), "r", "bert", 1))), 1)
}

func updateUser(f *fixture) {
	name := unique("changed")
	u := must[chat.User](f)(f.s.CreateUser(f.ctx(), newUser(name), nil))
	display, password, yes, no := "New name", "new hash", true, false
	got := must[chat.User](f)(f.s.UpdateUser(f.ctx(), u.ID, store.UserChange{DisplayName: &display}))
	u.DisplayName = display
	f.equal("display name", got, u)
	got = must[chat.User](f)(f.s.UpdateUser(f.ctx(), u.ID, store.UserChange{Admin: &yes, Password: &password}))
	u.Admin = true
	f.equal("admin", got, u)
	_, hash, err := f.s.Credentials(f.ctx(), name)
	f.noError(err)
	f.equal("password", hash, password)
	got = must[chat.User](f)(f.s.UpdateUser(f.ctx(), u.ID, store.UserChange{Admin: &no, Disabled: &yes}))
	u.Admin, u.Disabled = false, true
	f.equal("disabled", got, u)
	f.equal("read", must[[]chat.User](f)(f.s.Users(f.ctx(), []chat.UserID{u.ID})), []chat.User{u})
	f.equal("nothing", must[chat.User](f)(f.s.UpdateUser(f.ctx(), u.ID, store.UserChange{})), u)
	_, err = f.s.UpdateUser(f.ctx(), 1, store.UserChange{Admin: &yes})
	f.refused(err, chat.CodeNotFound)
}

func disableUser(f *fixture) {
	u, other := f.user(), f.user()
	mine, theirs := token(), token()
	f.session(u, mine, time.Hour)
	f.session(other, theirs, time.Hour)
	off := true
	must[chat.User](f)(f.s.UpdateUser(f.ctx(), u, store.UserChange{Disabled: &off}))
	_, _, err := f.s.SessionByToken(f.ctx(), mine, time.Now())
	f.refused(err, chat.CodeUnauthenticated)
	_, _, err = f.s.SessionByToken(f.ctx(), theirs, time.Now())
	f.noError(err)
	_, err = f.s.CreateSession(f.ctx(), store.Session{User: u, Token: token(), ExpiresAt: ms(time.Hour)})
	f.refused(err, chat.CodeNotFound)
	// Enabled again, the old sessions do not come back.
	on := false
	must[chat.User](f)(f.s.UpdateUser(f.ctx(), u, store.UserChange{Disabled: &on}))
	_, _, err = f.s.SessionByToken(f.ctx(), mine, time.Now())
	f.refused(err, chat.CodeUnauthenticated)
	f.session(u, token(), time.Hour)
}

func lastSeenNeverGoesBack(f *fixture) {
	u := f.user()
	late, early := ms(-time.Minute), ms(-time.Hour)
	f.noError(f.s.SetLastSeen(f.ctx(), u, late))
	f.noError(f.s.SetLastSeen(f.ctx(), u, early))
	got := must[[]chat.User](f)(f.s.Users(f.ctx(), []chat.UserID{u}))
	f.equal("last seen", got[0].LastSeen, late)
	f.refused(f.s.SetLastSeen(f.ctx(), 1, late), chat.CodeNotFound)
	times := make([]time.Time, 16)
	for i := range times {
		times[i] = ms(time.Duration(i) * time.Second)
	}
	parallel(f, len(times), func(i int) {
		if err := f.s.SetLastSeen(f.ctx(), u, times[i]); err != nil {
			f.Error(err)
		}
	})
	got = must[[]chat.User](f)(f.s.Users(f.ctx(), []chat.UserID{u}))
	f.equal("last seen", got[0].LastSeen, slices.MaxFunc(times, time.Time.Compare))
}
