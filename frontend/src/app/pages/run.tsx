import { useQuery, useQueryClient } from '@tanstack/react-query';
import { getRouteApi, Link, useNavigate } from '@tanstack/react-router';
import { ArrowDown, ChevronRight, SearchX } from 'lucide-react';
import { lazy, Suspense, useState } from 'react';
import { problemOf } from '@/api/problem';
import type { LostAttempt, Run } from '@/api/types';
import { Button, ButtonLink } from '@/components/button';
import { Card } from '@/components/card';
import { Empty, Loading, useTitle } from '@/components/page';
import { ProblemNotice } from '@/components/problem';
import { StatusBadge, statusLabel } from '@/components/status';
import { Tabs } from '@/components/tabs';
import { Prose } from '@/components/text';
import { LaunchAgain } from '@/features/launch/components/launch-again';
import { lostQuery } from '@/features/run/api/lost';
import { runQuery } from '@/features/run/api/run';
import { type RunStream, useRunStream } from '@/features/run/api/stream';
import { useRunActions } from '@/features/run/components/actions';
import { ConnectionState } from '@/features/run/components/connection';
import { EventLog } from '@/features/run/components/event-log';
import { Outcome } from '@/features/run/components/outcome';
import { RunFacts } from '@/features/run/components/run-facts';
import { Story } from '@/features/run/components/story';
import { oneLine } from '@/lib/untrusted';

// Most readers need none of these.
const Answering = lazy(() =>
  import('@/features/inbox/components/answering').then((module) => ({ default: module.Answering })),
);
const ContextView = lazy(() =>
  import('@/features/run/components/context-view').then((module) => ({ default: module.ContextView })),
);
const Inspector = lazy(() =>
  import('@/features/run/components/inspector').then((module) => ({ default: module.Inspector })),
);
const Waterfall = lazy(() =>
  import('@/features/run/components/waterfall').then((module) => ({ default: module.Waterfall })),
);

const route = getRouteApi('/runs/$id');

export function RunPage() {
  const { id } = route.useParams();
  return <OneRun key={id} id={id} />;
}

/** Over for good: unlike a failed run it cannot be resumed. */
const isOver = ({ status }: Run) => status === 'complete' || status === 'cancelled';

/**
 * The stream tells what happens. This question is the net under it, and tells what no event does: that a worker took
 * the run. In milliseconds; never again for a run that is over for good.
 */
function askAgainAfter(run: Run | undefined): number | false {
  if (run && isOver(run)) return false;
  return run?.status === 'running' && run.owner === null ? 1_000 : 5_000;
}

function OneRun({ id }: { id: string }) {
  const client = useQueryClient();
  const {
    data: run,
    error,
    refetch,
  } = useQuery({
    ...runQuery(client, id),
    refetchInterval: (query) => askAgainAfter(query.state.data),
  });
  const { data: lost = [] } = useQuery(lostQuery(run));
  const stream = useRunStream(id);
  const { event } = route.useSearch();
  // What became of the last answer is told after its question is gone.
  const [hasAsked, setAsked] = useState(false);
  if (run?.question && !hasAsked) setAsked(true);
  const task = stream.timeline.task ?? run?.task ?? '';
  useTitle(run ? `${statusLabel(run.status)}: ${oneLine(task).slice(0, 60)}` : 'Run');

  if (!run) return <NoRun error={error} retry={() => void refetch()} />;
  return (
    <div className="mx-auto w-full max-w-6xl px-4 py-5 sm:px-6 lg:py-7">
      <div className="grid min-w-0 gap-x-8 gap-y-5 xl:grid-cols-[minmax(0,1fr)_17rem]">
        <div className="flex min-w-0 flex-col gap-5">
          <Header run={run} task={task} stream={stream} />
          {hasAsked && (
            <Suspense>
              <Answering runId={id} question={run.question ?? null} />
            </Suspense>
          )}
          <Outcome run={run} lost={lost} />
          <details className="rounded-lg border border-line bg-surface shadow-card xl:hidden">
            <summary className="px-4 py-2.5 text-sm font-medium">
              Details{' '}
              <span className="font-normal text-muted">
                · {run.agent.name} · step {run.steps} of {run.max_steps}
              </span>
            </summary>
            <div className="border-t border-line p-4">
              <RunFacts run={run} task={stream.timeline.task} />
            </div>
          </details>
          <Views run={run} stream={stream} lost={lost} />
        </div>
        <aside aria-label="Details" className="max-xl:hidden">
          <div className="sticky top-7">
            <Card title="Details">
              <RunFacts run={run} task={stream.timeline.task} />
            </Card>
          </div>
        </aside>
      </div>
      {event !== undefined && (
        <Suspense>
          <Inspector run={run} timeline={stream.timeline} lost={lost} id={event} />
        </Suspense>
      )}
    </div>
  );
}

