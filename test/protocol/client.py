#!/usr/bin/env python3
"""A small client of hikyaku.v1 that is written from docs/protocol.md alone, with
nothing but Python's standard library. It checks the document: what it does not
say, this client does not do. R1, R2 … are the document's rules.

It logs in, sends what it reads from its standard input, and follows all
conversations of its user. Each line of the input is JSON: {"conversation": ID,
"body": TEXT}. When the input ends, it waits until every message has its answer and
nothing is missing, prints what it has as one line of JSON, and ends. When it is
told to terminate (SIGTERM), it stores its state at once, whatever is missing, and
goes on from there at its next start.
"""

import argparse
import base64
import collections
import hashlib
import http.client
import json
import os
import random
import select
import signal
import socket
import sys
import time
import urllib.parse

SUBPROTOCOL = "hikyaku.v1"


def request(base, method, path, body=None, token=None):
    """Call the REST API (R7 to R10). It returns the answer, or raises."""
    while True:
        connection = http.client.HTTPConnection(base.hostname, base.port, timeout=30)
        headers = {"Content-Type": "application/json"}
        if token:
            headers["Authorization"] = "Bearer " + token
        try:
            connection.request(method, "/api/v1" + path, json.dumps(body) if body is not None else None, headers)
            response = connection.getresponse()
            text = response.read()
        finally:
            connection.close()
        answer = json.loads(text) if text else {}
        if response.status in (429, 503):  # R10
            time.sleep(answer.get("retry_after_ms", 1000) / 1000)
            continue
        if response.status >= 400:
            raise RuntimeError("%s %s: %d %s" % (method, path, response.status, answer))
        return answer


class Ended(Exception):
    """The connection has ended, with a close code or without (None)."""

    def __init__(self, code):
        super().__init__("the connection ended with %s" % code)
        self.code = code


