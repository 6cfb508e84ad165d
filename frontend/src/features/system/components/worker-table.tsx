import { useQuery } from '@tanstack/react-query';
import { Link } from '@tanstack/react-router';
import clsx from 'clsx';
import { CircleCheck, CircleX, Server } from 'lucide-react';
import type { Run, Worker } from '@/api/types';
import { Empty } from '@/components/page';
import { Ago, Lasting } from '@/components/time';
import { useNow } from '@/lib/now';
import { duration } from '@/lib/time';
import { oneLine } from '@/lib/untrusted';
import { heldQuery } from '../api/system';

/** Every worker that the store knows of, the living first. */
export function WorkerTable({ workers }: { workers: Worker[] }) {
  if (workers.length === 0) {
    return (
      <Empty Icon={Server} title="No workers yet">
        Start one with <code>piton worker</code>.
      </Empty>
    );
  }
  const livingFirst = [...workers].sort(
    (a, b) => Number(b.alive) - Number(a.alive) || a.id.localeCompare(b.id),
  );
  return (
    <ul className="divide-y divide-line">
      {livingFirst.map((worker) => (
        <li key={worker.id} className="flex min-w-0 items-start gap-3 px-4 py-2.5 text-sm">
          {worker.alive ? (
            <CircleCheck role="img" aria-label="Alive" className="mt-0.5 size-4 shrink-0 text-ok" />
          ) : (
            <CircleX role="img" aria-label="Gone" className="mt-0.5 size-4 shrink-0 text-bad" />
          )}
          <div className="min-w-0 flex-1">
            <code className="block truncate font-medium">{worker.id}</code>
            <p className="truncate text-xs text-muted">
              {worker.host} · pid {worker.pid} · v{worker.version} · started <Ago at={worker.started_at} />
            </p>
            {worker.lacks.length > 0 && (
              <p className="text-xs text-muted">lacks {worker.lacks.map(oneLine).join(', ')}</p>
            )}
            {worker.runs > 0 && <Held worker={worker} />}
          </div>
          <div className="w-32 shrink-0 text-right">
            <p className="tabular-nums">
              {worker.runs} <span className="text-muted">of {worker.concurrency} runs</span>
            </p>
            <p className={clsx('text-xs', worker.alive ? 'text-muted' : 'text-bad')}>
              <Lease worker={worker} />
            </p>
          </div>
        </li>
      ))}
    </ul>
  );
}

/** Runs of one worker that are named; the others are a press away. */
const RUNS_SHOWN = 3;

/** What a worker does now, and since when. */
function Held({ worker }: { worker: Worker }) {
  const runs = useQuery(heldQuery(worker.id, RUNS_SHOWN)).data ?? [];
  return (
    <ul aria-label={`What ${worker.id} does`} className="mt-1.5 flex flex-col gap-0.5">
      {runs.map((run) => (
        <li key={run.id} className="flex min-w-0 items-baseline gap-x-2 text-xs max-sm:flex-col">
          <Link
            to={'/runs/$id' as never}
            params={{ id: run.id } as never}
            className="max-w-full min-w-0 truncate text-ink hover:underline"
          >
            {oneLine(run.task) || run.id}
          </Link>
          <span className="shrink-0 text-muted">
            {doing(run)} <Lasting from={run.updated_at} to={null} />
          </span>
        </li>
      ))}
      {worker.runs > runs.length && runs.length > 0 && (
        <li className="text-xs">
          <Link
            to={'/runs' as never}
            search={{ owner: worker.id } as never}
            className="font-medium text-accent hover:underline"
          >
            and {worker.runs - runs.length} more
          </Link>
        </li>
      )}
    </ul>
  );
}

function doing(run: Run): string {
  const front = run.pending[0];
  return front ? `calls ${oneLine(front.name)},` : 'asks the model,';
}

function Lease({ worker }: { worker: Worker }) {
  const now_ms = useNow();
  if (!worker.alive) return <>gone</>;
  if (worker.draining) return <>draining: takes nothing new</>;
  const left_ms = Date.parse(worker.lease_expires_at) - now_ms;
  return <>lease {left_ms > 0 ? duration(Math.ceil(left_ms / 1000) * 1000).replace('.0', '') : 'due'}</>;
}
