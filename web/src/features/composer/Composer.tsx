import { useCallback, useEffect, useLayoutEffect, useRef, useState, type KeyboardEvent } from "react";
import { useTranslation } from "react-i18next";
import type { Message, Summary } from "../../protocol/types";
import { conversationName } from "../../state/app";
import { useSession } from "../../state/context";
import { Button } from "../../ui/controls";
import { Icon } from "../../ui/icons";
import { useTask } from "../../ui/useTask";
import { useDisplayName } from "../useDisplayName";

/** The server's limit for a message, in bytes of UTF-8. */
const maxBytes = 16 << 10;
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
  replyTo: Message | null;
  editing: Message | null;
  onSent: () => void;
  onDone: () => void;
  onEditLast: () => void;
};

export function Composer({ conversation: c, replyTo, editing, onSent, onDone, onEditLast }: Props) {
  const { t } = useTranslation();
  const { messages } = useSession();
  const [text, setText] = useState("");
  const textarea = useRef<HTMLTextAreaElement>(null);
  const task = useTask();
  const draftBeforeEdit = useRef("");
  const isComposingText = useRef(false);
  const replyName = useDisplayName(replyTo?.sender);

  useEffect(() => {
    let current = true;
    void messages.draft(c.id).then((d) => current && d && setText((now) => now || d));
    return () => {
      current = false;
    };
  }, [messages, c.id]);

  // What is typed in another tab is here too. The text of an input method that is
  // composing stays: it is what is typed last.
  useEffect(
    () =>
      messages.onDraft(c.id, (draft) => {
        if (editing) draftBeforeEdit.current = draft;
        else if (!isComposingText.current) setText(draft);
      }),
    [messages, c.id, editing],
  );

  // While a message is edited, the text area shows it instead of the draft.
  useEffect(() => {
    if (editing) {
      setText((now) => {
        draftBeforeEdit.current = now;
        return editing.body;
      });
      return () => setText(draftBeforeEdit.current);
    }
  }, [editing]);
  useEffect(() => textarea.current?.focus(), [editing, replyTo, c.id]);

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
  const canSend = body.trim() !== "" && excessBytes <= 0 && !task.busy;

  const onChange = (value: string) => {
    setText(value);
    if (editing) return;
    messages.saveDraft(c.id, value);
    if (value.trim()) messages.notifyTyping(c.id);
  };

  const submit = async () => {
    if (!canSend) return;
    if (editing) {
      if (await task.run(() => messages.edit(editing, body))) onDone();
      return;
    }
    messages.send(c.id, body, replyTo?.seq ?? 0);
    onSent();
    setText("");
    messages.saveDraft(c.id, "");
    onDone();
  };

  const onKeyDown = (e: KeyboardEvent<HTMLTextAreaElement>) => {
    if (isComposing(e.nativeEvent)) return;
    if (e.key === "Enter" && !e.shiftKey && !e.altKey && !e.ctrlKey) {
      e.preventDefault();
      void submit();
    } else if (e.key === "Escape" && (editing || replyTo)) {
      e.preventDefault();
      onDone();
    } else if (e.key === "ArrowUp" && text === "" && !editing) {
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
      {(replyTo || editing) && (
        <div className="flex items-center gap-2 rounded-t-xl border border-b-0 border-line bg-panel px-3 py-1.5 text-sm text-dim">
          <Icon name={editing ? "edit" : "reply"} size={15} />
          <span className="min-w-0 flex-1 truncate">
            {editing ? t("editing") : t("replyingTo", { name: replyName })}
            {replyTo && ": " + replyTo.body.slice(0, 120)}
          </span>
          <button
            type="button"
            aria-label={t("cancel")}
            onClick={onDone}
            className="rounded p-1 hover:text-fg"
          >
            <Icon name="close" size={15} />
          </button>
        </div>
      )}
      <div
        className={`flex items-end gap-2 border border-line bg-raised p-1.5 focus-within:border-accent ${replyTo || editing ? "rounded-b-xl" : "rounded-xl"}`}
      >
        <textarea
          ref={textarea}
          aria-label={t("message", { name: conversationName(c) })}
          placeholder={t("message", { name: conversationName(c) })}
          value={text}
          onChange={(e) => onChange(e.target.value)}
          onKeyDown={onKeyDown}
          onCompositionStart={() => (isComposingText.current = true)}
          onCompositionEnd={(e) => {
            isComposingText.current = false;
            onChange(e.currentTarget.value);
          }}
          rows={1}
          className="max-h-[min(15rem,calc(var(--visible-height,100dvh)*0.35))] min-w-0 flex-1 resize-none bg-transparent px-2 py-1.5 outline-none pointer-coarse:py-2.5 placeholder:text-dim"
        />
        <Button
          kind="primary"
          type="submit"
          disabled={!canSend}
          aria-label={editing ? t("save") : t("send")}
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
