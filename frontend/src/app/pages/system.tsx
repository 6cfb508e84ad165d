import { useQuery } from '@tanstack/react-query';
import { LogOut, TriangleAlert } from 'lucide-react';
import { wasSignedIn } from '@/api/session';
import { Button } from '@/components/button';
import { Card, Notice } from '@/components/card';
import { Facts, Figure } from '@/components/facts';
import { Loading, Page } from '@/components/page';
import { ProblemNotice } from '@/components/problem';
import { useLogout } from '@/features/session/api/session';
import { queueQuery, systemQuery, workersQuery } from '@/features/system/api/system';
import { LackingBanner, PracticeWords } from '@/features/system/components/banners';
import { PaceCard } from '@/features/system/components/pace-card';
import { QuarantineCard } from '@/features/system/components/quarantine-card';
import { WorkerTable } from '@/features/system/components/worker-table';
import { duration } from '@/lib/time';
import { ThemeButton } from '../shell';

export function SystemPage() {
  const system = useQuery(systemQuery);
  const workers = useQuery(workersQuery);
  const queue = useQuery(queueQuery);
  const trouble = system.error ?? workers.error ?? queue.error;
  const retry = () => void Promise.all([system.refetch(), workers.refetch(), queue.refetch()]);
  const living = workers.data?.workers.filter((worker) => worker.alive) ?? [];
  return (
    <Page title="System" lead={system.data && `Piton ${system.data.version}`}>
      {trouble && <ProblemNotice error={trouble} retry={retry} />}
      {system.data?.test_tools && (
        <Notice tone="limit" icon={<TriangleAlert aria-hidden />} title="Test tools are on">
          Agents may call abort, panic and sleep, which take workers down or hold them up on purpose. Switch
          them off where it matters.
        </Notice>
      )}
      <LackingBanner lacking={queue.data?.lacking ?? []} />
      <div className="grid grid-cols-2 gap-3 lg:grid-cols-4">
        <Figure
          name="Waiting jobs"
          value={queue.data?.due ?? '–'}
          hint={
            queue.data && queue.data.due > 0
              ? `the oldest for ${duration(queue.data.oldest_ms)}`
              : 'nothing waits'
          }
        />
        <Figure name="For later" value={queue.data?.later ?? '–'} hint="jobs with a time" />
        <Figure name="In work" value={queue.data?.owned ?? '–'} hint="runs a worker holds" />
        <Figure
          name="Workers"
          value={workers.data ? living.length : '–'}
          hint={`${living.reduce((sum, worker) => sum + worker.concurrency, 0)} runs at once`}
        />
      </div>
      <Card flush title="Workers">
        {workers.data ? <WorkerTable workers={workers.data.workers} /> : <Loading rows={2} />}
      </Card>
      <PaceCard />
      <QuarantineCard />
      <div className="grid gap-5 lg:grid-cols-2">
        <Card title="Store">
          {system.data && (
            <Facts
              facts={[
                ['Engine', `${system.data.store.engine} ${system.data.store.engine_version}`],
                [
                  'Commits',
                  SYNCHRONOUS[system.data.store.synchronous.toLowerCase()] ?? system.data.store.synchronous,
                ],
                ['Schema', system.data.store.schema],
              ]}
            />
          )}
        </Card>
        <Card title="Model">
          {system.data?.practice_model ? (
            <PracticeWords />
          ) : (
            <p className="text-sm text-muted">
              Agents that name none ask <code className="text-ink">{system.data?.model}</code>.
            </p>
          )}
        </Card>
      </div>
      <Card title="This browser">
        <div className="flex flex-wrap items-center justify-between gap-3">
          <div className="w-44">
            <ThemeButton />
          </div>
          {wasSignedIn() && <SignOut />}
        </div>
      </Card>
    </Page>
  );
}

const SYNCHRONOUS: Record<string, string> = {
  full: 'full: what was acknowledged survives power loss',
  normal: 'normal: survives a crash, not power loss',
};

function SignOut() {
  const logout = useLogout();
  return (
    <Button look="quiet" Icon={LogOut} busy={logout.isPending} onClick={() => logout.mutate()}>
      Sign out
    </Button>
  );
}
