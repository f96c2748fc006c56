// What a person can do. Actions own the connection and the outbox of the
// account that is logged in.
import { all, get, patch, post, put, del, whenUnauthenticated, Problem } from "../net/rest";
import { dialGateway, Socket } from "../net/socket";
import type { ChannelEntry, History, Installation, Message, Summary, User } from "../protocol/types";
import { Engine } from "../sync/engine";
import { newMessageId, serverNow, setServerTime } from "../sync/ids";
import { Outbox } from "../sync/outbox";
import { openStorage, type Storage } from "../sync/storage";
import { append, firstSeq, lastSeq, prepend, trimBack, trimFront, type Timeline } from "../sync/timeline";
import { emptySessionState, useApp } from "./app";
import { pausePush, resumePush, switchPushOff } from "./push";

type Live = { socket: Socket; engine: Engine; outbox: Outbox; storage: Storage };
let live: Live | null = null;

/** Told of each message of others that arrives live; for announcements. */
export const messageListeners = new Set<(m: Message) => void>();

export async function boot() {
  whenUnauthenticated(() => {
    if (useApp.getState().me) void leave("expired");
  });
  const installation = await get<Installation>("/installation");
  useApp.setState({ installation });
  try {
    const { user } = await get<{ user: User }>("/me");
    await enter(user);
  } catch (e) {
    if (!(e instanceof Problem && e.status === 401)) throw e;
    void pausePush().catch(() => {});
  }
}

export async function logIn(name: string, password: string) {
  const g = await post<{ user: User }>("/login", { name, password, cookie: true });
  await enter(g.user);
}

export async function register(name: string, displayName: string, password: string, invitation: string) {
  const g = await post<{ user: User }>("/register", {
    name,
    password,
    cookie: true,
    ...(displayName ? { display_name: displayName } : {}),
    ...(invitation ? { invitation } : {}),
  });
  await enter(g.user);
}

export async function logOut() {
  const storage = live?.storage;
  await storage?.clear();
  // A push service that takes its time must not keep the person logged in.
  await Promise.race([switchPushOff().catch(() => {}), new Promise((done) => setTimeout(done, 2000))]);
  await post("/logout").catch(() => {});
  await leave(null);
}

async function enter(me: User) {
  useApp.setState({ ...emptySessionState, me, notice: null, users: { [me.id]: me } });
  const storage = await openStorage(me.id);
  const socket: Socket = new Socket(dialGateway, {
    state(connection) {
      useApp.setState({ connection });
      if (connection !== "open") {
        outbox.closed();
        engine.closed();
      }
    },
    open(hello) {
      setServerTime(hello.time);
      engine.opened();
      outbox.open(hello.limits.in_flight);
      watched = "";
      watchPeople();
    },
    frame: (f) => engine.frame(f),
    ended: () => void leave("revoked"),
  });
  const outbox = new Outbox(
    storage,
    (f) => socket.send(f),
    (messages) => useApp.setState({ outbox: messages }),
  );
  const engine = new Engine(
    useApp,
    (f) => socket.send(f),
    outbox,
    (id) => get<Summary>("/conversations/" + id),
  );
  engine.onMessage = (m) => {
    receive(m);
    for (const f of messageListeners) f(m);
  };
  live = { socket, engine, outbox, storage };
  await outbox.load();
  socket.start();
  void resumePush(me.id).catch(() => {});
}

/** Ends what runs for the account, and shows the log-in. */
async function leave(notice: "revoked" | "expired" | null) {
  live?.socket.stop();
  live?.engine.stop();
  live?.outbox.stop();
  live?.storage.close();
  live = null;
  void pausePush().catch(() => {});
  useApp.setState({ ...emptySessionState, notice });
  useApp.setState({
    installation: await get<Installation>("/installation").catch(() => useApp.getState().installation),
  });
}

/** The network is back, or the page is looked at again. */
export function hurry() {
  live?.socket.hurry();
}

export function setAway(away: boolean) {
  live?.socket.send({ t: "status", away });
}

// Messages

export function sendMessage(conversation: string, body: string, replyTo: number) {
  void live?.outbox.add(newMessageId(), conversation, body, replyTo, serverNow());
}
export const retryMessage = (id: string) => live?.outbox.retry(id);
export const discardMessage = (id: string) => live?.outbox.remove(id);

