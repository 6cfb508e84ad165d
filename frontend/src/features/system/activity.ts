/** Figures of the last hour, from what became of its runs. */
import type { components } from '@/api/schema';

type Activity = components['schemas']['Activity'];

export interface Pace {
  launched: number;
  finished: number;
  /** Of the finished: those that did not give their answer and were not cancelled by somebody. */
  failed: number;
  /** Finished in each of the last minutes, the oldest first; the last is the one that has begun. */
  minutes: { at_ms: number; ended: number; failed: number }[];
}

const MINUTE_MS = 60_000;
export const MINUTES = 60;
const FAILURES = new Set(['failed', 'max_steps_reached', 'quarantined']);

export function paceOf({ counts }: Activity, now_ms: number): Pace {
  const last_ms = Math.floor(now_ms / MINUTE_MS) * MINUTE_MS;
  const minutes = Array.from({ length: MINUTES }, (_, place) => ({
    at_ms: last_ms - (MINUTES - 1 - place) * MINUTE_MS,
    ended: 0,
    failed: 0,
  }));
  const pace: Pace = { launched: 0, finished: 0, failed: 0, minutes };
  for (const { status, finished_at, runs } of counts) {
    pace.launched += runs;
    if (finished_at === null) continue;
    const isFailure = FAILURES.has(status);
    pace.finished += runs;
    if (isFailure) pace.failed += runs;
    const minute = minutes.find(({ at_ms }) => at_ms === Date.parse(finished_at));
    if (!minute) continue;
    minute.ended += runs;
    if (isFailure) minute.failed += runs;
  }
  return pace;
}

/** Runs a minute, over the last five whole ones. */
export const perMinute = ({ minutes }: Pace): number =>
  minutes.slice(-6, -1).reduce((sum, { ended }) => sum + ended, 0) / 5;
