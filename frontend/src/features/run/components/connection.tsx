import { CloudOff, Radio, RefreshCw, SquareCheck } from 'lucide-react';
import type { Connection } from '../api/stream';

/** How fresh what is shown is. A reader is told at once when it is not. */
export function ConnectionState({ connection, isOver }: { connection: Connection; isOver: boolean }) {
  // Nothing more happens to a run that is over for good: there is no live to be.
  const shown = isOver && connection.phase === 'live' ? { phase: 'ended' as const } : connection;
  return (
    <span
      role="status"
      data-connection={shown.phase}
      className="inline-flex h-6 items-center gap-1.5 text-xs whitespace-nowrap"
    >
      {look(shown)}
    </span>
  );
}

function look(connection: Connection) {
  switch (connection.phase) {
    case 'live':
      return (
        <span className="inline-flex items-center gap-1.5 text-ok">
          <Radio aria-hidden className="size-3.5" /> Live
        </span>
      );
    case 'connecting':
      return <span className="text-faint">Connecting…</span>;
    case 'reconnecting':
      return (
        <span className="inline-flex items-center gap-1.5 rounded-full bg-limit-soft px-2 py-0.5 font-medium text-limit">
          <RefreshCw aria-hidden className="size-3.5 motion-safe:animate-spin" /> Reconnecting…
        </span>
      );
    case 'ended':
      return (
        <span className="inline-flex items-center gap-1.5 text-faint">
          <SquareCheck aria-hidden className="size-3.5" /> Up to date
        </span>
      );
    case 'refused':
      return (
        <span className="inline-flex items-center gap-1.5 text-bad">
          <CloudOff aria-hidden className="size-3.5" /> Not live: {connection.problem.title}
        </span>
      );
  }
}