export const editMessage = (m: Message, body: string) =>
  patch<Message>(`/conversations/${m.conversation}/messages/${m.seq}`, { body });
export const deleteMessage = (m: Message) =>
  del<Message>(`/conversations/${m.conversation}/messages/${m.seq}`);

export const draft = (conversation: string) => live?.storage.draft(conversation) ?? Promise.resolve("");
export const keepDraft = (conversation: string, text: string) =>
  void live?.storage.keepDraft(conversation, text);

let lastTyping = 0;
export function tellTyping(conversation: string) {
  if (Date.now() - lastTyping < 3000) return;
  lastTyping = Date.now();
  live?.socket.send({ t: "typing", conversation });
}

const pageSize = 60;

/** Opens a conversation's messages: at the first unread, or around a message. */
export async function openTimeline(id: string, around?: number) {
  const s = useApp.getState();
  const c = s.conversations[id];
  const known = s.timelines[id];
  if (!around && known && !known.hasAfter) return;
  if (around && known && around >= firstSeq(known) && around <= lastSeq(known)) return;
  const read = Math.max(c?.read ?? 0, s.readHere[id] ?? 0);
  const place =
    around ?? (c && c.seq - read > pageSize / 2 && c.unread > pageSize / 2 ? c.seq - c.unread + 1 : 0);
  const query = place > 0 ? `around=${place}&limit=${pageSize}` : `limit=${pageSize}`;
  const h = await get<History>(`/conversations/${id}/messages?${query}`);
  useApp.setState((now) => {
    let timeline = { messages: h.items, hasBefore: h.has_before, hasAfter: h.has_after };
    // Pushes that came while the page was under way.
    const before = now.timelines[id];
    if (before && !timeline.hasAfter) timeline = append(timeline, before.messages, before.hasAfter);
    return { timelines: { ...now.timelines, [id]: timeline } };
  });
}

const loading = new Set<string>();

/** Lets go of what is far from where one reads. Later than the page came, so
 * that the view sees the two changes one after the other. */
function trim(id: string, how: (t: Timeline) => Timeline) {
  setTimeout(
    () =>
      useApp.setState((s) => {
        const t = s.timelines[id];
        const trimmed = t && how(t);
        return trimmed && trimmed !== t ? { timelines: { ...s.timelines, [id]: trimmed } } : {};
      }),
    300,
  );
}

/** One reads at the end: the oldest messages may go. */
export const readingAtEnd = (id: string) => trim(id, trimFront);

async function page(id: string, key: string, query: string, take: (h: History) => void) {
  if (loading.has(id + key)) return;
  loading.add(id + key);
  try {
    take(await get<History>(`/conversations/${id}/messages?limit=${pageSize}&${query}`));
  } finally {
    loading.delete(id + key);
  }
}

export function loadOlder(id: string): Promise<void> {
  const t = useApp.getState().timelines[id];
  if (!t?.hasBefore) return Promise.resolve();
  return page(id, "<", `before=${firstSeq(t)}`, (h) => {
    useApp.setState((s) => {
      const now = s.timelines[id];
      return now ? { timelines: { ...s.timelines, [id]: prepend(now, h.items, h.has_before) } } : {};
    });
    trim(id, trimBack);
  });
}

export function loadNewer(id: string): Promise<void> {
  const t = useApp.getState().timelines[id];
  if (!t?.hasAfter) return Promise.resolve();
  return page(id, ">", `after=${lastSeq(t)}`, (h) => {
    useApp.setState((s) => {
      const now = s.timelines[id];
      return now ? { timelines: { ...s.timelines, [id]: append(now, h.items, h.has_after) } } : {};
    });
    trim(id, trimFront);
  });
}

/** Drops the window, so that the latest messages are loaded. */
export async function jumpToLatest(id: string) {
  const h = await get<History>(`/conversations/${id}/messages?limit=${pageSize}`);
  useApp.setState((s) => ({
    timelines: {
      ...s.timelines,
      [id]: { messages: h.items, hasBefore: h.has_before, hasAfter: h.has_after },
    },
  }));
}

const marksDue = new Map<string, { read: number; received: number }>();
let marksTimer: ReturnType<typeof setTimeout> | undefined;

