/** The piton: an eye and a blade. */
export function Mark({ name = true }: { name?: boolean }) {
  return (
    <span className="inline-flex items-center gap-2 font-semibold tracking-tight">
      <svg viewBox="0 0 32 32" aria-hidden="true" className="size-6 shrink-0">
        <rect width="32" height="32" rx="8" className="fill-accent" />
        <g
          className="fill-none stroke-on-accent"
          strokeWidth="2.8"
          strokeLinecap="round"
          strokeLinejoin="round"
        >
          <circle cx="20.2" cy="11.8" r="5" />
          <path d="M16.6 15.4 6.5 25.5M12 16l4 4" />
        </g>
      </svg>
      {name && 'Piton'}
    </span>
  );
}
