import { expect, it } from 'vitest';
import type { LostAttempt } from '@/api/types';
import type { RunEvent } from './api/events';
import { carriedBy } from './carried';

const event = (id: number, type: RunEvent['type'], data: object = {}) =>
  ({ id, at: '2026-01-01T10:00:00.000Z', v: 1, type, data }) as RunEvent;
const started = (id: number, call: string, worker: string, epoch: number) =>
  event(id, 'tool_started', { call, worker, epoch, attempt: 1, arguments_hash: '', at_ms: 0 });
const lostAt = (version: number, worker: string, epoch: number): LostAttempt => ({
  at: '2026-01-01T10:00:00.000Z',
  attempt: 1,
  blamed: false,
  epoch,
  how: 'its lease lapsed',
  version,
  worker,
});

const HISTORY = [
  event(1, 'launched'),
  event(2, 'model_replied', { attempt: 1 }),
  started(3, 'book', 'w-1', 1),
  event(4, 'tool_returned', { call: 'book', attempt: 1 }),
  event(5, 'model_replied', { attempt: 2 }),
  event(6, 'paused'),
];

const who = (id: number, lost: LostAttempt[], epoch: number, owner: string | null = null) =>
  carriedBy(HISTORY[id - 1] as RunEvent, HISTORY, lost, { epoch, owner });

it('knows the worker of a call that was begun, of its result, and of what was done under the same epoch', () => {
  expect(who(3, [], 4)).toEqual({ by: 'worker', worker: 'w-1' });
  expect(who(4, [], 4)).toEqual({ by: 'worker', worker: 'w-1' });
  expect(who(2, [], 4)).toEqual({ by: 'worker', worker: 'w-1' });
});

it('does not guess where several workers may have had the run', () => {
  expect(who(5, [], 4)).toEqual({ by: 'worker', worker: null });
  expect(who(5, [], 2)).toEqual({ by: 'worker', worker: null });
});

it('knows the worker that lost the run, and the one that holds it now', () => {
  expect(who(5, [lostAt(4, 'w-1', 1)], 2, 'w-2')).toEqual({ by: 'worker', worker: 'w-2' });
  expect(who(5, [lostAt(4, 'w-1', 1), lostAt(5, 'w-3', 2)], 3)).toEqual({ by: 'worker', worker: 'w-3' });
  expect(who(5, [lostAt(4, 'w-1', 1)], 2)).toEqual({ by: 'worker', worker: null });
});

it('tells what the server records itself from what a worker does', () => {
  expect(who(1, [], 1, 'w-1')).toEqual({ by: 'server' });
  expect(who(6, [], 1, 'w-1')).toEqual({ by: 'server' });
});
