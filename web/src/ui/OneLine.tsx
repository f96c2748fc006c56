import type { HTMLAttributes } from "react";

/** What a person has written or is called, on one line. What does not fit is cut off where
 * the text ends, which is on the left in Hebrew or Arabic: so nothing but the element that
 * is cut off can have the direction. It stands on the left, as the page's own words do. */
export function OneLine({ className = "", ...rest }: HTMLAttributes<HTMLSpanElement>) {
  return <span dir="auto" {...rest} className={`block min-w-0 truncate text-left ${className}`} />;
}
