import clsx from 'clsx';
import { CircleCheck, CircleX, Server } from 'lucide-react';
import type { Worker } from '@/api/types';
import { Empty } from '@/components/page';
import { Ago } from '@/components/time';
import { useNow } from '@/lib/now';
import { duration } from '@/lib/time';

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
        <li key={worker.id} className="flex min-w-0 items-center gap-3 px-4 py-2.5 text-sm">
          {worker.alive ? (
            <CircleCheck role="img" aria-label="Alive" className="size-4 shrink-0 text-ok" />
          ) : (
            <CircleX role="img" aria-label="Gone" className="size-4 shrink-0 text-bad" />
          )}
          <div className="min-w-0 flex-1">
            <code className="block truncate font-medium">{worker.id}</code>
            <p className="truncate text-xs text-muted">
              {worker.host} · pid {worker.pid} · v{worker.version} · started <Ago at={worker.started_at} />
            </p>
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

function Lease({ worker }: { worker: Worker }) {
  const now_ms = useNow();
  if (!worker.alive) return <>gone</>;
  const left_ms = Date.parse(worker.lease_expires_at) - now_ms;
  return <>lease {left_ms > 0 ? duration(Math.ceil(left_ms / 1000) * 1000).replace('.0', '') : 'due'}</>;
}
