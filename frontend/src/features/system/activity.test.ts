import { expect, it } from 'vitest';
import { paceOf, perMinute } from './activity';

const now_ms = Date.parse('2026-01-01T10:00:30Z');
const minute = (ago: number) => new Date(Date.parse('2026-01-01T10:00:00Z') - ago * 60_000).toISOString();

it('counts what became of the runs of the last hour', () => {
  const pace = paceOf(
    {
      since: minute(60),
      counts: [
        { status: 'complete', finished_at: minute(0), runs: 7 },
        { status: 'complete', finished_at: minute(1), runs: 20 },
        { status: 'failed', finished_at: minute(5), runs: 5 },
        { status: 'cancelled', finished_at: minute(6), runs: 1 },
        { status: 'running', finished_at: null, runs: 3 },
      ],
    },
    now_ms,
  );
  expect(pace).toMatchObject({ launched: 36, finished: 33, failed: 5 });
  expect(perMinute(pace)).toBe(5);
  expect(pace.minutes.at(-1)).toMatchObject({ ended: 7, failed: 0 });
  expect(pace.minutes.at(-6)).toMatchObject({ ended: 5, failed: 5 });
});
