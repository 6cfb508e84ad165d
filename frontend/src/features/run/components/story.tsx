import clsx from 'clsx';
import {
  Ban,
  CirclePause,
  CirclePlay,
  CircleX,
  Flag,
  HeartCrack,
  type LucideIcon,
  OctagonMinus,
  RefreshCwOff,
  Rocket,
  ShieldAlert,
  ShieldCheck,
  Sparkle,
} from 'lucide-react';
import { lazy, memo, type ReactNode, Suspense, useMemo } from 'react';
import type { LostAttempt, Run } from '@/api/types';
import { Tag } from '@/components/facts';
import { Loading } from '@/components/page';
import { Rich } from '@/components/rich';
import { StatusIcon } from '@/components/status';
import { Prose, Untrusted } from '@/components/text';
import { Clock, Lasting, Took } from '@/components/time';
import { duration } from '@/lib/time';
import {
  type Asks,
  type Call,
  type Entry,
  type Lost,
  type Moment,
  type Timeline,
  type Turn,
  withLost,
} from '../timeline';
import { CallRow } from './call';
import { InspectLink } from './inspect-link';

/** A browser draws so many entries without a pause; of more, only those near the screen are there. */
const ENTRIES_PLAIN_MAX = 120;

// Few runs are that long.
const ManyEntries = lazy(() => import('./many-entries').then((module) => ({ default: module.ManyEntries })));

/** The run as a story: launch, turns, what happened between them, and what happens now. */
export function Story({
  timeline,
  run,
  lost,
}: {
  timeline: Timeline;
  run: Run | undefined;
  lost: LostAttempt[];
}) {
  const entries = useMemo(
    () => withLost(timeline, lost, run?.epoch ?? 0, run?.owner ?? null),
    [timeline, lost, run?.epoch, run?.owner],
  );
  if (!timeline.launched_at) return <Loading />;
  const isAdvancing = run?.status === 'running' && run.owner !== null;
  const front = isAdvancing ? run.pending[0]?.id : undefined;
  const isLong = entries.length > ENTRIES_PLAIN_MAX;
  return (
    <ol
      className={clsx(
        'relative flex flex-col gap-4 before:absolute before:top-3 before:bottom-3 before:left-3 before:w-px before:bg-line',
        // In a long one each entry is measured, which needs its own height.
        !isLong && '*:lazy-paint',
      )}
    >
      <Place icon={<Rocket aria-hidden />} ink="text-muted">
        <Line at={timeline.launched_at} id={1}>
          Launched <span className="font-medium">{timeline.agent}</span>
        </Line>
      </Place>
      {isLong ? (
        <Suspense fallback={<li className="h-screen" />}>
          <ManyEntries keys={entries.map(keyOf)} height_px={(at) => heightOf(entries[at] as Entry | Lost)}>
            {(at) => <EntryPlace entry={entries[at] as Entry | Lost} front={front} />}
          </ManyEntries>
        </Suspense>
      ) : (
        entries.map((entry) => <EntryPlace key={keyOf(entry)} entry={entry} front={front} />)
      )}
      {run && <NowLine run={run} since={timeline.events.at(-1)?.at ?? run.updated_at} />}
    </ol>
  );
}

const keyOf = (entry: Entry | Lost) => (entry.kind === 'lost' ? `lost-${entry.attempt.epoch}` : entry.id);

/** About how high an entry is drawn: a line, a paragraph of text, a box of calls that fit on one line each. */
function heightOf(entry: Entry | Lost): number {
  const calls = 'calls' in entry ? entry.calls.length : 0;
  return 24 + ('text' in entry && entry.text ? 46 : 0) + (calls > 0 ? 8 + 38 * calls : 0);
}

function EntryPlace({ entry, front }: { entry: Entry | Lost; front: string | undefined }) {
  switch (entry.kind) {
    case 'turn':
      return <TurnCard turn={entry} front={entry.calls.some(({ id }) => id === front) ? front : undefined} />;
    case 'asks':
      return <AsksCard asks={entry} />;
    case 'moment':
      return <MomentLine moment={entry} />;
    case 'lost':
      return <LostLine lost={entry} />;
  }
}

