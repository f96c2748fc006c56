/** The courier's mark, in the page itself: it is there without a network too. */
export function Logo({ size }: { size: number }) {
  return (
    <svg aria-hidden width={size} height={size} viewBox="0 0 64 64" className="shrink-0">
      <rect width="64" height="64" rx="15" fill="#c2410c" />
      <path d="M14 22c0-3 2-5 5-5h26c3 0 5 2 5 5v16c0 3-2 5-5 5H31l-9 8v-8h-3c-3 0-5-2-5-5z" fill="#fff" />
      <path
        d="M22 30h13m0 0-5-5m5 5-5 5"
        stroke="#c2410c"
        strokeWidth="4"
        fill="none"
        strokeLinecap="round"
        strokeLinejoin="round"
      />
    </svg>
  );
}
