import type { ComponentProps, InputHTMLAttributes, ReactNode } from "react";
import { useId } from "react";
import { initialOf } from "../text/characters";

type ButtonProps = ComponentProps<"button"> & {
  kind?: "primary" | "plain" | "danger" | "ghost";
};

const buttonStyles = {
  primary: "bg-accent text-accent-fg hover:brightness-110 px-4 py-2 font-medium",
  plain: "border border-line bg-raised hover:bg-panel px-3 py-1.5 font-normal",
  danger: "border border-line text-danger hover:bg-panel px-3 py-1.5 font-normal",
  ghost: "text-dim hover:text-fg hover:bg-line/50 p-2",
};

export function Button({ kind = "plain", className = "", ...rest }: ButtonProps) {
  return (
    <button
      type="button"
      {...rest}
      className={`inline-flex items-center justify-center gap-2 rounded-lg motion-safe:transition-colors disabled:cursor-not-allowed disabled:opacity-50 ${buttonStyles[kind]} ${className}`}
    />
  );
}

type FieldProps = InputHTMLAttributes<HTMLInputElement> & { label: string; hint?: string; error?: string };

export function Field({ label, hint, error, className = "", ...rest }: FieldProps) {
  const id = useId();
  const describedBy = error ? id + "-error" : hint ? id + "-hint" : undefined;
  return (
    <div className={"flex flex-col gap-1 " + className}>
      <label htmlFor={id} className="text-sm font-medium">
        {label}
      </label>
      <input
        id={id}
        dir="auto"
        aria-describedby={describedBy}
        aria-invalid={error ? true : undefined}
        {...rest}
        className="rounded-lg border border-line bg-bg px-3 py-2 placeholder:text-dim aria-invalid:border-danger"
      />
      {error ? (
        <p id={id + "-error"} role="alert" className="text-sm text-danger">
          {error}
        </p>
      ) : (
        hint && (
          <p id={id + "-hint"} className="text-sm text-dim">
            {hint}
          </p>
        )
      )}
    </div>
  );
}

export function ErrorMessage({ children }: { children: ReactNode }) {
  return (
    <p
      role="alert"
      className="rounded-lg border border-line bg-panel px-3 py-2 text-sm text-danger empty:hidden"
    >
      {children}
    </p>
  );
}

const hues = [14, 45, 95, 160, 200, 235, 275, 320];

/** Shows the initial of a user or a conversation, on a color derived from the id. */
export function Avatar({ name, id, size = 36 }: { name: string; id: string; size?: number }) {
  let hash = 0;
  for (const c of id) hash = (hash * 31 + c.charCodeAt(0)) >>> 0;
  const hue = hues[hash % hues.length];
  return (
    <span
      aria-hidden
      className="inline-flex shrink-0 items-center justify-center overflow-hidden rounded-xl font-semibold text-white select-none"
      style={{ width: size, height: size, fontSize: size * 0.42, background: `oklch(0.52 0.12 ${hue})` }}
    >
      {initialOf(name)}
    </span>
  );
}
