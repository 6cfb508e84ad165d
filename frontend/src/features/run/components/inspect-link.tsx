import { RowLink } from '@/components/row-link';

/** A link to one event of the run on this page: it opens the inspector, and can be sent to somebody. */
export function InspectLink({ id }: { id: number }) {
  return (
    <RowLink
      to={{ event: id }}
      aria-label={`Inspect event ${id}`}
      title={`Inspect event ${id}`}
      className="rounded-sm px-1 text-xs text-faint tabular-nums hover:bg-hover hover:text-ink"
    >
      #{id}
    </RowLink>
  );
}
