/** Which worker carried out what an event tells of, as far as anything says so: that a worker took a run is no event. */
import type { LostAttempt, Run } from '@/api/types';
import type { RunEvent } from './api/events';
import { holdersOf } from './timeline';

/** What the server records itself, when somebody asks for it. */
const COMMANDS: readonly RunEvent['type'][] = [
  'launched',
  'human_answered',
  'outcome_decided',
  'paused',
  'resumed',
  'cancel_requested',
  'released',
];

export type Carried =
  | { by: 'server' }
  /** The worker, where that is known. */
  | { by: 'worker'; worker: string | null };

/**
 * Each time a worker takes the run the epoch grows. So an event stands between the epochs that are known before and after
 * it: those of calls that were begun, of attempts that were lost, and of the run as it is. Where they meet, the worker
 * is known if anything names that epoch's.
 */
export function carriedBy(
  event: RunEvent,
  events: RunEvent[],
  lost: LostAttempt[],
  run: Pick<Run, 'epoch' | 'owner'>,
): Carried {
  if (COMMANDS.includes(event.type)) return { by: 'server' };
  const holders = holdersOf(events, lost);
  if (run.owner !== null) holders.set(run.epoch, run.owner);
  let least = 1;
  let most = run.epoch;
  for (const { id, type, data } of events) {
    if (type !== 'tool_started') continue;
    if (id <= event.id) least = Math.max(least, data.epoch);
    if (id >= event.id) most = Math.min(most, data.epoch);
    // Only who began a call at most once records what it gave.
    const isItsEnd = event.type === 'tool_returned' || event.type === 'tool_failed';
    if (isItsEnd && id < event.id && event.data.call === data.call) most = data.epoch;
  }
  for (const { version, epoch } of lost) {
    if (version < event.id) least = Math.max(least, epoch + 1);
    else most = Math.min(most, epoch);
  }
  return { by: 'worker', worker: least === most ? (holders.get(least) ?? null) : null };
}
