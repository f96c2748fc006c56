// Short names for the generated types.
import type { components as Api } from "./api";
import type { components as Frames } from "./frames";

type A = Api["schemas"];
type F = Frames["schemas"];

export type User = A["User"];
export type Message = A["Message"];
export type Conversation = A["Conversation"];
export type Summary = A["Summary"];
export type Member = A["Member"];
export type Session = A["Session"];
export type Invitation = A["Invitation"];
export type LinkPreview = A["LinkPreview"];
export type Installation = A["Installation"];
export type ChannelEntry = A["ChannelEntry"];
export type History = A["History"];
export type PresenceState = F["PresenceState"];

export type Hello = F["Hello"];
export type Synced = F["Synced"];
export type Changes = F["Changes"];
export type Rejected = F["Rejected"];
export type MessageFrame = F["MessageFrame"];
export type ConversationFrame = F["ConversationFrame"];

/** The frames that a server sends; t is the type. */
export type ServerFrame =
  | F["Hello"]
  | F["Accepted"]
  | F["Rejected"]
  | F["Withdrawn"]
  | F["Failed"]
  | F["MessageFrame"]
  | F["MarkFrame"]
  | F["TypingFrame"]
  | F["PresenceFrame"]
  | F["ConversationFrame"]
  | F["Removed"]
  | F["Resync"]
  | F["Synced"]
  | F["Changes"]
  | F["Pong"]
  | F["Goodbye"]
  | F["ErrorFrame"];

/** The frames that a client sends. */
export type ClientFrame =
  F["Send"] | F["Withdraw"] | F["Mark"] | F["Typing"] | F["Watch"] | F["Status"] | F["Sync"] | F["Ping"];
