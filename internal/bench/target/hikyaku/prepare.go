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

// BatchPrefix is the prefix of the names of batches, and of their accounts,
// that runs create.
const BatchPrefix = "bench-"

// Prepare implements [target.Target].
func (t *Target) Prepare(ctx context.Context, p target.Plan) (target.Site, error) {
	s := &site{
		options: t.options, loops: make([]eventloop.Loop, runtime.GOMAXPROCS(0)),
		rooms: make([]chat.ConversationID, len(p.Rooms)), members: p.Rooms, index: make(map[chat.ConversationID]int, len(p.Rooms)),
		states: make([]syncState, p.Users), conns: make([]atomic.Pointer[conn], p.Users),
	}
	for i := range s.states {
		s.states[i].machine = syncstate.New(syncstate.Options{})
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
		err = s.prepareOneByOne(ctx, t.client, p)
	}
	if err != nil {
		return nil, err
	}
	for i, id := range s.rooms {
		s.index[id] = i
	}
	return s, nil
}

// Administrator returns the token with which several processes create users and
// conversations of a run in bulk, or an empty one if there is none; see
// Prepare.
func (t *Target) Administrator(ctx context.Context, run string) (token string, err error) {
	admin, err := t.administrator(ctx, run)
	if err != nil || admin == nil {
		return "", err
	}
	return admin.Token(), nil
}

// administrator returns the client that creates users and conversations in
// bulk: the holder of the token, or on an installation without accounts, its
// first account. It is nil if there is none.
func (t *Target) administrator(ctx context.Context, run string) (*client.Client, error) {
	if t.options.AdminToken != "" {
		return t.client.WithToken(t.options.AdminToken), nil
	}
	empty, err := t.client.Empty(ctx)
	if err != nil || !empty {
		return nil, err
	}
	first := t.client.WithToken("")
	if err := first.Register(ctx, BatchPrefix+run, rand.Text(), t.options.SetupToken); err != nil {
		return nil, fmt.Errorf("make the first account (--setup-token is what the server prints when it starts): %w", err)
	}
	if !first.Me().Admin {
		return nil, nil // somebody else's came before
	}
	return first, nil
}

// prepareInBulk creates everything in a batch named after the run.
func (s *site) prepareInBulk(ctx context.Context, admin *client.Client, p target.Plan) error {
	batch := BatchPrefix + p.Run
	names := make([]string, p.Users)
	for i := range names {
		names[i] = accountName(p.Run, i)
	}
	var err error
	if s.users, err = admin.AddBatchUsers(ctx, batch, names); err != nil {
		return fmt.Errorf("make %d accounts with the administrator's token: %w", p.Users, err)
	}
	rooms := make([]client.BatchRoom, len(p.Rooms))
	for i, members := range p.Rooms {
		// A group, whatever its size: others cannot find it.
		rooms[i] = client.BatchRoom{Kind: chat.Group, Title: roomTitle(p.Run, i)}
		if len(members) == 2 {
			rooms[i] = client.BatchRoom{Kind: chat.Direct}
		}
		for _, m := range members {
			rooms[i].Members = append(rooms[i].Members, s.users[m].Me().ID)
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

// registerConcurrency is how many accounts register concurrently: hashing their
// passwords keeps the server's processors busy anyway.
const registerConcurrency = 8

// prepareOneByOne registers accounts and creates conversations as users do.
func (s *site) prepareOneByOne(ctx context.Context, way *client.Client, p target.Plan) error {
	s.users = make([]*client.Client, p.Users)
	password := rand.Text()
	var making errgroup.Group
	making.SetLimit(registerConcurrency)
	for i := range s.users {
		making.Go(func() error {
			s.users[i] = way.WithToken("")
			if err := s.users[i].Register(ctx, accountName(p.Run, i), password, ""); err != nil {
				return fmt.Errorf("make account %d of %d (where too many are made, serve --registrations allows more, and an administrator's token needs none): %w", i+1, p.Users, err)
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

// maxInitialMembers is how many members a group is created with; for more, a
// channel is created that they join.
const maxInitialMembers = 100

func (s *site) makeRoom(ctx context.Context, title string, members []int) (chat.ConversationID, error) {
	owner := s.users[members[0]]
	if len(members) == 2 {
		c, err := owner.CreateDirect(ctx, s.users[members[1]].Me().ID)
		return c.ID, err
	}
	if len(members) <= maxInitialMembers {
		others := make([]chat.UserID, 0, len(members)-1)
		for _, m := range members[1:] {
			others = append(others, s.users[m].Me().ID)
		}
		c, err := owner.CreateGroup(ctx, title, others...)
		return c.ID, err
	}
	c, err := owner.CreateChannel(ctx, title)
	if err != nil {
		return 0, err
	}
	for _, m := range members[1:] {
		if err := s.users[m].Join(ctx, c.ID); err != nil {
			return 0, err
		}
	}
	return c.ID, nil
}
