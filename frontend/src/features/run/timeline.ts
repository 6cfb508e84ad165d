/**
 * The story of a run, told from its events: turns, what each asked for and what came of it, and what happened in
 * between. A pure fold: any prefix of a history gives a story, and an event folded twice changes nothing.
 */
import type { LostAttempt, StuckReason } from '@/api/types';
import type { Decision, RunEvent, ToolCall, TurnRequest } from './api/events';

export type CallState =
  /** Asked for by the model, not yet carried out. */
  | 'asked'
  /** An at-most-once call that was begun. */
  | 'started'
  | 'returned'
  | 'failed'
  /** A question that is open. */
  | 'waiting'
  | 'answered'
  /** Begun, and its result is not known: a human decides. */
  | 'unknown'
  /** The final answer. */
  | 'final'
  /** Asked for by a reply of a run that ended before it was carried out. */
  | 'dropped';

export interface Call extends ToolCall {
  state: CallState;
  /** When it was asked for. */
  asked_at: string;
  /** When the last thing happened to it. */
  at: string;
  started?: { worker: string; epoch: number; attempt: number; at: string };
  result?: unknown;
  error?: string;
  /** Bytes of the whole, where result or error is the beginning. */
  full_bytes?: number;
  question?: string;
  answer?: string;
  reason?: string;
  decision?: Decision;
  /** How long the tool took. */
  took_ms?: number;
  attempt?: number;
  /** The events about it, in order. */
  events: number[];
}

export interface Turn {
  kind: 'turn';
  id: number;
  at: string;
  turn: number;
  text: string | null;
  calls: Call[];
  notes: string[];
  model: string;
  usage: { input_tokens: number; output_tokens: number };
  request: TurnRequest;
  attempt: number;
}

/** Anything else that happened, between turns. */
export interface Moment {
  kind: 'moment';
  id: number;
  at: string;
  type: RunEvent['type'];
  text?: string;
  /** The new limit, where one was granted. */
  max_steps?: number;
}

/** Piton itself asked, because the run goes round in circles. */
export interface Asks {
  kind: 'asks';
  id: number;
  at: string;
  reason: StuckReason;
  times: number;
  /** The question, as the one call it is. */
  calls: Call[];
}

export type Entry = Turn | Moment | Asks;

/** An attempt that ended with its worker: no event of the run's, but it belongs between two of them. */
export interface Lost {
  kind: 'lost';
  attempt: LostAttempt;
  /** The attempt that went on; null while there is none. */
  next: number | null;
  /** The worker that went on, where something tells. */
  heir: string | null;
  /** How long after the last event its end was noticed. */
  after_ms: number | null;
}

export interface Timeline {
  /** The whole task; null until the launch was read. */
  task: string | null;
  agent: string | null;
  launched_at: string | null;
  entries: Entry[];
  /** Every event, by its place. */
  events: RunEvent[];
  /** The id of the last event folded. */
  through: number;
}

/**
 * The entries with the attempts that were lost, each after the last thing that had happened by then. `epoch` is the
 * run's, held by `owner`: they tell whether somebody took the run since the last of them, and who.
 */
export function withLost(
  { entries, events }: Pick<Timeline, 'entries' | 'events'>,
  lost: LostAttempt[],
  epoch: number,
  owner: string | null,
): (Entry | Lost)[] {
  if (lost.length === 0) return entries;
  const told: (Entry | Lost)[] = [];
  const holders = holdersOf(events, lost);
  if (owner !== null) holders.set(epoch, owner);
  const left = lost.map((attempt, place): Lost => {
    const later = lost[place + 1]?.attempt ?? attempt.attempt + 1;
    const before = events[attempt.version - 1];
    return {
      kind: 'lost',
      attempt,
      next: epoch > attempt.epoch ? later : null,
      heir: holders.get(attempt.epoch + 1) ?? null,
      after_ms: before ? Math.max(0, Date.parse(attempt.at) - Date.parse(before.at)) : null,
    };
  });
  for (const entry of entries) {
    while (left[0] && left[0].attempt.version < entry.id) told.push(left.shift() as Lost);
    told.push(entry);
  }
  return [...told, ...left];
}

/** Which worker held the run under which epoch, as far as it was recorded. */
export function holdersOf(events: RunEvent[], lost: LostAttempt[]): Map<number, string> {
  const holders = new Map(lost.map(({ epoch, worker }) => [epoch, worker]));
  for (const event of events) {
    if (event.type === 'tool_started') holders.set(event.data.epoch, event.data.worker);
  }
  return holders;
}

export const EMPTY: Timeline = {
  task: null,
  agent: null,
  launched_at: null,
  entries: [],
  events: [],
  through: 0,
};

/** `timeline` with more events. Entries that nothing happened to stay the same objects. */
export function fold(timeline: Timeline, events: RunEvent[]): Timeline {
  const fresh = events.filter((event) => event.id > timeline.through);
  if (fresh.length === 0) return timeline;
  const next: Timeline = { ...timeline, entries: [...timeline.entries], events: [...timeline.events] };
  for (const event of fresh) {
    if (event.id <= next.through) continue;
    next.through = event.id;
    next.events.push(event);
    tell(next, event);
  }
  return next;
}

