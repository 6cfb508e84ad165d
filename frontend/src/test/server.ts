/** A server for tests: what each path answers, and what was asked. */
import { vi } from 'vitest';
import type { Run } from '@/api/types';

export interface Asked {
  method: string;
  path: string;
  search: URLSearchParams;
  headers: Headers;
  body: unknown;
}

type Answer = { status?: number; body?: unknown } | Response;
type Routes = Record<string, (asked: Asked) => Answer>;

/** Puts `routes`, such as `GET /v1/runs`, in place of fetch. What no route knows is a 404. Returns what was asked. */
export function serve(routes: Routes): Asked[] {
  const log: Asked[] = [];
  vi.stubGlobal('fetch', async (input: Request | string, init?: RequestInit) => {
    const request = input instanceof Request ? input : new Request(new URL(input, location.origin), init);
    const url = new URL(request.url);
    const text = await request.text();
    const asked: Asked = {
      method: request.method,
      path: url.pathname,
      search: url.searchParams,
      headers: request.headers,
      body: text === '' ? undefined : JSON.parse(text),
    };
    log.push(asked);
    const route = routes[`${asked.method} ${asked.path}`] ?? EMPTY[`${asked.method} ${asked.path}`];
    const answer = route?.(asked) ?? problem(404, 'not-found', 'There is nothing here');
    if (answer instanceof Response) return answer;
    const status = answer.status ?? 200;
    const type = status < 400 ? 'application/json' : 'application/problem+json';
    return new Response(status === 204 ? null : JSON.stringify(answer.body), {
      status,
      headers: { 'content-type': type },
    });
  });
  return log;
}

/** What every page asks for. */
const EMPTY: Routes = {
  'GET /v1/runs': () => ({ body: { runs: [], next_cursor: null } }),
  'GET /v1/inbox': () => ({ body: { items: [] } }),
  'GET /v1/agents': () => ({ body: { agents: [] } }),
  'GET /v1/workers': () => ({ body: { workers: [{ id: 'w-1', alive: true, concurrency: 1, runs: 0 }] } }),
  'GET /v1/system': () => ({ body: { version: '0', practice_model: false, default_agent: 'calculator' } }),
};

export const problem = (status: number, slug: string, detail: string) => ({
  status,
  body: { type: `urn:piton:problem:${slug}`, title: slug, status, detail },
});

export const RUN: Run = {
  id: '0197f2c4-8a3b-7cc0-9d1e-5f0a1b2c3d4e',
  status: 'running',
  agent: { name: 'calculator', digest: 'ab'.repeat(32) },
  task: 'What is 1 + 1?',
  steps: 1,
  max_steps: 10,
  limits: { tool_errors: 4, repeated_calls: 4, events: 50_000 },
  turns: 1,
  version: 2,
  tenant: 'default',
  labels: {},
  priority: 0,
  usage: { input_tokens: 10, output_tokens: 5 },
  error: null,
  final_answer: null,
  question: null,
  was_paused: false,
  pending: [],
  owner: 'w-1',
  attempt: 1,
  epoch: 1,
  created_at: '2026-01-01T10:00:00.000Z',
  updated_at: '2026-01-01T10:00:01.000Z',
  finished_at: null,
};
