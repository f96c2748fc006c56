import { useRef, useState, type ReactNode } from "react";
import { lazily } from "./lazily";

export type MenuEntry = {
  key: string;
  label: ReactNode;
  onSelect: () => void;
  /** Whether it deletes something. */
  danger?: boolean;
};

const OpenMenu = lazily(() => import("./OpenMenu").then((m) => m.OpenMenu));

type Props = { label: string; title?: string; className: string; entries: MenuEntry[]; children: ReactNode };

/** A button that opens a menu. The menu exists only while it is open. */
export function MenuButton({ label, title, className, entries, children }: Props) {
  const button = useRef<HTMLButtonElement>(null);
  const [open, setOpen] = useState(false);
  return (
    <>
      <button
        ref={button}
        type="button"
        aria-label={label}
        title={title}
        aria-haspopup="menu"
        aria-expanded={open}
        className={className}
        onClick={() => setOpen(true)}
        onKeyDown={(e) => {
          if (e.key !== "ArrowDown" && e.key !== "ArrowUp") return;
          e.preventDefault();
          setOpen(true);
        }}
      >
        {children}
      </button>
      {open && <OpenMenu anchor={button} label={label} entries={entries} onClose={() => setOpen(false)} />}
    </>
  );
}
