import { useQuery } from '@tanstack/react-query';
import { useNavigate } from '@tanstack/react-router';
import { ChevronLeft, ChevronRight, ShieldCheck, TriangleAlert } from 'lucide-react';
import { type ReactNode, useState } from 'react';
import type { LostAttempt, Run } from '@/api/types';
import { Button } from '@/components/button';
import { Notice } from '@/components/card';
import { CopyButton } from '@/components/copy';
import { Dialog } from '@/components/dialog';
import { Facts } from '@/components/facts';
import { Json } from '@/components/json';
import { Loading } from '@/components/page';
import { ProblemNotice } from '@/components/problem';
import { Rich } from '@/components/rich';
import { Untrusted } from '@/components/text';
import { Took } from '@/components/time';
import { Value } from '@/components/value';
import { jsonText } from '@/lib/json-tokens';
import { exactTime } from '@/lib/time';
import { oneLine } from '@/lib/untrusted';
import type { RunEvent } from '../api/events';
import { promptQuery } from '../api/prompt';
import { carriedBy } from '../carried';
import type { Call, Timeline } from '../timeline';

interface InspectorProps {
  run: Run;
  timeline: Timeline;
  lost: LostAttempt[];
  id: number;
}

/**
 * One event with all that is known of it, its neighbours a press away. The URL names it, so that it may be asked for
 * before the story has come: the run's version, the number of its last event, tells one that is on its way from one that is
 * not.
 */
export function Inspector({ run, timeline, lost, id }: InspectorProps) {
  const navigate = useNavigate();
  const { events } = timeline;
  const event = events[id - 1];
  const go = (to: number | undefined) =>
    void navigate({
      to: '.',
      search: ((before: Record<string, string>) => ({
        ...before,
        event: to === undefined ? undefined : String(to),
      })) as never,
      resetScroll: false,
      replace: to !== undefined,
    });
  return (
    <Dialog title={`Event ${id}`} shape="sheet" onClose={() => go(undefined)}>
      <div className="mb-4 flex flex-wrap items-center gap-2">
        <Button small Icon={ChevronLeft} disabled={id <= 1} onClick={() => go(id - 1)}>
          Earlier
        </Button>
        <Button small Icon={ChevronRight} disabled={id >= events.length} onClick={() => go(id + 1)}>
          Later
        </Button>
        <span className="ml-auto">
          <CopyButton text={linkTo(id)} label="Copy link" />
        </span>
      </div>
      {event ? (
        <div key={id} className="flex flex-col gap-4">
          <Facts facts={factsOf(event, timeline, lost, run)} />
          <Shown event={event} timeline={timeline} />
          {event.type === 'model_replied' && <Prompt runId={run.id} event={id} />}
          <Part title="As recorded">
            <Json text={jsonText(event.data)} lines_max={event.type === 'model_replied' ? 16 : 60} />
          </Part>
        </div>
      ) : (
        <p className="text-muted">
          {id <= run.version ? `Reading event ${id} …` : `This run has no event ${id} yet.`}
        </p>
      )}
    </Dialog>
  );
}

function linkTo(id: number): string {
  const url = new URL(location.href);
  url.searchParams.set('event', String(id));
  return url.href;
}

function Part({ title, aside, children }: { title: string; aside?: ReactNode; children: ReactNode }) {
  return (
    <section aria-label={title} className="min-w-0">
      <h3 className="mb-1 flex items-center justify-between gap-2 text-xs font-medium text-muted">
        {title}
        {aside}
      </h3>
      {children}
    </section>
  );
}

/** What the event is about, laid out to be read. */
function Shown({ event, timeline }: { event: RunEvent; timeline: Timeline }) {
  if (event.type === 'model_replied') {
    const { text, calls } = event.data;
    return (
      <Part title="Reply">
        <div className="flex flex-col gap-2">
          {text && <Rich text={text} />}
          {calls.map((call) => (
            <div key={call.id} className="min-w-0">
              <code className="text-sm font-medium">
                <Untrusted text={call.name} />
              </code>
              <Json text={call.arguments} />
            </div>
          ))}
        </div>
      </Part>
    );
  }
  const call = callOf(event, timeline);
  return (
    <>
      {call && (
        <Part title="Called with">
          <Json text={call.arguments} />
        </Part>
      )}
      {event.type === 'tool_returned' && (
        <Part title="Result">
          <Value value={event.data.result} />
        </Part>
      )}
      {event.type === 'tool_failed' && (
        <Part title="Error">
          <Value value={event.data.error} />
        </Part>
      )}
      {event.type === 'human_answered' && (
        <Part title="Answer">
          <Value value={event.data.answer} />
        </Part>
      )}
      {event.type === 'completed' && (
        <Part title="Answer">
          <Value value={event.data.answer} />
        </Part>
      )}
      {event.type === 'launched' && (
        <Part title="Task">
          <Value value={event.data.task} />
        </Part>
      )}
    </>
  );
}

