import clsx from 'clsx';
import {
  ArrowRight,
  Check,
  CircleDashed,
  CircleSlash,
  Flag,
  LoaderCircle,
  type LucideIcon,
  MessageCircleQuestionMark,
  MessageSquareReply,
  TriangleAlert,
  X,
} from 'lucide-react';
import type { ReactNode } from 'react';
import { Tag } from '@/components/facts';
import { Json } from '@/components/json';
import { Prose, Untrusted } from '@/components/text';
import { Clock, Lasting, Took } from '@/components/time';
import { Value } from '@/components/value';
import { inlineMembers, jsonText } from '@/lib/json-tokens';
import type { Call, CallState } from '../timeline';
import { FullOutput } from './full-output';
import { InspectLink } from './inspect-link';

const STATES: Record<CallState, { label: string; Icon: LucideIcon; ink: string }> = {
  asked: { label: 'Not carried out yet', Icon: CircleDashed, ink: 'text-faint' },
  started: { label: 'Under way', Icon: LoaderCircle, ink: 'text-run' },
  returned: { label: 'Done', Icon: Check, ink: 'text-ok' },
  failed: { label: 'Error', Icon: X, ink: 'text-bad' },
  waiting: { label: 'Waits for an answer', Icon: MessageCircleQuestionMark, ink: 'text-wait' },
  answered: { label: 'Answered', Icon: MessageSquareReply, ink: 'text-ok' },
  unknown: { label: 'Outcome unknown', Icon: TriangleAlert, ink: 'text-unknown' },
  final: { label: 'Final answer', Icon: Flag, ink: 'text-ok' },
  dropped: { label: 'Not carried out', Icon: CircleSlash, ink: 'text-faint' },
};

/** One call that a turn asked for, and what came of it. `isNext` says that a worker is at it now. */
export function CallRow({ call, isNext }: { call: Call; isNext: boolean }) {
  const look = isNext && call.state === 'asked' ? STATES.started : STATES[call.state];
  const members =
    call.kind === 'ask_human' || call.kind === 'final_answer' ? null : inlineMembers(call.arguments);
  const scalar = call.state === 'returned' ? scalarText(call.result) : null;
  return (
    <li className="min-w-0 px-3 py-2" data-call-state={call.state}>
      <div className="flex min-w-0 flex-wrap items-baseline gap-x-2 gap-y-1">
        <look.Icon
          aria-label={look.label}
          role="img"
          className={clsx(
            'size-4 shrink-0 translate-y-0.5',
            look.ink,
            look === STATES.started && 'motion-safe:animate-spin',
          )}
        />
        <span className="min-w-0 font-mono text-sm font-medium wrap-anywhere">
          <Untrusted text={call.name} />
        </span>
        {members && <InlineMembers members={members} />}
        {scalar !== null && (
          <span className="flex min-w-0 items-baseline gap-1.5 font-mono text-sm">
            <ArrowRight
              aria-label="gave"
              role="img"
              className="size-3.5 shrink-0 translate-y-0.5 text-faint"
            />
            <span className="min-w-0 font-semibold wrap-anywhere">
              <Untrusted text={scalar} />
            </span>
          </span>
        )}
        <span className="ml-auto flex items-baseline gap-2 text-xs text-faint">
          <CallTags call={call} />
          {call.took_ms !== undefined && <Took ms={call.took_ms} />}
          {call.state === 'waiting' && <Lasting from={call.at} to={null} />}
          <InspectLink id={call.events.at(-1) ?? 0} />
        </span>
      </div>
      <div className="flex min-w-0 flex-col gap-2 pl-6 empty:hidden">
        {!members && <LongArguments call={call} />}
        <Outcome call={call} isShown={scalar !== null} />
      </div>
    </li>
  );
}

function InlineMembers({ members }: { members: [string, string][] }) {
  return (
    <span className="flex min-w-0 flex-wrap gap-x-2.5 font-mono text-sm text-muted">
      {members.map(([name, value]) => (
        <span key={name} className="wrap-anywhere">
          <span className="text-faint">
            <Untrusted text={name} />{' '}
          </span>
          <Untrusted text={value} />
        </span>
      ))}
    </span>
  );
}

function CallTags({ call }: { call: Call }) {
  const isOnce = typeof call.kind === 'object' && call.kind.tool === 'at_most_once';
  return (
    <>
      {isOnce && (
        <Tag title="Never called again by itself: if its result is lost, somebody decides">at most once</Tag>
      )}
      {call.kind === 'missing' && <Tag title="The agent has no tool of this name">no such tool</Tag>}
      {call.attempt !== undefined && call.attempt > 1 && (
        <Tag title="Earlier attempts at this step ended without a result, for example because a worker died">
          attempt {call.attempt}
        </Tag>
      )}
    </>
  );
}

/** Arguments that do not fit on the line. Those of questions and answers are told in words below. */
function LongArguments({ call }: { call: Call }) {
  if (call.question !== undefined || call.state === 'final') return null;
  return (
    <div className="mt-1">
      <Json text={call.arguments} />
    </div>
  );
}

function Outcome({ call, isShown }: { call: Call; isShown: boolean }) {
  return (
    <>
      {call.question !== undefined && (
        <Said>
          <Prose text={call.question} />
        </Said>
      )}
      {call.answer !== undefined && call.state !== 'final' && (
        <Said who="Answer" aside={<Clock at={call.at} />}>
          <Prose text={call.answer} />
        </Said>
      )}
      {call.answer !== undefined && call.state === 'final' && (
        <Said>
          <Prose text={call.answer} lines_max={3} chars_max={240} />
        </Said>
      )}
      {call.reason !== undefined && (
        <p className="text-sm text-unknown">
          <Untrusted text={call.reason} />
        </p>
      )}
      {call.decision && <p className="text-sm text-muted">{DECISIONS[call.decision.decision]}</p>}
      {call.state === 'failed' && call.error !== undefined && (
        <div className="text-sm text-bad">
          <Prose text={call.error} />
        </div>
      )}
      {call.state === 'returned' && !isShown && (
        <div className="mt-1">
          <Value value={call.result} />
        </div>
      )}
      {call.full_bytes !== undefined && <FullOutput call={call.id} bytes={call.full_bytes} />}
      {call.started && call.state !== 'returned' && call.state !== 'failed' && (
        <p className="text-xs text-muted">
          Begun by <Untrusted text={call.started.worker} /> at <Clock at={call.started.at} />
        </p>
      )}
    </>
  );
}

const DECISIONS = {
  happened: 'Somebody decided: it happened.',
  did_not_happen: 'Somebody decided: it did not happen, so it is called again.',
  abort: 'Somebody decided: give the run up.',
};

function Said({ who, aside, children }: { who?: string; aside?: ReactNode; children: ReactNode }) {
  return (
    <div className="min-w-0 text-sm">
      {who && (
        <p className="flex items-baseline gap-2 text-xs text-faint">
          {who} {aside}
        </p>
      )}
      {children}
    </div>
  );
}

/** A result short enough for the line of its call. */
function scalarText(value: unknown): string | null {
  if (typeof value === 'object' && value !== null) return null;
  const text = typeof value === 'string' ? value : jsonText(value);
  return text.length <= 80 && !text.includes('\n') ? text : null;
}
