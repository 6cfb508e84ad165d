import { describe, expect, it } from 'vitest';
import { ago, between_ms, duration, exactTime } from './time';

const NOW_MS = Date.parse('2026-06-15T12:00:00.000Z');
const earlier = (ms: number) => new Date(NOW_MS - ms).toISOString();

describe('ago', () => {
  it.each([
    [0, 'now'],
    [-60_000, 'now'],
    [59_000, '59 s ago'],
    [60_000, '1 min ago'],
    [3_599_000, '59 min ago'],
    [3_600_000, '1 h ago'],
    [86_400_000, '1 d ago'],
  ])('%d ms before is %s', (ms, text) => expect(ago(earlier(ms), NOW_MS)).toBe(text));

  it('gives the date of what is old', () => {
    expect(ago(earlier(30 * 86_400_000), NOW_MS)).toMatch(/16/);
    expect(ago(earlier(400 * 86_400_000), NOW_MS)).toMatch(/2025/);
  });

  it('shows what is no time as it is', () => {
    expect(ago('soon', NOW_MS)).toBe('soon');
    expect(exactTime('soon')).toBe('soon');
  });
});

describe('duration', () => {
  it.each([
    [0, '< 1 ms'],
    [35, '35 ms'],
    [999.4, '999 ms'],
    [1_250, '1.2 s'],
    [59_999, '59 s'],
    [60_000, '1 min'],
    [125_000, '2 min 5 s'],
    [3_600_000, '1 h'],
    [11_400_000, '3 h 10 min'],
    [353_000_000, '4 d 2 h'],
    [Number.NaN, '–'],
  ])('%d ms is %s', (ms, text) => expect(duration(ms)).toBe(text));

  it('is never negative', () => {
    expect(between_ms(earlier(0), earlier(5))).toBe(0);
  });
});
