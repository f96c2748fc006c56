import { create } from "zustand";

/** How many announcements stay in the document. */
const kept = 5;

const useAnnouncements = create<{ count: number; texts: { id: number; text: string }[] }>()(() => ({
  count: 0,
  texts: [],
}));

/** Has screen readers say a text, once they have said what they are at. */
export function announce(text: string) {
  useAnnouncements.setState(({ count, texts }) => ({
    count: count + 1,
    texts: [...texts.slice(1 - kept), { id: count, text }],
  }));
}

/** Where announcements are made. Each is an element of its own: what is added is said, also
 * when it is the same as before. */
export function Announcer() {
  const texts = useAnnouncements((s) => s.texts);
  return (
    <div aria-live="polite" className="sr-only">
      {texts.map(({ id, text }) => (
        <p key={id}>{text}</p>
      ))}
    </div>
  );
}
