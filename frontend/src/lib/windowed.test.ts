import { expect, it } from 'vitest';
import { windowOf } from './windowed';

it('has the rows near the screen, and room for all others', () => {
  const { from, to, before, after } = windowOf(100_000, 40, -2_000_000, 800);
  expect(from).toBeLessThan(50_000);
  expect(to).toBeGreaterThanOrEqual(50_020);
  expect(to - from).toBeLessThan(70);
  expect(before + (to - from) * 40 + after).toBe(4_000_000);
});

it('covers the screen wherever it stands', () => {
  for (let top = 500; top > -41_000; top -= 37) {
    const { from, to } = windowOf(1_000, 40, top, 800);
    const first = Math.max(0, Math.floor(-top / 40));
    const last = Math.min(1_000, Math.ceil((-top + 800) / 40));
    expect(from).toBeLessThanOrEqual(first);
    if (first < 1_000) expect(to).toBeGreaterThanOrEqual(Math.max(last, 0));
  }
});

it('has all of a short list', () => {
  expect(windowOf(5, 40, 100, 800)).toEqual({ from: 0, to: 5, before: 0, after: 0 });
  expect(windowOf(0, 40, 100, 800)).toEqual({ from: 0, to: 0, before: 0, after: 0 });
});
