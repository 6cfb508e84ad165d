import { screen, waitFor } from '@testing-library/react';
import userEvent from '@testing-library/user-event';
import { expect, it } from 'vitest';
import { openPage } from '@/test/page';
import { problem, RUN, serve } from '@/test/server';

it('asks for the key where the server wants one, and lets in who has it', async () => {
  let isIn = false;
  const wall = (answer: object) => () =>
    isIn ? { body: answer } : problem(401, 'unauthorized', 'A key is needed');
  serve({
    'GET /v1/runs': wall({ runs: [RUN], next_cursor: null }),
    'GET /v1/inbox': wall({ items: [] }),
    'GET /v1/agents': wall({ agents: [] }),
    'GET /v1/workers': wall({ workers: [] }),
    'GET /v1/system': wall({ version: '0', default_agent: 'a' }),
    'POST /v1/session': ({ body }) => {
      isIn = (body as { api_key: string }).api_key === 'right';
      return isIn ? { status: 204 } : problem(401, 'unauthorized', 'That is not the key');
    },
  });
  openPage('/runs');
  await userEvent.type(await screen.findByLabelText('API key'), 'wrong{Enter}');
  expect(await screen.findByText('That is not the key.')).toBeInTheDocument();
  await userEvent.clear(screen.getByLabelText('API key'));
  await userEvent.type(screen.getByLabelText('API key'), 'right{Enter}');
  expect((await screen.findAllByText(RUN.task)).length).toBeGreaterThan(0);
  await waitFor(() => expect(screen.queryByLabelText('API key')).toBeNull());
});
