import { useCallback, useEffect, useLayoutEffect, useRef, useState, type KeyboardEvent } from "react";
import { useTranslation } from "../../i18n";
import type { Summary } from "../../protocol/types";
import { useApp } from "../../state/app";
import { useSession } from "../../state/context";
import { emptyDraft, type Draft } from "../../sync/drafts";
import { isVisible } from "../../text/characters";
import { previewOf } from "../../text/preview";
import { Button } from "../../ui/controls";
import { Icon } from "../../ui/icons";
import { OneLine } from "../../ui/OneLine";
import { useTouch } from "../../ui/touch";
import { useTask } from "../../ui/useTask";
import { actionOf } from "../shortcuts/shortcuts";
import { useConversationName, useDisplayName } from "../useDisplayName";
import { composerId } from "./focus";

/** The server's limit for a message, in bytes of UTF-8. */
const maxBytes = 16 << 10;
/** How much of a message is shown of which a reply is being written, in characters. */
export const maxQuoted = 120;
const emptied = { text: "", replyTo: undefined };
type Quoted = NonNullable<Draft["replyTo"]>;
const byteLength = (s: string) => new TextEncoder().encode(s).length;

/** Reports whether a key event belongs to an input method that is composing:
 * its Enter accepts a conversion and must not send the message. Safari ends the
 * composition before the key event, which only has key code 229. */
export function isComposing(e: { isComposing: boolean; keyCode: number }): boolean {
  return e.isComposing || e.keyCode === 229;
}

/** The text without the control characters that the server refuses. Text that is
 * pasted may have some: line breaks of presentations are vertical tabs. */
export function withoutControls(text: string): string {
  return text.replace(/\p{Cc}/gu, (c) => {
    if (c === "\v" || c === "\f") return "\n";
    return c === "\t" || c === "\n" || c === "\r" || c > "\x7f" ? c : "";
  });
}

type Props = {
  conversation: Summary;
  onSent: () => void;
  onEditLast: () => void;
};

