// Fills a server with conversations and messages, the way that clients do it.
import { connect } from "node:net";
import { messageId } from "./harness.mjs";

/** The frame of a client for a text, masked with zeros. */
function encodeFrame(text) {
  const payload = Buffer.from(text);
  const head = payload.length < 126 ? [0x81, 0x80 | payload.length] : [0x81, 0xfe, payload.length >> 8, payload.length & 255]; // prettier-ignore
  return Buffer.concat([Buffer.from(head), Buffer.alloc(4), payload]);
}

/** Sends messages as one account through a WebSocket, with at most a window of them
 * in flight. Node's own WebSocket cannot send the Authorization header.
 * messages: what has conversation and body. The server needs --in-flight. */
export async function sendMessages(server, token, messages) {
  const window = 750;
  const accepted = '"t":"accepted"';
  const socket = connect(server.port, "127.0.0.1");
  const key = Buffer.from("0123456789abcdef").toString("base64");
  socket.write(
    `GET /api/v1/socket HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n` +
      `Sec-WebSocket-Key: ${key}\r\nSec-WebSocket-Protocol: hikyaku.v1\r\nAuthorization: Bearer ${token}\r\n\r\n`,
  );
  let sent = 0;
  let answered = 0;
  let rest = "";
  const send = () => {
    for (; sent < messages.length && sent - answered < window; sent++)
      socket.write(encodeFrame(JSON.stringify({ t: "send", id: messageId(sent + 1), ...messages[sent] })));
  };
  try {
    await new Promise((resolve, reject) => {
      socket.on("error", reject);
      socket.on("close", () => reject(new Error("the connection ended")));
      socket.on("data", (data) => {
        const text = rest + data.toString("latin1");
        answered += text.split(accepted).length - 1;
        rest = text.slice(1 - accepted.length);
        if (text.includes('"t":"rejected"')) reject(new Error(text.slice(0, 500)));
        if (answered >= messages.length) resolve();
        else send();
      });
    });
  } finally {
    socket.destroy();
  }
}

/** Makes n conversations of one account, half of them direct, and the others small
 * groups but for each tenth, which is a channel; with messages of others in them, half of
 * all in the first.
 * Returns the account, the others and the conversations, each with who writes in it. */
export async function makeConversations(server, n, messages, crowd = 0) {
  const admin = await server.registerAccount("operator");
  const people = [];
  while (people.length < Math.max(n, crowd, 10) + 1) {
    const users = Array.from(
      { length: Math.min(1000, Math.max(n, crowd, 10) + 1 - people.length) },
      (_, i) => ({ name: `person${people.length + i}`, display_name: `Person ${people.length + i}` }),
    );
    const made = await server.api(admin.token, "POST", "/admin/batches/page/users", { users });
    people.push(...made.items.map((g) => ({ ...g.user, token: g.token })));
  }
  const [me, ...others] = people;
  const planned = Array.from({ length: n }, (_, i) => {
    const writer = others[i];
    const more = (count) => Array.from({ length: count }, (_, k) => others[(i + k + 1) % others.length].id);
    if (i % 10 === 9) return { writer, kind: "channel", title: `channel ${i}`, members: [me.id, writer.id, ...more(30)] }; // prettier-ignore
    if (i % 2) return { writer, kind: "group", title: `Group ${i}`, members: [me.id, writer.id, ...more(5)] };
    return { writer, kind: "direct", members: [me.id, writer.id] };
  });
  const conversations = [];
  for (let at = 0; at < n; at += 500) {
    const part = planned.slice(at, at + 500);
    const made = await server.api(admin.token, "POST", "/admin/batches/page/conversations", {
      conversations: part.map(({ kind, title, members }) => ({
        kind,
        title,
        members: [...new Set(members)],
      })),
    });
    conversations.push(...made.items.map((c, i) => ({ ...c, writer: part[i].writer })));
  }
  // A few at a time: each is a connection of its own.
  const countOf = (i) => Math.floor(messages / 2 / n) + (i === 0 ? Math.floor(messages / 2) : 0);
  const left = [...conversations.keys()];
  const work = async () => {
    for (let i = left.shift(); i !== undefined; i = left.shift()) {
      const { id, writer } = conversations[i];
      const body = (k) => `Message ${k + 1} of ${i}` + " and **more** of it".repeat(k % 7);
      const list = Array.from({ length: countOf(i) }, (_, k) => ({ conversation: id, body: body(k) }));
      await sendMessages(server, writer.token, list);
    }
  };
  await Promise.all(Array.from({ length: 8 }, work));
  return { admin, me, others, conversations };
}

/** Logs the pages of a browser context in as an account. */
export function logIn(context, server, account) {
  return context.addCookies([{ name: "hikyaku_session", value: account.token, url: server.url }]);
}