function tell(story: Timeline, event: RunEvent): void {
  if (event.type === 'launched') {
    story.task = event.data.task;
    story.agent = event.data.agent_name;
    story.launched_at = event.at;
    return;
  }
  if (event.type === 'model_replied') {
    story.entries.push(turnOf(event));
    return;
  }
  if (event.type === 'stuck') {
    const { call, reason, times } = event.data;
    const { id, at } = event;
    story.entries.push({ kind: 'asks', id, at, reason, times, calls: [asked(call, event)] });
    return;
  }
  const change = changeOf(event);
  if (change && onCall(story, event, change)) return;
  if (event.type === 'completed') {
    const { answer } = event.data;
    settleCalls(story, event, (call) =>
      call.kind === 'final_answer' ? { state: 'final', answer } : { state: 'dropped' },
    );
  }
  if (event.type === 'cancelled') settleCalls(story, event, () => ({ state: 'dropped' }));
  story.entries.push(momentOf(event));
}

type Change = Partial<Call> & { id: string };

/** What an event says of one call; null for an event that is about none. */
function changeOf(event: RunEvent): Change | null {
  switch (event.type) {
    case 'tool_started': {
      const { call: id, worker, epoch, attempt } = event.data;
      return { id, state: 'started', started: { worker, epoch, attempt, at: event.at }, attempt };
    }
    case 'tool_returned': {
      const { call: id, ...end } = event.data;
      return { id, state: 'returned', ...end };
    }
    case 'tool_failed': {
      const { call: id, ...end } = event.data;
      return { id, state: 'failed', ...end };
    }
    case 'human_asked':
      return { id: event.data.call, state: 'waiting', question: event.data.question };
    case 'human_answered':
      return { id: event.data.call, state: 'answered', answer: event.data.answer };
    case 'outcome_unknown':
      return { id: event.data.call, state: 'unknown', reason: event.data.reason };
    case 'outcome_decided':
      return decided(event.data.call, event.data.decision);
    default:
      return null;
  }
}

function decided(id: string, decision: Decision): Change {
  switch (decision.decision) {
    case 'happened':
      return { id, state: 'returned', result: decision.result, decision };
    case 'did_not_happen':
      return { id, state: 'asked', decision };
    case 'abort':
      return { id, state: 'dropped', decision };
  }
}

function turnOf(event: Extract<RunEvent, { type: 'model_replied' }>): Turn {
  const { turn, text, calls, notes, model, usage, request, attempt } = event.data;
  return {
    kind: 'turn',
    id: event.id,
    at: event.at,
    turn,
    text,
    notes,
    model,
    usage,
    request,
    attempt,
    calls: calls.map((call) => asked(call, event)),
  };
}

function asked(call: ToolCall, { id, at }: RunEvent): Call {
  return { ...call, state: 'asked', asked_at: at, at, events: [id] };
}

function momentOf(event: RunEvent): Moment {
  const moment: Moment = { kind: 'moment', id: event.id, at: event.at, type: event.type };
  if (event.type === 'resumed') moment.max_steps = event.data.max_steps;
  if (event.type === 'failed' || event.type === 'model_failed') moment.text = event.data.error;
  if (event.type === 'quarantined') moment.text = event.data.reason;
  if (event.type === 'completed') moment.text = event.data.answer;
  return moment;
}

/**
 * Changes a call, wherever it was asked for; the latest turn is nearly always the one. False when nobody asked for it:
 * then the event is told as a moment, so that it is not lost.
 */
function onCall(story: Timeline, event: RunEvent, change: Change): boolean {
  const at = story.entries.findLastIndex(
    (entry) => entry.kind !== 'moment' && entry.calls.some(({ id }) => id === change.id),
  );
  const entry = story.entries[at];
  if (!entry || entry.kind === 'moment') return false;
  const calls = entry.calls.map((call) =>
    call.id === change.id ? { ...call, ...change, at: event.at, events: [...call.events, event.id] } : call,
  );
  story.entries[at] = { ...entry, calls };
  return true;
}

/** What becomes of the calls that were still to be carried out when the run ended. */
function settleCalls(story: Timeline, event: RunEvent, becomes: (call: Call) => Partial<Call>): void {
  const last = story.entries.findLastIndex((entry) => entry.kind === 'turn');
  // The last turn's, and those that Piton itself asked since.
  for (const [at, entry] of story.entries.entries()) {
    if (at < last || entry.kind === 'moment' || !entry.calls.some(isOpen)) continue;
    const calls = entry.calls.map((call) =>
      isOpen(call) ? { ...call, ...becomes(call), at: event.at, events: [...call.events, event.id] } : call,
    );
    story.entries[at] = { ...entry, calls };
  }
}

const isOpen = (call: Call) => call.state === 'asked' || call.state === 'waiting';
