/** Where a run's time went: what happened from when to when, drawn from its events. */
import type { LostAttempt } from '@/api/types';
import type { Timeline } from './timeline';

export type SpanKind = 'model' | 'tool' | 'human' | 'paused' | 'lost';

export interface Span {
  kind: SpanKind;
  label: string;
  /** The event to look at. */
  event: number;
  from_ms: number;
  to_ms: number;
  /** Whether it goes on. */
  isOpen: boolean;
}

/** In order of their beginnings. `now_ms` is where what goes on ends for now. */
export function spansOf(timeline: Timeline, lost: LostAttempt[], now_ms: number): Span[] {
  const spans: Span[] = [];
  const add = (kind: SpanKind, label: string, event: number, from_ms: number, to_ms: number | null) =>
    spans.push({
      kind,
      label,
      event,
      from_ms,
      to_ms: Math.max(from_ms, to_ms ?? now_ms),
      isOpen: to_ms === null,
    });
  let paused: { id: number; at_ms: number } | null = null;
  for (const entry of timeline.entries) {
    const at_ms = Date.parse(entry.at);
    if (entry.kind === 'turn')
      add('model', `Turn ${entry.turn}`, entry.id, at_ms - entry.request.took_ms, at_ms);
    if (entry.kind === 'moment') {
      if (entry.type === 'paused') paused = { id: entry.id, at_ms };
      else if (paused) {
        add('paused', 'Paused', paused.id, paused.at_ms, at_ms);
        paused = null;
      }
      continue;
    }
    for (const call of entry.calls) {
      const end_ms = Date.parse(call.at);
      const event = call.events.at(-1) ?? entry.id;
      if (call.question !== undefined) {
        add(
          'human',
          'Waits for an answer',
          event,
          Date.parse(call.asked_at),
          call.state === 'waiting' ? null : end_ms,
        );
      } else if (call.state === 'unknown') {
        add('human', `${call.name}: outcome unknown`, event, Date.parse(call.started?.at ?? call.at), null);
      } else if (call.took_ms !== undefined) {
        add('tool', call.name, event, end_ms - call.took_ms, end_ms);
      } else if (call.state === 'started' && call.started) {
        add('tool', call.name, event, Date.parse(call.started.at), null);
      }
    }
  }
  if (paused) add('paused', 'Paused', paused.id, paused.at_ms, null);
  let went_ms = 0;
  for (const attempt of lost) {
    const before = timeline.events[attempt.version - 1];
    const to_ms = Date.parse(attempt.at);
    const from_ms = Math.max(before ? Date.parse(before.at) : to_ms, went_ms);
    add('lost', `${attempt.worker} vanished`, attempt.version, from_ms, to_ms);
    went_ms = to_ms;
  }
  return spans.sort((a, b) => a.from_ms - b.from_ms || a.event - b.event);
}

export interface Scale {
  /** Where a time stands, from 0 to 1. */
  at: (ms: number) => number;
  /** Stretches in which nothing but waiting happened, drawn short. */
  gaps: { from: number; to: number; ms: number }[];
}

/** A gap is drawn as this much of all that is not one. */
const GAP_SHARE = 0.06;

/** A scale on which long waits do not push all else together. */
export function scaleOf(spans: Span[], begin_ms: number, end_ms: number): Scale {
  const busy = spans
    .filter(({ kind }) => kind !== 'human' && kind !== 'paused')
    .map(({ from_ms, to_ms }) => [Math.max(begin_ms, from_ms), Math.min(end_ms, to_ms)] as const)
    .filter(([from, to]) => from <= to);
  const stretches: { from_ms: number; to_ms: number; isGap: boolean }[] = [];
  let at_ms = begin_ms;
  for (const [from, to] of busy) {
    if (from > at_ms) stretches.push({ from_ms: at_ms, to_ms: from, isGap: true });
    if (to > at_ms) stretches.push({ from_ms: Math.max(at_ms, from), to_ms: to, isGap: false });
    at_ms = Math.max(at_ms, to);
  }
  if (end_ms > at_ms) stretches.push({ from_ms: at_ms, to_ms: end_ms, isGap: true });
  const busy_ms = stretches.reduce((sum, one) => sum + (one.isGap ? 0 : one.to_ms - one.from_ms), 0) || 1;
  const short_ms = busy_ms * GAP_SHARE;
  let drawn_ms = 0;
  const placed = stretches.map((one) => {
    const whole_ms = one.to_ms - one.from_ms;
    const isShort = one.isGap && whole_ms > short_ms;
    const begin = drawn_ms;
    drawn_ms += isShort ? short_ms : whole_ms;
    return { ...one, begin, end: drawn_ms, isShort };
  });
  const all_ms = drawn_ms || 1;
  const at = (ms: number) => {
    const found = placed[firstEndingAfter(placed, ms)] ?? placed.at(-1);
    if (!found) return 0;
    const share = (ms - found.from_ms) / Math.max(1, found.to_ms - found.from_ms);
    return Math.min(
      1,
      Math.max(0, (found.begin + Math.min(1, Math.max(0, share)) * (found.end - found.begin)) / all_ms),
    );
  };
  const gaps = placed
    .filter(({ isShort }) => isShort)
    .map(({ begin, end, from_ms, to_ms }) => ({
      from: begin / all_ms,
      to: end / all_ms,
      ms: to_ms - from_ms,
    }));
  return { at, gaps };
}

/** The place of the first stretch that ends at `ms` or later: they follow each other, and there may be thousands. */
function firstEndingAfter(stretches: { to_ms: number }[], ms: number): number {
  let low = 0;
  let high = stretches.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((stretches[middle]?.to_ms ?? ms) < ms) low = middle + 1;
    else high = middle;
  }
  return low;
}
