import { screen } from '@testing-library/react';
import { describe, expect, it } from 'vitest';
import { openPage } from '@/test/page';
import { serve } from '@/test/server';

const WORKER = {
  id: 'w-1',
  host: 'h',
  pid: 1,
  version: '0',
  concurrency: 1,
  runs: 0,
  started_at: '2026-01-01T10:00:00.000Z',
  lease_expires_at: '2026-01-01T10:00:10.000Z',
  alive: true,
  draining: false,
};

const SYSTEM = {
  'GET /v1/system': () => ({
    body: { version: '0', store: { engine: 'sqlite', engine_version: '3', synchronous: 'full', schema: 5 } },
  }),
};

describe('the system page', () => {
  it('says how many runs wait for a worker with what, and which worker lacks it', async () => {
    const lacking = [{ agent: 'clerk', what: 'the tool weigh', runs: 3 }];
    serve({
      ...SYSTEM,
      'GET /v1/queue': () => ({ body: { due: 4, later: 0, oldest_ms: 0, owned: 0, lacking } }),
      'GET /v1/workers': () => ({ body: { workers: [{ ...WORKER, lacks: ['the tool weigh'] }] } }),
    });
    openPage('/system');
    expect(await screen.findByText('3 runs of clerk: no worker has the tool weigh')).toBeInTheDocument();
    expect(await screen.findByText('lacks the tool weigh')).toBeInTheDocument();
  });

  it('says nothing of it where every run finds a worker', async () => {
    serve({
      ...SYSTEM,
      'GET /v1/queue': () => ({ body: { due: 4, later: 0, oldest_ms: 0, owned: 0, lacking: [] } }),
      'GET /v1/workers': () => ({ body: { workers: [{ ...WORKER, lacks: [] }] } }),
    });
    openPage('/system');
    expect(await screen.findByText('pid 1', { exact: false })).toBeInTheDocument();
    expect(screen.queryByText('Runs wait for a worker', { exact: false })).toBeNull();
  });
});
