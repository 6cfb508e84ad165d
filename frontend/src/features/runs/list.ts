/** A long list of runs, known in parts: what a page of it says takes the place of what was known of that stretch. */
import type { Run } from '@/api/types';

/** What a row shows. Of a hundred thousand runs no more than this is kept. */
export interface Row {
  id: string;
  status: Run['status'];
  task: string;
  agent: string;
  steps: number;
  max_steps: number;
  tokens: number;
  gist: string | null;
  created_at: string;
  finished_at: string | null;
}

const GIST_CHARS = 200;

export function rowOf(run: Run): Row {
  const gist = run.question?.text ?? run.final_answer ?? run.error;
  return {
    id: run.id,
    status: run.status,
    task: run.task,
    agent: run.agent.name,
    steps: run.steps,
    max_steps: run.max_steps,
    tokens: run.usage.input_tokens + run.usage.output_tokens,
    gist: gist === null || gist === undefined ? null : gist.slice(0, GIST_CHARS),
    created_at: run.created_at,
    finished_at: run.finished_at,
  };
}

/**
 * `rows`, newest first, after the page that follows `after` (null: from the top) was read: `page` is all there is
 * between it and its own last run, or to the very end where it `isLast`.
 */
export function splice(rows: Row[], after: string | null, page: Row[], isLast: boolean): Row[] {
  const last = page.at(-1)?.id;
  const begin = after === null ? 0 : placeBelow(rows, after);
  const end = isLast ? rows.length : last === undefined ? begin : placeBelow(rows, last);
  if (end - begin === page.length && page.every((row, at) => isSame(row, rows[begin + at]))) return rows;
  return [...rows.slice(0, begin), ...page, ...rows.slice(Math.max(begin, end))];
}

/** The place of the first run that is older than `id`: ids go by time. */
function placeBelow(rows: Row[], id: string): number {
  let low = 0;
  let high = rows.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((rows[middle]?.id ?? '') >= id) low = middle + 1;
    else high = middle;
  }
  return low;
}

const isSame = (one: Row, other: Row | undefined) =>
  other !== undefined && (Object.keys(one) as (keyof Row)[]).every((name) => one[name] === other[name]);
