import type { ReactNode } from 'react';
import { RowLink } from '@/components/row-link';
import { StatusIcon, StatusWord } from '@/components/status';
import { Ago } from '@/components/time';
import { oneLine } from '@/lib/untrusted';
import type { Row } from '../list';

/** A run as a short line: what a phone has room for, and what the home page shows of the latest. */
export function RunLine({ row, aside }: { row: Row; aside?: ReactNode }) {
  return (
    <li className="relative flex h-15 min-w-0 items-center gap-3 px-4 hover:bg-hover">
      <StatusIcon status={row.status} />
      <div className="min-w-0 flex-1">
        <RunLink row={row} />
        <p className="truncate text-xs text-muted">
          <StatusWord status={row.status} /> · {oneLine(row.gist ?? `Step ${row.steps} of ${row.max_steps}`)}
        </p>
      </div>
      <span className="text-xs text-muted">
        <Ago at={row.created_at} />
      </span>
      {aside}
    </li>
  );
}

/** The link covers its whole row, so that a row can be pressed anywhere. */
export function RunLink({ row }: { row: Row }) {
  const task = oneLine(row.task);
  return (
    <RowLink
      to={{ path: `/runs/${row.id}` }}
      title={task}
      data-stop
      className="block truncate font-medium after:absolute after:inset-0 focus-visible:outline-none focus-visible:after:outline-2 focus-visible:after:-outline-offset-2 focus-visible:after:outline-accent"
    >
      {task === '' ? '(no task)' : task}
    </RowLink>
  );
}