function mark(conversation: string, what: { read?: number; received?: number }) {
  const due = marksDue.get(conversation) ?? { read: 0, received: 0 };
  marksDue.set(conversation, {
    read: Math.max(due.read, what.read ?? 0),
    received: Math.max(due.received, what.received ?? 0),
  });
  marksTimer ??= setTimeout(() => {
    marksTimer = undefined;
    for (const [id, m] of marksDue) {
      if (live?.socket.send({ t: "mark", conversation: id, ...m })) marksDue.delete(id);
    }
  }, 300);
}

/** The person has seen the messages up to seq. */
export function markRead(id: string, seq: number) {
  const s = useApp.getState();
  const c = s.conversations[id];
  if (!c || seq <= Math.max(s.readHere[id] ?? 0, c.read)) return;
  useApp.setState({ readHere: { ...s.readHere, [id]: seq } });
  mark(id, { read: seq });
}

function receive(m: Message) {
  if (useApp.getState().conversations[m.conversation]?.kind === "direct")
    mark(m.conversation, { received: m.seq });
}

// People

let watched = "";

/** Watches those whose presence the page shows. */
export function watchPeople() {
  const s = useApp.getState();
  const peers = Object.values(s.conversations).flatMap((c) => (c.peer ? [c.peer.id] : []));
  const users = [...new Set([...peers, ...membersInView])].slice(0, 500).sort();
  const key = users.join();
  if (key === watched) return;
  if (live?.socket.send({ t: "watch", users })) watched = key;
}

let membersInView: string[] = [];
export function showMembers(ids: string[]) {
  membersInView = ids;
  watchPeople();
}

let wanted = new Set<string>();
let fetching: ReturnType<typeof setTimeout> | undefined;

/** Has unknown people looked up, many at once. */
export function needUser(id: string) {
  if (useApp.getState().users[id] || wanted.has(id)) return;
  wanted.add(id);
  fetching ??= setTimeout(() => {
    fetching = undefined;
    const ids = [...wanted].slice(0, 200);
    wanted = new Set([...wanted].slice(200));
    void get<{ items: User[] }>("/users?ids=" + ids.join())
      .then(({ items }) => addUsers(items))
      .catch(() => {});
  }, 20);
}

export function addUsers(items: User[]) {
  useApp.setState((s) => ({ users: { ...s.users, ...Object.fromEntries(items.map((u) => [u.id, u])) } }));
}

export const findUsers = (q: string) => get<{ items: User[] }>("/users?limit=20&q=" + encodeURIComponent(q));

// Conversations

function adopt(c: Summary): Summary {
  useApp.setState((s) => {
    const known = s.conversations[c.id];
    if (known && known.rev > c.rev) return {};
    return {
      conversations: { ...s.conversations, [c.id]: c },
      users: c.peer ? { ...s.users, [c.peer.id]: c.peer } : s.users,
    };
  });
  return c;
}

export const createDirect = async (user: string) =>
  adopt(await post<Summary>("/conversations", { kind: "direct", user }));
export const createGroup = async (
  kind: "group" | "channel",
  title: string,
  topic: string,
  members: string[],
) => adopt(await post<Summary>("/conversations", { kind, title, topic, members }));
export const joinChannel = async (id: string) => adopt(await post<Summary>(`/conversations/${id}/join`));
export const joinByLink = async (token: string) =>
  adopt(await post<Summary>(`/links/${encodeURIComponent(token)}/join`));
export const findChannels = (q: string) => all<ChannelEntry>("/channels?q=" + encodeURIComponent(q));
export const updateConversation = async (id: string, title: string, topic: string) =>
  adopt(await patch<Summary>(`/conversations/${id}`, { title, topic }));
export const addMembers = async (id: string, users: string[]) =>
  adopt(await post<Summary>(`/conversations/${id}/members`, { users }));
export const removeMember = (id: string, user: string) => del(`/conversations/${id}/members/${user}`);
export const setRole = (id: string, user: string, role: string) =>
  patch(`/conversations/${id}/members/${user}`, { role });
export const leaveConversation = (id: string) => post(`/conversations/${id}/leave`);

// The account

export async function changeDisplayName(display_name: string) {
  const me = await patch<User>("/me", { display_name });
  useApp.setState((s) => ({ me, users: { ...s.users, [me.id]: me } }));
}
export const changePassword = (old: string, fresh: string) => put("/me/password", { old, new: fresh });