/** The prompt is long: it is rendered again only when somebody wants to see it. */
function Prompt({ runId, event }: { runId: string; event: number }) {
  const [isAsked, setAsked] = useState(false);
  const { data, error, refetch } = useQuery({ ...promptQuery(runId, event), enabled: isAsked });
  return (
    <Part title="Prompt, as it was sent" aside={data && <CopyButton text={data.body} label="Copy prompt" />}>
      {!isAsked && (
        <Button small onClick={() => setAsked(true)}>
          Show the prompt
        </Button>
      )}
      {error && <ProblemNotice error={error} retry={() => void refetch()} />}
      {isAsked && !data && !error && <Loading rows={3} />}
      {data && (
        <div className="flex flex-col gap-2">
          {data.is_same ? (
            <Notice
              tone="ok"
              role="status"
              icon={<ShieldCheck aria-hidden />}
              title="These are the bytes that were sent"
            >
              Rendered again from the events up to {data.through}, and their SHA-256 is the one recorded.
            </Notice>
          ) : (
            <Notice
              tone="limit"
              role="status"
              icon={<TriangleAlert aria-hidden />}
              title="Not the same bytes"
            >
              The recorded SHA-256 is another: settings changed since, or another version sent it. This is
              what would be sent today.
            </Notice>
          )}
          <Json text={data.body} lines_max={60} />
        </div>
      )}
    </Part>
  );
}

function callOf(event: RunEvent, { entries }: Timeline): Call | undefined {
  const id = 'call' in event.data && typeof event.data.call === 'string' ? event.data.call : undefined;
  if (id === undefined) return undefined;
  for (const entry of entries) {
    if (entry.kind === 'moment') continue;
    const found = entry.calls.find((call) => call.id === id);
    if (found) return found;
  }
  return undefined;
}

function factsOf(event: RunEvent, timeline: Timeline, lost: LostAttempt[], run: Run): [string, ReactNode][] {
  const facts: [string, ReactNode][] = [
    ['What', <code key="t">{event.type}</code>],
    ['When', exactTime(event.at)],
    ['Format', `v${event.v}`],
    ...whoFacts(event, timeline, lost, run),
  ];
  const call = callOf(event, timeline);
  if (call) {
    facts.push([
      'Call',
      <code key="c">
        <Untrusted text={call.name} />
      </code>,
    ]);
    if (typeof call.kind === 'object') facts.push(['Effect', call.kind.tool.replaceAll('_', ' ')]);
    if (call.started) {
      const { worker, epoch } = call.started;
      facts.push(['Begun by', <code key="w">{oneLine(worker)}</code>], ['Epoch', epoch]);
    }
    facts.push([
      'Key',
      <code key="k" className="text-xs">
        {call.id}
      </code>,
    ]);
  }
  if (event.type === 'tool_returned' || event.type === 'tool_failed') {
    facts.push(['Took', <Took key="d" ms={event.data.took_ms} />]);
  }
  if (event.type === 'model_replied') {
    const { request, model, usage } = event.data;
    facts.push(
      ['Model', <Untrusted key="m" text={model} />],
      ['Asked over', request.api],
      ['Took', <Took key="d" ms={request.took_ms} />],
      ['Request', `${request.bytes} bytes, built from the events up to ${request.through_seq}`],
      [
        'Its SHA-256',
        <code key="h" className="text-xs">
          {request.sha256}
        </code>,
      ],
      ['Tokens', `${usage.input_tokens} in, ${usage.output_tokens} out`],
      ['Tries', request.tries],
    );
  }
  const before = lost.filter(({ version }) => version === event.id - 1);
  if (before.length > 0) {
    facts.push([
      'Before it',
      oneLine(before.map(({ worker, how }) => `${worker} vanished (${how})`).join('; ')),
    ]);
  }
  return facts;
}

/** Which worker it was, and at which attempt; where nothing tells, that is said too. */
function whoFacts(
  event: RunEvent,
  { events }: Timeline,
  lost: LostAttempt[],
  run: Run,
): [string, ReactNode][] {
  const carried = carriedBy(event, events, lost, run);
  if (carried.by === 'server') return [['Worker', 'none: the server took it down when it was asked for']];
  const { worker } = carried;
  return [
    ['Worker', worker === null ? 'not recorded for this event' : <code key="who">{oneLine(worker)}</code>],
    ['Attempt', 'attempt' in event.data ? event.data.attempt : 'not recorded for this event'],
  ];
}