/** Shows the conversation's draft, and sends it. */
export function Composer({ conversation: c, onSent, onEditLast }: Props) {
  const { t } = useTranslation();
  const { messages } = useSession();
  const { text: draftText, replyTo, edit } = useApp((s) => s.drafts[c.id] ?? emptyDraft);
  // While an input method composes, its text stays, whatever is typed in other tabs:
  // it is what is typed last.
  const [composed, setComposed] = useState<string | null>(null);
  const textarea = useRef<HTMLTextAreaElement>(null);
  const task = useTask();
  const name = useConversationName(c);
  // While a message is edited, the text area shows it instead of the draft.
  const text = composed ?? edit?.text ?? draftText;

  const touch = useTouch();
  const subject = edit ? "edit " + edit.seq : replyTo ? "reply " + replyTo.seq : "";
  const focusedFor = useRef(subject);
  useEffect(() => {
    // Where the focus brings a keyboard up that covers half of what is to be read, it
    // is for an answer or an edit that is begun, not for a conversation that is opened.
    const isBegun = subject !== "" && subject !== focusedFor.current;
    focusedFor.current = subject;
    if (!touch || isBegun) textarea.current?.focus();
  }, [touch, subject, c.id]);

  const fitText = useCallback(() => {
    const element = textarea.current;
    if (!element) return;
    element.style.height = "auto";
    element.style.height = element.scrollHeight + "px";
  }, []);
  useLayoutEffect(() => fitText(), [text, fitText]);
  // The lines break elsewhere in a window of another width.
  useEffect(() => {
    window.addEventListener("resize", fitText);
    return () => window.removeEventListener("resize", fitText);
  }, [fitText]);

  const body = withoutControls(text);
  const excessBytes = byteLength(body) - maxBytes;
  const canSend = isVisible(body) && excessBytes <= 0 && !task.busy;

  const onChange = (value: string) => {
    task.clear();
    if (edit) return messages.changeDraft(c.id, { edit: { ...edit, text: value } });
    messages.changeDraft(c.id, { text: value });
    if (value.trim()) messages.notifyTyping(c.id);
  };
  const cancel = () => {
    task.clear();
    messages.changeDraft(c.id, edit ? { edit: undefined } : { replyTo: undefined });
  };

  const submit = async () => {
    if (!canSend) return;
    setComposed(null); // an input method may still compose: what it does then is the next text
    if (edit) {
      const ok = await task.run(() => messages.edit(c.id, edit.seq, body));
      // Unless another edit was begun, or this one changed, meanwhile.
      const isCurrent = useApp.getState().drafts[c.id]?.edit === edit;
      if (ok && isCurrent) messages.changeDraft(c.id, { edit: undefined });
      return;
    }
    messages.send(c.id, body, replyTo?.seq ?? 0);
    onSent();
    messages.changeDraft(c.id, emptied);
  };

  const onKeyDown = (e: KeyboardEvent<HTMLTextAreaElement>) => {
    if (isComposing(e.nativeEvent)) return;
    const action = actionOf("composer", e);
    if (action === "sendAnyway" || (action === "send" && !touch)) {
      e.preventDefault();
      void submit();
    } else if (action === "cancel" && (edit || replyTo)) {
      e.preventDefault();
      cancel();
    } else if (action === "editLast" && text === "" && !edit) {
      e.preventDefault();
      onEditLast();
    }
  };

  return (
    <form
      className="px-3 pb-3"
      onSubmit={(e) => {
        e.preventDefault();
        void submit();
      }}
    >
      {(edit || replyTo) && (
        <div className="flex items-center gap-2 rounded-t-xl border border-b-0 border-line bg-panel px-3 py-1.5 text-sm text-dim">
          <Icon name={edit ? "edit" : "reply"} size={15} />
          <span className="flex min-w-0 flex-1 gap-1">
            {edit ? t("editing") : replyTo && <ReplyTarget conversation={c.id} quoted={replyTo} />}
          </span>
          <button
            type="button"
            aria-label={t("cancel")}
            onClick={cancel}
            className="rounded p-1 hover:text-fg"
          >
            <Icon name="close" size={15} />
          </button>
        </div>
      )}
      <div
        className={`flex items-end gap-2 border border-line bg-raised p-1.5 focus-within:border-accent ${replyTo || edit ? "rounded-b-xl" : "rounded-xl"}`}
      >
        <textarea
          ref={textarea}
          id={composerId}
          dir="auto"
          aria-label={t("message", { name })}
          placeholder={t("message", { name })}
          value={text}
          onChange={(e) => {
            if (composed !== null) setComposed(e.target.value);
            onChange(e.target.value);
          }}
          onKeyDown={onKeyDown}
          onCompositionStart={() => setComposed(text)}
          onCompositionEnd={(e) => {
            setComposed(null);
            onChange(e.currentTarget.value);
          }}
          rows={1}
          enterKeyHint={touch ? "enter" : "send"}
          className="max-h-[min(15rem,calc(var(--visible-height,100dvh)*0.35))] min-w-0 flex-1 resize-none bg-transparent px-2 py-1.5 outline-none pointer-coarse:py-2.5 placeholder-shown:truncate placeholder:truncate placeholder:text-dim"
        />
        <Button
          kind="primary"
          type="submit"
          disabled={!canSend}
          // The text keeps the focus, and with it the keyboard on the screen.
          onMouseDown={(e) => e.preventDefault()}
          aria-label={edit ? t("save") : t("send")}
          className="!p-2"
        >
          <Icon name="send" />
        </Button>
      </div>
      {excessBytes > 0 && (
        <p role="alert" className="px-2 pt-1 text-sm text-danger">
          {t("tooLong", { count: excessBytes })}
        </p>
      )}
      {task.error && (
        <p role="alert" className="px-2 pt-1 text-sm text-danger">
          {task.error}
        </p>
      )}
    </form>
  );
}

/** Names what a reply answers: as it is now, or as it was when the reply was begun. */
function ReplyTarget({ conversation, quoted }: { conversation: string; quoted: Quoted }) {
  const { t } = useTranslation();
  const name = useDisplayName(quoted.sender);
  const now = useApp((s) => s.timelines[conversation]?.messages.find((m) => m.seq === quoted.seq));
  const body = now?.deleted_at ? t("deleted") : previewOf(now?.body ?? quoted.body);
  return (
    <>
      <OneLine className="max-w-2/3 shrink-0">{t("replyingTo", { name })}:</OneLine> <OneLine>{body}</OneLine>
    </>
  );
}
