import { createContext, useCallback, useContext, useState, type ReactNode } from "react";
import { lazily } from "../../ui/lazily";

const PersonCard = lazily(() => import("./PersonCard").then((m) => m.PersonCard));

type Show = (user: string, anchor: HTMLElement) => void;
const ShowCard = createContext<Show>(() => {});

/** Shows the card of a person whose PersonButton in it is pressed: one at a time, so that
 * a row of a list has a button and nothing more. */
export function PeopleCards({ children }: { children: ReactNode }) {
  const [shown, setShown] = useState<{ user: string; anchor: HTMLElement } | null>(null);
  const show = useCallback((user: string, anchor: HTMLElement) => setShown({ user, anchor }), []);
  return (
    <ShowCard value={show}>
      {children}
      {shown && <PersonCard {...shown} onClose={() => setShown(null)} />}
    </ShowCard>
  );
}

type Props = { user: string; className?: string; tabIndex?: number; children: ReactNode };

/** What names a person, and shows their card when it is pressed. */
export function PersonButton({ user, children, ...rest }: Props) {
  const show = useContext(ShowCard);
  return (
    <button type="button" aria-haspopup="dialog" {...rest} onClick={(e) => show(user, e.currentTarget)}>
      {children}
    </button>
  );
}