function Header({ run, task, stream }: { run: Run; task: string; stream: RunStream }) {
  const navigate = useNavigate();
  const { buttons, trouble } = useRunActions(run);
  return (
    <header className="flex min-w-0 flex-col gap-3">
      <nav aria-label="Where you are" className="flex items-center gap-1 text-xs text-muted">
        <Link to="/runs" className="hover:text-ink hover:underline">
          Runs
        </Link>
        <ChevronRight aria-hidden className="size-3.5 text-faint" />
        <code title={run.id}>{run.id.slice(-8)}</code>
      </nav>
      <h1 className="text-xl font-semibold tracking-tight">
        <Prose text={task} lines_max={4} chars_max={280} />
      </h1>
      <div className="flex min-w-0 flex-wrap items-center justify-between gap-x-4 gap-y-3">
        <div className="flex flex-wrap items-center gap-x-3 gap-y-1">
          <span role="status">
            <StatusBadge status={run.status} />
          </span>
          <ConnectionState connection={stream.connection} isOver={isOver(run)} />
        </div>
        <div className="flex flex-wrap gap-2">
          {stream.timeline.task !== null && run.finished_at !== null && (
            <span className="flex max-sm:order-last">
              <LaunchAgain
                task={stream.timeline.task}
                agent={run.agent.name}
                onLaunched={(again) => void navigate({ to: '/runs/$id', params: { id: again.id } })}
              />
            </span>
          )}
          {buttons}
        </div>
      </div>
      {trouble}
    </header>
  );
}

function Views({ run, stream, lost }: { run: Run; stream: RunStream; lost: LostAttempt[] }) {
  const { view = 'story' } = route.useSearch();
  const { timeline } = stream;
  return (
    <section className="flex min-w-0 flex-col gap-4">
      <div className="flex items-end justify-between gap-2 border-b border-line">
        <Tabs
          label="Views of this run"
          current={view}
          tabs={[
            { key: 'story', label: 'Story', search: {} },
            { key: 'time', label: 'Time', search: { view: 'time' } },
            { key: 'events', label: 'Events', count: timeline.events.length, search: { view: 'events' } },
            { key: 'context', label: 'What the model sees', search: { view: 'context' } },
          ]}
        />
        {view === 'story' && timeline.entries.length > 8 && (
          <span className="shrink-0 pb-1 max-sm:hidden">
            <Button look="quiet" small Icon={ArrowDown} onClick={toLatest}>
              Latest
            </Button>
          </span>
        )}
      </div>
      <Suspense fallback={<Loading />}>
        {view === 'time' && <Waterfall timeline={timeline} run={run} lost={lost} />}
        {view === 'context' && <ContextView run={run} />}
      </Suspense>
      {view === 'events' && <EventLog events={timeline.events} />}
      {view === 'story' && <Story timeline={timeline} run={run} lost={lost} />}
    </section>
  );
}

/** Where the story stands now. What lies between is measured on the way, so the end may move: it is gone to twice. */
function toLatest() {
  const go = () => scrollTo({ top: document.documentElement.scrollHeight });
  go();
  requestAnimationFrame(() => requestAnimationFrame(go));
}

function NoRun({ error, retry }: { error: unknown; retry: () => void }) {
  const isMissing = error !== null && [400, 404].includes(problemOf(error).status);
  return (
    <div className="mx-auto w-full max-w-3xl px-4 py-8 sm:px-6">
      {!error && <Loading rows={6} />}
      {error !== null && !isMissing && <ProblemNotice error={error} retry={retry} />}
      {isMissing && (
        <Card>
          <Empty
            Icon={SearchX}
            title="There is no such run"
            action={<ButtonLink to="/runs">Show all runs</ButtonLink>}
          >
            The link may be cut short or belong to another server, or the run was over for so long that it has
            been deleted.
          </Empty>
        </Card>
      )}
    </div>
  );
}
