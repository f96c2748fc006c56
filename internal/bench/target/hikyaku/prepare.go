package hikyaku

import (
	"context"
	"crypto/rand"
	"fmt"
	"runtime"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"github.com/hikyaku-chat/hikyaku/internal/bench/target"
	"github.com/hikyaku-chat/hikyaku/internal/chat"
	"github.com/hikyaku-chat/hikyaku/internal/client"
	"github.com/hikyaku-chat/hikyaku/internal/eventloop"
	"github.com/hikyaku-chat/hikyaku/internal/syncclient/syncstate"
)

// BatchPrefix begins the names of the batches that runs make, and of their
// accounts.
const BatchPrefix = "bench-"

// Prepare implements [target.Target].
func (t *Target) Prepare(ctx context.Context, p target.Plan) (target.Site, error) {
	s := &site{
		options: t.options, loops: make([]eventloop.Loop, runtime.GOMAXPROCS(0)),
		rooms: make([]chat.ConversationID, len(p.Rooms)), members: p.Rooms, index: make(map[chat.ConversationID]int, len(p.Rooms)),
		views: make([]view, p.People), conns: make([]atomic.Pointer[conn], p.People),
	}
	for i := range s.views {
		// Who measures a server does not add to its work because it is late.
		s.views[i].state = syncstate.New(syncstate.Options{Patient: true})
	}
	if _, err := rand.Read(s.run[:]); err != nil {
		return nil, err
	}
	admin, err := t.administrator(ctx, p.Run)
	if err != nil {
		return nil, err
	}
	if admin != nil {
		err = s.prepareInBulk(ctx, admin, p)
	} else {
		err = s.prepareOneByOne(ctx, t.way, p)
	}
	if err != nil {
		return nil, err
	}
	for i, id := range s.rooms {
		s.index[id] = i
	}
	return s, nil
}

// Administrator gives the token with which several processes make people and
// conversations of a run in bulk, if there is one: see Prepare.
func (t *Target) Administrator(ctx context.Context, run string) (token string, err error) {
	admin, err := t.administrator(ctx, run)
	if err != nil || admin == nil {
		return "", err
	}
	return admin.Token(), nil
}

// administrator is who makes people and conversations in bulk: the holder of
// the token, or on an installation that has no account yet, its first one. It
// is nil when there is none.
func (t *Target) administrator(ctx context.Context, run string) (*client.Client, error) {
	if t.options.AdminToken != "" {
		return t.way.WithToken(t.options.AdminToken), nil
	}
	empty, err := t.way.Empty(ctx)
	if err != nil || !empty {
		return nil, err
	}
	first := t.way.WithToken("")
	if err := first.Register(ctx, BatchPrefix+run, rand.Text()); err != nil {
		return nil, fmt.Errorf("make the first account: %w", err)
	}
	if !first.Me().Admin {
		return nil, nil // somebody else's came before
	}
	return first, nil
}

// prepareInBulk makes everything in a batch named after the run.
func (s *site) prepareInBulk(ctx context.Context, admin *client.Client, p target.Plan) error {
	batch := BatchPrefix + p.Run
	names := make([]string, p.People)
	for i := range names {
		names[i] = accountName(p.Run, i)
	}
	var err error
	if s.people, err = admin.AddBatchUsers(ctx, batch, names); err != nil {
		return fmt.Errorf("make %d accounts with the administrator's token: %w", p.People, err)
	}
	rooms := make([]client.BatchRoom, len(p.Rooms))
	for i, members := range p.Rooms {
		// A group, whatever its size: others cannot find it.
		rooms[i] = client.BatchRoom{Kind: chat.Group, Title: roomTitle(p.Run, i)}
		if len(members) == 2 {
			rooms[i] = client.BatchRoom{Kind: chat.Direct}
		}
		for _, m := range members {
			rooms[i].Members = append(rooms[i].Members, s.people[m].Me().ID)
		}
	}
	made, err := admin.AddBatchRooms(ctx, batch, rooms)
	if err != nil {
		return fmt.Errorf("make %d conversations with the administrator's token: %w", len(rooms), err)
	}
	for i := range made {
		s.rooms[i] = made[i].ID
	}
	return nil
}

func accountName(run string, i int) string { return fmt.Sprintf("%s%s-%d", BatchPrefix, run, i) }

func roomTitle(run string, i int) string { return fmt.Sprintf("bench %s %d", run, i) }

// makeAtOnce is how many accounts register side by side: their passwords keep
// the server's processors busy anyway.
const makeAtOnce = 8

// prepareOneByOne does as people would do.
func (s *site) prepareOneByOne(ctx context.Context, way *client.Client, p target.Plan) error {
	s.people = make([]*client.Client, p.People)
	password := rand.Text()
	var making errgroup.Group
	making.SetLimit(makeAtOnce)
	for i := range s.people {
		making.Go(func() error {
			s.people[i] = way.WithToken("")
			if err := s.people[i].Register(ctx, accountName(p.Run, i), password); err != nil {
				return fmt.Errorf("make account %d of %d: %w", i+1, p.People, err)
			}
			return nil
		})
	}
	if err := making.Wait(); err != nil {
		return err
	}
	for i, members := range p.Rooms {
		making.Go(func() error {
			id, err := s.makeRoom(ctx, roomTitle(p.Run, i), members)
			if err != nil {
				return fmt.Errorf("make conversation %d of %d: %w", i+1, len(p.Rooms), err)
			}
			s.rooms[i] = id
			return nil
		})
	}
	return making.Wait()
}

// membersAtOnce is how many members a group is made with; more are invited.
const membersAtOnce = 100

func (s *site) makeRoom(ctx context.Context, title string, members []int) (chat.ConversationID, error) {
	owner := s.people[members[0]]
	if len(members) == 2 {
		c, err := owner.CreateDirect(ctx, s.people[members[1]].Me().ID)
		return c.ID, err
	}
	if len(members) <= membersAtOnce {
		others := make([]chat.UserID, 0, len(members)-1)
		for _, m := range members[1:] {
			others = append(others, s.people[m].Me().ID)
		}
		c, err := owner.CreateGroup(ctx, title, others...)
		return c.ID, err
	}
	c, err := owner.CreateChannel(ctx, title)
	if err != nil {
		return 0, err
	}
	for _, m := range members[1:] {
		if err := s.people[m].Join(ctx, c.ID); err != nil {
			return 0, err
		}
	}
	return c.ID, nil
}
