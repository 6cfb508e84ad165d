import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query';
import { Link } from '@tanstack/react-router';
import { ShieldCheck } from 'lucide-react';
import { api, body } from '@/api/client';
import { keys } from '@/api/keys';
import type { Run } from '@/api/types';
import { Button } from '@/components/button';
import { Card } from '@/components/card';
import { Loading } from '@/components/page';
import { ProblemNotice } from '@/components/problem';
import { StatusIcon } from '@/components/status';
import { Ago } from '@/components/time';
import { oneLine } from '@/lib/untrusted';
import { quarantinedQuery } from '../api/system';

/** Runs that took workers down and are kept apart until somebody lets them go on. */
export function QuarantineCard() {
  const { data, error, refetch } = useQuery(quarantinedQuery);
  return (
    <Card flush={(data?.runs.length ?? 0) > 0} title="Quarantine">
      {error && <ProblemNotice error={error} retry={() => void refetch()} />}
      {!data && !error && <Loading rows={1} />}
      {data?.runs.length === 0 && (
        <p className="text-sm text-muted">
          Empty. A run whose step takes a worker down three times is put here.
        </p>
      )}
      {data && data.runs.length > 0 && (
        <ul className="divide-y divide-line">
          {data.runs.map((run) => (
            <Quarantined key={run.id} run={run} />
          ))}
        </ul>
      )}
      {data?.next_cursor && (
        <p className="border-t border-line px-4 py-2 text-xs text-muted">
          More are in the{' '}
          <Link
            to={'/runs' as never}
            search={{ status: 'quarantined' } as never}
            className="text-accent underline"
          >
            list of runs
          </Link>
          .
        </p>
      )}
    </Card>
  );
}

function Quarantined({ run }: { run: Run }) {
  const client = useQueryClient();
  const release = useMutation({
    mutationFn: () => body(api.POST('/v1/runs/{id}/release', { params: { path: { id: run.id } } })),
    onSettled: () => client.invalidateQueries({ queryKey: keys.runs }),
  });
  const task = oneLine(run.task);
  return (
    <li className="flex min-w-0 flex-wrap items-center gap-3 px-4 py-2.5 text-sm">
      <StatusIcon status={run.status} />
      <div className="min-w-0 flex-1 basis-40">
        <Link
          to={'/runs/$id' as never}
          params={{ id: run.id } as never}
          className="block truncate font-medium hover:underline"
        >
          {task}
        </Link>
        <p className="truncate text-xs text-muted" title={oneLine(run.error ?? '')}>
          {oneLine(run.error ?? '')} · <Ago at={run.updated_at} />
        </p>
      </div>
      <Button
        small
        Icon={ShieldCheck}
        busy={release.isPending}
        aria-label={`Release ${task}`}
        onClick={() => release.mutate()}
      >
        Release
      </Button>
      {release.isError && <ProblemNotice error={release.error} />}
    </li>
  );
}
