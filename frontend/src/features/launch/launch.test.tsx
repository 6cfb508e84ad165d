import { screen, waitFor } from '@testing-library/react';
import userEvent from '@testing-library/user-event';
import { expect, it } from 'vitest';
import { openPage } from '@/test/page';
import { problem, RUN, serve } from '@/test/server';

const AGENTS = { agents: ['calculator', 'clerk'].map((name) => ({ name, description: '', tools: [] })) };

it('launches what was typed with the agent that was picked, and goes there', async () => {
  const log = serve({
    'GET /v1/agents': () => ({ body: AGENTS }),
    'POST /v1/runs': () => ({ status: 201, body: RUN }),
  });
  const { router } = openPage('/');
  await userEvent.selectOptions(await screen.findByLabelText('Agent'), 'clerk');
  await userEvent.type(
    screen.getByLabelText('What shall the agent do?'),
    'Book it{Shift>}{Enter}{/Shift}now{Enter}',
  );
  await waitFor(() => expect(router.state.location.pathname).toBe(`/runs/${RUN.id}`));
  expect(log.find((one) => one.method === 'POST')?.body).toEqual({ task: 'Book it\nnow', agent: 'clerk' });
});

it('sends the same launch again under the same key, and a changed one under another', async () => {
  const log = serve({ 'POST /v1/runs': () => problem(503, 'store-unavailable', 'The disk is full') });
  openPage('/');
  const field = await screen.findByLabelText('What shall the agent do?');
  await userEvent.type(field, 'Add{Enter}');
  await screen.findByText('The disk is full');
  await userEvent.type(field, '{Enter}');
  await waitFor(() => expect(log.filter((one) => one.method === 'POST')).toHaveLength(2));
  await userEvent.type(field, ' more{Enter}');
  await waitFor(() => expect(log.filter((one) => one.method === 'POST')).toHaveLength(3));
  const keys = log.filter((one) => one.method === 'POST').map((one) => one.headers.get('idempotency-key'));
  expect(keys[0]).toMatch(/^[0-9a-f]{32}$/);
  expect(keys[1]).toBe(keys[0]);
  expect(keys[2]).not.toBe(keys[0]);
});

it('says what the practice model is and how to plug in a real one', async () => {
  serve({
    'GET /v1/system': () => ({ body: { version: '0', practice_model: true, default_agent: 'calculator' } }),
  });
  openPage('/');
  expect(await screen.findByText('This is the practice model')).toBeInTheDocument();
  expect(screen.getByText('OPENAI_API_KEY')).toBeInTheDocument();
  await userEvent.click(screen.getByRole('button', { name: 'Hide this note' }));
  expect(screen.queryByText('This is the practice model')).toBeNull();
});

it('warns when nobody works', async () => {
  serve({ 'GET /v1/workers': () => ({ body: { workers: [] } }) });
  openPage('/');
  expect(await screen.findByText('No worker is alive')).toBeInTheDocument();
});