function Place({ icon, ink, children }: { icon: ReactNode; ink: string; children: ReactNode }) {
  return (
    <li className="relative min-w-0 pl-9">
      <span
        className={clsx(
          'absolute top-0 left-0 flex size-6 items-center justify-center rounded-full border border-line bg-surface [&>svg]:size-3.5',
          ink,
        )}
      >
        {icon}
      </span>
      {children}
    </li>
  );
}

function Line({ at, id, children }: { at: string; id: number; children: ReactNode }) {
  return (
    <div className="flex min-h-6 min-w-0 items-baseline gap-3">
      <div className="min-w-0 flex-1 text-sm leading-6">{children}</div>
      <span className="flex shrink-0 items-baseline gap-1 text-xs text-faint">
        <Clock at={at} />
        <InspectLink id={id} />
      </span>
    </div>
  );
}

const NOTES: Record<string, string> = {
  text_only: 'text instead of a tool call',
  empty: 'empty reply',
  call_in_text: 'call written as text',
  cut_off: 'cut off at the token limit',
  repeated_call_id: 'repeated call id',
  bad_arguments: 'arguments are no JSON object',
  too_many_calls: 'too many calls',
  clipped: 'clipped',
};

const TurnCard = memo(function TurnCard({ turn, front }: { turn: Turn; front: string | undefined }) {
  const tokens = turn.usage.input_tokens + turn.usage.output_tokens;
  return (
    <Place icon={<Sparkle aria-hidden />} ink="text-accent">
      <Line at={turn.at} id={turn.id}>
        <span className="font-medium">Turn {turn.turn}</span>
        <span className="text-muted">
          {' · '}
          <Untrusted text={turn.model} />
          {' · '}
          <Took ms={turn.request.took_ms} />
          {tokens > 0 && (
            <span title={`${turn.usage.input_tokens} tokens in, ${turn.usage.output_tokens} out`}>
              {' '}
              · {tokens} tokens
            </span>
          )}
        </span>{' '}
        <span className="inline-flex flex-wrap gap-1 align-middle">
          {turn.attempt > 1 && (
            <Tag title="Earlier attempts at this step ended without a reply, for example because a worker died">
              attempt {turn.attempt}
            </Tag>
          )}
          {turn.request.tries > 1 && (
            <Tag title="The model was asked again after an error">{turn.request.tries} tries</Tag>
          )}
          {turn.notes.map((note) => (
            <Tag key={note}>{NOTES[note] ?? <Untrusted text={note} />}</Tag>
          ))}
        </span>
      </Line>
      {turn.text && (
        <div className="mt-1">
          <Rich text={turn.text} chars_max={1_500} lines_max={16} />
        </div>
      )}
      {turn.calls.length > 0 && <Calls calls={turn.calls} front={front} />}
    </Place>
  );
});

function Calls({ calls, front }: { calls: Call[]; front?: string | undefined }) {
  return (
    <ul className="mt-1.5 divide-y divide-line rounded-lg border border-line bg-surface shadow-card">
      {calls.map((call) => (
        <CallRow key={call.id} call={call} isNext={call.id === front} />
      ))}
    </ul>
  );
}

const STUCK = {
  tool_errors: (times: number) =>
    times === 1 ? 'a tool call failed' : `tool calls failed ${times} times in a row`,
  repeated_call: (times: number) => `the same call came to the same end ${times} times in a row`,
};

const AsksCard = memo(function AsksCard({ asks }: { asks: Asks }) {
  return (
    <Place icon={<RefreshCwOff aria-hidden />} ink="text-wait">
      <Line at={asks.at} id={asks.id}>
        <span className="font-medium" title="Not the model asks, but Piton itself">
          Piton asks
        </span>
        <span className="text-muted">
          {' '}
          · {STUCK[asks.reason]?.(asks.times) ?? 'the run seems to be stuck'}
        </span>
      </Line>
      <Calls calls={asks.calls} />
    </Place>
  );
});

