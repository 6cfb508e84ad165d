import { Link } from '@tanstack/react-router';

/** A link to one event of the run on this page: it opens the inspector, and can be sent to somebody. */
export function InspectLink({ id }: { id: number }) {
  return (
    <Link
      to="."
      search={((before: Record<string, string>) => ({ ...before, event: String(id) })) as never}
      resetScroll={false}
      aria-label={`Inspect event ${id}`}
      title={`Inspect event ${id}`}
      className="rounded-sm px-1 text-xs text-faint tabular-nums hover:bg-hover hover:text-ink"
    >
      #{id}
    </Link>
  );
}
