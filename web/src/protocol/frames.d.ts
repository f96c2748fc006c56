// Made by `make generate` from the Go types. Do not edit.

export type paths = Record<string, never>;
export type webhooks = Record<string, never>;
export interface components {
    schemas: {
        Accepted: {
            id: string;
            /** @enum {string} */
            t: "accepted";
        };
        Changes: {
            conversation: string;
            id: string;
            messages: components["schemas"]["Message"][];
            more: boolean;
            /**
             * Format: int64
             * @description everything up to this change has been seen once this frame is applied; without more, the last change of the conversation
             */
            rev: number;
            /** @enum {string} */
            t: "changes";
        };
        Conversation: {
            /**
             * Format: int64
             * @description time of the last message, or of the creation
             */
            active_at: number;
            /** Format: int64 */
            created_at: number;
            id: string;
            /** @enum {string} */
            kind: "direct" | "group" | "channel";
            /**
             * Format: int64
             * @description how many members it has
             */
            members: number;
            /**
             * Format: int64
             * @description rev of the last change of membership
             */
            members_rev: number;
            /**
             * Format: int64
             * @description of the last change: message, edit, delete, name or membership
             */
            rev: number;
            /**
             * Format: int64
             * @description of the last message, 0 for none
             */
            seq: number;
            /** @description empty for a direct conversation */
            title: string;
            topic?: string;
        };
        ConversationFrame: {
            /** @description who did it */
            by: string;
            conversation: components["schemas"]["Conversation"];
            /** @description who is in it from now on; one who finds themselves here asks for the conversation's summary */
            joined?: components["schemas"]["User"][] | null;
            /** @description who is out of it */
            left?: components["schemas"]["User"][] | null;
            /** @enum {string} */
            t: "conversation";
        };
        ErrorFrame: {
            /** @enum {string} */
            code: "malformed" | "invalid" | "too_large" | "not_found" | "forbidden" | "rate_limited" | "unavailable";
            /** @description id of the frame at fault, where it had one */
            id?: string;
            /**
             * Format: int64
             * @description the same frame may be sent again after that time
             */
            retry_after_ms?: number;
            /** @enum {string} */
            t: "error";
            text: string;
        };
        Failed: {
            code: string;
            /** @description what was sent: the first 16 bytes, in hexadecimal digits, of the SHA-256 of the conversation's id, a line feed, reply_to (0 for none), a line feed, and the body */
            digest: string;
            id: string;
            /** @enum {string} */
            t: "failed";
            /** @description one sentence for people */
            text: string;
        };
        Failure: {
            code: string;
            /** @description what was sent: the first 16 bytes, in hexadecimal digits, of the SHA-256 of the conversation's id, a line feed, reply_to (0 for none), a line feed, and the body */
            digest: string;
            id: string;
            /** @description one sentence for people */
            text: string;
        };
        Goodbye: {
            /** Format: int64 */
            reconnect_after_ms: number;
            /** @enum {string} */
            t: "goodbye";
        };
        Hello: {
            /** @description opaque; when it is another one than that of the last connection, history has gone back: drop cursors, conversations and messages, keep what is unsent, and begin anew */
            epoch: string;
            limits: components["schemas"]["Limits"];
            /** @description version of the server */
            server: string;
            session: string;
            /** @enum {string} */
            t: "hello";
            /**
             * Format: int64
             * @description the server's clock; make the ids of messages from it
             */
            time: number;
            user: components["schemas"]["User"];
        };
        Limits: {
            /**
             * Format: int64
             * @description largest text of a message
             */
            body_bytes: number;
            /**
             * Format: int64
             * @description messages of one user at once
             */
            burst: number;
            /**
             * Format: int64
             * @description largest frame from a client
             */
            frame_bytes: number;
            /**
             * Format: int64
             * @description time until the first ping, and until the next one after the client sent something
             */
            heartbeat_ms: number;
            /**
             * Format: int64
             * @description a connection without any frame from the client for so long is closed
             */
            idle_ms: number;
            /**
             * Format: int64
             * @description most sends without an answer
             */
            in_flight: number;
            /**
             * Format: double
             * @description messages per second of one user, in the long run
             */
            per_second: number;
            /**
             * Format: int64
             * @description most people watched for presence
             */
            watch_users: number;
        };
        Mark: {
            conversation: string;
            /**
             * Format: int64
             * @description seq up to which the person has read
             */
            read?: number;
            /**
             * Format: int64
             * @description seq up to which this device has received; only worth sending in direct conversations
             */
            received?: number;
            /** @enum {string} */
            t: "mark";
        };
        MarkFrame: {
            conversation: string;
            /** Format: int64 */
            read: number;
            /** Format: int64 */
            received: number;
            /** @enum {string} */
            t: "mark";
            user: string;
        };
        Message: {
            /** Format: int64 */
            at: number;
            /** @description Markdown */
            body: string;
            /** @description the name that the sender's device gave it (UUIDv7) */
            client_id: string;
            conversation: string;
            /** Format: int64 */
            deleted_at?: number;
            /** Format: int64 */
            edited_at?: number;
            id: string;
            /**
             * Format: int64
             * @description seq of the message that it answers
             */
            reply_to?: number;
            /**
             * Format: int64
             * @description the change of the conversation that gave the message this form
             */
            rev: number;
            sender: string;
            /**
             * Format: int64
             * @description place in the conversation: 1, 2, 3 … without a hole
             */
            seq: number;
        };
        MessageFrame: {
            /** Format: int64 */
            at: number;
            /** @description Markdown */
            body: string;
            /** @description the name that the sender's device gave it (UUIDv7) */
            client_id: string;
            conversation: string;
            /** Format: int64 */
            deleted_at?: number;
            /** Format: int64 */
            edited_at?: number;
            id: string;
            /**
             * Format: int64
             * @description seq of the message that it answers
             */
            reply_to?: number;
            /**
             * Format: int64
             * @description the change of the conversation that gave the message this form
             */
            rev: number;
            sender: string;
            /**
             * Format: int64
             * @description place in the conversation: 1, 2, 3 … without a hole
             */
            seq: number;
            /** @enum {string} */
            t: "message" | "edited" | "deleted";
        };
        Ping: {
            /** @description from the last synced frame, once everything up to it is there: the server sends resync when something changed since */
            cursor?: string;
            /** @enum {string} */
            t: "ping";
        };
        Pong: {
            /**
             * Format: int64
             * @description when the next ping is due, unless the client sends something before
             */
            next_ms: number;
            /** @enum {string} */
            t: "pong";
        };
        PresenceFrame: {
            states: components["schemas"]["PresenceState"][];
            /** @enum {string} */
            t: "presence";
        };
        PresenceState: {
            /**
             * Format: int64
             * @description when the last device went away
             */
            last_seen?: number;
            /** @enum {string} */
            state: "online" | "away" | "offline";
            user: string;
        };
        Preview: {
            /** Format: int64 */
            at: number;
            /** @description Markdown */
            body: string;
            /** @description the name that the sender's device gave it (UUIDv7) */
            client_id: string;
            /** @description body is the beginning of a longer text; the whole is in the messages of the conversation */
            clipped?: boolean;
            conversation: string;
            /** Format: int64 */
            deleted_at?: number;
            /** Format: int64 */
            edited_at?: number;
            id: string;
            /**
             * Format: int64
             * @description seq of the message that it answers
             */
            reply_to?: number;
            /**
             * Format: int64
             * @description the change of the conversation that gave the message this form
             */
            rev: number;
            sender: string;
            /**
             * Format: int64
             * @description place in the conversation: 1, 2, 3 … without a hole
             */
            seq: number;
        };
        Rejected: {
            /** @enum {string} */
            code: "invalid" | "too_large" | "not_found" | "forbidden" | "conflict" | "rate_limited" | "overloaded" | "unavailable" | "in_flight" | "order";
            id: string;
            /** Format: int64 */
            retry_after_ms?: number;
            /** @enum {string} */
            t: "rejected";
            /** @description one sentence for people */
            text: string;
            /** @description the first message to the conversation that was rejected before this one, and must be sent again or withdrawn before it */
            waits_for?: string;
        };
        Removed: {
            conversation: string;
            /**
             * Format: int64
             * @description of the removal; a device that knows of a later change is in the conversation again
             */
            rev: number;
            /** @enum {string} */
            t: "removed";
        };
        Resync: {
            /** @description pushes do not arrive at present: what the device lacks is not on its way */
            lost?: boolean;
            /** @enum {string} */
            t: "resync";
        };
        Send: {
            /** @description Markdown, 1 to limits.body_bytes bytes, visible, without control characters besides tab and line breaks */
            body: string;
            conversation: string;
            /** @description name of the message: a UUIDv7 made from the server's time (hello.time) */
            id: string;
            /**
             * Format: int64
             * @description seq of the message that it answers
             */
            reply_to?: number;
            /** @enum {string} */
            t: "send";
        };
        Status: {
            away: boolean;
            /** @enum {string} */
            t: "status";
        };
        Summary: {
            /**
             * Format: int64
             * @description time of the last message, or of the creation
             */
            active_at: number;
            /** Format: int64 */
            created_at: number;
            id: string;
            /** @enum {string} */
            kind: "direct" | "group" | "channel";
            /** @description the last message, of a long text the beginning */
            last?: components["schemas"]["Preview"];
            /**
             * Format: int64
             * @description how many members it has
             */
            members: number;
            /**
             * Format: int64
             * @description rev of the last change of membership
             */
            members_rev: number;
            /**
             * Format: int64
             * @description in a group or channel of up to 64 members, the highest seq up to which one of the others has read since they joined; 0 when nobody has
             */
            others_read?: number;
            /** @description the other person of a direct conversation */
            peer?: components["schemas"]["User"];
            /**
             * Format: int64
             * @description seq up to which the other person has read
             */
            peer_read?: number;
            /**
             * Format: int64
             * @description seq up to which a device of the other person has received
             */
            peer_received?: number;
            /**
             * Format: int64
             * @description seq up to which the member has read
             */
            read: number;
            /**
             * Format: int64
             * @description of the last change: message, edit, delete, name or membership
             */
            rev: number;
            /** @enum {string} */
            role: "owner" | "admin" | "member";
            /**
             * Format: int64
             * @description of the last message, 0 for none
             */
            seq: number;
            /** @description empty for a direct conversation */
            title: string;
            topic?: string;
            /**
             * Format: int64
             * @description messages after the read mark and after the member's own last one
             */
            unread: number;
        };
        Sync: {
            conversation?: string;
            /** @description from the last synced frame; empty to begin. One that the server does not know (any more) is answered with error invalid: begin with an empty one */
            cursor?: string;
            /** @description repeated in the answer */
            id: string;
            /**
             * Format: int64
             * @description most entries wanted, 1 to 200 (default 100)
             */
            limit?: number;
            /**
             * Format: int64
             * @description the last change of the conversation that the device has seen
             */
            rev?: number;
            /** @enum {string} */
            t: "sync";
        };
        Synced: {
            /** @description those that changed, also by marks alone, oldest change first; without a cursor all, in any order */
            conversations: components["schemas"]["Summary"][];
            /** @description for the next sync */
            cursor: string;
            /** @description messages of the user that failed after they were accepted, oldest first; one may be listed more than once */
            failed: components["schemas"]["Failure"][];
            /** @description those that the user is no longer in */
            gone: string[];
            id: string;
            /** @description ask again at once, with the cursor */
            more: boolean;
            /** @enum {string} */
            t: "synced";
        };
        Typing: {
            conversation: string;
            /** @enum {string} */
            t: "typing";
        };
        TypingFrame: {
            conversation: string;
            /** @enum {string} */
            t: "typing";
            user: string;
        };
        User: {
            /** @description administers the installation */
            admin?: boolean;
            disabled?: boolean;
            display_name: string;
            id: string;
            /** @description unique name, for mentions and for logging in */
            name: string;
        };
        Watch: {
            /** @enum {string} */
            t: "watch";
            users: string[] | null;
        };
        Withdraw: {
            /** @description of the message */
            id: string;
            /** @enum {string} */
            t: "withdraw";
        };
        Withdrawn: {
            /** @description of the message */
            id: string;
            /** @enum {string} */
            t: "withdrawn";
        };
    };
    responses: never;
    parameters: never;
    requestBodies: never;
    headers: never;
    pathItems: never;
}
export type $defs = Record<string, never>;
export type operations = Record<string, never>;