class WebSocket:
    """A client of RFC 6455, as far as hikyaku.v1 needs it."""

    def __init__(self, base, token):
        self.socket = socket.create_connection((base.hostname, base.port), timeout=10)
        self.received = b""
        key = base64.b64encode(os.urandom(16)).decode()
        self.socket.sendall((
            "GET /api/v1/socket HTTP/1.1\r\nHost: %s\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: %s\r\nSec-WebSocket-Protocol: %s\r\n"
            "Authorization: Bearer %s\r\n\r\n" % (base.netloc, key, SUBPROTOCOL, token)).encode())
        while b"\r\n\r\n" not in self.received:
            self.fill()
        head, self.received = self.received.split(b"\r\n\r\n", 1)
        lines = head.decode().split("\r\n")
        self.status = int(lines[0].split()[1])
        self.headers = {name.strip().lower(): value.strip() for name, value in (line.split(":", 1) for line in lines[1:])}
        if self.status != 101:
            return
        expected = base64.b64encode(hashlib.sha1((key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").encode()).digest()).decode()
        if self.headers.get("sec-websocket-accept") != expected or self.headers.get("sec-websocket-protocol") != SUBPROTOCOL:
            raise RuntimeError("the server does not speak " + SUBPROTOCOL)
        self.text = b""

    def fill(self):
        data = self.socket.recv(65536)
        if not data:
            raise Ended(None)
        self.received += data

    def write(self, opcode, payload):
        mask = os.urandom(4)
        size = len(payload)
        if size < 126:
            head = bytes([0x80 | opcode, 0x80 | size])
        elif size < 65536:
            head = bytes([0x80 | opcode, 0x80 | 126]) + size.to_bytes(2, "big")
        else:
            head = bytes([0x80 | opcode, 0x80 | 127]) + size.to_bytes(8, "big")
        pad = (mask * (size // 4 + 1))[:size]
        masked = (int.from_bytes(payload, "big") ^ int.from_bytes(pad, "big")).to_bytes(size, "big")
        self.socket.sendall(head + mask + masked)

    def send(self, frame):
        self.write(1, json.dumps(frame).encode())

    def frames(self):
        """The whole frames that were received, parsed."""
        while True:
            if len(self.received) < 2:
                return
            size, at = self.received[1] & 0x7F, 2
            if size == 126:
                size, at = int.from_bytes(self.received[2:4], "big"), 4
            elif size == 127:
                size, at = int.from_bytes(self.received[2:10], "big"), 10
            if len(self.received) < max(at, at + size):
                return
            final, opcode = self.received[0] & 0x80, self.received[0] & 0x0F
            payload, self.received = self.received[at:at + size], self.received[at + size:]
            if opcode == 8:
                raise Ended(int.from_bytes(payload[:2], "big") if len(payload) >= 2 else None)
            if opcode == 9:
                self.write(10, payload)
            elif opcode in (0, 1):
                self.text += payload
                if final:
                    text, self.text = self.text, b""
                    yield json.loads(text)

    def close(self):
        try:
            self.write(8, (1000).to_bytes(2, "big"))
        except OSError:
            pass
        self.socket.close()


class Conversation:
    def __init__(self):
        self.seen = 0  # the last rev that was applied
        self.heard = 0  # the highest rev that was heard of
        self.messages = {}  # by seq


class Outgoing:
    def __init__(self, name, conversation, body):
        self.id, self.conversation, self.body = name, conversation, body
        self.sent = False  # on this connection, and without an answer
        self.came = False  # as a message, before its answer

    def digest(self):  # R47
        return hashlib.sha256(("%s\n%d\n%s" % (self.conversation, 0, self.body)).encode()).hexdigest()[:32]


class Request:
    """A sync without an answer."""

    def __init__(self, conversation, due):
        self.conversation = conversation  # None for the list
        self.due = due  # when it is sent, or sent again
        self.id = None
        self.patience = 5  # R61


class Client:
    def __init__(self, base, name, password, pause, told):
        self.base, self.pause = base, pause
        self.told = told  # not empty once the process is told to end
        self.token = request(base, "POST", "/login", {"name": name, "password": password, "device": "client.py"})["token"]
        self.clock = 0  # the server's, minus this one's
        self.epoch = self.cursor = self.listed = None
        self.conversations = {}
        self.outbox = []
        self.accepted = {}  # conversation and digest of what was accepted and has not come yet
        self.answers = {}  # the final answer of each message
        self.requests = {}  # by conversation; None is the list
        self.list_again = self.from_start = False
        self.named = set()
        self.resume = collections.defaultdict(float)  # when sending to a conversation goes on
        self.last_id = 0
        self.complete = False  # a list came to its end on this connection
        self.finishing = False
        self.counts = collections.Counter()

    # Values

    def new_name(self):  # R4, R5
        value = int((time.time() + self.clock) * 1000) << 80 | random.getrandbits(80)
        value = value & ~(0xF << 76) | 7 << 76
        value = value & ~(0x3 << 62) | 2 << 62
        digits = "%032x" % value
        return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))

    # State

    def save(self, path, rest):
        """Store what the rules say that a client keeps. What it has heard of and
        does not have is not stored: the cursor is before it (R56)."""
        state = {
            "epoch": self.epoch, "cursor": self.cursor,
            "conversations": {name: [c.seen, list(c.messages.values())] for name, c in self.conversations.items()},
            "outbox": [[m.id, m.conversation, m.body, m.came] for m in self.outbox],
            "accepted": self.accepted, "answers": self.answers, "counts": self.counts,
            "rest": base64.b64encode(rest).decode(),
        }
        with open(path + ".new", "w", encoding="utf-8") as file:
            json.dump(state, file)
        os.replace(path + ".new", path)

    def load(self, path):
        """Load what save stored, and return the input that was left."""
        with open(path, encoding="utf-8") as file:
            state = json.load(file)
        self.epoch, self.cursor = state["epoch"], state["cursor"]
        for name, (seen, messages) in state["conversations"].items():
            c = self.conversations[name] = Conversation()
            c.seen = c.heard = seen
            c.messages = {m["seq"]: m for m in messages}
        for *m, came in state["outbox"]:
            self.outbox.append(Outgoing(*m))
            self.outbox[-1].came = came
        self.accepted, self.answers = state["accepted"], state["answers"]
        self.counts.update(state["counts"])
        return base64.b64decode(state["rest"])

    # The connection

    def run(self, lines):
        wait = self.pause
        while True:
            if self.told:
                raise Terminated
            self.greeted = False
            try:
                self.web = WebSocket(self.base, self.token)
                if self.web.status == 401:
                    raise SystemExit("the session has ended")
                if self.web.status == 101:
                    if self.serve(lines):
                        return
                else:  # R25
                    time.sleep(float(self.web.headers.get("retry-after", 1)))
            except Ended as end:
                if end.code is not None and end.code >= 4100:  # R35
                    raise SystemExit("the server closed the connection with %d" % end.code)
                if end.code == 4002:
                    time.sleep(15)
            except OSError:
                pass
            self.counts["connections"] += 1
            wait = self.pause if self.greeted else min(2 * wait, 15)  # R36
            time.sleep(random.uniform(0, wait))

    def serve(self, lines):
        """Serve one connection. It returns true when everything is done."""
        web = self.web
        self.leave_at = None  # R34
        self.next_ping, self.heard_at = None, time.time()
        while True:
            now = time.time()
            if self.told:
                web.socket.close()
                raise Terminated
            if self.greeted:
                self.flush(now)
                self.ask_due(now)
                if now >= self.next_ping:
                    self.ping(now)
                if lines.ended and not self.finishing:  # what came until now
                    self.finishing = True
                    self.complete = False
                    self.ask_list(now)
                if lines.ended and self.is_whole():
                    web.close()
                    return True
            if self.leave_at is not None and now >= self.leave_at:
                web.close()
                return False
            if self.pinged_at_risk(now):  # R32
                web.socket.close()
                return False
            inputs = [web.socket] if lines.ended else [web.socket, lines.file]
            ready, _, _ = select.select(inputs, [], [], 0.02)
            if web.socket in ready:
                web.fill()
                self.heard_at = time.time()
            for frame in web.frames():
                self.handle(frame)
            if lines.file in ready:
                for line in lines.read():
                    self.outbox.append(Outgoing(self.new_name(), line["conversation"], line["body"]))

    def pinged_at_risk(self, now):
        return self.greeted and self.pinged is not None and now - max(self.pinged, self.heard_at) > 2 * self.heartbeat + 1

    def ping(self, now):  # R31, R60
        frame = {"t": "ping"}
        if self.cursor and None not in self.requests and not self.is_behind():
            frame["cursor"] = self.cursor
        self.web.send(frame)
        self.pinged = now
        self.next_ping = now + self.heartbeat

    def hello(self, frame):
        self.limits = frame["limits"]
        self.heartbeat = self.limits["heartbeat_ms"] / 1000
        self.clock = frame["time"] / 1000 - time.time()
        if self.epoch is not None and self.epoch != frame["epoch"]:  # R59
            self.cursor, self.conversations = None, {}
        self.epoch = frame["epoch"]
        self.greeted, self.complete, self.pinged = True, False, None
        self.next_ping = time.time() + self.heartbeat
        # Nothing is on its way any more.
        self.requests, self.listed, self.list_again = {}, None, False
        for m in self.outbox:
            m.sent = False
        self.resume.clear()
        self.flush(time.time())  # R44
        self.ask_list(time.time())  # R57

    # Sending

    def flush(self, now):
        flying = sum(m.sent for m in self.outbox)
        held = set()  # conversations in which a message must wait: R42
        for m in self.outbox:
            if m.sent:
                continue
            if m.conversation in held or now < self.resume[m.conversation] or flying >= self.limits["in_flight"]:
                held.add(m.conversation)
                continue
            m.sent = True
            flying += 1
            self.web.send({"t": "send", "id": m.id, "conversation": m.conversation, "body": m.body})

    def take_answer(self, name, answer):
        for m in self.outbox:
            if m.id == name:
                self.outbox.remove(m)
                self.answers[name] = answer
                return m
        return None

    def rejected(self, frame):
        self.counts[frame["code"]] += 1
        if "retry_after_ms" not in frame:  # R40
            self.take_answer(frame["id"], frame["code"])
            return
        for m in self.outbox:  # R41
            if m.id == frame["id"]:
                m.sent = False
                at = time.time() + frame["retry_after_ms"] / 1000
                self.resume[m.conversation] = max(self.resume[m.conversation], at)

    def failed(self, failure):  # R46, R47
        _, digest = self.accepted.get(failure["id"], (None, None))
        for m in self.outbox:
            if m.id == failure["id"]:
                digest = m.digest()
        if digest == failure["digest"]:
            self.take_answer(failure["id"], failure["code"])
            self.accepted.pop(failure["id"], None)
            self.answers[failure["id"]] = failure["code"]

    # Changes

    def handle(self, frame):
        kind = frame["t"]
        if kind == "hello":
            self.hello(frame)
        elif kind == "pong":
            self.pinged = None
            self.next_ping = time.time() + frame["next_ms"] / 1000
        elif kind == "goodbye":
            self.leave_at = time.time() + frame["reconnect_after_ms"] / 1000
        elif kind == "accepted":
            m = self.take_answer(frame["id"], "accepted")
            if m and not m.came:
                self.accepted[m.id] = [m.conversation, m.digest()]
        elif kind == "rejected":
            self.rejected(frame)
        elif kind == "failed":
            self.failed(frame)
        elif kind in ("message", "edited", "deleted"):
            self.change(frame["conversation"], frame["rev"], frame)
        elif kind == "conversation":
            self.change(frame["conversation"]["id"], frame["conversation"]["rev"], None)
        elif kind == "removed":  # R50
            c = self.conversations.get(frame["conversation"])
            if c is not None and frame["rev"] > c.heard:
                self.forget(frame["conversation"])
        elif kind == "resync":
            self.counts["resync"] += 1
            self.ask_list(time.time())
        elif kind == "synced":
            self.synced(frame)
        elif kind == "changes":
            self.changes(frame)
        elif kind == "error":
            self.error(frame)
        # R56: the cursor moves only past what is here.
        if self.listed is not None and not self.is_behind():
            self.cursor, self.listed = self.listed, None

    def change(self, name, rev, message):  # R51
        c = self.conversations.get(name)
        if c is None:
            self.ask_list(time.time())
        elif rev == c.seen + 1:
            self.apply(c, message)
            c.seen, c.heard = rev, max(rev, c.heard)
        elif rev > c.seen:
            self.counts["gaps"] += 1
            c.heard = max(rev, c.heard)
            self.ask_changes(name, time.time())

    def apply(self, c, message):
        if message is None:
            return
        c.messages[message["seq"]] = {key: message.get(key) for key in ("seq", "rev", "sender", "client_id", "body", "deleted_at")}
        self.accepted.pop(message["client_id"], None)
        for m in self.outbox:
            m.came = m.came or m.id == message["client_id"]

    def forget(self, name):
        self.conversations.pop(name, None)
        self.requests.pop(name, None)
        self.accepted = {m: what for m, what in self.accepted.items() if what[0] != name}  # these do not come any more

    def is_behind(self):
        return any(c.seen < c.heard for c in self.conversations.values())

    def is_whole(self):
        return self.complete and not self.outbox and not self.accepted and not self.requests and not self.is_behind()

    # Missing nothing

    def ask_list(self, due):
        if None in self.requests:
            self.list_again = True
            return
        self.from_start = self.cursor is None and self.listed is None
        if self.from_start:
            self.named = set()
        self.requests[None] = Request(None, due)

    def ask_changes(self, name, due):
        c = self.conversations[name]
        if name not in self.requests and c.seen < c.heard:
            self.requests[name] = Request(name, due)

    def ask_due(self, now):
        flying = sum(r.id is not None for r in self.requests.values())
        for r in list(self.requests.values()):
            if now < r.due or r.id is None and flying >= 16:  # R62
                continue
            if r.id is None:
                self.last_id += 1
                r.id = str(self.last_id)
                flying += 1
            frame = {"t": "sync", "id": r.id}
            if r.conversation is None:
                cursor = self.listed or self.cursor
                if cursor:
                    frame["cursor"] = cursor
            else:
                frame["conversation"], frame["rev"] = r.conversation, self.conversations[r.conversation].seen
            self.web.send(frame)
            r.due, r.patience = now + r.patience, min(2 * r.patience, 60)

    def synced(self, frame):  # R54, R55
        r = self.requests.get(None)
        if r is None or r.id != frame["id"]:
            return
        del self.requests[None]
        self.listed = frame["cursor"]
        for failure in frame["failed"]:
            self.failed(failure)
        for name in frame["gone"]:
            self.forget(name)
        now = time.time()
        for summary in frame["conversations"]:
            c = self.conversations.setdefault(summary["id"], Conversation())
            c.heard = max(c.heard, summary["rev"])
            self.named.add(summary["id"])
        for name in self.conversations:
            self.ask_changes(name, now)
        if frame["more"]:
            self.requests[None] = Request(None, now)
            return
        if self.from_start:
            for name in set(self.conversations) - self.named:
                self.forget(name)
        self.complete = True
        if self.list_again:
            self.list_again = False
            self.ask_list(now)

    def changes(self, frame):  # R52, R53
        name = frame["conversation"]
        r, c = self.requests.get(name), self.conversations.get(name)
        if c is None or r is None or r.id != frame["id"]:
            return
        del self.requests[name]
        before = c.seen
        for message in frame["messages"]:
            if message["rev"] > before:
                self.apply(c, message)
        c.seen = max(c.seen, frame["rev"])
        c.heard = max(c.heard, c.seen)
        self.ask_changes(name, time.time() + (1 if c.seen == before else 0))

    def error(self, frame):  # R58, R61
        for name, r in list(self.requests.items()):
            if r.id is None or r.id != frame.get("id"):
                continue
            due = time.time() + frame.get("retry_after_ms", 1000) / 1000
            del self.requests[name]
            if name is not None:
                if frame["code"] == "not_found":
                    self.ask_list(time.time())
                self.ask_changes(name, due)
                continue
            if frame["code"] == "invalid":
                self.cursor = self.listed = None
            self.ask_list(due)


class Terminated(Exception):
    """The process is told to end."""


class Lines:
    """Lines of JSON from a file that must not block."""

    def __init__(self, file):
        self.file, self.rest, self.ended = file, b"", False

    def read(self):
        data = os.read(self.file.fileno(), 65536)
        self.ended = not data
        *lines, self.rest = (self.rest + data).split(b"\n")
        return [json.loads(line) for line in lines if line]


def main():
    parser = argparse.ArgumentParser(description="a small client of hikyaku.v1")
    parser.add_argument("--url", required=True, help="address of the installation, such as http://127.0.0.1:8080")
    parser.add_argument("--name", required=True)
    parser.add_argument("--password", required=True)
    parser.add_argument("--state", required=True, help="file of what is kept between two starts")
    parser.add_argument("--pause", type=float, default=0.5, help="seconds before the second attempt to connect, at most")
    options = parser.parse_args()
    told = []
    signal.signal(signal.SIGTERM, lambda *_: told.append(True))
    client = Client(urllib.parse.urlsplit(options.url), options.name, options.password, options.pause, told)
    lines = Lines(sys.stdin)
    if os.path.exists(options.state):
        lines.rest = client.load(options.state)
    try:
        client.run(lines)
    except Terminated:
        client.save(options.state, lines.rest)
        return
    json.dump({
        "conversations": {
            name: {"rev": c.seen, "messages": [c.messages[seq] for seq in sorted(c.messages)]}
            for name, c in client.conversations.items()
        },
        "answers": client.answers,
        "counts": client.counts,
    }, sys.stdout)
    print()


if __name__ == "__main__":
    main()
