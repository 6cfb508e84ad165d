import { expect, it } from 'vitest';
import { call, eventsSince } from '@/test/events';
import { EMPTY, fold } from './timeline';
import { scaleOf, spansOf } from './waterfall';

const START_MS = 1_000_000;
const { at, event, launched, replied } = eventsSince(new Date(START_MS).toISOString());

const STORY = fold(EMPTY, [
  launched,
  replied(2, 100, 1, 80, [call('c1', 'sum')]),
  event(3, 130, 'tool_returned', { call: 'c1', result: 1, took_ms: 20, attempt: 1 }),
  replied(4, 200, 2, 50, [call('c2', 'ask_human', 'ask_human')]),
  event(5, 210, 'human_asked', { call: 'c2', question: '?' }),
  event(6, 3_600_000, 'human_answered', { call: 'c2', answer: '!' }),
]);

it('says what happened from when to when', () => {
  const lost = [{ worker: 'w', epoch: 1, attempt: 1, version: 1, at: at(50), how: '', blamed: false }];
  const spans = spansOf(STORY, lost, START_MS + 4_000_000);
  expect(spans.map(({ kind, from_ms, to_ms }) => [kind, from_ms - START_MS, to_ms - START_MS])).toEqual([
    ['lost', 0, 50],
    ['model', 20, 100],
    ['tool', 110, 130],
    ['model', 150, 200],
    ['human', 200, 3_600_000],
  ]);
  expect(spans.every(({ isOpen }) => !isOpen)).toBe(true);
});

it('goes on until now where it has not ended', () => {
  const paused = fold(EMPTY, [launched, event(2, 10, 'paused', {})]);
  expect(spansOf(paused, [], 1_000_500)).toMatchObject([{ kind: 'paused', to_ms: 1_000_500, isOpen: true }]);
});

it('draws an hour of waiting short, and keeps the order of times', () => {
  const spans = spansOf(STORY, [], START_MS);
  const scale = scaleOf(spans, 1_000_000, 4_600_000);
  expect(scale.gaps.at(-1)?.ms).toBe(3_599_800);
  expect(scale.at(1_000_000 + 200)).toBeGreaterThan(0.6);
  const places = [0, 20, 100, 130, 150, 200, 10_000, 3_600_000].map((ms) => scale.at(1_000_000 + ms));
  expect([...places].sort((a, b) => a - b)).toEqual(places);
  expect(scale.at(4_600_000)).toBe(1);
});

it('finds the place of each of thousands', () => {
  const spans = Array.from({ length: 2_000 }, (_, place) => ({
    kind: 'tool' as const,
    label: '',
    event: place + 1,
    from_ms: place * 10,
    to_ms: place * 10 + 10,
    isOpen: false,
  }));
  const { at } = scaleOf(spans, 0, 20_000);
  for (const { from_ms, to_ms } of spans) {
    expect(at(from_ms)).toBeCloseTo(from_ms / 20_000, 9);
    expect(at((from_ms + to_ms) / 2)).toBeCloseTo((from_ms + 5) / 20_000, 9);
  }
  expect([at(-5), at(20_001)]).toEqual([0, 1]);
});