const MOMENTS: Record<string, { Icon: LucideIcon; ink: string; says: string }> = {
  model_failed: { Icon: CircleX, ink: 'text-bad', says: 'The model could not be asked' },
  paused: { Icon: CirclePause, ink: 'text-hold', says: 'Paused' },
  resumed: { Icon: CirclePlay, ink: 'text-run', says: 'Resumed' },
  cancel_requested: { Icon: Ban, ink: 'text-off', says: 'Somebody asked to cancel' },
  cancelled: { Icon: Ban, ink: 'text-off', says: 'Cancelled' },
  limit_reached: { Icon: OctagonMinus, ink: 'text-limit', says: 'Reached the step limit' },
  failed: { Icon: CircleX, ink: 'text-bad', says: 'Failed' },
  completed: { Icon: Flag, ink: 'text-ok', says: 'Completed' },
  quarantined: { Icon: ShieldAlert, ink: 'text-bad', says: 'Quarantined' },
  released: { Icon: ShieldCheck, ink: 'text-run', says: 'Released from quarantine' },
};

const MomentLine = memo(function MomentLine({ moment }: { moment: Moment }) {
  const look = MOMENTS[moment.type];
  const Icon = look?.Icon ?? Sparkle;
  return (
    <Place icon={<Icon aria-hidden />} ink={look?.ink ?? 'text-muted'}>
      <Line at={moment.at} id={moment.id}>
        <span className="font-medium">{look?.says ?? <Untrusted text={moment.type} />}</span>
        {moment.max_steps !== undefined && (
          <span className="text-muted"> · up to {moment.max_steps} steps</span>
        )}
      </Line>
      {moment.text && moment.type !== 'completed' && (
        <div className="text-sm text-muted">
          <Prose text={moment.text} />
        </div>
      )}
    </Place>
  );
});

function LostLine({ lost: { attempt, next, heir, after_ms } }: { lost: Lost }) {
  return (
    <Place icon={<HeartCrack aria-hidden />} ink={attempt.blamed ? 'text-bad' : 'text-off'}>
      <div className="flex min-h-6 min-w-0 items-baseline gap-3">
        <p className="min-w-0 flex-1 text-sm leading-6">
          <span className="font-medium">
            {attempt.blamed ? 'The run took worker ' : 'Worker '}
            <Untrusted text={attempt.worker} />
            {attempt.blamed ? ' down' : ' vanished'}
            {after_ms !== null && ` after ${duration(after_ms)}`}
          </span>
          <span className="text-muted">
            {' '}
            (<Untrusted text={attempt.how} />)
            {next !== null && <>; {heir !== null ? <Untrusted text={heir} /> : `attempt ${next}`} went on</>}
            {next === null && '; nobody has gone on yet'}
          </span>
        </p>
        <span className="shrink-0 text-xs text-faint">
          <Clock at={attempt.at} />
        </span>
      </div>
    </Place>
  );
}

/** What the run is at now, and since when; nothing once it is over. */
function NowLine({ run, since }: { run: Run; since: string }) {
  const says = nowText(run);
  if (!says) return null;
  return (
    <Place icon={<StatusIcon status={run.status} className="size-3.5!" />} ink="text-run">
      <p role="status" className="text-sm leading-6 text-muted">
        {says}{' '}
        <span className="text-faint" aria-hidden>
          <Lasting from={since} to={null} />
        </span>
      </p>
    </Place>
  );
}

function nowText(run: Run): ReactNode {
  const front = run.pending[0];
  switch (run.status) {
    case 'running':
      if (run.owner === null) return 'In the queue, until a worker takes it';
      if (!front) return 'Waiting for the model’s reply';
      return (
        <>
          Calling <Untrusted text={front.name} />
        </>
      );
    case 'waiting_human_input':
      return 'Waiting for an answer';
    case 'undecided':
      return run.was_paused
        ? 'Waiting for a decision; it is paused again after that'
        : 'Waiting for a decision';
    case 'cancelling':
      return front ? 'Cancelling, once the call under way has ended' : 'Cancelling';
    default:
      return null;
  }
}
